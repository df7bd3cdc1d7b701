//! How often requests may be made.

use super::refuse;
use crate::error::Error;

/// A bound on requests: so many a second, evenly, and so many at once after a while of fewer (a token bucket).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1. Counted in whole nanoseconds from one to the next, rounded up.
    pub requests_per_second: u32,
    /// At least 1: no burst.
    pub burst: u32,
}

impl Rate {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.requests_per_second == 0,
                "a rate of 0 a second; nothing would ever be let through",
            ),
            (
                self.burst == 0,
                "a rate with a burst of 0; nothing would ever be let through",
            ),
        ])
    }
}
