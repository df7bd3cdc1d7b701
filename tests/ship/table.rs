//! The tables of `docs/guarantees.md`: what each rung lost and doubled in each cell, medians of several runs.
//!
//! They are printed in Markdown, and every single run is judged by what its rung promises. `TAUT_SHIP_RUNS` says how
//! many runs each median is of.

use std::time::Duration;

use crate::cells::{Cell, run};
use crate::place::Place;
use crate::rungs::Rung;
use crate::shipping::Outcome;

const RUNS: usize = 5;

#[test]
#[ignore = "takes minutes: prints a table"]
fn table_on_loopback() {
    print_table(&Place::Loopback);
}

#[test]
#[ignore = "takes minutes, needs root: prints a table"]
fn table_over_a_link_of_half_a_millisecond() {
    print_table(&Place::link(Duration::from_micros(500)));
}

#[test]
#[ignore = "takes minutes, needs root: prints a table"]
fn table_over_a_link_of_5_ms() {
    print_table(&Place::link(Duration::from_millis(5)));
}

#[test]
#[ignore = "takes minutes, needs root: prints a table"]
fn table_over_a_link_of_20_ms() {
    print_table(&Place::link(Duration::from_millis(20)));
}

#[test]
#[ignore = "takes minutes, needs haproxy: prints a table"]
fn table_through_a_proxy() {
    print_table(&Place::Proxied);
}

fn print_table(place: &Place) {
    let runs = std::env::var("TAUT_SHIP_RUNS").map_or(RUNS, |it| it.parse().unwrap());
    println!("\n### {place}\n");
    let names: Vec<&str> = Rung::ALL.iter().map(|it| it.name()).collect();
    println!("| the sink | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for cell in Cell::ALL.into_iter().filter(|it| it.is_in(place)) {
        let entries = Rung::ALL.map(|rung| {
            let outcomes = (0..runs).map(|_| run(place, cell, rung));
            let outcomes = outcomes.inspect(|it| rung.judge(place, cell, *it));
            said(&outcomes.collect::<Vec<Outcome>>())
        });
        println!("| {} | {} |", cell.name(), entries.join(" | "));
    }
}

/// What several runs say; a dash where each line arrived once.
fn said(outcomes: &[Outcome]) -> String {
    let median = |of: fn(&Outcome) -> u64| {
        let mut all: Vec<u64> = outcomes.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let doubt = median(|it| it.uncertain);
    let read = median(|it| it.uncertain_and_read);
    let words = [
        (median(|it| it.lost), "**lost**".to_owned()),
        (median(|it| it.doubled), "twice".to_owned()),
        (doubt, format!("in doubt, {read} of them read")),
    ];
    let words = words.iter().filter(|(lines, _)| *lines > 0);
    let words: Vec<String> = words
        .map(|(lines, what)| format!("{lines} {what}"))
        .collect();
    match words.is_empty() {
        true => "–".to_owned(),
        false => words.join(", "),
    }
}
