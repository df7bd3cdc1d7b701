//! Pauses between attempts to connect: full jitter.
//!
//! delay = U(0, min(10 s, 100 ms · 2ⁿ)): the cap first, the draw last, the first delay included, so that a thousand
//! clients that lost the same server do not come back at the same moment. n is reset by stable uptime, not by a mere
//! connect, or a server that accepts and dies would be hammered.

use std::time::Duration;

use crate::time::Time;

const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(10);
const STABLE_UPTIME: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    losses: u32,
}

impl Backoff {
    /// When to try again after a loss; `up_since` when the connection stood.
    pub(super) fn after_loss(&mut self, now: Time, up_since: Option<Time>, random: u64) -> Time {
        if up_since.is_some_and(|since| now.since(since) >= STABLE_UPTIME) {
            self.losses = 0;
        }
        let ceiling = BASE
            .saturating_mul(1u32.checked_shl(self.losses).unwrap_or(u32::MAX))
            .min(CAP);
        self.losses = self.losses.saturating_add(1);
        let nanos = (u128::from(random) * ceiling.as_nanos()) >> 64;
        now.after(Duration::from_nanos(nanos as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_drawn_below_a_doubling_ceiling_that_is_capped() {
        let mut backoff = Backoff::default();
        for ceiling_ms in [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000,
        ] {
            let at = backoff.after_loss(Time::ZERO, None, u64::MAX);
            let ceiling = u64::from(ceiling_ms as u32) * 1_000_000;
            assert!(
                at.nanos() < ceiling && at.nanos() > ceiling - 1_000_000,
                "{at:?} of {ceiling_ms} ms"
            );
        }
        for _ in 0..100 {
            backoff.after_loss(Time::ZERO, None, 0);
        }
        assert_eq!(backoff.after_loss(Time::ZERO, None, 0), Time::ZERO);
    }

    #[test]
    fn only_stable_uptime_resets_the_ceiling() {
        let mut backoff = Backoff::default();
        let now = Time::ZERO.after(Duration::from_secs(100));
        backoff.after_loss(now, None, u64::MAX);
        let soon = now.after(Duration::from_secs(9));
        assert!(
            backoff.after_loss(soon, Some(now), u64::MAX).since(soon) > Duration::from_millis(150)
        );
        let late = now.after(Duration::from_secs(10));
        assert!(
            backoff.after_loss(late, Some(now), u64::MAX).since(late) < Duration::from_millis(100)
        );
    }
}
