//! Many seeds of bad weather: whatever happens, the promises hold, and when it is over everything
//! ends, works again and is given back.
//!
//! A failing seed is printed with what it expands to. `TAUT_SIM_SEEDS` sets how many are run (300),
//! `TAUT_SIM_SEED` runs a single one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod options;
mod peer;
mod promises;
mod run;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::random::Random;
use super::weather::Weather;
use options::Options;
use run::{Outcome, Run};

fn run(seed: u64) -> Outcome {
    let options = Options::drawn(&mut Random::new(seed));
    let weather = Weather::new(seed, options.faults.clone());
    let mut run = Run::new(options.clone(), weather);
    catch_unwind(AssertUnwindSafe(|| run.finish())).unwrap_or_else(|panic| {
        eprintln!("seed {seed} fails (TAUT_SIM_SEED={seed}); it expands to {options:#?}");
        resume_unwind(panic)
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_the_weather_every_request_ends_once_and_all_is_given_back() {
    let seeds = match number("TAUT_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TAUT_SIM_SEEDS").unwrap_or(300),
    };
    let outcomes: Vec<Outcome> = seeds.clone().map(run).collect();
    if seeds.end - seeds.start < 100 {
        return;
    }
    // The weather must be neither too fair nor too foul to show anything.
    let replies: usize = outcomes.iter().map(|outcome| outcome.replies).sum();
    let failures: usize = outcomes.iter().map(|outcome| outcome.failures).sum();
    assert!(
        replies * 5 > failures && failures * 5 > replies,
        "{replies} of {failures}"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(0).trace, run(1).trace);
}
