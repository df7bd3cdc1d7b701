//! Several targets: each gets its share, and one that fails is left alone while the others take over.

use super::{REFUSED, at, progress, request};
use crate::config::{Config, Pool};
use crate::upstream::{BreakerState, Service, Upstream};

fn service(connections: usize) -> Service {
    let upstream = Upstream::new("a:1").and("b:1").connections(connections);
    assert_eq!(upstream.validate(), Ok(()));
    Service::new(upstream, &Config::default())
}

/// Begins the next connect; its member and target.
fn begin(service: &mut Service, now: u64) -> Option<(u32, String)> {
    let member = service.poll_connect(at(now))?;
    let target = service.aim(at(now), member).to_owned();
    service.handle_connecting(member, member);
    Some((member, target))
}

fn refuse(service: &mut Service, now: u64, member: u32) {
    service.handle_closed(at(now), member, 0, progress(0, false), REFUSED, &mut vec![]);
}

#[test]
fn each_target_gets_its_share() {
    let mut service = service(4);
    let begun: Vec<_> = std::iter::from_fn(|| begin(&mut service, 0)).collect();
    let targets = begun.iter().map(|(_, target)| target.as_str());
    assert_eq!(targets.collect::<Vec<_>>(), ["a:1", "b:1", "a:1", "b:1"]);
}

#[test]
fn a_member_that_fails_at_one_target_tries_the_next_at_once_and_pauses_when_all_have_failed_it() {
    let mut service = service(1);
    assert_eq!(begin(&mut service, 0), Some((0, "a:1".to_owned())));
    let request = crate::event::RequestId(1);
    service.wait(at(0), request, 1, at(60_000), b"a").unwrap();
    refuse(&mut service, 1, 0);
    assert!(service.has_waiting(), "there is another hope");
    assert_eq!(begin(&mut service, 1), Some((0, "b:1".to_owned())));
    let mut failed = Vec::new();
    let nothing = progress(0, false);
    service.handle_closed(at(2), 0, u64::MAX, nothing, REFUSED, &mut failed);
    assert_eq!(failed.len(), 1, "there is none");
    assert_eq!(begin(&mut service, 2), None);
}

#[test]
fn a_target_that_fails_again_and_again_is_left_alone_and_comes_back_by_one_trial() {
    let pool = Pool {
        ejection_failures: 2,
        ..Pool::default()
    };
    let upstream = Upstream::new("a:1").and("b:1").connections(4).pool(pool);
    let mut service = Service::new(upstream, &Config::default());
    while let Some((member, target)) = begin(&mut service, 0) {
        if target == "a:1" {
            refuse(&mut service, 0, member);
        } else {
            service.handle_connected(at(0), member);
        }
        if service.stats().ejected == 1 {
            break;
        }
    }
    assert_eq!(
        (service.stats().ejected, service.poll_ejected()),
        (1, Some(0))
    );
    assert_eq!(service.aim(at(499), 3), "b:1");
    assert_eq!(service.aim(at(500), 3), "a:1", "half a second later");
    assert_eq!(service.aim(at(500), 2), "b:1", "one at a time");
}

/// Five refusals in a row, each of which had another target to try, were five reasons for the breaker to open, and who
/// waited failed by it though the other target was about to serve.
#[test]
fn a_target_that_refuses_does_not_open_the_breaker_while_there_is_another_to_try() {
    let mut service = service(10);
    let request = crate::event::RequestId(1);
    service.wait(at(0), request, 1, at(60_000), b"a").unwrap();
    let begun: Vec<_> = std::iter::from_fn(|| begin(&mut service, 0)).collect();
    let of_one = begun.iter().filter(|(_, target)| target == "a:1");
    of_one.for_each(|(member, _)| refuse(&mut service, 1, *member));
    assert_eq!(service.stats().connect_failures, 5);
    assert_eq!(service.stats().breaker, BreakerState::Closed);
    assert!(service.has_waiting(), "the other target serves it");
    // When all have failed them, it is the service.
    while let Some((member, _)) = begin(&mut service, 1) {
        refuse(&mut service, 1, member);
    }
    let of_other = begun.iter().filter(|(_, target)| target == "b:1");
    of_other.for_each(|(member, _)| refuse(&mut service, 2, *member));
    for now in (3..).step_by(20_000).take(20) {
        while let Some((member, _)) = begin(&mut service, now) {
            refuse(&mut service, now, member);
        }
        service.retry_now(at(now));
    }
    assert_eq!(service.stats().breaker, BreakerState::Open);
}

/// A service of two targets with two connections to each, of which one failure is enough; all stand. Members with their
/// targets.
fn standing() -> (Service, Vec<(u32, String)>) {
    let pool = Pool {
        ejection_failures: 1,
        ..Pool::default()
    };
    let upstream = Upstream::new("a:1").and("b:1").connections(4).pool(pool);
    let mut service = Service::new(upstream, &Config::default());
    let begun: Vec<_> = std::iter::from_fn(|| begin(&mut service, 0)).collect();
    for (member, _) in &begun {
        service.handle_standing(at(0), *member, 0);
        service.handle_connected(at(0), *member);
    }
    (service, begun)
}

/// They went on taking requests, on connections that stood when their target was left alone.
#[test]
fn a_connection_to_a_target_that_is_left_alone_gets_no_other_request_and_ends_when_it_has_answered()
{
    let (mut service, begun) = standing();
    let of_a: Vec<_> = begun.iter().filter(|(_, target)| target == "a:1").collect();
    let (lost, other) = (of_a[0].0, of_a[1].0);
    for member in [lost, other] {
        service.assign(member, request(member.into(), 0..1, at(60_000)));
    }
    let mut failed = Vec::new();
    service.handle_closed(at(1), lost, 0, progress(1, false), REFUSED, &mut failed);
    assert_eq!((failed.len(), service.poll_ejected()), (1, Some(0)));
    service.check();
    assert!(!service.is_spent(other), "it may still answer");
    assert!(service.handle_reply(other, None, 1).is_some());
    assert!(service.is_spent(other), "and then it is let go");
    for _ in 0..2 {
        let (member, _) = service.choose().unwrap();
        let (_, target) = &begun[member as usize];
        assert_eq!(target, "b:1");
        service.assign(member, request(10 + u64::from(member), 0..1, at(60_000)));
    }
    assert_eq!(service.choose(), None, "nobody else is asked");
    service.check();
}

#[test]
fn a_connection_that_stands_when_its_target_has_been_left_alone_meanwhile_is_let_go() {
    for (stands_at, is_let_go) in [(2, true), (1_000, false)] {
        let pool = Pool {
            ejection_failures: 1,
            ..Pool::default()
        };
        let upstream = Upstream::new("a:1").and("b:1").connections(4).pool(pool);
        let mut service = Service::new(upstream, &Config::default());
        let begun: Vec<_> = std::iter::from_fn(|| begin(&mut service, 0)).collect();
        refuse(&mut service, 1, begun[0].0);
        let late = begun[2].0;
        assert_eq!((&begun[0].1, &begun[2].1), (&begun[2].1, &begun[0].1));
        service.handle_standing(at(stands_at), late, 0);
        service.handle_connected(at(stands_at), late);
        assert_eq!(service.is_spent(late), is_let_go, "{stands_at}");
        assert_eq!(service.stats().ejected, usize::from(is_let_go));
        assert_eq!(service.choose().is_none(), is_let_go);
        service.check();
    }
}
