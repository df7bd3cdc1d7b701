//! The breaker, by hand: each rule by its figures. Beside a model that keeps plain lists it is in `tests/model.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod model;

use super::*;

fn at(ms: u64) -> Time {
    Time::ZERO.after(Duration::from_millis(ms))
}

fn ended(n: u64, end: End) -> Happened {
    Happened::Ended {
        request: RequestId(n),
        end,
    }
}

fn made(n: u64) -> Happened {
    Happened::Made {
        request: RequestId(n),
    }
}

/// Opened at a second by ten failures; until that many milliseconds more have passed.
fn opened(random: u64) -> (Circuit, Time) {
    let mut circuit = Circuit::new(Breaker::default());
    for n in 1..=10 {
        circuit.handle(at(1_000), random, ended(n, End::Failed));
    }
    let until = circuit.open_until().unwrap();
    (circuit, until)
}

#[test]
fn it_opens_when_half_of_at_least_ten_have_failed() {
    let mut circuit = Circuit::new(Breaker::default());
    for n in 1..=9 {
        assert!(
            !circuit.handle(at(n), 0, ended(n, End::Failed)),
            "{n} are too few"
        );
    }
    assert!(circuit.handle(at(10), 0, ended(10, End::Failed)));
    assert_eq!(circuit.state(), BreakerState::Open);

    let mut circuit = Circuit::new(Breaker::default());
    for n in 0..100 {
        let end = [End::Answered, End::Answered, End::Failed][n as usize % 3];
        assert!(!circuit.handle(at(n), 0, ended(n, end)), "a third is borne");
    }
    for n in 100..133 {
        assert!(!circuit.handle(at(n), 0, ended(n, End::Failed)), "{n}");
    }
    assert_eq!(circuit.state(), BreakerState::Closed, "66 of 133");
    assert!(
        circuit.handle(at(133), 0, ended(133, End::Failed)),
        "67 of 134"
    );
}

#[test]
fn what_failed_longer_ago_than_the_window_no_longer_counts() {
    let mut circuit = Circuit::new(Breaker::default());
    for n in 1..=9 {
        circuit.handle(at(0), 0, ended(n, End::Failed));
    }
    assert!(!circuit.handle(at(30_000), 0, ended(10, End::Failed)));
    for n in 11..=18 {
        assert!(!circuit.handle(at(30_001), 0, ended(n, End::Failed)));
    }
    assert!(circuit.handle(at(56_999), 0, ended(19, End::Failed)));
}

#[test]
fn what_is_unjudged_never_counts() {
    let mut circuit = Circuit::new(Breaker::default());
    for n in 0..1_000 {
        let end = [End::Unjudged, End::Unconnected][n as usize % 2];
        assert!(!circuit.handle(at(n), 0, ended(n, end)));
    }
}

#[test]
fn connects_that_fail_in_a_row_open_it_and_one_that_stands_lets_a_trial_through() {
    let mut circuit = Circuit::new(Breaker::default());
    for n in 0..4 {
        assert!(!circuit.handle(at(n), 0, Happened::ConnectFailed));
    }
    circuit.handle(at(5), 0, Happened::Connected);
    for n in 6..10 {
        assert!(
            !circuit.handle(at(n), 0, Happened::ConnectFailed),
            "not in a row"
        );
    }
    assert!(circuit.handle(at(10), 0, Happened::ConnectFailed));
    assert_eq!(circuit.admit(at(20)), Err(Duration::from_millis(490)));
    assert!(
        !circuit.handle(at(30), 0, Happened::ConnectFailed),
        "open as it is"
    );
    assert!(circuit.handle(at(40), 0, Happened::Connected));
    assert_eq!(circuit.state(), BreakerState::HalfOpen);
    assert_eq!(circuit.admit(at(40)), Ok(()));
}

#[test]
fn a_connection_that_stands_does_not_end_what_requests_have_opened() {
    let (mut circuit, until) = opened(0);
    assert!(!circuit.handle(at(1_001), 0, Happened::Connected));
    assert!(circuit.admit(at(1_001)).is_err());
    assert_eq!(circuit.admit(until), Ok(()));
}

#[test]
fn three_breaches_of_the_protocol_in_a_row_open_it() {
    let mut circuit = Circuit::new(Breaker::default());
    for n in 0..10 {
        assert!(!circuit.handle(at(n), 0, Happened::BrokeProtocol));
        assert!(!circuit.handle(at(n), 0, Happened::BrokeProtocol));
        assert!(!circuit.handle(at(n), 0, ended(n, End::Answered)));
    }
    circuit.handle(at(20), 0, Happened::BrokeProtocol);
    circuit.handle(at(20), 0, Happened::BrokeProtocol);
    assert!(circuit.handle(at(20), 0, Happened::BrokeProtocol));
}

#[test]
fn one_trial_at_a_time_is_let_through_and_its_answer_closes_it() {
    let (mut circuit, until) = opened(0);
    assert!(circuit.handle(until, 0, made(20)));
    assert_eq!(circuit.admit(until), Err(Duration::from_secs(5)));
    assert!(
        !circuit.handle(until, 0, ended(9, End::Answered)),
        "of another time"
    );
    assert!(
        !circuit.handle(until, 0, ended(9, End::Failed)),
        "of another time"
    );
    assert!(circuit.handle(until, 0, ended(20, End::Answered)));
    assert_eq!(circuit.state(), BreakerState::Closed);
    assert_eq!(circuit.admit(until), Ok(()));
}

/// Fault 35: breakers elsewhere stay half open for ever when a permit is not given back.
#[test]
fn a_trial_that_never_ends_keeps_others_out_no_longer_than_its_lease() {
    let (mut circuit, until) = opened(0);
    circuit.handle(until, 0, made(20));
    let later = until.after(Duration::from_secs(5));
    assert_eq!(circuit.admit(later), Ok(()));
    circuit.handle(later, 0, made(21));
    assert_eq!(
        circuit.admit(later),
        Err(Duration::from_secs(5)),
        "one at a time"
    );
    assert!(
        circuit.handle(later, 0, ended(20, End::Answered)),
        "late, and still heard"
    );
    assert_eq!(circuit.state(), BreakerState::Closed);
}

#[test]
fn a_trial_that_is_taken_back_makes_room_for_the_next_at_once() {
    let (mut circuit, until) = opened(0);
    circuit.handle(until, 0, made(20));
    assert!(!circuit.handle(until, 0, ended(20, End::Unjudged)));
    assert_eq!(circuit.admit(until), Ok(()));
    circuit.handle(until, 0, made(21));
    circuit.handle(until, 0, ended(20, End::Unjudged));
    assert!(circuit.admit(until).is_err(), "the lease of another");
}

/// It comes from another upstream, where it has waited.
#[test]
fn a_trial_that_was_made_before_the_first_one_is_heard_too() {
    let (mut circuit, until) = opened(0);
    circuit.handle(until, 0, made(20));
    circuit.handle(until, 0, ended(20, End::Unjudged));
    circuit.handle(until, 0, made(15));
    assert!(circuit.admit(until).is_err());
    assert!(circuit.handle(until, 0, ended(15, End::Answered)));
    assert_eq!(circuit.state(), BreakerState::Closed);
}

/// Those that were made here before it opened counted as trials, if their ids were not lower than its own.
#[test]
fn a_trial_that_is_older_makes_no_trials_of_requests_from_before_it_opened() {
    for tried_before in [false, true] {
        for end in [End::Answered, End::Failed, End::Unconnected, End::Unjudged] {
            let (mut circuit, until) = opened(0);
            if tried_before {
                circuit.handle(until, 0, made(20));
                circuit.handle(until, 0, ended(20, End::Unjudged));
            }
            circuit.handle(until, 0, made(5));
            assert!(!circuit.handle(until, 0, ended(9, end)), "late, {end:?}");
            assert_eq!(circuit.state(), BreakerState::HalfOpen);
            assert!(circuit.handle(until, 0, ended(5, End::Answered)));
        }
    }
}

/// However short a lease is, there is an answer that closes it.
#[test]
fn of_many_trials_whose_lease_has_ended_the_oldest_are_heard_and_the_last_one() {
    for (heard, n) in [(true, 20), (true, 22), (false, 23), (false, 28), (true, 29)] {
        let (mut circuit, until) = opened(0);
        for n in 20..30 {
            let now = until.after(Duration::from_secs(5) * (n - 20));
            assert_eq!(circuit.admit(now), Ok(()));
            circuit.handle(now, 0, made(n.into()));
        }
        let now = until.after(Duration::from_secs(46));
        assert_eq!(
            circuit.handle(now, 0, ended(n, End::Answered)),
            heard,
            "{n}"
        );
    }
}

#[test]
fn each_trial_that_fails_doubles_the_longest_pause_up_to_its_bound() {
    for (random, share) in [(0, 1), (u64::MAX, 2)] {
        let (mut circuit, mut until) = opened(random);
        let mut pauses = vec![until.since(at(1_000))];
        for n in 20..26 {
            let now = until;
            circuit.handle(now, random, made(n));
            assert!(circuit.handle(now, random, ended(n, End::Failed)));
            until = circuit.open_until().unwrap();
            pauses.push(until.since(now));
        }
        let expected = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        let expected = expected.map(|ms| Duration::from_millis(ms) / 2 * share);
        let close = |(a, b): (&Duration, &Duration)| a.abs_diff(*b) < Duration::from_micros(1);
        assert!(pauses.iter().zip(&expected).all(close), "{pauses:?}");
    }
}

#[test]
fn a_breaker_that_was_closed_for_long_begins_with_the_first_pause() {
    for (closed_for, pause) in [(29_999, 1_000), (30_000, 500)] {
        let (mut circuit, until) = opened(0);
        circuit.handle(until, 0, made(20));
        circuit.handle(until, 0, ended(20, End::Answered));
        let now = until.after(Duration::from_millis(closed_for));
        for n in 21..=30 {
            circuit.handle(now, 0, ended(n, End::Failed));
        }
        let pause = Duration::from_millis(pause);
        assert_eq!(circuit.open_until(), Some(now.after(pause)));
    }
}

#[test]
fn without_one_nothing_is_refused() {
    let mut circuit = Circuit::new(Breaker::off());
    for n in 0..100 {
        assert!(!circuit.handle(at(n), 0, ended(n, End::Failed)));
        assert!(!circuit.handle(at(n), 0, Happened::ConnectFailed));
        assert!(!circuit.handle(at(n), 0, Happened::BrokeProtocol));
        assert_eq!(circuit.admit(at(n)), Ok(()));
    }
}

#[test]
fn in_ten_thousand_clients_it_takes_no_more_than_a_few_lines_of_memory() {
    assert!(size_of::<Circuit>() <= 320, "{}", size_of::<Circuit>());
}
