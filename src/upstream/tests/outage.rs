//! Coming back after an outage, and growing: how many connections are begun, and when.

use super::*;
use crate::config::Reconnect;

const RESET: Error = Error {
    class: crate::error::Class::Transient,
    phase: Phase::Read,
    sent: Sent::No,
    source: Source::Os(104),
};

/// So many are kept warm; all stand.
fn warm(connections: usize) -> Service {
    let upstream = Upstream::new("peer:1").connections(connections..=connections);
    let mut service = Service::new(upstream, &Config::default());
    for member in begin(&mut service, at(0)) {
        service.handle_connected(at(0), member);
    }
    assert_eq!(service.stats().open, connections);
    service
}

/// Begins what may be begun now.
fn begin(service: &mut Service, now: Time) -> Vec<u32> {
    let mut begun = Vec::new();
    while let Some(member) = service.poll_connect(now) {
        service.handle_connecting(member, member);
        begun.push(member);
    }
    service.check();
    begun
}

fn end(service: &mut Service, now: Time, member: u32, random: u64, error: Error) -> Vec<u64> {
    let mut failed = Vec::new();
    let progress = progress(0, false);
    service.handle_closed(now, member, random, progress, error, &mut failed);
    service.check();
    failed.iter().map(|(_, tag, _)| *tag).collect()
}

fn ask(service: &mut Service, now: Time, requests: std::ops::Range<u64>) {
    for n in requests {
        let waits = service.wait(now, RequestId(n), n, at(100_000), b"a");
        assert_eq!(waits, Ok(()));
    }
}

/// After an outage: the trial stands, and what follows takes this long each. When each of the others was begun.
fn release(service: &mut Service, from: Time, connect: Duration) -> Vec<Time> {
    let mut begun = Vec::new();
    let mut connecting = std::collections::VecDeque::new();
    let mut now = from;
    loop {
        let members = begin(service, now);
        begun.extend(members.iter().map(|_| now));
        let ends = now.after(connect);
        connecting.extend(members.into_iter().map(|member| (ends, member)));
        let stands = connecting.front().map_or(Time::NEVER, |(ends, _)| *ends);
        now = stands.min(service.poll_timeout());
        if now.is_never() {
            return begun;
        }
        if let Some((_, member)) = connecting.pop_front_if(|(ends, _)| *ends <= now) {
            service.handle_connected(now, member);
        }
    }
}

#[test]
fn while_none_stands_one_attempt_is_made_at_a_time() {
    let mut service = warm(300);
    for member in 0..300 {
        end(&mut service, at(1_000), member, u64::MAX, RESET);
    }
    let mut now = at(1_000);
    for ceiling_ms in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        assert_eq!(begin(&mut service, now), []);
        let next = service.poll_timeout();
        let pause = next.since(now);
        let ceiling = Duration::from_millis(ceiling_ms);
        assert!(pause < ceiling && pause > ceiling - Duration::from_millis(1));
        now = next;
        let trial = begin(&mut service, now);
        assert_eq!(trial.len(), 1);
        assert!(service.poll_timeout().is_never(), "it is waited for");
        end(&mut service, now, trial[0], u64::MAX, REFUSED);
    }
}

#[test]
fn when_the_trial_stands_the_rest_follows_in_steps_each_at_a_moment_of_its_own() {
    let mut service = warm(300);
    for member in 0..300 {
        end(&mut service, at(1_000), member, 1 << 62, RESET);
    }
    let trial_at = service.poll_timeout();
    let trial = begin(&mut service, trial_at);
    service.handle_connected(trial_at, trial[0]);
    let begun = release(&mut service, trial_at, Duration::from_millis(1));
    assert_eq!(begun.len(), 299);
    let mut steps = vec![0; 100];
    let mut slots = vec![0; 200];
    for at in &begun {
        let since = at.since(trial_at).as_millis() as usize;
        steps[since / 100] += 1;
        slots[since / 50] += 1;
    }
    assert_eq!(steps[..6], [1, 2, 4, 8, 8, 8]);
    assert!(steps.iter().all(|step| *step <= 8), "{steps:?}");
    assert!(slots.iter().all(|slot| *slot <= 30), "{slots:?}");
    let mut apart: Vec<u128> = begun
        .iter()
        .map(|at| at.since(trial_at).as_nanos())
        .collect();
    apart.dedup_by_key(|nanos| *nanos / 100_000);
    assert!(apart.len() > 290, "they come together: {begun:?}");
    let parts = begun
        .iter()
        .map(|at| at.since(trial_at).as_nanos() % 12_500_000);
    let early = parts.filter(|part| *part < 6_250_000).count();
    assert!((100..200).contains(&early), "{early} of 299 come early");
}

#[test]
fn a_failure_in_the_release_is_an_outage_anew_when_none_stands_and_a_pause_when_one_does() {
    let mut service = warm(8);
    for member in 0..8 {
        end(&mut service, at(1_000), member, 0, RESET);
    }
    let trial = begin(&mut service, at(1_000));
    service.handle_connected(at(1_000), trial[0]);
    let second = begin(&mut service, at(1_100));
    assert_eq!(second.len(), 1);
    end(&mut service, at(1_101), second[0], u64::MAX, REFUSED);
    let again = service.poll_timeout();
    assert!(
        again > at(1_199) && again < at(1_301),
        "after the first pause of a miss, in its first step: {again:?}"
    );
    assert_eq!(begin(&mut service, again).len(), 1);
    assert!(
        service.poll_timeout() > at(1_300),
        "the schedule begins anew"
    );
    end(&mut service, at(1_402), trial[0], 0, RESET);
    assert_eq!(begin(&mut service, at(9_000)), [], "one at a time");
}

/// It takes and ends them, and refuses some between: misses made each loss look like one of before.
#[test]
fn losses_are_counted_whatever_is_refused_meanwhile_and_so_pauses_grow() {
    let mut service = warm(3);
    let (mut now, mut standing) = (at(1_000), vec![0, 1, 2]);
    for ceiling_ms in [100, 200, 400, 800] {
        for member in std::mem::take(&mut standing) {
            end(&mut service, now, member, u64::MAX, RESET);
        }
        let trial_at = service.poll_timeout();
        let pause = trial_at.since(now);
        let ceiling = Duration::from_millis(ceiling_ms);
        assert!(pause < ceiling && pause > ceiling * 9 / 10, "{pause:?}");
        let trial = begin(&mut service, trial_at);
        service.handle_connected(trial_at, trial[0]);
        let second_at = service.poll_timeout();
        let second = begin(&mut service, second_at);
        end(&mut service, second_at, second[0], 0, REFUSED);
        (now, standing) = (second_at, trial);
    }
}

/// Its first attempt was refused, and the trial after it stands: the others may follow in their moments.
fn back_after_a_refusal() -> (Service, u32) {
    let mut service = connected_on_demand(0..=40);
    ask(&mut service, at(0), 1..2);
    let trial = begin(&mut service, at(0));
    end(&mut service, at(0), trial[0], 0, REFUSED);
    ask(&mut service, at(1), 2..3);
    let trial = begin(&mut service, at(1));
    service.handle_connected(at(1), trial[0]);
    service.waiter_served();
    (service, trial[0])
}

#[test]
fn moments_that_nobody_uses_pass_and_are_not_made_up_for() {
    let (mut service, trial) = back_after_a_refusal();
    assert!(service.poll_timeout().is_never(), "nobody asks");
    service.assign(trial, request(2, 0..1, Time::NEVER));
    ask(&mut service, at(450), 3..6);
    assert_eq!(begin(&mut service, at(450)).len(), 1);
    let next = service.poll_timeout();
    assert!(next > at(450) && next < at(480), "{next:?}");
    // Its last step is over.
    assert_eq!(begin(&mut service, at(2_000)).len(), 2);
}

fn connected_on_demand(connections: std::ops::RangeInclusive<usize>) -> Service {
    let upstream = Upstream::new("peer:1").connections(connections);
    Service::new(upstream.tell_state(), &Config::default())
}

/// As when each of fifty requests had a connection made of its own, which came when all had been served.
#[test]
fn requests_that_wait_have_no_more_connections_made_at_a_time_than_stand() {
    let mut service = connected_on_demand(5..=100);
    for member in begin(&mut service, at(0)) {
        service.handle_connected(at(0), member);
        service.assign(
            member,
            request(1_000 + u64::from(member), 0..1, Time::NEVER),
        );
    }
    ask(&mut service, at(1), 1..46);
    let mut begun = begin(&mut service, at(1));
    assert_eq!(begun.len(), 5);
    for (round, allowed) in [(2, 10), (3, 20)] {
        for member in begun {
            service.handle_connected(at(round), member);
            service.waiter_served();
            let n = 2_000 + u64::from(member);
            service.assign(member, request(n, 0..1, Time::NEVER));
        }
        begun = begin(&mut service, at(round));
        assert_eq!(begun.len(), allowed);
    }
}

#[test]
fn from_nothing_a_few_connections_are_made_at_a_time() {
    let mut service = connected_on_demand(0..=100);
    ask(&mut service, at(1), 1..51);
    let begun = begin(&mut service, at(1));
    assert_eq!(begun.len(), 4);
    service.handle_connected(at(2), begun[0]);
    service.waiter_served();
    service.assign(begun[0], request(1, 0..1, Time::NEVER));
    assert_eq!(begin(&mut service, at(2)).len(), 1);
}

/// The program ended them, or their requests' time was over: the server did nothing wrong.
#[test]
fn connections_that_are_given_up_here_are_made_again_without_a_pause() {
    let mut service = warm(3);
    for member in 0..3 {
        let given_up = Error::new(Phase::Read, Source::Deadline);
        end(&mut service, at(10), member, u64::MAX, given_up);
    }
    assert_eq!(begin(&mut service, at(10)).len(), 3);
}

#[test]
fn it_is_told_down_when_nothing_is_left_to_hope_for_and_up_when_one_stands() {
    let mut service = connected_on_demand(2..=2);
    let first = begin(&mut service, at(0));
    ask(&mut service, at(0), 1..2);
    assert_eq!(end(&mut service, at(1), first[0], u64::MAX, REFUSED), []);
    assert_eq!(service.poll_change(), None, "the other may stand yet");
    assert_eq!(end(&mut service, at(2), first[1], u64::MAX, REFUSED), [1]);
    let told = service.poll_change();
    let retry_at = service.poll_timeout();
    let error = REFUSED;
    assert_eq!(told, Some(Change::Down { error, retry_at }));
    service.handle_change_pulled(false);
    let trial = begin(&mut service, retry_at);
    end(&mut service, retry_at, trial[0], 0, REFUSED);
    assert_eq!(service.poll_change(), None, "as before");
    let trial = begin(&mut service, retry_at);
    service.handle_connected(retry_at, trial[0]);
    assert_eq!(service.poll_change(), Some(Change::Up));
    service.handle_change_pulled(false);
    end(&mut service, at(5_000), trial[0], u64::MAX, RESET);
    assert_eq!(service.poll_change(), None, "no attempt has failed");
}

#[test]
fn the_first_connections_are_not_tried_on_when_it_is_down() {
    let mut service = service(40, 1);
    let first = service.poll_connect(at(0)).unwrap();
    service.handle_connecting(first, first);
    end(&mut service, at(1), first, 0, REFUSED);
    assert_eq!(service.poll_connect(at(60_000)), None);
}

#[test]
fn a_retry_asked_for_forgets_the_pause_and_is_one_trial() {
    let mut service = connected(3, 1);
    for member in 0..3 {
        end(&mut service, at(10), member, u64::MAX, RESET);
    }
    assert_eq!(begin(&mut service, at(60_000)), [], "nobody asks");
    service.retry_now(at(60_000));
    let trial = begin(&mut service, at(60_000));
    assert_eq!(trial.len(), 1);
    end(&mut service, at(60_001), trial[0], u64::MAX, REFUSED);
    assert_eq!(begin(&mut service, at(60_001)), []);
    service.retry_now(at(60_001));
    assert_eq!(begin(&mut service, at(60_001)).len(), 1);
}

/// What cannot get better soon is told at once, and tried again slowly.
#[test]
fn a_name_that_does_not_exist_is_tried_again_at_the_caps_pace() {
    let mut service = warm(1);
    let unknown = super::super::no_address();
    end(&mut service, at(0), 0, 0, RESET);
    let trial = begin(&mut service, at(0));
    end(&mut service, at(0), trial[0], 1 << 63, unknown);
    let half = Reconnect::default().pause_max / 2;
    assert_eq!(service.poll_timeout(), Time::ZERO.after(half));
}

/// The pause was forgotten, and the schedule that began after it was not.
#[test]
fn a_program_that_wants_no_pause_has_the_release_begin_now_while_others_stand() {
    let mut service = warm(6);
    for member in 0..4 {
        end(&mut service, at(1_000), member, u64::MAX, RESET);
    }
    assert!(begin(&mut service, at(1_000)).is_empty());
    let from = at(1_010);
    service.retry_now(from);
    let mut begun = begin(&mut service, from);
    assert_eq!(begun.len(), 1);
    service.handle_connected(from, begun[0]);
    for (earliest, latest) in [(1_110, 1_160), (1_160, 1_210), (1_210, 1_235)] {
        let next = service.poll_timeout();
        assert!(next >= at(earliest) && next <= at(latest), "{next:?}");
        begun = begin(&mut service, next);
        assert_eq!(begun.len(), 1);
        service.handle_connected(next, begun[0]);
    }
}

#[test]
fn a_release_that_is_under_way_goes_on_as_it_does_and_one_that_nobody_used_is_over() {
    for retries in [false, true] {
        let mut service = warm(6);
        for member in 0..4 {
            end(&mut service, at(1_000), member, 0, RESET);
        }
        let first = service.poll_timeout();
        assert_eq!(begin(&mut service, first).len(), 1);
        let next = service.poll_timeout();
        if retries {
            service.retry_now(first);
        }
        assert_eq!(service.poll_timeout(), next);
    }
    let (mut service, trial) = back_after_a_refusal();
    service.assign(trial, request(2, 0..1, Time::NEVER));
    service.retry_now(at(60_000));
    ask(&mut service, at(60_000), 3..10);
    assert_eq!(begin(&mut service, at(60_000)).len(), 4, "in no steps");
}
