//! What is told of a run that fails: the seed, what it expands to, the few faults without which it
//! would not have failed, and the last that happened.
//!
//! A run is made again with what its weather did as a fixed schedule, and with ever fewer faults of
//! it, as long as the same assertion fails (at the same place in the sources).

use std::cell::RefCell;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::time::Duration;

use super::options::Options;
use super::run::{Outcome, Run};
use super::shrink::{Budget, shrink};
use crate::sim::faults::FaultKind;
use crate::sim::random::Random;
use crate::sim::weather::{Happening, Weather};

/// What shrinking one failure may cost; `TAUT_SIM_TRIALS` sets other trials.
const TRIALS_MAX: u32 = 2_000;
const TIME_MAX: Duration = Duration::from_secs(60);

/// A run as it is made of a seed: its options drawn, its weather drawn or fixed.
pub(super) struct Trial<'a> {
    pub(super) seed: u64,
    pub(super) options: Options,
    /// What the run is promised to hold; the storms' own promises, unless a test has others.
    pub(super) holds: &'a dyn Fn(&mut Run) -> Outcome,
}

/// How a run came out, and what its weather did.
pub(super) struct Tried {
    pub(super) outcome: Result<Outcome, Panicked>,
    pub(super) weather: Weather,
    notes: String,
}

/// An assertion that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Panicked {
    /// File, line and column.
    pub(super) place: String,
    pub(super) message: String,
}

impl Trial<'_> {
    pub(super) fn of(seed: u64) -> Trial<'static> {
        let options = Options::drawn(&mut Random::new(seed)).sealed(seed);
        let holds = &Run::finish;
        Trial {
            seed,
            options,
            holds,
        }
    }

    /// Runs it in the weather of its seed, or in that of a schedule.
    pub(super) fn run(&self, schedule: Option<&[Happening]>) -> Tried {
        let (seed, faults) = (self.seed, self.options.faults.clone());
        let weather = match schedule {
            Some(schedule) => Weather::fixed(seed, faults, schedule),
            None => Weather::new(seed, faults),
        };
        let mut run = None;
        let outcome = caught(|| {
            let made = Run::new(self.options.clone(), weather.clone());
            (self.holds)(run.insert(made))
        });
        let notes = run.map(|run| run.world.notes).unwrap_or_default();
        Tried {
            outcome,
            weather,
            notes: notes.into_iter().collect(),
        }
    }

    /// The faults without which this run would not fail as it did, and the same with fewer requests.
    pub(super) fn shrunk(&mut self, failed: &Panicked, schedule: Vec<Happening>) -> Shrunk {
        let trials_max = super::number("TAUT_SIM_TRIALS").unwrap_or(TRIALS_MAX.into());
        let mut budget = Budget::of(trials_max as u32, TIME_MAX);
        let fails = |trial: &Self, schedule: &[Happening]| {
            let outcome = trial.run(Some(schedule)).outcome;
            outcome.is_err_and(|panicked| panicked.place == failed.place)
        };
        let repeats = fails(self, &schedule);
        let mut left = schedule;
        if repeats {
            let kind = |happening: &Happening| happening.kind;
            left = shrink(left, kind, &mut budget, |some| fails(self, some));
            while let Some(fewer) = fewer_requests(&self.options).filter(|_| budget.spend()) {
                let all = std::mem::replace(&mut self.options, fewer);
                if !fails(self, &left) {
                    self.options = all;
                    break;
                }
            }
        }
        let tried = self.run(Some(&left));
        Shrunk {
            repeats,
            schedule: left,
            tried,
        }
    }

    /// Everything there is to say of a failure.
    pub(super) fn report(mut self, tried: Tried) -> String {
        let Err(failed) = tried.outcome else {
            return String::new();
        };
        let drawn = tried.weather.schedule();
        let requests = self.options.requests;
        let all = drawn.len();
        let shrunk = self.shrunk(&failed, drawn);
        let mut text = format!("seed {} fails at {}\n", self.seed, failed.place);
        let mut say = |line: &str| _ = writeln!(text, "{line}");
        say(&failed.message);
        if !shrunk.repeats {
            say("it does NOT fail when its own schedule is run: something is not drawn");
        }
        let fewer = self.options.requests;
        say(&format!("it expands to {:#?}", self.options));
        say(&format!("({fewer} of its {requests} requests are enough)"));
        let left: Vec<String> = shrunk.schedule.iter().map(Happening::to_string).collect();
        let schedule = left.join(",");
        say(&format!(
            "faults needed, {} of {all}: {schedule}",
            left.len()
        ));
        if let Err(panicked) = &shrunk.tried.outcome {
            say(&format!("then it says: {}", panicked.message));
        }
        say("the last that happened there, by nanoseconds:");
        say(&shrunk.tried.notes);
        say(&format!(
            "again: TAUT_SIM_SEED={} cargo test --no-default-features --lib sim::storms\n\
             and with those faults alone: TAUT_SIM_FAULTS={schedule}",
            self.seed
        ));
        text
    }
}

/// What is left of a failure's weather.
pub(super) struct Shrunk {
    /// The run fails again in its own schedule; otherwise nothing could be shrunk.
    pub(super) repeats: bool,
    pub(super) schedule: Vec<Happening>,
    tried: Tried,
}

fn fewer_requests(options: &Options) -> Option<Options> {
    let requests = options.requests / 2;
    (requests > 0).then(|| Options {
        requests,
        ..options.clone()
    })
}

/// `Kind:n,Kind:n`, as a report names them.
pub(super) fn schedule(text: &str) -> Result<Vec<Happening>, String> {
    let entries = text.split(',').filter(|entry| !entry.is_empty());
    entries.map(str::parse).collect()
}

thread_local! {
    /// Whether this thread is in a trial, and the panic of it.
    static CAUGHT: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// Runs something that may panic, in silence, and gives its panic.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |info| {
            let is_trial = CAUGHT.with_borrow_mut(|caught| {
                caught.as_mut().map(|panicked| {
                    panicked.place = info.location().map(ToString::to_string).unwrap_or_default();
                    panicked.message = info.payload_as_str().unwrap_or_default().to_owned();
                })
            });
            if is_trial.is_none() {
                told(info);
            }
        }));
    });
    CAUGHT.set(Some(Panicked::default()));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let panicked = CAUGHT.take().unwrap_or_default();
    outcome.map_err(|_| panicked)
}

/// A promise that two faults break together: nothing else of a schedule may be left, and both are.
#[test]
fn a_failure_that_two_faults_make_is_shrunk_to_these_two() {
    let both = ["Interrupt:3", "ShortWrite:2"].map(|text| text.parse().unwrap());
    let holds = |run: &mut Run| {
        let outcome = run.finish();
        let schedule = run.world.weather.schedule();
        let happened = both.map(|fault| schedule.contains(&fault));
        // With a part of the two another promise is broken: that is not the one.
        assert!(happened != [true, false], "one happened");
        assert!(happened != [true, true], "both happened");
        outcome
    };
    let mut found = 0;
    for seed in 0..2_000 {
        let options = Options::drawn(&mut Random::new(seed));
        let often = crate::sim::random::Chance(400);
        let faults = options.faults.clone().with(FaultKind::Interrupt, often);
        let faults = faults.with(FaultKind::ShortWrite, often);
        let mut trial = Trial {
            seed,
            options: Options { faults, ..options },
            holds: &holds,
        };
        let tried = trial.run(None);
        let failed = tried.outcome.err();
        let Some(failed) = failed.filter(|failed| failed.message == "both happened") else {
            continue;
        };
        let drawn = tried.weather.schedule();
        assert!(drawn.len() > 10, "{drawn:?}");
        let shrunk = trial.shrunk(&failed, drawn);
        assert!(shrunk.repeats);
        let mut left = shrunk.schedule;
        left.sort();
        let mut expected = both;
        expected.sort();
        assert_eq!(left, expected, "seed {seed}");
        found += 1;
        if found == 3 {
            return;
        }
    }
    panic!("{found} seeds have both");
}
