//! Pauses between attempts to connect: full jitter.
//!
//! The cap first, the draw last, the first pause included, so that a thousand clients that lost the same server do not
//! come back at the same moment. n is reset by stable uptime, not by a mere connect, or a server that accepts and dies
//! would be hammered. The figures are in [`Reconnect`].
//!
//! Attempts that fail while another connection stands are a row of their own, which the next success ends: a server that
//! refuses one in three is there, and would be left alone for ten seconds at a time.

use std::time::Duration;

use crate::config::Reconnect;
use crate::error::Class;
use crate::time::Time;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// An attempt, while another connection stands.
    Some,
    /// A connection that stood, or an attempt while none does.
    All,
}

#[derive(Debug)]
pub(crate) struct Backoff {
    /// Failures since the last stable uptime, but for those of some.
    failures: u32,
    /// Failures of some since the last success.
    misses: u32,
    /// Since when a connection has stood and nothing but some has failed.
    fine_since: Option<Time>,
    /// The end of the pause.
    until: Time,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff {
            failures: 0,
            misses: 0,
            fine_since: None,
            until: Time::ZERO,
        }
    }

    /// A connection stands.
    pub(crate) fn handle_connected(&mut self, now: Time) {
        self.misses = 0;
        self.fine_since.get_or_insert(now);
    }

    /// A failure that counts; others stand still, or none.
    pub(crate) fn count(
        &mut self,
        now: Time,
        class: Class,
        failing: Failing,
        stands: bool,
        rules: &Reconnect,
    ) {
        // What this machine lacks says nothing of the server.
        if class == Class::Resource {
            return;
        }
        if failing == Failing::Some {
            self.misses = self.misses.saturating_add(1);
            return;
        }
        let is_stable = |since| now.since(since) >= rules.stable_uptime;
        if self.fine_since.is_some_and(is_stable) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.fine_since = stands.then_some(now);
    }

    /// Draws the pause after a failure.
    pub(crate) fn pause(
        &mut self,
        now: Time,
        class: Class,
        failing: Failing,
        random: u64,
        rules: &Reconnect,
    ) {
        let in_a_row = match failing {
            Failing::Some => self.misses,
            Failing::All => self.failures,
        };
        let ceiling = match class {
            Class::Resource => rules.first_pause_max,
            Class::Persistent => rules.pause_max,
            _ => {
                let doublings = in_a_row.saturating_sub(1);
                let doubled = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
                rules.first_pause_max.saturating_mul(doubled)
            }
        };
        self.until = now.after(part_of(ceiling.min(rules.pause_max), random));
    }

    pub(crate) fn forget_pause(&mut self) {
        self.until = Time::ZERO;
    }

    /// When the pause is over.
    pub(crate) fn until(&self) -> Time {
        self.until
    }
}

/// A random part of a duration: less than all of it.
pub(super) fn part_of(whole: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(random) * u128::from(nanos)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failure of this class, and how long the pause after it is.
    fn pause(backoff: &mut Backoff, now: Time, class: Class, random: u64) -> Duration {
        let rules = Reconnect::default();
        backoff.count(now, class, Failing::All, false, &rules);
        backoff.pause(now, class, Failing::All, random, &rules);
        backoff.until().since(now)
    }

    fn is_just_below(pause: Duration, ceiling_ms: u64) -> bool {
        let ceiling = Duration::from_millis(ceiling_ms);
        pause < ceiling && pause > ceiling - Duration::from_millis(1)
    }

    #[test]
    fn pauses_are_drawn_below_a_doubling_ceiling_that_is_capped() {
        let mut backoff = Backoff::new();
        for ceiling_ms in [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000,
        ] {
            let drawn = pause(&mut backoff, Time::ZERO, Class::Transient, u64::MAX);
            assert!(
                is_just_below(drawn, ceiling_ms),
                "{drawn:?} of {ceiling_ms} ms"
            );
        }
        for _ in 0..100 {
            pause(&mut backoff, Time::ZERO, Class::Transient, 0);
        }
        let none = pause(&mut backoff, Time::ZERO, Class::Transient, 0);
        assert_eq!(none, Duration::ZERO);
    }

    #[test]
    fn only_stable_uptime_resets_the_ceiling() {
        let mut backoff = Backoff::new();
        let now = Time::ZERO.after(Duration::from_secs(100));
        pause(&mut backoff, now, Class::Transient, 0);
        backoff.handle_connected(now);
        let soon = now.after(Duration::from_secs(9));
        let drawn = pause(&mut backoff, soon, Class::Transient, u64::MAX);
        assert!(is_just_below(drawn, 200), "{drawn:?}");
        backoff.handle_connected(soon);
        backoff.handle_connected(soon.after(Duration::from_secs(9)));
        let late = soon.after(Duration::from_secs(10));
        let drawn = pause(&mut backoff, late, Class::Transient, u64::MAX);
        assert!(is_just_below(drawn, 100), "{drawn:?}");
        // Time in which nothing stood is not uptime.
        let later = late.after(Duration::from_secs(100));
        let drawn = pause(&mut backoff, later, Class::Transient, u64::MAX);
        assert!(is_just_below(drawn, 200), "{drawn:?}");
    }

    #[test]
    fn attempts_that_fail_while_others_stand_are_a_row_that_one_success_ends() {
        let rules = Reconnect::default();
        let (mut backoff, mut now) = (Backoff::new(), Time::ZERO);
        for _ in 0..5 {
            pause(&mut backoff, now, Class::Transient, 0);
        }
        backoff.handle_connected(now);
        let miss = |backoff: &mut Backoff, now: Time| {
            backoff.count(now, Class::Transient, Failing::Some, true, &rules);
            backoff.pause(now, Class::Transient, Failing::Some, u64::MAX, &rules);
            backoff.until().since(now)
        };
        for ceiling_ms in [100, 200, 400, 100, 200, 400] {
            let drawn = miss(&mut backoff, now);
            assert!(is_just_below(drawn, ceiling_ms), "{drawn:?}");
            if ceiling_ms == 400 {
                backoff.handle_connected(now);
            }
        }
        let drawn = pause(&mut backoff, now, Class::Transient, u64::MAX);
        assert!(is_just_below(drawn, 3_200), "the sixth: {drawn:?}");
        // Nor do they disturb the uptime of those that stand.
        backoff.handle_connected(now);
        now = now.after(Duration::from_secs(9));
        miss(&mut backoff, now);
        now = now.after(Duration::from_secs(1));
        let drawn = pause(&mut backoff, now, Class::Transient, u64::MAX);
        assert!(is_just_below(drawn, 100), "{drawn:?}");
    }

    #[test]
    fn what_stays_so_is_tried_at_the_caps_pace_and_what_this_machine_lacks_soon() {
        let mut backoff = Backoff::new();
        let drawn = pause(&mut backoff, Time::ZERO, Class::Persistent, u64::MAX);
        assert!(is_just_below(drawn, 10_000), "{drawn:?}");
        for _ in 0..20 {
            let drawn = pause(&mut backoff, Time::ZERO, Class::Resource, u64::MAX);
            assert!(is_just_below(drawn, 100), "{drawn:?}");
        }
        let drawn = pause(&mut backoff, Time::ZERO, Class::Transient, u64::MAX);
        assert!(is_just_below(drawn, 200), "{drawn:?}");
    }
}
