//! Many seeds of bad weather: whatever happens, the promises hold, and when it is over everything
//! ends, works again and is given back.
//!
//! `TAUT_SIM_SEEDS` sets how many seeds are run (2,000), `TAUT_SIM_FIRST` where they begin (0).
//! `TAUT_SIM_SEED` runs a single one, with `TAUT_SIM_FAULTS` in the weather of a schedule as a failure
//! names it. A failing seed is printed with what it expands to and the faults that it needs
//! (`TAUT_SIM_TRIALS=0`: all that there were).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod bounds;
mod dialect;
mod drained;
mod failure;
mod guests;
mod host;
mod looks;
mod options;
mod peer;
mod promises;
mod rested;
mod round;
mod run;
mod sealed;
mod settings;
mod shrink;
mod streams;
mod tape;
mod ways;
mod wear;
mod whims;
mod wire;
mod word;

use std::env;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::faults::FaultKind;
use failure::{Trial, Tried};
use run::Outcome;

const SEEDS: u64 = 2_000;
const THREADS: usize = 2;
/// With fewer seeds than these nothing is asked of the sum of all.
const SEEDS_TELLING: u64 = 1_000;
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// What came of all seeds.
#[derive(Debug, Default)]
struct Totals {
    seeds: u64,
    replies: usize,
    failures: usize,
    rounds: u64,
    /// Requests made again, and requests taken back.
    retries: u64,
    cancels: usize,
    /// Requests that a fallback took, and targets that were left alone.
    handed_over: u64,
    ejections: u64,
    heartbeats: u64,
    heartbeats_missed: u64,
    /// Sessions that stood, and those that failed.
    sessions: (usize, usize),
    /// By kind of fault: decisions, and how many came out as faults.
    faults: [(u64, u64); FaultKind::ALL.len()],
    told_at: Option<Instant>,
    /// A seed has failed: no other is begun.
    is_failing: bool,
    /// Its report.
    failed: Option<String>,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome, counts: &[(u64, u64)]) {
        self.seeds += 1;
        self.replies += outcome.replies;
        self.failures += outcome.failures;
        self.rounds += outcome.rounds;
        self.retries += outcome.retries;
        self.cancels += outcome.cancels;
        self.handed_over += outcome.handed_over;
        self.ejections += outcome.ejections;
        self.heartbeats += outcome.heartbeats;
        self.heartbeats_missed += outcome.heartbeats_missed;
        self.sessions.0 += outcome.sessions.0;
        self.sessions.1 += outcome.sessions.1;
        for (sum, count) in self.faults.iter_mut().zip(counts) {
            *sum = (sum.0 + count.0, sum.1 + count.1);
        }
    }

    /// Now and then, of a run that takes long; past the test harness, which keeps what is printed.
    fn tell_progress(&mut self, all: u64) {
        let now = Instant::now();
        let told_at = *self.told_at.get_or_insert(now);
        if now - told_at >= PROGRESS_EVERY {
            self.told_at = Some(now);
            _ = writeln!(std::io::stderr(), "{} of {all} seeds", self.seeds);
        }
    }

    fn described(&self) -> String {
        let mut text = format!(
            "{} seeds, {} rounds: {} replies, {} failures, {} heartbeats, {} of them missed, {} retries, {} taken back, {} handed over, {} ejections, {} sessions, and {} that failed\n",
            self.seeds,
            self.rounds,
            self.replies,
            self.failures,
            self.heartbeats,
            self.heartbeats_missed,
            self.retries,
            self.cancels,
            self.handed_over,
            self.ejections,
            self.sessions.0,
            self.sessions.1
        );
        for kind in FaultKind::ALL {
            let (decisions, faults) = self.faults[kind as usize];
            text += &format!("{kind:?}: {faults} of {decisions}\n");
        }
        text
    }
}

/// Runs seeds on several threads, until one fails.
fn run_all(seeds: Range<u64>) -> Totals {
    let totals = Mutex::new(Totals::default());
    let next = AtomicU64::new(seeds.start);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !hold(&totals).is_failing {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    run_one(seed, &totals, seeds.end - seeds.start);
                }
            });
        }
    });
    totals.into_inner().unwrap()
}

fn run_one(seed: u64, totals: &Mutex<Totals>, all: u64) {
    let trial = Trial::of(seed);
    let tried = trial.run(None);
    match &tried.outcome {
        Ok(outcome) => {
            let mut totals = hold(totals);
            totals.add(outcome, &tried.weather.counts());
            totals.tell_progress(all);
        }
        Err(_) => {
            if std::mem::replace(&mut hold(totals).is_failing, true) {
                return;
            }
            let report = trial.report(tried);
            hold(totals).failed = Some(report);
        }
    }
}

fn hold(totals: &Mutex<Totals>) -> MutexGuard<'_, Totals> {
    totals.lock().unwrap()
}

/// A single seed, in its own weather or in that of a schedule.
fn run_alone(seed: u64) {
    let trial = Trial::of(seed);
    let schedule = env::var("TAUT_SIM_FAULTS").ok();
    let schedule = schedule.map(|text| failure::schedule(&text).unwrap());
    let tried = trial.run(schedule.as_deref());
    if tried.outcome.is_err() {
        panic!("{}", trial.report(tried));
    }
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[test]
fn whatever_the_weather_every_request_ends_once_and_all_is_given_back() {
    if let Some(seed) = number("TAUT_SIM_SEED") {
        return run_alone(seed);
    }
    let first = number("TAUT_SIM_FIRST").unwrap_or(0);
    let seeds = number("TAUT_SIM_SEEDS").unwrap_or(SEEDS);
    let totals = run_all(first..first + seeds);
    if let Some(report) = &totals.failed {
        panic!("{report}");
    }
    println!("{}", totals.described());
    if seeds < SEEDS_TELLING {
        return;
    }
    // The weather must be neither too fair nor too foul to show anything, and of every kind.
    let (replies, failures) = (totals.replies, totals.failures);
    assert!(replies * 5 > failures && failures * 5 > replies);
    assert!(totals.retries > seeds && totals.cancels > 0);
    assert!(totals.handed_over > seeds / 10 && totals.ejections > 0);
    assert!(totals.heartbeats_missed > 0 && totals.heartbeats > totals.heartbeats_missed * 2);
    let (sessions, failed) = totals.sessions;
    assert!(sessions > failed && failed as u64 > seeds / 20);
    for kind in FaultKind::ALL {
        assert!(totals.faults[kind as usize].1 > 0, "{kind:?} never happens");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| -> Tried { Trial::of(seed).run(None) };
    for seed in 0..20 {
        let (one, other) = (run(seed), run(seed));
        assert_eq!(one.outcome, other.outcome, "seed {seed}");
        let same = one.weather.schedule() == other.weather.schedule();
        assert!(same, "seed {seed} has two weathers");
    }
    assert_ne!(run(0).outcome.unwrap().trace, run(1).outcome.unwrap().trace);
}

/// What a schedule makes is what the weather was that it is of.
#[test]
fn a_run_in_its_own_schedule_is_the_same_run() {
    for seed in 0..20 {
        let trial = Trial::of(seed);
        let drawn = trial.run(None);
        let fixed = trial.run(Some(&drawn.weather.schedule()));
        assert_eq!(drawn.outcome, fixed.outcome, "seed {seed}");
    }
}
