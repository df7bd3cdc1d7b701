//! Why a kept connection is not there, and when another is tried for: after pauses with full jitter, as the library
//! has them for its upstreams, so that a server that comes back is not met by all who ping it at once.
//!
//! Never: a clock or a random number of its own; both come in.

use std::time::{Duration, Instant};

use taut::Reconnect;

use crate::report::Failure;

/// Since the last answer, connections were lost or not made.
#[derive(Clone, Debug)]
pub(super) struct Away {
    failures: u32,
    /// The end of the pause.
    pub(super) until: Instant,
    /// The last of them.
    pub(super) failure: Failure,
}

impl Away {
    /// One more; `before` are those since the last answer.
    pub(super) fn after(before: Option<Away>, now: Instant, failure: Failure, random: u64) -> Away {
        let failures = before.map_or(0, |before| before.failures);
        let doubled = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
        let rules = Reconnect::default();
        let ceiling = rules.first_pause_max.saturating_mul(doubled);
        let nanos = (u128::from(random) * ceiling.min(rules.pause_max).as_nanos()) >> 64;
        Away {
            failures: failures.saturating_add(1),
            until: now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            failure,
        }
    }
}
