//! What happened so far, counted where it happens, and what there is now, looked up when somebody asks.
//!
//! One increment each, always on: nothing here allocates, locks or reads a clock while the loop works.

use super::Engine;
use super::core::Core;
use crate::error::{Error, Source};
use crate::kernel::Kernel;
use crate::stats::{Breakers, Failures, Gauge, Stats};
use crate::upstream::BreakerState;

#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: u64,
    refusals: u64,
    pub(super) replies: u64,
    pub(super) connects: u64,
    pub(super) bytes_written: u64,
    pub(super) bytes_received: u64,
    cancelled: u64,
    failures: Failures,
    connect_failures: Failures,
    losses: Failures,
}

impl Counts {
    /// A request was made, or refused.
    pub(super) fn asked(&mut self, is_made: bool) {
        match is_made {
            true => self.requests += 1,
            false => self.refusals += 1,
        }
    }

    /// A request has failed.
    pub(super) fn failed(&mut self, error: &Error) {
        self.cancelled += u64::from(error.source == Source::Cancelled);
        self.failures.add(error);
    }

    /// A connection has ended, or was never made.
    pub(super) fn ended(&mut self, error: &Error) {
        match error.phase.is_before_it_stands() {
            true => self.connect_failures.add(error),
            false => self.losses.add(error),
        }
    }
}

impl<K: Kernel> Engine<K> {
    /// Figures so far, and gauges as they are now. Looks at each upstream.
    pub(crate) fn stats(&self) -> Stats {
        let stats = self.core.stats();
        let (receiving, sending) = (&self.inbox.pool, &self.core.send_pool);
        let pooled_bytes = Gauge {
            now: receiving.free_bytes() + sending.free_bytes(),
            max: 2 * self.core.config.limits.pool_bytes_max,
        };
        Stats {
            pooled_bytes,
            ..stats
        }
    }
}

impl<K: Kernel> Core<K> {
    fn stats(&self) -> Stats {
        let (counts, limits) = (&self.counts, &self.config.limits);
        let upto = |now, max| Gauge { now, max };
        let (mut in_flight, mut waiting) = (Gauge::default(), Gauge::default());
        let mut breakers = Breakers::default();
        let mut retries = 0;
        for service in &self.services {
            let stats = service.stats();
            retries += stats.retries;
            in_flight.now += stats.in_flight;
            in_flight.max += service.in_flight_max();
            match stats.breaker {
                BreakerState::Closed => breakers.closed += 1,
                BreakerState::Open => breakers.open += 1,
                BreakerState::HalfOpen => breakers.half_open += 1,
            }
            waiting.now += stats.waiting;
            waiting.max += limits.waiting_requests_max;
        }
        let submissions = self.remote.mailbox.len();
        Stats {
            requests: counts.requests,
            replies: counts.replies,
            failures: counts.failures,
            cancelled: counts.cancelled,
            refusals: counts.refusals,
            retries,
            connects: counts.connects,
            connect_failures: counts.connect_failures,
            losses: counts.losses,
            bytes_written: counts.bytes_written,
            bytes_received: counts.bytes_received,
            breakers,
            connections: upto(self.slots.len(), limits.connections_max),
            connecting: upto(self.connecting, limits.connecting_max),
            in_flight,
            waiting,
            events: upto(self.events.len(), limits.events_max),
            submissions: upto(submissions, limits.submissions_max),
            pooled_bytes: Gauge::default(),
        }
    }
}
