//! What is written to the log: changes of state, each with its facts as fields, and not too often.
//!
//! Of an upstream and a kind of change at most one line is written in [`Config::log_pause`](crate::Config::log_pause);
//! those held back are counted, and told with the next. Never: payload, a key, a line for each request. What happens to
//! a single connection is for the level of debug, where it happens.

use std::net::SocketAddr;
use std::time::Duration;

use super::core::Core;
use super::slot::Owner;
use crate::error::{Class, Error, Phase, ResolveError, Source};
use crate::kernel::Kernel;
use crate::names::NameKey;
use crate::time::Time;
use crate::upstream::Change;

/// Lets one line through in so long.
#[derive(Clone, Copy, Debug)]
struct Gate {
    shut_until: Time,
    held_back: u64,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            shut_until: Time::ZERO,
            held_back: 0,
        }
    }
}

impl Gate {
    /// Whether a line may be written now, and how many were held back before it.
    fn pass(&mut self, now: Time, pause: Duration) -> Option<u64> {
        if now < self.shut_until {
            self.held_back += 1;
            return None;
        }
        self.shut_until = now.after(pause);
        Some(std::mem::take(&mut self.held_back))
    }
}

/// What a line is of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Up,
    Breaker,
    Lookup,
    Down(Class),
}

const KINDS: usize = 8;

impl Kind {
    fn place(self) -> usize {
        match self {
            Kind::Up => 0,
            Kind::Breaker => 1,
            Kind::Lookup => 2,
            Kind::Down(Class::Transient) => 3,
            Kind::Down(Class::Persistent) => 4,
            Kind::Down(Class::Protocol) => 5,
            Kind::Down(Class::Resource) => 6,
            Kind::Down(Class::Local) => 7,
        }
    }
}

/// The lines of one upstream, and the facts that its next may tell; or those of the loop itself.
#[derive(Debug, Default)]
pub(super) struct Lines {
    gates: [Gate; KINDS],
    /// Attempts at a connection that failed since the last that stood.
    attempts: u64,
    /// Of the last connection that stood: its peer, how long it took to make, and once it has ended, its bytes.
    peer: Option<SocketAddr>,
    took: Duration,
    written: u64,
    received: u64,
}

impl Lines {
    /// A connection stands.
    pub(super) fn handle_connected(&mut self, peer: SocketAddr, took: Duration) {
        (self.peer, self.took) = (Some(peer), took);
    }

    /// A connection has ended that stood, or was never made.
    pub(super) fn handle_ended(&mut self, stood: bool, written: u64, received: u64) {
        match stood {
            true => (self.written, self.received) = (written, received),
            false => self.attempts += 1,
        }
    }

    fn pass(&mut self, kind: Kind, now: Time, pause: Duration) -> Option<u64> {
        self.gates[kind.place()].pass(now, pause)
    }
}

impl<K: Kernel> Core<K> {
    /// Writes down that an upstream's state has changed.
    pub(super) fn write_change(&mut self, service: u32, change: Change) {
        let (now, pause) = (self.now, self.config.log_pause);
        let lines = &mut self.service_lines[service as usize];
        let kind = match change {
            Change::Up => Kind::Up,
            Change::Down { error, .. } => Kind::Down(error.class),
            Change::BreakerOpen { .. } | Change::BreakerClosed => Kind::Breaker,
        };
        let attempt = lines.attempts + 1;
        if let Change::Up = change {
            lines.attempts = 0;
        }
        let Some(held_back) = lines.pass(kind, now, pause) else {
            return;
        };
        let target = self.services[service as usize].target();
        match change {
            Change::Up => {
                let (peer, took) = (lines.peer, lines.took);
                let addr = peer.map(|peer| peer.to_string()).unwrap_or_default();
                log::info!(
                    upstream = service, target, addr = addr.as_str(), attempt, latency_us = micros(took), held_back;
                    "the upstream {target} is up, at {addr}, in {took:?}"
                );
            }
            Change::Down { error, retry_at } => {
                let Lines {
                    written, received, ..
                } = *lines;
                let retry_in = retry_at.since(now);
                log::warn!(
                    upstream = service, target, attempt = attempt - 1, errno = errno(&error), class = error.class.name(),
                    phase = error.phase.name(), retry_in_us = micros(retry_in), written, received, held_back;
                    "the upstream {target} is down: {error}; to be tried again in {retry_in:?}"
                );
            }
            Change::BreakerOpen { until } => {
                let retry_in = until.since(now);
                log::warn!(
                    upstream = service, target, retry_in_us = micros(retry_in), held_back;
                    "the breaker of the upstream {target} is open; a trial in {retry_in:?}"
                );
            }
            Change::BreakerClosed => log::info!(
                upstream = service, target, held_back;
                "the breaker of the upstream {target} is closed"
            ),
        }
    }

    /// Writes down that a name was not found, for an upstream or a connection of the program's.
    pub(super) fn write_lookup(&mut self, owner: Owner, name: Option<NameKey>, why: ResolveError) {
        let target = name.and_then(|name| self.names.target(name));
        let lines = match owner {
            Owner::Service { service, .. } | Owner::Parted { service } => {
                &mut self.service_lines[service as usize]
            }
            Owner::Program => &mut self.lines,
        };
        let passed = lines.pass(Kind::Lookup, self.now, self.config.log_pause);
        let (Some(target), Some(held_back)) = (target, passed) else {
            return;
        };
        let error = Source::Resolve(why);
        log::warn!(
            target, errno = errno(&Error::new(Phase::Resolve, error)), held_back;
            "the name of {target} was not looked up: {error}"
        );
    }

    /// Writes down that this machine lacks something, such as descriptors.
    pub(super) fn write_want(&mut self, error: &Error) {
        if error.class != Class::Resource {
            return;
        }
        let pause = self.config.log_pause;
        if let Some(held_back) = self.lines.pass(Kind::Down(error.class), self.now, pause) {
            log::warn!(
                errno = errno(error), phase = error.phase.name(), held_back;
                "this machine lacks what a connection needs: {error}"
            );
        }
    }
}

fn errno(error: &Error) -> i32 {
    error.errno().unwrap_or(0)
}

/// A duration as fields of a line have it.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_goes_through_in_a_pause_and_the_next_says_how_many_did_not() {
        let mut gate = Gate::default();
        let pause = Duration::from_secs(5);
        let at = |secs| Time::ZERO.after(Duration::from_secs(secs));
        assert_eq!(gate.pass(at(1), pause), Some(0));
        for secs in [1, 2, 5] {
            assert_eq!(gate.pass(at(secs), pause), None);
        }
        assert_eq!(gate.pass(at(6), pause), Some(3));
        assert_eq!(gate.pass(at(60), pause), Some(0));
    }
}
