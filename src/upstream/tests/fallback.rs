//! What goes to the fallback when its waiting fails, and how what comes from elsewhere waits.

use super::*;
use crate::event::UpstreamId;
use crate::upstream::Asked;

/// With one connection, which is being made, and a fallback or none.
fn service(has_fallback: bool) -> Service {
    let mut upstream = Upstream::new("peer:1");
    if has_fallback {
        upstream = upstream.fallback(UpstreamId(0));
    }
    let mut service = Service::new(upstream, &Config::default());
    let member = service.poll_connect(Time::ZERO).unwrap();
    service.handle_connecting(member, 10);
    service
}

fn refused(service: &mut Service, now: Time) -> Vec<u64> {
    let mut failed = Vec::new();
    // A pause of some length.
    let random = u64::MAX / 2;
    service.handle_closed(now, 0, random, progress(0, false), REFUSED, &mut failed);
    failed.iter().map(|(request, ..)| request.0).collect()
}

fn asked(n: u64, again: Again) -> Asked {
    Asked {
        request: RequestId(n),
        tag: n,
        deadline: at(5_000),
        again,
    }
}

/// Takes all that is to be handed over.
fn handed(service: &mut Service) -> Vec<(u64, Vec<u8>)> {
    let mut outbox = service.take_outbox();
    let mut handed = Vec::new();
    while let Some((asked, payload)) = outbox.front() {
        assert_eq!(asked.again.kept, None, "a key of another upstream's");
        handed.push((asked.request.0, payload.to_vec()));
        outbox.pop();
    }
    service.check();
    handed
}

#[test]
fn who_waits_for_a_connection_that_cannot_be_made_leaves_with_his_bytes() {
    for has_fallback in [true, false] {
        let mut service = service(has_fallback);
        for n in 1..=3 {
            let payload = vec![n as u8; n as usize];
            let wait = service.wait(at(n), RequestId(n), n, at(5_000), &payload);
            wait.unwrap();
        }
        assert_eq!(service.cancel_waiting(at(4), RequestId(2)).unwrap().tag, 2);
        assert_eq!(refused(&mut service, at(5)), [1, 3]);
        let expected = match has_fallback {
            true => vec![(1, vec![1]), (3, vec![3; 3])],
            false => vec![],
        };
        assert_eq!(handed(&mut service), expected);
    }
}

#[test]
fn who_has_waited_too_long_leaves_and_whose_deadline_has_passed_does_not() {
    let mut service = service(true);
    let wait = service.timeouts.wait;
    let late = Time::ZERO.after(wait / 2);
    for (n, deadline) in [(1, late), (2, at(60_000)), (3, late), (4, at(60_000))] {
        let payload = vec![n as u8; 2];
        let waits = service.wait(Time::ZERO, RequestId(n), n, deadline, &payload);
        waits.unwrap();
    }
    let mut failed = Vec::new();
    service.handle_timeout(late, 0, &mut failed);
    assert_eq!((failed.len(), handed(&mut service)), (2, vec![]));
    service.handle_timeout(Time::ZERO.after(wait), 0, &mut failed);
    assert_eq!(failed.len(), 4);
    assert_eq!(handed(&mut service), [(2, vec![2; 2]), (4, vec![4; 2])]);
}

#[test]
fn what_was_sent_before_goes_with_it_and_so_do_the_bytes_that_were_kept() {
    let mut service = service(true);
    let before = Again {
        sent: Sent::Maybe,
        times: 1,
        ..Again::new(true)
    };
    // The second comes from elsewhere and is older: its bytes are kept apart.
    service.queue(at(1), asked(9, before), b"nine").unwrap();
    service.queue(at(1), asked(5, before), b"five").unwrap();
    service.check();
    assert_eq!(refused(&mut service, at(2)), [5, 9]);
    let mut outbox = service.take_outbox();
    for (n, payload) in [(5, b"five"), (9, b"nine")] {
        let (asked, bytes) = outbox.front().unwrap();
        assert_eq!((asked.request.0, bytes), (n, &payload[..]));
        let Again { sent, times, .. } = asked.again;
        assert_eq!(
            (sent, times, asked.again.is_idempotent),
            (Sent::Maybe, 1, true)
        );
        assert_eq!(asked.deadline, at(5_000));
        outbox.pop();
    }
    service.check();
}

#[test]
fn who_waits_when_the_breaker_opens_leaves_and_what_was_in_flight_does_not() {
    let breaker = crate::config::Breaker {
        protocol_errors: 1,
        ..Default::default()
    };
    let upstream = Upstream::new("peer:1").breaker(breaker);
    let mut service = Service::new(upstream.fallback(UpstreamId(0)), &Config::default());
    let member = service.poll_connect(Time::ZERO).unwrap();
    service.handle_connecting(member, 10);
    service.handle_connected(Time::ZERO, member);
    service.assign(member, request(1, 0..3, at(5_000)));
    service
        .queue(at(1), asked(2, Again::new(false)), b"two")
        .unwrap();
    let malformed = Error {
        class: crate::error::Class::Protocol,
        phase: Phase::Read,
        sent: Sent::Maybe,
        source: Source::Malformed("a test"),
    };
    let mut failed = Vec::new();
    service.handle_closed(at(2), member, 7, progress(3, false), malformed, &mut failed);
    assert_eq!(failed.len(), 2);
    assert!(service.admit_now(at(2)).is_err());
    assert_eq!(handed(&mut service), [(2, b"two".to_vec())]);
}

#[test]
fn nothing_leaves_while_draining() {
    let mut service = service(true);
    service
        .queue(at(1), asked(1, Again::new(false)), b"one")
        .unwrap();
    service.drain();
    assert_eq!(refused(&mut service, at(2)), [1]);
    assert_eq!(handed(&mut service), []);
}

#[test]
fn while_others_serve_its_requests_it_is_connected_to_once_for_each_that_was_handed_over() {
    let mut service = service(true);
    refused(&mut service, at(1));
    assert_eq!(service.poll_timeout(), Time::NEVER, "nobody needs it");
    service.handle_handed_over();
    let next = service.poll_timeout();
    assert!(next > at(1) && !next.is_never());
    let member = service.poll_connect(next).unwrap();
    service.handle_connecting(member, 10);
    refused(&mut service, next);
    assert_eq!(service.poll_timeout(), Time::NEVER);
    service.handle_handed_over();
    let next = service.poll_timeout();
    let member = service.poll_connect(next).unwrap();
    service.handle_connecting(member, 10);
    service.handle_connected(next, member);
    // It stands: one that is handed over now asks for no other.
    service.handle_handed_over();
    assert_eq!(service.poll_timeout(), Time::NEVER);
    assert_eq!(service.stats().handed_over, 3);
}

#[test]
fn an_older_one_waits_only_where_there_is_room_for_it_and_its_bytes() {
    let limits = Limits {
        waiting_requests_max: 2,
        ..Limits::default()
    };
    let retry = crate::config::Retry {
        kept_bytes_max: 4,
        ..crate::config::Retry::default()
    };
    let config = Config {
        limits,
        retry,
        ..Config::default()
    };
    let mut service = Service::new(Upstream::new("peer:1"), &config);
    let mut wait =
        |n: u64, payload: &[u8]| service.queue(at(1), asked(n, Again::new(false)), payload);
    assert_eq!(wait(9, b"nine"), Ok(()));
    assert_eq!(
        wait(5, b"five.").unwrap_err(),
        Error::full(Limit::WaitingBytes)
    );
    assert_eq!(wait(5, b"five"), Ok(()));
    assert_eq!(
        wait(6, b"").unwrap_err(),
        Error::full(Limit::WaitingRequests)
    );
    let (first, payload) = service.waiter().unwrap();
    assert_eq!((first.asked.tag, payload), (5, &b"five"[..]));
    service.check();
}
