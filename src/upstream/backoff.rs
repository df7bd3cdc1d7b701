//! Pauses between attempts to connect: full jitter.
//!
//! The cap first, the draw last, the first pause included, so that a thousand clients that lost the same server do not
//! come back at the same moment. n is reset by stable uptime, not by a mere connect, or a server that accepts and dies
//! would be hammered. The figures are in [`Reconnect`].

use std::time::Duration;

use crate::config::Reconnect;
use crate::time::Time;

#[derive(Debug, Default)]
pub(super) struct Backoff {
    losses: u32,
}

impl Backoff {
    /// When to try again after a loss; `up_since` when the connection stood.
    pub(super) fn after_loss(
        &mut self,
        now: Time,
        up_since: Option<Time>,
        random: u64,
        rules: &Reconnect,
    ) -> Time {
        if up_since.is_some_and(|since| now.since(since) >= rules.stable_uptime) {
            self.losses = 0;
        }
        let doubled = 1u32.checked_shl(self.losses).unwrap_or(u32::MAX);
        let ceiling = rules
            .first_pause_max
            .saturating_mul(doubled)
            .min(rules.pause_max);
        self.losses = self.losses.saturating_add(1);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        now.after(Duration::from_nanos(
            ((u128::from(random) * u128::from(nanos)) >> 64) as u64,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(backoff: &mut Backoff, now: Time, up_since: Option<Time>, random: u64) -> Time {
        backoff.after_loss(now, up_since, random, &Reconnect::default())
    }

    #[test]
    fn delays_are_drawn_below_a_doubling_ceiling_that_is_capped() {
        let mut backoff = Backoff::default();
        for ceiling_ms in [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000,
        ] {
            let at = after(&mut backoff, Time::ZERO, None, u64::MAX);
            let ceiling = u64::from(ceiling_ms as u32) * 1_000_000;
            assert!(
                at.nanos() < ceiling && at.nanos() > ceiling - 1_000_000,
                "{at:?} of {ceiling_ms} ms"
            );
        }
        for _ in 0..100 {
            after(&mut backoff, Time::ZERO, None, 0);
        }
        assert_eq!(after(&mut backoff, Time::ZERO, None, 0), Time::ZERO);
    }

    #[test]
    fn only_stable_uptime_resets_the_ceiling() {
        let mut backoff = Backoff::default();
        let now = Time::ZERO.after(Duration::from_secs(100));
        after(&mut backoff, now, None, u64::MAX);
        let soon = now.after(Duration::from_secs(9));
        assert!(
            after(&mut backoff, soon, Some(now), u64::MAX).since(soon) > Duration::from_millis(150)
        );
        let late = now.after(Duration::from_secs(10));
        assert!(
            after(&mut backoff, late, Some(now), u64::MAX).since(late) < Duration::from_millis(100)
        );
    }
}
