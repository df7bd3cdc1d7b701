//! Random steps, done to a wheel and to a model that is plainly right.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::slots::{DELAY_TICKS_MAX, LEVELS, RANGE_TICKS};
use super::super::*;
use super::structure::check_structure;

/// What a wheel should be: a map that is searched from end to end. Owners are numbered as inserted.
#[derive(Default)]
struct Model {
    now_tick: u64,
    timers: BTreeMap<u32, Timer>,
}

struct Timer {
    key: TimerKey,
    deadline_tick: Option<u64>,
    /// An `advance` has reached its deadline.
    expired: bool,
}

impl Model {
    fn schedule(&mut self, owner: u32, deadline_tick: u64) {
        let timer = self.timers.get_mut(&owner).unwrap();
        timer.deadline_tick = Some(deadline_tick);
        timer.expired &= deadline_tick <= self.now_tick;
    }

    fn clear(&mut self, owner: u32) {
        let timer = self.timers.get_mut(&owner).unwrap();
        timer.deadline_tick = None;
        timer.expired = false;
    }

    fn advance(&mut self, now_tick: u64) {
        self.now_tick = self.now_tick.max(now_tick);
        for timer in self.timers.values_mut() {
            timer.expired = timer
                .deadline_tick
                .is_some_and(|deadline| deadline <= self.now_tick);
        }
    }

    fn expired(&self) -> BTreeSet<u32> {
        let expired = self.timers.iter().filter(|(_, timer)| timer.expired);
        expired.map(|(&owner, _)| owner).collect()
    }

    fn earliest(&self) -> Option<u64> {
        self.timers
            .values()
            .filter_map(|timer| timer.deadline_tick)
            .min()
    }
}

/// Wheel and model side by side; each step is done to both, and then they must agree.
struct Pair {
    wheel: Wheel<u32>,
    model: Model,
    inserted: u32,
}

impl Pair {
    fn new(now_tick: u64) -> Self {
        let model = Model {
            now_tick,
            ..Model::default()
        };
        Self {
            wheel: Wheel::new(now_tick),
            model,
            inserted: 0,
        }
    }

    fn insert(&mut self) {
        let owner = self.inserted;
        self.inserted += 1;
        let key = self.wheel.insert(owner);
        let timer = Timer {
            key,
            deadline_tick: None,
            expired: false,
        };
        assert!(
            self.model.timers.values().all(|other| other.key != key),
            "a key given twice"
        );
        self.model.timers.insert(owner, timer);
    }

    /// The owner and key that `choice` falls on.
    fn pick(&self, choice: usize) -> Option<(u32, TimerKey)> {
        let count = self.model.timers.len().max(1);
        let (&owner, timer) = self.model.timers.iter().nth(choice % count)?;
        Some((owner, timer.key))
    }

    fn advance(&mut self, now_tick: u64) {
        self.wheel.advance(now_tick);
        self.model.advance(now_tick);
    }

    /// Pops one, which must be one the model holds for expired.
    fn pop(&mut self) -> bool {
        let expired = self.model.expired();
        let Some((key, owner)) = self.wheel.pop_expired() else {
            assert!(expired.is_empty(), "due and not handed out: {expired:?}");
            return false;
        };
        assert!(
            expired.contains(&owner),
            "handed out, but early, cancelled or twice: {owner}"
        );
        assert_eq!(self.model.timers[&owner].key, key);
        self.model.clear(owner);
        true
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Insert => self.insert(),
            Step::Remove(choice) => {
                if let Some((owner, key)) = self.pick(choice) {
                    self.wheel.remove(key);
                    self.model.timers.remove(&owner);
                }
            }
            Step::Schedule(choice, when) => {
                if let Some((owner, key)) = self.pick(choice) {
                    let deadline_tick = when.tick(self.wheel.now(), self.wheel.deadline(key));
                    self.wheel.schedule(key, deadline_tick);
                    self.model.schedule(owner, deadline_tick);
                }
            }
            Step::Clear(choice) => {
                if let Some((owner, key)) = self.pick(choice) {
                    self.wheel.clear(key);
                    self.model.clear(owner);
                }
            }
            Step::Advance(when) => {
                let now_tick = when.tick(self.wheel.now(), None);
                self.advance(now_tick);
            }
            Step::AdvanceToNext => {
                if let Some(next_tick) = self.wheel.next_tick() {
                    self.advance(next_tick);
                }
            }
            Step::Pop => drop(self.pop()),
            Step::PopAll => while self.pop() {},
        }
        self.agree();
    }

    fn agree(&self) {
        let (wheel, model) = (&self.wheel, &self.model);
        check_structure(wheel);
        assert_eq!(wheel.now(), model.now_tick);
        assert_eq!(
            (wheel.len(), wheel.is_empty()),
            (model.timers.len(), model.timers.is_empty())
        );
        for timer in model.timers.values() {
            assert_eq!(wheel.deadline(timer.key), timer.deadline_tick);
        }
        let next_tick = wheel.next_tick();
        if !model.expired().is_empty() {
            assert_eq!(next_tick, Some(wheel.now()));
        } else if let Some(earliest) = model.earliest() {
            let Some(next_tick) = next_tick else {
                panic!("a deadline, and no next tick")
            };
            assert!(
                next_tick <= earliest.max(wheel.now()),
                "next tick later than a deadline"
            );
        }
        assert!(next_tick.is_none_or(|next_tick| next_tick >= wheel.now()));
    }
}

#[derive(Clone, Copy, Debug)]
enum When {
    /// So many ticks from now.
    Ahead(u64),
    /// So many ticks ago.
    Behind(u64),
    /// Relative to the deadline it has, which may be far from now.
    Earlier(u64),
    Later(u64),
    /// To the last tick before, or the first of, the next slot of this level.
    Boundary(u32, bool),
    Tick(u64),
}

impl When {
    fn tick(self, now_tick: u64, deadline_tick: Option<u64>) -> u64 {
        let deadline_tick = deadline_tick.unwrap_or(now_tick);
        match self {
            Self::Ahead(ticks) => now_tick.saturating_add(ticks),
            Self::Behind(ticks) => now_tick.saturating_sub(ticks),
            Self::Earlier(ticks) => deadline_tick.saturating_sub(ticks),
            Self::Later(ticks) => deadline_tick.saturating_add(ticks),
            Self::Boundary(level, first) => {
                let last = now_tick | ((1 << (6 * level)) - 1);
                last.saturating_add(u64::from(first))
            }
            Self::Tick(tick) => tick,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert,
    Remove(usize),
    Schedule(usize, When),
    Clear(usize),
    Advance(When),
    AdvanceToNext,
    Pop,
    PopAll,
}

/// Ticks of all magnitudes alike: within a slot, a level, the range, and beyond.
fn any_ticks() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..200,
        4 => (0_u32..40, any::<u64>()).prop_map(|(bits, noise)| (1 << bits) | (noise % (1 << bits))),
        1 => (0_u64..3).prop_map(|by| RANGE_TICKS - 1 + by),
        1 => (0_u64..3).prop_map(|by| DELAY_TICKS_MAX - 1 + by),
    ]
}

fn any_when() -> impl Strategy<Value = When> {
    prop_oneof![
        8 => any_ticks().prop_map(When::Ahead),
        1 => any_ticks().prop_map(When::Behind),
        4 => any_ticks().prop_map(When::Earlier),
        4 => any_ticks().prop_map(When::Later),
        3 => (0_u32..7, any::<bool>()).prop_map(|(level, first)| When::Boundary(level, first)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Insert),
        1 => any::<usize>().prop_map(Step::Remove),
        10 => (any::<usize>(), any_when()).prop_map(|(choice, when)| Step::Schedule(choice, when)),
        1 => any::<usize>().prop_map(Step::Clear),
        5 => any_when().prop_map(Step::Advance),
        3 => Just(Step::AdvanceToNext),
        2 => Just(Step::Pop),
        2 => Just(Step::PopAll),
    ]
}

/// Where time begins: at nought, anywhere, just before the range goes round, close to time's end.
fn any_start() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        any::<u64>(),
        (1_u64..1 << 20, 0_u64..200).prop_map(|(laps, before)| laps * RANGE_TICKS - before),
        (0_u64..5_000).prop_map(|before| u64::MAX - before),
        any_ticks().prop_map(|before| u64::MAX - before),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(
        start in any_start(),
        steps in prop::collection::vec(any_step(), 1..150),
    ) {
        let mut pair = Pair::new(start);
        steps.iter().for_each(|step| pair.apply(step));
        while pair.pop() {}
        // Whatever is left comes in the end, at the latest when time ends.
        pair.apply(&Step::Advance(When::Tick(u64::MAX)));
        pair.apply(&Step::PopAll);
        prop_assert_eq!(pair.model.earliest(), None);
        prop_assert_eq!(pair.wheel.next_tick(), None);
    }

    #[test]
    fn a_caller_that_sleeps_until_next_tick_meets_every_deadline_in_few_steps(
        start in any_start(),
        delays in prop::collection::vec(any_ticks(), 1..40),
    ) {
        let mut wheel = Wheel::new(start);
        let mut steps_left = 0;
        for &delay in &delays {
            let deadline_tick = start.saturating_add(delay);
            let key = wheel.insert(deadline_tick);
            wheel.schedule(key, deadline_tick);
            steps_left += u64::from(LEVELS) + 1 + delay / DELAY_TICKS_MAX * u64::from(LEVELS);
        }
        let mut popped = 0;
        while let Some(next_tick) = wheel.next_tick() {
            prop_assert!(steps_left > 0, "too many steps");
            steps_left -= 1;
            wheel.advance(next_tick);
            while let Some((_, deadline_tick)) = wheel.pop_expired() {
                prop_assert_eq!(deadline_tick, wheel.now(), "neither early nor late");
                popped += 1;
            }
        }
        prop_assert_eq!(popped, delays.len());
    }

    /// One owner, requests with mixed timeouts: it files the nearest, scans when that comes, and files
    /// again. To file whatever came last made such an owner hundreds of ticks late.
    #[test]
    fn an_owner_of_mixed_deadlines_is_never_late(
        start in any_start(),
        requests in prop::collection::vec((0_u64..50, 1_u64..2_000, 0_u64..60), 1..200),
    ) {
        let mut wheel = Wheel::new(start);
        let owner = wheel.insert(());
        let mut in_flight = BTreeSet::new();
        let mut number = 0;
        for (pause, timeout, replies) in requests {
            for _ in 0..pause {
                let now_tick = wheel.now().saturating_add(1);
                wheel.advance(now_tick);
                while wheel.pop_expired().is_some() {
                    in_flight.retain(|&(deadline_tick, _)| deadline_tick > now_tick);
                    if let Some(&(deadline_tick, _)) = in_flight.first() {
                        wheel.schedule(owner, deadline_tick);
                    }
                }
                let nearest_tick = in_flight.first().map(|&(deadline_tick, _)| deadline_tick);
                prop_assert!(nearest_tick.is_none_or(|tick| tick > now_tick), "passed unseen");
            }
            if replies == 0 {
                in_flight.pop_first();
            }
            number += 1;
            in_flight.insert((wheel.now().saturating_add(timeout), number));
            let &(deadline_tick, _) = in_flight.first().unwrap();
            wheel.schedule(owner, deadline_tick);
        }
    }
}
