//! The settings of looking up names.

use std::time::Duration;

use super::refuse;
use crate::error::Error;

/// Looking up names: the helper threads, and how long what they found holds. How long a lookup may take is
/// [`Timeouts::resolve`](super::Timeouts::resolve).
///
/// getaddrinfo(3) tells no time to live, so these are the client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookups {
    /// Threads that look names up at a time. Started when there is work for them. Default: 4.
    pub threads_max: usize,
    /// Threads that are stuck in a lookup past its deadline and have another in their place. getaddrinfo(3) cannot be
    /// cancelled; a thread that comes back after all is used again or ends. Default: 4.
    pub stuck_threads_max: usize,
    /// Of those, the ones that one name may have. With as many it is not looked up anew before one comes back: who asks
    /// waits for that, for as long as it may, and the other threads are left to other names. Default: 1.
    pub stuck_threads_per_name_max: usize,
    /// How long addresses are used before the name is looked up again; zero looks it up for every connect. When none
    /// of them could be connected to, it is only `negative_for`. Default: 30 s.
    pub fresh_for: Duration,
    /// How long a failed lookup answers for others; zero: not at all. Default: 2 s.
    pub negative_for: Duration,
    /// How long addresses beyond `fresh_for` are made do with, when a lookup fails or does not come back (RFC 8767);
    /// zero: not at all. Not used when the resolver says that the name does not exist. Default: 10 min.
    pub stale_for: Duration,
    /// How long the address that was connected to last is tried before the others of its name. Default: 10 min.
    pub winner_for: Duration,
    /// Addresses kept of one name, after those named twice are left out and families take turns; others are not tried.
    /// Default: 128.
    pub addresses_max: usize,
    /// Names remembered, beside those that are being looked up. Default: 1,024.
    pub names_max: usize,
}

impl Default for Lookups {
    fn default() -> Lookups {
        Lookups {
            threads_max: 4,
            stuck_threads_max: 4,
            stuck_threads_per_name_max: 1,
            fresh_for: Duration::from_secs(30),
            negative_for: Duration::from_secs(2),
            stale_for: Duration::from_secs(600),
            winner_for: Duration::from_secs(600),
            addresses_max: 128,
            names_max: 1_024,
        }
    }
}

impl Lookups {
    pub(super) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.threads_max == 0,
                "lookups.threads_max is 0; at least 1 thread is needed to look a name up",
            ),
            (
                self.addresses_max == 0,
                "lookups.addresses_max is 0; at least 1 address of a name is needed",
            ),
            (
                self.names_max > 1 << 20,
                "lookups.names_max is above 2^20; 1,024 is usual",
            ),
        ])
    }
}
