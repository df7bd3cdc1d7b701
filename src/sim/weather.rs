//! Who decides whether something goes wrong: every fault of a run, its network's and its programs',
//! is one decision made here, and what happened is kept as a schedule.
//!
//! Each kind of fault has a random stream and a counter of its own, so the n-th decision of a kind
//! comes out the same, in whether and in how much, whatever the others do. A schedule alone makes the
//! same weather again, and a part of it makes a part of the weather: that is what shrinking needs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::str::FromStr;

use super::faults::{FaultKind, Faults};
use super::random::Random;

/// A decision that came out as a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Happening {
    pub(crate) kind: FaultKind,
    /// Which decision of its kind it was, from one.
    pub(crate) nth: u64,
}

/// The weather of one run, in the hands of all its parts.
#[derive(Clone, Debug)]
pub(crate) struct Weather(Rc<RefCell<Decisions>>);

#[derive(Debug)]
struct Decisions {
    seed: u64,
    faults: Faults,
    kinds: [Kind; FaultKind::ALL.len()],
    /// When given, these happen and nothing else.
    fixed: Option<BTreeSet<Happening>>,
    /// What happened so far, in its order.
    schedule: Vec<Happening>,
    is_healed: bool,
}

#[derive(Debug)]
struct Kind {
    stream: Random,
    decisions: u64,
    /// The last decision's own generator: how much of it.
    amount: Random,
}

impl Weather {
    /// As it comes by the probabilities of `faults`.
    pub(crate) fn new(seed: u64, faults: Faults) -> Weather {
        // Not the seed's own sequence, from which others draw.
        let mut random = Random::new(seed.rotate_left(32) ^ 0x7765_6174_6865_7221);
        let kinds = FaultKind::ALL.map(|_| Kind {
            stream: random.fork(),
            decisions: 0,
            amount: Random::new(0),
        });
        let (fixed, schedule) = (None, Vec::new());
        Weather(Rc::new(RefCell::new(Decisions {
            seed,
            faults,
            kinds,
            fixed,
            schedule,
            is_healed: false,
        })))
    }

    /// Exactly these decisions come out as faults, each as it did with this seed.
    pub(crate) fn fixed(seed: u64, faults: Faults, schedule: &[Happening]) -> Weather {
        let weather = Weather::new(seed, faults);
        weather.0.borrow_mut().fixed = Some(schedule.iter().copied().collect());
        weather
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.borrow().seed
    }

    /// What the weather was made with: latency and sizes, besides the probabilities.
    pub(crate) fn faults(&self) -> Faults {
        self.0.borrow().faults.clone()
    }

    /// One decision.
    pub(crate) fn happens(&self, kind: FaultKind) -> bool {
        self.0.borrow_mut().decide(kind)
    }

    /// How much of it, for the last decision of this kind.
    pub(crate) fn within(&self, kind: FaultKind, range: RangeInclusive<u64>) -> u64 {
        self.0.borrow_mut().kinds[kind as usize]
            .amount
            .within(range)
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&self) {
        self.0.borrow_mut().is_healed = true;
    }

    /// What happened so far.
    pub(crate) fn schedule(&self) -> Vec<Happening> {
        self.0.borrow().schedule.clone()
    }

    /// By kind: decisions, and how many came out as faults.
    pub(crate) fn counts(&self) -> [(u64, u64); FaultKind::ALL.len()] {
        let decisions = self.0.borrow();
        let mut counts = FaultKind::ALL.map(|kind| (decisions.kinds[kind as usize].decisions, 0));
        for happening in &decisions.schedule {
            counts[happening.kind as usize].1 += 1;
        }
        counts
    }
}

impl Decisions {
    fn decide(&mut self, kind: FaultKind) -> bool {
        if self.is_healed {
            return false;
        }
        let chance = self.faults.chance(kind);
        let of = &mut self.kinds[kind as usize];
        of.decisions += 1;
        of.amount = of.stream.fork();
        let drawn = of.amount.happens(chance);
        let happening = Happening {
            kind,
            nth: of.decisions,
        };
        let happens = match &self.fixed {
            Some(fixed) => fixed.contains(&happening),
            None => drawn,
        };
        if happens {
            self.schedule.push(happening);
        }
        happens
    }
}

/// As it is written in a schedule: `ShortWrite:3`.
impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.kind, self.nth)
    }
}

impl FromStr for Happening {
    type Err = String;

    fn from_str(text: &str) -> Result<Happening, String> {
        let wrong = || format!("not a fault and its number: {text}");
        let (name, nth) = text.split_once(':').ok_or_else(wrong)?;
        let named = |kind: &FaultKind| format!("{kind:?}") == name;
        let kind = FaultKind::ALL.into_iter().find(named).ok_or_else(wrong)?;
        let nth = nth.parse().map_err(|_| wrong())?;
        Ok(Happening { kind, nth })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sim::random::Chance;

    const OFTEN: Chance = Chance(300);

    fn faults() -> Faults {
        let faults = Faults::NONE.with(FaultKind::Split, OFTEN);
        faults.with(FaultKind::Cut, OFTEN)
    }

    /// What a run of a hundred decisions comes to, each with its amount.
    fn decided(weather: &Weather, kind: FaultKind) -> Vec<Option<u64>> {
        let decide = |_| {
            let happens = weather.happens(kind);
            happens.then(|| weather.within(kind, 0..=1_000_000))
        };
        (0..100).map(decide).collect()
    }

    #[test]
    fn the_decisions_of_a_kind_do_not_depend_on_the_others() {
        let alone = decided(&Weather::new(7, faults()), FaultKind::Split);
        let weather = Weather::new(7, faults());
        decided(&weather, FaultKind::Cut);
        assert_eq!(decided(&weather, FaultKind::Split), alone);
        assert!(alone.contains(&None) && alone.iter().any(Option::is_some));
        let other = decided(&Weather::new(8, faults()), FaultKind::Split);
        assert_ne!(other, alone);
    }

    #[test]
    fn a_part_of_a_schedule_makes_that_part_of_the_weather() {
        let whole = Weather::new(7, faults());
        let all = decided(&whole, FaultKind::Split);
        let some = [whole.schedule()[1], whole.schedule()[4]];
        let part = Weather::fixed(7, faults(), &some);
        let left = decided(&part, FaultKind::Split);
        assert_eq!(part.schedule(), some);
        for (at, amount) in left.iter().enumerate() {
            let nth = at as u64 + 1;
            let expected = some.iter().any(|happening| happening.nth == nth);
            let expected = expected.then(|| all[at]).flatten();
            assert_eq!(*amount, expected, "decision {nth}");
        }
    }

    #[test]
    fn what_is_masked_or_healed_never_happens_and_all_is_counted() {
        let weather = Weather::new(7, faults());
        decided(&weather, FaultKind::Split);
        decided(&weather, FaultKind::Mute);
        let happened = weather.schedule().len() as u64;
        weather.heal();
        decided(&weather, FaultKind::Split);
        let counts = weather.counts();
        assert_eq!(counts[FaultKind::Split as usize], (100, happened));
        assert_eq!(counts[FaultKind::Mute as usize], (100, 0));
    }

    #[test]
    fn a_happening_is_read_as_it_is_written() {
        let happening = Happening {
            kind: FaultKind::ShortWrite,
            nth: 3,
        };
        assert_eq!(happening.to_string(), "ShortWrite:3");
        assert_eq!(happening.to_string().parse(), Ok(happening));
        assert!("ShortWrite".parse::<Happening>().is_err());
        assert!("Sunshine:1".parse::<Happening>().is_err());
    }
}
