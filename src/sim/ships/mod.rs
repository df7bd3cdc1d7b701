//! A shipper in bad weather, with sinks that close, doze and die: on every seed the promise of its rung holds.
//!
//! `TAUT_SIM_SEEDS` sets how many seeds are run (1,000), `TAUT_SIM_FIRST` where they begin (0), `TAUT_SIM_SEED` runs a
//! single one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod draws;
mod run;
mod sink;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};

use run::Tally;

const SEEDS: u64 = 1_000;
const THREADS: u64 = 2;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[test]
fn whatever_the_weather_the_promise_of_the_rung_holds() {
    if let Some(seed) = number("TAUT_SIM_SEED") {
        println!("{:?}", run::run(seed));
        return;
    }
    let first = number("TAUT_SIM_FIRST").unwrap_or(0);
    let seeds = number("TAUT_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return tally;
            }
            tally.add(&run::run(seed));
        }
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            tally.add(&thread.join().expect("a seed failed: it is named above"));
        }
    });
    println!("{tally:?}");
    if seeds >= SEEDS {
        // The weather is neither too fair nor too foul to show anything.
        assert!(
            tally.confirmed > tally.uncertain * 2 && tally.uncertain > 0,
            "{tally:?}"
        );
        assert!(
            tally.resent > 0 && tally.deaths > 0 && tally.commits > seeds,
            "{tally:?}"
        );
    }
}

#[test]
fn the_same_seed_ships_the_same() {
    for seed in 0..10 {
        assert_eq!(run::run(seed), run::run(seed), "seed {seed}");
    }
}
