//! A bound on how often something may happen: a token bucket, kept as the time at which it would be full again (GCRA,
//! the generic cell rate algorithm of ATM's traffic control).
//!
//! What must always hold: in any span of time no more is let through than the burst and what the span is worth.

use std::time::Duration;

use crate::time::Time;

#[derive(Debug)]
pub(crate) struct Bucket {
    /// What one costs.
    interval: Duration,
    /// What may be owed at a time: one less than the burst.
    owed_max: Duration,
    /// When all that was let through is paid for.
    paid_at: Time,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32) -> Bucket {
        // Whole nanoseconds, rounded up: never more than the rate.
        let nanos = 1_000_000_000u64.div_ceil(u64::from(per_second.max(1)));
        let interval = Duration::from_nanos(nanos);
        Bucket {
            interval,
            owed_max: interval.saturating_mul(burst.max(1) - 1),
            paid_at: Time::ZERO,
        }
    }

    /// When the next may be let through: not after `now`, if it may be now.
    pub(crate) fn next(&self) -> Time {
        let owed_max = self.owed_max;
        Time::ZERO.after(self.paid_at.since(Time::ZERO.after(owed_max)))
    }

    /// One is let through now.
    pub(crate) fn take(&mut self, now: Time) {
        self.paid_at = self.paid_at.max(now).after(self.interval);
    }

    /// It was not made after all.
    pub(crate) fn give_back(&mut self) {
        self.paid_at = Time::ZERO.after(self.paid_at.since(Time::ZERO.after(self.interval)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_at_once_and_then_one_an_interval() {
        let mut bucket = Bucket::new(10, 3);
        let start = Time::ZERO.after(Duration::from_secs(7));
        for _ in 0..3 {
            assert!(bucket.next() <= start);
            bucket.take(start);
        }
        let next = start.after(Duration::from_millis(100));
        assert_eq!(bucket.next(), next);
        bucket.take(next);
        assert_eq!(bucket.next(), next.after(Duration::from_millis(100)));
        bucket.give_back();
        assert_eq!(bucket.next(), next);
    }

    proptest! {
        /// Of any two moments: what was let through between them is no more than the burst and what the time is worth;
        /// and whoever comes when told is let through.
        #[test]
        fn no_span_of_time_sees_more_than_its_worth(
            per_second in 1u32..2_000_000_000,
            burst in 1u32..20,
            pauses in prop::collection::vec(prop_oneof![0u64..10, 0u64..3_000_000_000], 1..100),
        ) {
            let mut bucket = Bucket::new(per_second, burst);
            let (mut now, mut passed) = (Time::ZERO, Vec::new());
            for (turn, pause) in pauses.into_iter().enumerate() {
                now = now.after(Duration::from_nanos(pause));
                if turn % 3 == 0 {
                    now = now.max(bucket.next());
                }
                if bucket.next() <= now {
                    bucket.take(now);
                    passed.push(now);
                }
                prop_assert!(turn % 3 != 0 || passed.last() == Some(&now));
            }
            for (i, from) in passed.iter().enumerate() {
                for (n, until) in passed[i..].iter().enumerate() {
                    let worth = until.since(*from).as_nanos() * u128::from(per_second) / 1_000_000_000;
                    prop_assert!((n as u128) < worth + u128::from(burst));
                }
            }
        }
    }
}
