//! Requests that are made again when their connection is lost, and those that are not.

use super::*;
use crate::config::Retry;
use crate::upstream::Asked;

const LOST: Error = Error {
    class: crate::error::Class::Transient,
    phase: Phase::Read,
    sent: Sent::Maybe,
    source: Source::Os(104),
};

fn standing(connections: usize, retry: Retry) -> Service {
    let upstream = Upstream::new("peer:1").connections(connections).depth(8);
    let mut service = Service::new(upstream.retry(retry), &Config::default());
    while let Some(member) = service.poll_connect(Time::ZERO) {
        service.handle_connecting(member, member * 10);
        service.handle_connected(Time::ZERO, member);
    }
    service
}

/// Puts requests of ten bytes on a member, which say their number ten times.
fn put(service: &mut Service, member: u32, numbers: &[u64], is_idempotent: bool) {
    for (place, &n) in (0..).zip(numbers) {
        let mut asked = Asked {
            request: RequestId(n),
            tag: n,
            deadline: at(5_000),
            again: Again::new(is_idempotent),
        };
        service.keep(&mut asked, &bytes_of(n));
        let mut request = request(n, place * 10..place * 10 + 10, asked.deadline);
        request.again = asked.again;
        service.assign(member, request);
    }
}

fn bytes_of(n: u64) -> [u8; 10] {
    [n as u8; 10]
}

/// The member is lost after so many bytes of these requests; who fails with it, and what was sent of each.
fn lose(
    service: &mut Service,
    member: u32,
    numbers: &[u64],
    progress: Progress,
    error: Error,
) -> Vec<(u64, Sent)> {
    let payloads: Vec<_> = numbers.iter().map(|&n| bytes_of(n)).collect();
    let unsent = |range: &std::ops::Range<u64>| {
        assert!(range.start >= progress.written, "it has left");
        Some(&payloads[range.start as usize / 10][..])
    };
    let mut failed = Vec::new();
    service.make_again(at(1), member, progress, &error, unsent, |_| {});
    service.handle_closed(at(1), member, 0, progress, error, &mut failed);
    service.check();
    let told = failed.iter().map(|(_, tag, error)| (*tag, error.sent));
    told.collect()
}

/// Serves the one in front on a member, at the front of its stream.
fn serve(service: &mut Service, member: u32) -> u64 {
    let (waiter, payload) = service.waiter().unwrap();
    let n = waiter.asked.tag;
    assert_eq!(payload, bytes_of(n), "its own bytes");
    let asked = service.waiter_served().unwrap();
    let mut request = request(n, 0..10, asked.deadline);
    request.again = asked.again;
    service.assign(member, request);
    n
}

#[test]
fn the_unsent_are_made_again_in_their_old_places_and_what_may_have_been_sent_is_not() {
    let mut service = standing(2, Retry::default());
    put(&mut service, 0, &[1, 3, 5], false);
    put(&mut service, 1, &[2, 4, 6], false);
    service
        .wait(at(0), RequestId(7), 7, at(5_000), &bytes_of(7))
        .unwrap();
    let failed = lose(&mut service, 1, &[2, 4, 6], progress(1, false), LOST);
    assert_eq!(failed, [(2, Sent::Maybe)]);
    let failed = lose(&mut service, 0, &[1, 3, 5], progress(0, false), LOST);
    assert_eq!(failed, []);
    let stats = service.stats();
    assert_eq!((stats.waiting, stats.in_flight), (6, 0));
    assert_eq!((stats.retries, stats.retries_refused), (5, 0));
    service.handle_connecting(0, 0);
    service.handle_connected(at(2), 0);
    let served: Vec<u64> = (0..6).map(|_| serve(&mut service, 0)).collect();
    assert_eq!(served, [1, 3, 4, 5, 6, 7]);
}

#[test]
fn an_idempotent_one_is_made_again_unless_its_reply_had_begun() {
    let mut service = standing(1, Retry::default());
    put(&mut service, 0, &[1, 2, 3], true);
    let failed = lose(&mut service, 0, &[1, 2, 3], progress(15, true), LOST);
    assert_eq!(failed, [(1, Sent::Yes)]);
    assert_eq!(service.stats().waiting, 2);
}

#[test]
fn what_was_sent_before_is_never_denied() {
    let mut service = standing(1, Retry::default());
    put(&mut service, 0, &[1], true);
    assert_eq!(lose(&mut service, 0, &[1], progress(10, false), LOST), []);
    let mut failed = Vec::new();
    service.handle_connecting(0, 0);
    service.handle_closed(at(3), 0, 0, progress(0, false), REFUSED, &mut failed);
    let told: Vec<_> = failed
        .iter()
        .map(|it| (it.1, it.2.source, it.2.sent))
        .collect();
    assert_eq!(told, [(1, REFUSED.source, Sent::Maybe)], "its last hope");

    for ends in 0..3 {
        let mut service = standing(1, Retry::default());
        put(&mut service, 0, &[1], true);
        assert_eq!(lose(&mut service, 0, &[1], progress(10, false), LOST), []);
        let sent = match ends {
            0 => service
                .cancel_waiting(at(2), RequestId(1))
                .map(|it| it.again.sent),
            1 => {
                service.handle_timeout(at(1_002), 0, &mut failed);
                failed.pop().map(|it| it.2.sent)
            }
            _ => {
                service.handle_connecting(0, 0);
                service.handle_connected(at(2), 0);
                serve(&mut service, 0);
                let (persistent, unsent) =
                    (Error::new(Phase::Write, Source::Os(13)), progress(0, false));
                Some(lose(&mut service, 0, &[1], unsent, persistent)[0].1)
            }
        };
        assert_eq!(sent, Some(Sent::Maybe), "{ends}");
        service.check();
    }
}

#[test]
fn a_request_is_made_again_twice_and_not_three_times() {
    let mut service = standing(1, Retry::default());
    put(&mut service, 0, &[1], false);
    for _ in 0..2 {
        assert_eq!(lose(&mut service, 0, &[1], progress(0, false), LOST), []);
        service.handle_connecting(0, 0);
        service.handle_connected(at(2), 0);
        serve(&mut service, 0);
    }
    let failed = lose(&mut service, 0, &[1], progress(0, false), LOST);
    assert_eq!(failed, [(1, Sent::No)]);
    assert_eq!(
        (service.stats().retries, service.stats().retries_refused),
        (2, 0)
    );
}

#[test]
fn what_ends_by_our_own_doing_or_would_end_so_again_is_not_made_again() {
    for source in [
        Source::Deadline,
        Source::Closed,
        Source::ShuttingDown,
        Source::Os(13),
    ] {
        let mut service = standing(1, Retry::default());
        put(&mut service, 0, &[1, 2], true);
        let error = Error::new(Phase::Read, source);
        let failed = lose(&mut service, 0, &[1, 2], progress(5, false), error);
        assert_eq!(failed, [(1, Sent::Maybe), (2, Sent::No)], "{source:?}");
    }
    let mut service = standing(1, Retry::off());
    put(&mut service, 0, &[1], true);
    assert_eq!(
        lose(&mut service, 0, &[1], progress(0, false), LOST),
        [(1, Sent::No)]
    );
}

#[test]
fn who_is_not_paid_for_or_finds_no_room_fails_with_its_connection() {
    let little = [
        Retry {
            burst_max: 2,
            percent: 0,
            per_second: 0,
            ..Retry::default()
        },
        Retry {
            kept_bytes_max: 29,
            ..Retry::default()
        },
    ];
    for retry in little {
        let mut service = standing(1, retry);
        put(&mut service, 0, &[1, 2, 3], false);
        let failed = lose(&mut service, 0, &[1, 2, 3], progress(0, false), LOST);
        assert_eq!(failed, [(3, Sent::No)], "{retry:?}");
        assert_eq!(
            (service.stats().retries, service.stats().retries_refused),
            (2, 1)
        );
    }
    // Three may wait.
    let mut service = connected(1, 4);
    let numbers = [1, 2, 3, 4];
    put(&mut service, 0, &numbers, false);
    let failed = lose(&mut service, 0, &numbers, progress(0, false), LOST);
    assert_eq!(failed, [(4, Sent::No)]);
}

#[test]
fn nothing_is_kept_of_what_has_ended() {
    let mut service = standing(1, Retry::default());
    put(&mut service, 0, &[1, 2, 3, 4], true);
    assert!(service.handle_reply(0, None, 40).is_some());
    service.check();
    let mut taken = Vec::new();
    service.cancel(at(1), 0, RequestId(2), progress(15, false), &mut taken);
    service.check();
    service.cancel(at(1), 0, RequestId(4), progress(15, false), &mut taken);
    service.check();
    let failed = lose(&mut service, 0, &[1, 2, 3], progress(15, false), LOST);
    assert_eq!((failed, service.stats().waiting), (vec![], 1));
    service.handle_timeout(at(10_000), 0, &mut Vec::new());
    service.check();
}

/// Nothing was left of what it was lost with, so a target that failed whatever it was asked was asked on and on.
#[test]
fn a_target_that_loses_what_is_made_again_is_left_alone_all_the_same() {
    let upstream = Upstream::new("a:1").and("b:1").connections(10);
    let mut service = Service::new(upstream, &Config::default());
    while let Some(member) = service.poll_connect(Time::ZERO) {
        service.aim(Time::ZERO, member);
        service.handle_connecting(member, member);
        service.handle_connected(Time::ZERO, member);
    }
    let of_one: Vec<u32> = (0..10).filter(|it| service.target_of(*it) == 0).collect();
    for (n, &member) in (1..).zip(&of_one) {
        put(&mut service, member, &[n], true);
        assert_eq!(
            lose(&mut service, member, &[n], progress(10, false), LOST),
            []
        );
    }
    assert_eq!((service.stats().retries, service.stats().ejected), (5, 1));
}
