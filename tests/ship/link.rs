//! Every cell over a link with a delay, on every rung: FINs, lines and resets are on their way at the same time.

use std::time::Duration;

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
