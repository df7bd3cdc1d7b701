//! Heartbeats, as the service sees them: which frame answers one, and that it is no request.

use super::*;
use crate::config::{Expect, Heartbeat};
use crate::frame::Framing;
use crate::upstream::Verdict;

const PONG: Option<&[u8]> = Some(b"pong");
const OTHER: Option<&[u8]> = Some(b"other");

fn of(upstream: Upstream, id: Option<u64>) -> Service {
    let heartbeat = Heartbeat {
        id,
        ..Heartbeat::new(b"ping\n", Expect::exactly(b"pong"))
    };
    let upstream = upstream.heartbeat(heartbeat);
    assert_eq!(upstream.validate(), Ok(()));
    let mut service = Service::new(upstream, &Config::default());
    while let Some(member) = service.poll_connect(Time::ZERO) {
        service.handle_connecting(member, member * 10);
        service.handle_connected(Time::ZERO, member);
    }
    service
}

/// One connection, replies in order.
fn in_order(depth: usize) -> Service {
    of(Upstream::new("peer:1").depth(depth), None)
}

/// One connection, replies by id; that of the heartbeat's reply.
fn by_id(id: Option<u64>) -> Service {
    let framing = Framing::len32().reply_id(|_| None);
    let upstream = Upstream::new("peer:1").framing(framing).depth(4);
    of(upstream.matched_by_id(), id)
}

#[test]
fn in_order_the_next_frame_answers_it_and_the_one_after_it_the_request_behind_it() {
    for (frame, verdict) in [(PONG, Verdict::Fits), (OTHER, Verdict::Differs)] {
        let mut service = in_order(1);
        service.handle_heartbeat_sent(0, 0);
        assert!(!service.awaits(0), "nobody awaits it");
        assert_eq!(service.choose(), Some((0, 0)), "it takes up no depth");
        service.assign(0, request(1, 5..10, at(1_000)));
        service.check();
        assert_eq!(
            service.handle_heartbeat_reply(0, None, frame, 10),
            verdict,
            "{frame:?}"
        );
        let again = service.handle_heartbeat_reply(0, None, PONG, 10);
        assert_eq!(again, Verdict::NotItsAnswer, "answered once");
        assert_eq!(service.handle_reply(0, None, 10).unwrap().tag, 1);
        let stats = service.stats();
        assert_eq!((stats.heartbeats, stats.in_flight), (1, 0));
    }
}

#[test]
fn nothing_answers_it_before_a_byte_of_it_was_written() {
    let mut service = in_order(1);
    service.handle_heartbeat_sent(0, 10);
    assert!(!service.has_begun(0, 10));
    let early = service.handle_heartbeat_reply(0, None, PONG, 10);
    assert_eq!(early, Verdict::NotItsAnswer);
    assert!(service.has_begun(0, 11));
    assert_eq!(
        service.handle_heartbeat_reply(0, None, PONG, 11),
        Verdict::Fits
    );
}

/// What has begun to come is the answer to the heartbeat.
#[test]
fn a_request_behind_it_is_maybe_sent_although_a_reply_has_begun() {
    for is_lost in [true, false] {
        let mut service = in_order(2);
        service.handle_heartbeat_sent(0, 0);
        service.assign(0, request(1, 5..10, at(10)));
        let (mut failed, mut expired) = (Vec::new(), Vec::new());
        let sent = match is_lost {
            true => {
                service.handle_closed(at(1), 0, 0, progress(10, true), REFUSED, &mut failed);
                failed[0].2.sent
            }
            false => {
                service.expire(at(10), 0, Which::All, progress(10, true), &mut expired);
                expired[0].1
            }
        };
        assert_eq!(sent, Sent::Maybe);
        service.check();
    }
}

#[test]
fn it_is_lost_with_its_connection_and_told_to_nobody() {
    let mut service = in_order(1);
    service.handle_heartbeat_sent(0, 0);
    let mut failed = Vec::new();
    service.handle_closed(at(1), 0, 0, progress(5, false), REFUSED, &mut failed);
    service.handle_heartbeat_missed(at(0), 0, &mut Vec::new());
    assert_eq!(failed, []);
    assert!(!service.awaits_heartbeat(0));
    assert_eq!(service.stats().heartbeats_missed, 1);
    service.check();
}

#[test]
fn by_id_its_own_id_finds_it_among_others_and_no_request_may_have_that() {
    let mut service = by_id(Some(7));
    assert_eq!(
        service.admit(7),
        Err(Error::new(Phase::Write, Source::IdInUse { id: 7 }))
    );
    service.assign(0, request(1, 0..5, at(1_000)));
    service.handle_heartbeat_sent(0, 5);
    let reply = |service: &mut Service, id, frame| service.handle_heartbeat_reply(0, id, frame, 10);
    assert_eq!(reply(&mut service, Some(1), PONG), Verdict::NotItsAnswer);
    assert_eq!(reply(&mut service, None, PONG), Verdict::NotItsAnswer);
    assert_eq!(reply(&mut service, Some(7), OTHER), Verdict::Differs);
    assert_eq!(reply(&mut service, Some(7), PONG), Verdict::NotItsAnswer);
    assert_eq!(service.handle_reply(0, Some(1), 10).unwrap().tag, 1);
}

/// What carries no id may be a push: only what was expected is the answer.
#[test]
fn by_id_and_without_one_of_its_own_a_frame_without_an_id_answers_it_that_fits() {
    let mut service = by_id(None);
    service.handle_heartbeat_sent(0, 0);
    let reply = |service: &mut Service, id, frame| service.handle_heartbeat_reply(0, id, frame, 5);
    assert_eq!(reply(&mut service, None, OTHER), Verdict::NotItsAnswer);
    assert_eq!(reply(&mut service, Some(1), PONG), Verdict::NotItsAnswer);
    assert_eq!(reply(&mut service, None, PONG), Verdict::Fits);
    assert_eq!(reply(&mut service, None, PONG), Verdict::NotItsAnswer);
}

/// Its place in the stream moves with what is taken back before it, and not with what is behind it.
#[test]
fn by_id_requests_that_are_taken_back_around_it_leave_it_where_it_is() {
    let mut service = by_id(Some(7));
    service.assign(0, request(1, 0..10, at(1)));
    service.assign(0, request(2, 10..20, at(1)));
    service.handle_heartbeat_sent(0, 20);
    service.assign(0, request(3, 25..35, at(1)));
    let mut expired = Vec::new();
    // One byte of the first has left.
    service.expire(at(1), 0, Which::All, progress(1, false), &mut expired);
    assert_eq!(expired.len(), 3);
    let reply =
        |service: &mut Service, written| service.handle_heartbeat_reply(0, Some(7), PONG, written);
    assert_eq!(reply(&mut service, 10), Verdict::NotItsAnswer);
    assert_eq!(reply(&mut service, 11), Verdict::Fits);
}
