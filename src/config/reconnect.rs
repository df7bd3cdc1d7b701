//! How lost connections of an upstream are made again, and how many are made at a time.

use std::time::Duration;

use super::refuse;
use crate::error::Error;

/// How the connections of an upstream are made again, so that neither one client nor ten thousand come back at once.
///
/// While none stands, one attempt is made at a time, after pauses with full jitter: the nth pause since the last stable
/// uptime is a random part of `min(pause_max, first_pause_max · 2ⁿ)`. When one succeeds, the others that are wanted
/// follow spread in time: 1, 2, 4 and so on in each `release_step`, up to `release_max`, each at a random moment of its
/// part of the step. Connections that requests ask for while others stand are at most as many at a time as stand.
/// Attempts that fail while another connection stands are counted apart, from the last that succeeded.
///
/// What cannot get better soon (a name that does not exist, EACCES) is tried again after pauses of up to `pause_max`;
/// what this machine lacks (EMFILE, a free port), after up to `first_pause_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The longest the first pause may be. Default: 100 ms.
    pub first_pause_max: Duration,
    /// The longest any pause may be. Default: 10 s.
    pub pause_max: Duration,
    /// An upstream on which nothing failed for so long was a good one: pauses begin anew. Default: 10 s.
    pub stable_uptime: Duration,
    /// After an outage connections are made in steps of so long. Zero: without steps. Default: 100 ms.
    pub release_step: Duration,
    /// Connections made in one of these steps: 1 in the first, then twice as many in each, up to this. At least 1.
    /// Default: 8.
    pub release_max: u32,
    /// Connections that may be made at a time when requests ask for them, though fewer stand. At least 1. Default: 4.
    pub growth_min: usize,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            first_pause_max: Duration::from_millis(100),
            pause_max: Duration::from_secs(10),
            stable_uptime: Duration::from_secs(10),
            release_step: Duration::from_millis(100),
            release_max: 8,
            growth_min: 4,
        }
    }
}

impl Reconnect {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.release_max == 0,
                "reconnect.release_max is 0; at least 1 connection a step is made after an outage, 8 is usual",
            ),
            (
                self.growth_min == 0,
                "reconnect.growth_min is 0; the first connection could never be made, 4 is usual",
            ),
        ])
    }
}
