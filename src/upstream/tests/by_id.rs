//! Replies that are matched by the id they carry.

use super::*;
use crate::frame::Framing;

/// A service whose ids nobody has to extract here.
fn service(connections: usize, depth: usize) -> Service {
    let upstream = Upstream::new("peer:1")
        .framing(Framing::len32().reply_id(|_| None))
        .connections(connections)
        .depth(depth)
        .matched_by_id();
    assert_eq!(upstream.validate(), Ok(()));
    Service::new(upstream, &Config::default())
}

fn connected(connections: usize, depth: usize) -> Service {
    let mut service = service(connections, depth);
    while let Some(member) = service.poll_connect(Time::ZERO) {
        service.handle_connecting(member, member * 10);
        service.handle_connected(Time::ZERO, member);
    }
    service
}

/// Requests of ten bytes each with the ids from 1 on, all on member 0.
fn asked(service: &mut Service, requests: u64, deadline: Time) {
    for n in 1..=requests {
        assert_eq!(service.admit(n), Ok(()));
        service.assign(0, request(n, (n - 1) * 10..n * 10, deadline));
    }
}

fn in_use(id: u64) -> Result<(), Error> {
    Err(Error::new(Phase::Write, Source::IdInUse { id }))
}

#[test]
fn it_takes_a_framing_that_says_where_the_id_stands() {
    let upstream = Upstream::new("peer:1").matched_by_id();
    let error = upstream.validate().unwrap_err();
    assert!(matches!(error.source, Source::Invalid(why) if why.contains("reply_id")));
}

#[test]
fn replies_in_any_order_answer_the_requests_whose_ids_they_carry() {
    let mut service = connected(1, 5);
    asked(&mut service, 5, at(1_000));
    for id in [3, 1, 5, 4, 2] {
        assert!(service.awaits(0));
        assert_eq!(service.handle_reply(0, Some(id), 50).unwrap().tag, id);
    }
    assert!(!service.awaits(0));
    assert_eq!(service.next_deadline(0), Time::NEVER);
}

#[test]
fn an_id_that_no_request_of_this_connection_has_answers_none() {
    let mut service = connected(2, 4);
    service.assign(0, request(1, 0..10, at(1_000)));
    service.assign(1, request(2, 0..10, at(1_000)));
    service.assign(0, request(3, 10..20, at(1_000)));
    assert!(service.handle_reply(0, Some(9), 10).is_none(), "unknown");
    assert!(
        service.handle_reply(0, Some(2), 10).is_none(),
        "another's, which does not lose its request by that"
    );
    assert!(
        service.handle_reply(0, Some(3), 10).is_none(),
        "not a byte of it was written"
    );
    assert_eq!(service.handle_reply(0, Some(3), 11).unwrap().tag, 3);
    assert_eq!(service.handle_reply(1, Some(2), 10).unwrap().tag, 2);
    assert!(service.handle_reply(1, Some(2), 10).is_none(), "doubled");
    assert_eq!(service.handle_reply(0, Some(1), 20).unwrap().tag, 1);
}

#[test]
fn an_id_is_in_use_from_the_request_to_the_reply_wherever_the_request_is() {
    let mut service = connected(1, 1);
    asked(&mut service, 1, at(5));
    service.wait(at(0), RequestId(2), 2, at(500), b"b").unwrap();
    assert_eq!(
        [1, 2, 3].map(|id| service.admit(id)),
        [in_use(1), in_use(2), Ok(())]
    );
    service.expire(at(5), 0, Which::All, progress(10, false), &mut Vec::new());
    assert_eq!(service.admit(1), in_use(1), "its late reply may come");
    assert!(service.handle_reply(0, Some(1), 10).unwrap().is_tombstone);
    assert_eq!(service.admit(1), Ok(()));
    service.waiter_served();
    service.assign(0, request(2, 10..20, at(500)));
    assert_eq!(service.admit(2), in_use(2));
    assert_eq!(service.handle_reply(0, Some(2), 20).unwrap().tag, 2);
    assert_eq!(service.admit(2), Ok(()));
}

#[test]
fn one_that_waited_in_vain_gives_its_id_up() {
    let mut service = service(1, 1);
    let member = service.poll_connect(at(0)).unwrap();
    service.handle_connecting(member, 7);
    for n in [1, 2] {
        let deadline = at(n * 500);
        service
            .wait(at(0), RequestId(n), n, deadline, b"a")
            .unwrap();
    }
    let mut failed = Vec::new();
    service.handle_timeout(at(500), 0, &mut failed);
    assert_eq!([1, 2].map(|id| service.admit(id)), [Ok(()), in_use(2)]);
    service.handle_closed(at(501), 0, 0, progress(0, false), REFUSED, &mut failed);
    assert_eq!((failed.len(), service.admit(2)), (2, Ok(())));
}

#[test]
fn a_connection_with_a_tombstone_stays_in_use_and_swallows_the_late_reply() {
    let mut service = connected(1, 3);
    asked(&mut service, 2, at(5));
    let mut expired = Vec::new();
    service.expire(at(5), 0, Which::All, progress(20, true), &mut expired);
    let told: Vec<_> = expired
        .iter()
        .map(|(request, sent)| (request.tag, *sent))
        .collect();
    assert_eq!(
        told,
        [(1, Sent::Maybe), (2, Sent::Maybe)],
        "whose reply has begun is not known"
    );
    assert_eq!(service.choose(), Some((0, 0)), "it stays in use");
    assert!(!service.awaits(0) && !service.is_forsaken(0));
    service.assign(0, request(3, 20..30, at(50)));
    assert_eq!(service.choose(), None, "tombstones count for the depth");
    assert!(service.awaits(0) && !service.is_forsaken(0));
    let late = service.handle_reply(0, Some(2), 30).unwrap();
    assert!(late.is_tombstone);
    let reply = service.handle_reply(0, Some(3), 30).unwrap();
    assert!(!reply.is_tombstone);
    assert_eq!(service.choose(), Some((0, 0)));
}

#[test]
fn a_connection_is_forsaken_when_tombstones_take_up_its_depth() {
    let mut service = connected(1, 2);
    asked(&mut service, 2, at(5));
    service.expire(at(5), 0, Which::All, progress(20, false), &mut Vec::new());
    assert!(service.is_forsaken(0));
    assert_eq!(service.choose(), None);
}

#[test]
fn an_unsent_request_that_timed_out_leaves_neither_bytes_nor_id() {
    let mut service = connected(1, 4);
    asked(&mut service, 1, at(5));
    service.assign(0, request(2, 10..20, at(50)));
    service.expire(at(5), 0, Which::All, progress(0, false), &mut Vec::new());
    assert_eq!(service.admit(1), Ok(()));
    assert_eq!(service.stats().in_flight, 1);
    assert_eq!(service.handle_reply(0, Some(2), 1).unwrap().range, 0..10);
}

#[test]
fn a_lost_connection_fails_each_request_once_and_frees_all_ids() {
    let mut service = connected(2, 4);
    asked(&mut service, 1, at(5));
    service.expire(at(5), 0, Which::All, progress(10, false), &mut Vec::new());
    for (n, range) in [(2, 10..20), (3, 20..30), (4, 30..40)] {
        service.assign(0, request(n, range, at(1_000)));
    }
    service.assign(1, request(5, 0..10, at(1_000)));
    let mut failed = Vec::new();
    service.handle_closed(at(6), 0, 0, progress(25, true), REFUSED, &mut failed);
    let told: Vec<_> = failed
        .iter()
        .map(|(_, tag, error)| (*tag, error.phase, error.sent))
        .collect();
    assert_eq!(
        told,
        [
            (2, Phase::Read, Sent::Maybe),
            (3, Phase::Write, Sent::Maybe),
            (4, Phase::Write, Sent::No),
        ]
    );
    assert_eq!(
        [1, 2, 3, 4, 5].map(|id| service.admit(id)),
        [Ok(()), Ok(()), Ok(()), Ok(()), in_use(5)]
    );
    assert_eq!(service.stats().in_flight, 1);
}

#[test]
fn the_table_of_ids_stops_growing() {
    let mut service = connected(1, 64);
    let mut written = 0;
    let mut capacities = Vec::new();
    for id in 0..100_000 {
        service.assign(0, request(id, written..written + 1, at(1_000)));
        written += 1;
        if id >= 50 {
            let reply = service.handle_reply(0, Some(id - 50), written);
            assert_eq!(reply.unwrap().tag, id - 50);
        }
        let (ids, capacity) = service.ids.len_and_capacity();
        assert!(ids <= 51);
        capacities.push(capacity);
    }
    assert_eq!(capacities[1_000], capacities[99_999]);
    assert!(capacities[99_999] <= 256);
}
