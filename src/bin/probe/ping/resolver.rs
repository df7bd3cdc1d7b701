//! A resolver that remembers how long the system's took: the library looks names up within connect, and a report tells
//! them apart.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use taut::{Resolve, ResolveError, SystemResolver};

use crate::target::Target;

/// When a lookup ended, and how long it took.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    ended: Instant,
    took: Duration,
}

#[derive(Debug, Default)]
pub(super) struct TimedResolver {
    lookups: Mutex<HashMap<(String, u16), Lookup>>,
}

impl TimedResolver {
    /// How long the lookup of this name took since then: nothing for an address, `None` when none has ended.
    pub(super) fn took(&self, target: &Target, since: Instant) -> Option<Duration> {
        if target.host().parse::<IpAddr>().is_ok() {
            return Some(Duration::ZERO);
        }
        let lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        let lookup = lookups.get(&(target.host().to_owned(), target.port()))?;
        (lookup.ended >= since).then_some(lookup.took)
    }
}

impl Resolve for TimedResolver {
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let started = Instant::now();
        let outcome = SystemResolver.resolve(host, port);
        let ended = Instant::now();
        let lookup = Lookup {
            ended,
            took: ended - started,
        };
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.insert((host.to_owned(), port), lookup);
        outcome
    }
}
