//! How long the connections of an upstream are kept.

use std::time::Duration;

use super::{KEPT_MIN, refuse};
use crate::error::Error;

/// How long the connections of an upstream are kept between requests, and at all. How long one may be idle is
/// [`Timeouts::idle`](super::Timeouts::idle), unless its peer ends it sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Where peers end idle connections sooner than `timeouts.idle`, end them before the peers do: at 0.8 of the age at
    /// which those did. Warm connections too are made anew by then. Default: true.
    pub idle_learning: bool,
    /// No idle limit is learned below this. At least 1 ms. Default: 100 ms.
    pub idle_learned_min: Duration,
    /// A connection of this age takes no new request, finishes what it has, and is closed; another takes its place when
    /// one is needed. At least 1 ms; `Duration::MAX`: never. Default: 30 min.
    pub lifetime: Duration,
    /// Each lifetime is shorter by a random part of so many percent, so that connections that were made together do not
    /// end together. 0 to 100. Default: 10.
    pub lifetime_jitter_percent: u32,
    /// Of several targets ([`Upstream::and`](crate::Upstream::and)), one that fails so many times in a row is left alone
    /// for a while: connects that fail, and connections that are lost with requests. Zero: never. Default: 5.
    pub ejection_failures: u32,
    /// The longest the first such while may be; it doubles from one to the next, and is half of that at least.
    /// Default: 1 s.
    pub ejection_first_max: Duration,
    /// The longest any may be. Default: 30 s.
    pub ejection_max: Duration,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool {
            idle_learning: true,
            idle_learned_min: Duration::from_millis(100),
            lifetime: Duration::from_secs(1_800),
            lifetime_jitter_percent: 10,
            ejection_failures: 5,
            ejection_first_max: Duration::from_secs(1),
            ejection_max: Duration::from_secs(30),
        }
    }
}

impl Pool {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.idle_learned_min < KEPT_MIN,
                "pool.idle_learned_min is below 1 ms, as long as a connect may take; 100 ms is usual",
            ),
            (
                self.lifetime < KEPT_MIN,
                "pool.lifetime is below 1 ms, as long as a connect may take; 30 min is usual",
            ),
            (
                self.lifetime_jitter_percent > 100,
                "pool.lifetime_jitter_percent is above 100; 10 is usual",
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Timeouts;

    /// With 0 < lifetime < 1 ms connections were made and ended in each tick.
    #[test]
    fn connections_that_would_end_as_they_are_made_are_refused_by_name() {
        let short = KEPT_MIN - Duration::from_nanos(1);
        let pool = |lifetime, idle_learned_min| Pool {
            lifetime,
            idle_learned_min,
            ..Pool::default()
        };
        let timeouts = |idle| Timeouts {
            idle,
            ..Timeouts::default()
        };
        for (refused, what) in [
            (pool(short, KEPT_MIN).validate(), "pool.lifetime"),
            (pool(KEPT_MIN, short).validate(), "pool.idle_learned_min"),
            (timeouts(short).validate(), "timeouts.idle"),
        ] {
            let why = refused.unwrap_err().to_string();
            assert!(why.contains(what) && why.contains("below 1 ms"), "{why}");
            assert!(why.contains("is usual"), "what would be right: {why}");
        }
        assert_eq!(pool(KEPT_MIN, KEPT_MIN).validate(), Ok(()));
        assert_eq!(timeouts(KEPT_MIN).validate(), Ok(()));
    }
}
