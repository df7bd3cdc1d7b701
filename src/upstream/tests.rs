//! The service machine, driven by hand: who is served, what fails, when a member is made again.
#![allow(clippy::unwrap_used, reason = "tests")]

mod admission;
mod again;
mod by_id;
mod fallback;
mod heartbeats;
mod outage;
mod pipeline;
mod resting;
mod spreading;
mod waiting;

use std::time::Duration;

use super::{Again, Change, InFlight, Progress, Service, Upstream, Which};
use crate::config::{Config, Limits};
use crate::error::{Error, Limit, Phase, Sent, Source};
use crate::event::RequestId;
use crate::time::Time;

const REFUSED: Error = Error {
    class: crate::error::Class::Transient,
    phase: Phase::Connect,
    sent: Sent::No,
    source: Source::Os(111),
};

fn at(ms: u64) -> Time {
    Time::ZERO.after(Duration::from_millis(ms))
}

fn service(connections: usize, depth: usize) -> Service {
    let limits = Limits {
        waiting_requests_max: 3,
        waiting_bytes_max: 10,
        ..Limits::default()
    };
    let upstream = Upstream::new("peer:1")
        .connections(connections)
        .depth(depth);
    Service::new(
        upstream,
        &Config {
            limits,
            ..Config::default()
        },
    )
}

/// All members connected, under slots that are ten times their number.
fn connected(connections: usize, depth: usize) -> Service {
    let mut service = service(connections, depth);
    while let Some(member) = service.poll_connect(Time::ZERO) {
        service.handle_connecting(member, member * 10);
        service.handle_connected(Time::ZERO, member);
    }
    service
}

fn request(n: u64, range: std::ops::Range<u64>, deadline: Time) -> InFlight {
    InFlight {
        request: RequestId(n),
        tag: n,
        deadline,
        again: Again::new(false),
        range,
        is_tombstone: false,
    }
}

fn progress(written: u64, reply_begun: bool) -> Progress {
    Progress {
        written,
        reply_begun,
    }
}

#[test]
fn all_members_connect_once_and_the_least_loaded_is_chosen() {
    let mut service = connected(3, 2);
    let mut chosen = Vec::new();
    for n in 0..6 {
        let (member, connection) = service.choose().unwrap();
        assert_eq!(connection, member * 10);
        service.assign(member, request(n, 0..1, at(1_000)));
        chosen.push(member);
    }
    chosen[..3].sort_unstable();
    chosen[3..].sort_unstable();
    assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    assert_eq!(service.choose(), None, "each is at its depth");
    assert_eq!(
        service.handle_reply(1, None, 1).unwrap().tag % 3,
        service.handle_reply(1, None, 1).unwrap().tag % 3
    );
    assert_eq!(service.choose(), Some((1, 10)));
    assert!(
        service.handle_reply(1, None, 1).is_none(),
        "a reply that answers nothing"
    );
}

#[test]
fn a_lost_connection_fails_each_of_its_requests_with_what_was_sent_of_it() {
    let mut service = connected(1, 4);
    for (n, range) in [(1, 0..10), (2, 10..20), (3, 20..30), (4, 30..40)] {
        service.assign(0, request(n, range, at(1_000)));
    }
    let mut failed = Vec::new();
    service.handle_closed(at(1), 0, 0, progress(25, true), REFUSED, &mut failed);
    let told: Vec<_> = failed
        .iter()
        .map(|(_, tag, error)| (*tag, error.phase, error.sent))
        .collect();
    assert_eq!(
        told,
        [
            (1, Phase::Read, Sent::Yes),
            (2, Phase::Read, Sent::Maybe),
            (3, Phase::Write, Sent::Maybe),
            (4, Phase::Write, Sent::No),
        ]
    );
    let stats = service.stats();
    assert_eq!(
        (stats.in_flight, stats.open, stats.losses, stats.last_error),
        (0, 0, 1, Some(REFUSED))
    );
}

#[test]
fn a_request_that_timed_out_leaves_a_tombstone_and_its_neighbour_is_not_harmed() {
    let mut service = connected(1, 4);
    service.assign(0, request(1, 0..10, at(5)));
    service.assign(0, request(2, 10..20, at(50)));
    service.assign(0, request(3, 20..30, at(5)));
    assert_eq!(service.next_deadline(0), at(5));
    let mut expired = Vec::new();
    service.expire(at(5), 0, Which::All, progress(20, false), &mut expired);
    let told: Vec<_> = expired
        .iter()
        .map(|(request, sent)| (request.tag, *sent))
        .collect();
    assert_eq!(told, [(1, Sent::Maybe), (3, Sent::No)]);
    assert_eq!(service.next_deadline(0), at(50));
    assert_eq!(service.choose(), None, "no new request goes there");
    assert!(
        service.handle_reply(0, None, 30).unwrap().is_tombstone,
        "the late reply is swallowed"
    );
    let neighbour = service.handle_reply(0, None, 30).unwrap();
    assert_eq!((neighbour.tag, neighbour.is_tombstone), (2, false));
}

#[test]
fn an_unsent_request_that_timed_out_moves_those_behind_it_forward() {
    let mut service = connected(1, 4);
    service.assign(0, request(1, 0..10, at(5)));
    service.assign(0, request(2, 10..20, at(50)));
    service.expire(at(5), 0, Which::All, progress(0, false), &mut Vec::new());
    assert_eq!(
        service.choose(),
        Some((0, 0)),
        "nothing was sent: the connection is as good as new"
    );
    assert_eq!(service.handle_reply(0, None, 30).unwrap().range, 0..10);
}

#[test]
fn before_a_flush_only_the_unsent_are_taken_back() {
    let mut service = connected(1, 4);
    service.assign(0, request(1, 0..10, at(5)));
    service.assign(0, request(2, 10..20, at(5)));
    let mut expired = Vec::new();
    service.expire(at(5), 0, Which::Unsent, progress(10, false), &mut expired);
    let told: Vec<_> = expired
        .iter()
        .map(|(request, sent)| (request.tag, *sent))
        .collect();
    assert_eq!(told, [(2, Sent::No)]);
    assert_eq!(service.stats().in_flight, 1);
    assert_eq!(
        service.next_deadline(0),
        at(5),
        "the other is judged when replies were read"
    );
}

#[test]
fn a_connection_with_only_tombstones_is_forsaken() {
    let mut service = connected(1, 2);
    assert!(!service.is_forsaken(0));
    service.assign(0, request(1, 0..10, at(5)));
    service.expire(at(5), 0, Which::All, progress(10, false), &mut Vec::new());
    assert!(service.is_forsaken(0));
}

#[test]
fn a_lost_member_is_made_again_only_for_a_request_and_after_its_pause() {
    let mut service = connected(1, 1);
    service.handle_closed(
        at(1_000),
        0,
        u64::MAX,
        progress(0, false),
        REFUSED,
        &mut Vec::new(),
    );
    assert_eq!(service.poll_connect(at(9_000)), None, "nobody asked");
    service
        .wait(at(1_010), RequestId(1), 1, at(5_000), b"a")
        .unwrap();
    assert_eq!(
        service.poll_connect(at(1_010)),
        None,
        "the pause is not over"
    );
    let pause_ends = service.poll_timeout();
    assert!(
        pause_ends > at(1_090) && pause_ends < at(1_100),
        "{pause_ends:?}"
    );
    assert_eq!(service.poll_connect(pause_ends), Some(0));
    service.handle_connecting(0, 7);
    assert_eq!(
        service.poll_connect(pause_ends),
        None,
        "one connection for one request"
    );
}

/// Each end raised the ceiling of the pause, so that a server which closes connections after a few
/// idle seconds was soon waited for longer than any request waits.
#[test]
fn a_connection_that_has_served_and_ends_idle_is_made_again_without_a_pause() {
    let mut service = connected(1, 1);
    let idle_end = Error::new(Phase::Idle, Source::Eof);
    for round in 1..=20 {
        let now = at(round * 1_000);
        service.assign(0, request(round, 0..4, Time::NEVER));
        assert_eq!(
            service.handle_reply(0, None, 4).unwrap().request,
            RequestId(round)
        );
        service.handle_closed(now, 0, u64::MAX, progress(4, false), idle_end, &mut vec![]);
        let waits = service.wait(now, RequestId(round), 0, Time::NEVER, b"ping");
        assert_eq!((waits, service.poll_connect(now)), (Ok(()), Some(0)));
        service.handle_connecting(0, 0);
        service.handle_standing(now, 0, 0);
        service.handle_connected(now, 0);
        service.waiter_served();
    }
    // One that ends without having served is not to be hammered.
    let now = at(20_001);
    service.handle_closed(now, 0, u64::MAX, progress(0, false), idle_end, &mut vec![]);
    let waits = service.wait(now, RequestId(99), 0, Time::NEVER, b"ping");
    assert_eq!((waits, service.poll_connect(now)), (Ok(()), None));
}

#[test]
fn the_minimum_is_kept_warm_and_the_rest_is_made_on_demand() {
    let upstream = Upstream::new("peer:1").connections(1..=3);
    let mut service = Service::new(upstream, &Config::default());
    let connect = |service: &mut Service, now| {
        let member = service.poll_connect(now);
        if let Some(member) = member {
            service.handle_connecting(member, member);
            service.handle_connected(now, member);
        }
        member
    };
    assert_eq!(connect(&mut service, at(0)), Some(0));
    assert_eq!(
        connect(&mut service, at(0)),
        None,
        "the rest waits for requests"
    );
    assert!(service.is_warm(0) && !service.is_warm(1));
    service.assign(0, request(1, 0..1, at(5_000)));
    service
        .wait(at(1), RequestId(2), 2, at(5_000), b"a")
        .unwrap();
    assert_eq!(connect(&mut service, at(1)), Some(1));
    service.waiter_served();
    service.handle_closed(
        at(10),
        1,
        u64::MAX,
        progress(0, false),
        REFUSED,
        &mut Vec::new(),
    );
    assert_eq!(
        service.poll_timeout(),
        Time::NEVER,
        "one on demand is not made by itself"
    );
    service.handle_closed(
        at(10),
        0,
        u64::MAX,
        progress(1, false),
        REFUSED,
        &mut Vec::new(),
    );
    let pause_ends = service.poll_timeout();
    assert!(
        pause_ends > at(100) && pause_ends < at(110),
        "{pause_ends:?}"
    );
    assert_eq!(service.poll_connect(at(50)), None);
    assert_eq!(
        service.poll_connect(pause_ends),
        Some(0),
        "though nobody asked"
    );
}

#[test]
fn a_range_that_cannot_be_is_refused() {
    let upside_down = std::ops::RangeInclusive::new(3, 2);
    for (connections, word) in [(upside_down, "warm"), (0..=0, "0 connections")] {
        let error = Upstream::new("peer:1")
            .connections(connections)
            .validate()
            .unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_target_is_host_and_port() {
    use super::split_target;
    assert_eq!(split_target("db:6379"), Ok(("db", 6379)));
    assert_eq!(split_target("[::1]:80"), Ok(("::1", 80)));
    for bad in [
        "db", "db:", "db:70000", "db:+80", ":80", "::1:80", "[::1:80", "[]:80", "a\0b:1",
    ] {
        let error = split_target(bad).unwrap_err();
        assert!(
            matches!(error.source, Source::Invalid(_)),
            "{bad:?}: {error}"
        );
    }
}
