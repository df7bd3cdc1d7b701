//! Every cell on loopback, on every rung.

use crate::cells::{Cell, run};
use crate::place::Place;
use crate::rungs::Rung;

/// Runs all cells of a place, so many times.
#[track_caller]
pub(crate) fn every_cell(place: &Place, rung: Rung) {
    for cell in Cell::ALL.into_iter().filter(|it| it.is_in(place)) {
        let outcome = run(place, cell, rung);
        println!("{cell:?} {place}, {rung:?}: {outcome:?}");
        rung.judge(place, cell, outcome);
    }
}

/// The sinks can lose lines: whatever else passes here, passes for its own sake.
#[test]
fn a_plain_sender_loses_lines_in_silence() {
    let place = Place::Loopback;
    for cell in [
        Cell::Classic,
        Cell::Paced,
        Cell::CleanClose,
        Cell::KilledAtTheEnd,
    ] {
        let outcome = run(&place, cell, Rung::Plain);
        assert!(outcome.lost > 0, "{cell:?}: {outcome:?}");
    }
}

#[test]
fn none_tells_each_line_once_whatever_the_sink_does() {
    every_cell(&Place::Loopback, Rung::None);
}

#[test]
fn peek_loses_nothing_paced_and_clean() {
    every_cell(&Place::Loopback, Rung::Peek);
}

#[test]
fn kernel_loses_nothing_and_behind_a_fin_doubles_nothing() {
    every_cell(&Place::Loopback, Rung::Kernel);
}

#[test]
fn kernel_that_reports_loses_and_doubles_nothing() {
    every_cell(&Place::Loopback, Rung::KernelReport);
}

#[test]
fn commit_loses_nothing() {
    every_cell(&Place::Loopback, Rung::Commit);
}

#[test]
fn commit_in_small_epochs_loses_nothing() {
    every_cell(&Place::Loopback, Rung::CommitSmall);
    every_cell(&Place::Loopback, Rung::CommitOrdered);
}

#[test]
fn commit_without_a_witness_loses_nothing_of_a_sink_that_lives() {
    every_cell(&Place::Loopback, Rung::CommitBlind);
}
