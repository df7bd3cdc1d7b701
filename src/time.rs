//! Instants and ticks of one engine.
//!
//! A [`Time`] is nanoseconds since its engine started: a plain number, so that the pure rooms can reason about time
//! without owning a clock. The only clock is in `net`. [`Time::NEVER`] is later than every other time, and all
//! arithmetic saturates there, so that no timeout, however long, wraps into the past.

use std::time::Duration;

/// Nanoseconds in one tick of the timer wheel, as a power of two: 2^16 ns = 65.536 µs.
const TICK_SHIFT: u32 = 16;

/// An instant: nanoseconds since the engine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Time(u64);

impl Time {
    /// The engine's start.
    pub(crate) const ZERO: Time = Time(0);
    /// Later than every deadline.
    pub(crate) const NEVER: Time = Time(u64::MAX);

    #[cfg(any(test, fuzzing))]
    pub(crate) const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    #[cfg(test)]
    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }

    pub(crate) fn is_never(self) -> bool {
        self == Time::NEVER
    }

    /// The instant `duration` later; [`Time::NEVER`] where that cannot be told.
    pub(crate) fn after(self, duration: Duration) -> Time {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub(crate) fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The last tick that has wholly begun by now: round *now* down.
    pub(crate) fn tick_floor(self) -> u64 {
        self.0 >> TICK_SHIFT
    }

    /// The first tick not before this instant: round a *deadline* up, so that it never fires early.
    pub(crate) fn tick_ceil(self) -> u64 {
        (self.0 >> TICK_SHIFT) + u64::from(self.0 & ((1 << TICK_SHIFT) - 1) != 0)
    }

    /// The instant at which a tick begins.
    pub(crate) fn from_tick(tick: u64) -> Time {
        Time(
            tick.checked_shl(TICK_SHIFT)
                .filter(|nanos| nanos >> TICK_SHIFT == tick)
                .unwrap_or(u64::MAX),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_rounds_up_and_now_rounds_down() {
        let deadline = Time::from_nanos(65_537);
        assert_eq!(deadline.tick_ceil(), 2);
        assert_eq!(deadline.tick_floor(), 1);
        assert_eq!(Time::from_tick(2).nanos(), 131_072);
        assert!(Time::from_tick(deadline.tick_ceil()) >= deadline);
        assert!(Time::from_tick(deadline.tick_ceil()).since(deadline) < Duration::from_micros(66));
    }

    #[test]
    fn time_saturates_at_never() {
        assert!(Time::from_nanos(5).after(Duration::MAX).is_never());
        assert!(Time::from_tick(u64::MAX).is_never());
        assert_eq!(Time::ZERO.since(Time::NEVER), Duration::ZERO);
        assert_eq!(Time::NEVER.tick_ceil(), (u64::MAX >> 16) + 1);
    }
}
