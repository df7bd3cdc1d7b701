//! Every cell over a link with a delay, on every rung: FINs, lines and resets are on their way at the same time.

use std::time::Duration;

use crate::cells::{Cell, run};
use crate::classic::every_cell;
use crate::place::Place;
use crate::rungs::Rung;

#[track_caller]
fn every_rung(delay: Duration) {
    let place = Place::link(delay);
    for rung in Rung::ALL {
        every_cell(&place, rung);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_rung_keeps_its_promise_over_a_link_of_half_a_millisecond() {
    every_rung(Duration::from_micros(500));
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_rung_keeps_its_promise_over_a_link_of_5_ms() {
    every_rung(Duration::from_millis(5));
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn each_rung_keeps_its_promise_over_a_link_of_20_ms() {
    every_rung(Duration::from_millis(20));
}

/// A sink that dies as soon as it has a witness, and is started again while lines to the first are still on their way:
/// the second has a witness at once, or its commits would not count. In one run of three nobody made it one.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_sink_that_is_started_again_within_a_second_is_witnessed_again() {
    let place = Place::link(Duration::from_millis(5));
    for _ in 0..10 {
        let outcome = run(&place, Cell::Killed, Rung::CommitSmall);
        Rung::CommitSmall.judge(&place, Cell::Killed, outcome);
    }
}
