//! What may be made again: a bucket that requests and time fill, and that each retry empties by one.
//!
//! Whole numbers alone, in millionths of a retry: what a request or a microsecond puts in is exact. Never below zero,
//! never above its bound.

use std::time::Duration;

use crate::config::Retry;
use crate::time::Time;

/// Parts of one retry.
const ONE: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Budget {
    parts: u64,
    parts_max: u64,
    parts_per_request: u64,
    per_second: u64,
    /// Time until here has been put in.
    filled_at: Time,
}

impl Budget {
    /// A full one.
    pub(crate) fn new(retry: &Retry) -> Budget {
        let parts_max = u64::from(retry.burst_max) * ONE;
        Budget {
            parts: parts_max,
            parts_max,
            parts_per_request: u64::from(retry.percent) * (ONE / 100),
            per_second: retry.per_second.into(),
            filled_at: Time::ZERO,
        }
    }

    /// A request is made, for the first time.
    pub(crate) fn earn(&mut self) {
        self.parts = (self.parts + self.parts_per_request).min(self.parts_max);
    }

    /// Pays for one that is made again, if there is enough.
    pub(crate) fn spend(&mut self, now: Time) -> bool {
        self.fill(now);
        let left = self.parts.checked_sub(ONE);
        self.parts = left.unwrap_or(self.parts);
        left.is_some()
    }

    fn fill(&mut self, now: Time) {
        let passed = now.since(self.filled_at).as_micros();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        // So many a second are so many parts a microsecond. Its fraction is put in next time.
        let parts = passed.saturating_mul(self.per_second);
        self.parts = self.parts.saturating_add(parts).min(self.parts_max);
        self.filled_at = self.filled_at.after(Duration::from_micros(passed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(micros: u64) -> Time {
        Time::ZERO.after(Duration::from_micros(micros))
    }

    fn policy(percent: u32, per_second: u32, burst_max: u32) -> Retry {
        Retry {
            percent,
            per_second,
            burst_max,
            ..Retry::default()
        }
    }

    #[test]
    fn five_requests_pay_for_one_and_so_does_a_third_of_a_second() {
        let mut budget = Budget::new(&policy(20, 3, 1));
        assert!(budget.spend(at(0)), "it is full at first");
        (0..4).for_each(|_| budget.earn());
        assert!(!budget.spend(at(0)));
        budget.earn();
        assert!(budget.spend(at(0)));
        assert!(!budget.spend(at(333_333)));
        assert!(budget.spend(at(333_334)));
    }

    #[test]
    fn of_no_share_and_no_time_there_is_only_what_was_saved_up() {
        let mut budget = Budget::new(&policy(0, 0, 2));
        (0..100).for_each(|_| budget.earn());
        let spent = (0..100).filter(|n| budget.spend(at(n * 1_000_000_000)));
        assert_eq!(spent.count(), 2);
    }

    #[derive(Clone, Debug)]
    enum Move {
        Earn(u8),
        Wait(u32),
        Spend(u8),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            any::<u8>().prop_map(Move::Earn),
            any::<u32>().prop_map(Move::Wait),
            any::<u8>().prop_map(Move::Spend),
        ];
        prop::collection::vec(one, 1..100)
    }

    proptest! {
        /// Over any stretch of time no more is spent than was saved up, earned and filled in it.
        #[test]
        fn it_is_never_overdrawn_and_never_above_its_bound(
            percent in 0u32..=100,
            per_second in 0u32..10_000,
            burst_max in 0u32..1_000,
            moves in moves(),
        ) {
            let mut budget = Budget::new(&policy(percent, per_second, burst_max));
            let (mut micros, mut earned, mut spent) = (0_u64, 0_u128, 0_u128);
            for step in moves {
                match step {
                    Move::Earn(n) => (0..n).for_each(|_| { budget.earn(); earned += u128::from(percent); }),
                    Move::Wait(n) => micros += u64::from(n),
                    Move::Spend(n) => for _ in 0..n {
                        let is_paid = budget.spend(at(micros));
                        spent += u128::from(is_paid);
                        if !is_paid {
                            prop_assert!(budget.parts < ONE);
                        }
                    },
                }
                prop_assert!(budget.parts <= budget.parts_max);
                let filled = u128::from(micros) * u128::from(per_second);
                let all = u128::from(burst_max) * u128::from(ONE) + earned * u128::from(ONE / 100) + filled;
                prop_assert!(spent * u128::from(ONE) <= all, "overdrawn");
            }
        }
    }
}
