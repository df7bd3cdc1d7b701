//! When connections are let go between requests: idle, at the end of their lifetime, after their one request, and when
//! their peer is gone.

use super::{REFUSED, at, progress, request};
use crate::config::{Config, Pool, Timeouts};
use crate::error::{Error, Phase, Source};
use crate::time::Time;
use crate::upstream::{Service, Upstream};
use std::time::Duration;

const FIN: Error = Error {
    class: crate::error::Class::Transient,
    phase: Phase::Idle,
    sent: crate::error::Sent::No,
    source: Source::Eof,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config() -> Config {
    Config {
        timeouts: Timeouts {
            idle: ms(1_000),
            ..Timeouts::default()
        },
        pool: Pool {
            lifetime: ms(10_000),
            ..Pool::default()
        },
        ..Config::default()
    }
}

/// Its first connections stand from now on; under their own numbers.
fn standing(upstream: Upstream, random: u64) -> Service {
    let mut service = Service::new(upstream, &config());
    connect_all(&mut service, Time::ZERO, random);
    service
}

fn connect_all(service: &mut Service, now: Time, random: u64) {
    while let Some(member) = service.poll_connect(now) {
        service.handle_connecting(member, member);
        service.handle_standing(now, member, random);
        service.handle_connected(now, member);
    }
}

/// A request and its reply.
fn serve(service: &mut Service, now: Time, done: Time, member: u32) {
    service.handle_work(now, member);
    service.assign(member, request(1, 0..4, Time::NEVER));
    assert!(service.handle_reply(member, None, 4).is_some());
    service.handle_rest(done, member);
}

#[test]
fn one_that_rests_too_long_is_let_go_and_made_again_without_a_pause() {
    let mut service = standing(Upstream::new("peer:1"), 0);
    assert_eq!(service.retires_at(0), at(1_000));
    serve(&mut service, at(400), at(500), 0);
    assert_eq!(service.retires_at(0), at(1_500), "a reply is its last work");
    service.handle_work(at(600), 0);
    service.assign(0, request(2, 4..8, Time::NEVER));
    assert_eq!(service.retires_at(0), at(10_000), "it works");
    assert!(service.handle_reply(0, None, 8).is_some());
    service.handle_rest(at(2_000), 0);
    service.handle_due(at(2_999), 0);
    assert!(!service.is_spent(0) && service.choose().is_some());
    service.handle_due(at(3_000), 0);
    assert!(service.is_spent(0) && service.choose().is_none());
    assert!(service.handle_retired(0), "it may linger");
    let stats = service.stats();
    let idle = Error::new(Phase::Idle, Source::Timeout(ms(1_000)));
    assert_eq!(stats.last_error, Some(idle));
    assert_eq!((stats.open, stats.retired, stats.lingering), (0, 1, 1));
    assert_eq!(service.poll_connect(at(3_000)), None, "nobody asks");
    let waits = service.wait(at(3_000), crate::event::RequestId(3), 0, Time::NEVER, b"a");
    assert_eq!((waits, service.poll_connect(at(3_000))), (Ok(()), Some(0)));
}

#[test]
fn past_its_lifetime_one_finishes_what_it_has_and_takes_nothing_new() {
    let mut service = standing(Upstream::new("peer:1").depth(4), 0);
    service.handle_work(at(9_999), 0);
    service.assign(0, request(1, 0..4, Time::NEVER));
    service.handle_due(at(10_000), 0);
    assert_eq!(service.choose(), None, "it takes nothing new");
    assert!(!service.is_spent(0), "one is under way");
    assert_eq!(service.retires_at(0), Time::NEVER);
    assert!(service.handle_reply(0, None, 4).is_some());
    assert!(service.is_spent(0));
}

#[test]
fn lifetimes_differ_by_a_tenth_at_most() {
    let end = |random| standing(Upstream::new("peer:1").connections(1..=1), random).retires_at(0);
    assert_eq!(end(0), at(10_000));
    assert_eq!(end(1 << 63), at(9_500));
    assert!(end(u64::MAX) > at(9_000) && end(u64::MAX) < at(9_001));
    let forever = Pool {
        lifetime: Duration::MAX,
        ..Pool::default()
    };
    let upstream = Upstream::new("peer:1").connections(1..=1).pool(forever);
    assert_eq!(standing(upstream, u64::MAX).retires_at(0), Time::NEVER);
}

#[test]
fn one_request_a_connection_is_made_on_demand_and_takes_no_second() {
    let upstream = Upstream::new("peer:1")
        .connections(2)
        .one_request_per_connection();
    assert_eq!(upstream.validate(), Ok(()));
    let mut service = standing(upstream, 0);
    assert_eq!(service.stats().connects, 0, "none at first");
    for n in 0..3 {
        let now = at(n * 10);
        let request = crate::event::RequestId(n);
        service.wait(now, request, n, Time::NEVER, b"a").unwrap();
        connect_all(&mut service, now, 0);
        service.waiter_served();
        let (member, _) = service.choose().unwrap();
        serve(&mut service, now, now, member);
        assert_eq!(service.choose(), None, "it takes no second");
        assert!(service.is_spent(member));
        let lingers = service.handle_retired(member);
        assert_eq!(lingers, n < 2, "as many linger as may stand");
    }
    service.handle_parted();
    assert_eq!(service.stats().lingering, 2);
}

#[test]
fn a_warm_one_rests_for_ever_until_its_peers_are_known_to_be_impatient() {
    let mut service = standing(Upstream::new("peer:1").connections(1..=1), 0);
    assert_eq!(service.retires_at(0), at(10_000), "its lifetime");
    let mut now = Time::ZERO;
    for _ in 0..2 {
        serve(&mut service, now, now, 0);
        now = now.after(ms(500));
        service.handle_closed(now, 0, 0, progress(4, false), FIN, &mut vec![]);
        connect_all(&mut service, now, 0);
    }
    assert!(service.poll_shorter_rests() && !service.poll_shorter_rests());
    assert_eq!(service.retires_at(0), now.after(ms(400)), "0.8 of 500 ms");
    service.handle_due(now.after(ms(400)), 0);
    assert!(service.is_spent(0));
    service.handle_retired(0);
    assert_eq!(service.poll_connect(now.after(ms(400))), Some(0), "renewed");
}

#[test]
fn what_says_that_a_peer_is_gone_and_what_does_not() {
    let timeout = |phase| Error::new(phase, Source::Timeout(ms(1)));
    assert!(Service::is_outage(&REFUSED) && Service::is_outage(&timeout(Phase::Connect)));
    assert!(
        Service::is_outage(&timeout(Phase::Read)) && Service::is_outage(&timeout(Phase::Write))
    );
    let local = Error::new(Phase::Connect, Source::Os(libc::EMFILE));
    for error in [FIN, timeout(Phase::Idle), timeout(Phase::Resolve), local] {
        assert!(!Service::is_outage(&error), "{error}");
    }
}

#[test]
fn one_request_a_connection_contradicts_a_pipeline_and_warm_ones() {
    let upstream = || Upstream::new("peer:1").one_request_per_connection();
    for (upstream, word) in [
        (upstream().depth(2), "depth"),
        (upstream().connections(1..=2), "warm"),
    ] {
        let error = upstream.validate().unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}
