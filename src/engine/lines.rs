//! What is written to the log: changes of state, each with its facts as fields, and not too often.
//!
//! Of an upstream and a kind of change at most one line is written in [`Config::log_pause`](crate::Config::log_pause);
//! those held back are counted, and told with the next. Where none comes, the last of them is written when the pause is
//! over, unless the state is another by then: what the log says last is so. Never: payload, a key, a line for each
//! request. What happens to a single connection is for the level of debug, where it happens.

use std::net::SocketAddr;
use std::time::Duration;

use super::core::{Core, TimerOwner};
use super::slot::Owner;
use super::tick_of;
use crate::error::{Class, Error, Phase, ResolveError, Source};
use crate::kernel::Kernel;
use crate::names::NameKey;
use crate::time::Time;
use crate::upstream::Change;
use crate::wheel::TimerKey;

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

/// A line, or what is needed to write it later.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// With the attempts at a connection that it took.
    Change { change: Change, attempts: u64 },
    /// A name was not found.
    Lookup { name: NameKey, why: ResolveError },
    /// This machine lacks something.
    Want { error: Error },
}

impl Line {
    fn kind(&self) -> Kind {
        match self {
            Line::Change { change, .. } => match change {
                Change::Up => Kind::Up,
                Change::Down { error, .. } => Kind::Down(error.class),
                Change::BreakerOpen { .. } | Change::BreakerClosed => Kind::Breaker,
            },
            Line::Lookup { .. } => Kind::Lookup,
            Line::Want { error } => Kind::Down(error.class),
        }
    }

    /// Whether this one, which is younger, leaves nothing to say for the other.
    fn replaces(&self, other: &Line) -> bool {
        let is_of_breaker = |line: &Line| matches!(line.kind(), Kind::Breaker);
        match (self, other) {
            (Line::Change { .. }, Line::Change { .. }) => {
                is_of_breaker(self) == is_of_breaker(other)
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// The lines of one upstream, and the facts that its next may tell; or those of the loop itself.
#[derive(Debug, Default)]
pub(super) struct Lines {
    gates: [Gate; KINDS],
    /// Lines that were held back and are still so.
    held: Vec<Line>,
    /// While any is held back: when the first is to be written.
    timer: Option<TimerKey>,
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

    /// Whether there is an entry in the wheel.
    #[cfg(test)]
    pub(super) fn is_filed(&self) -> bool {
        self.timer.is_some()
    }

    /// How many lines were held back before this one, where it may be written now.
    fn pass(&mut self, line: Line, now: Time, pause: Duration) -> Option<u64> {
        self.held.retain(|held| !line.replaces(held));
        let held_back = self.gates[line.kind().place()].pass(now, pause);
        if held_back.is_none() {
            self.held.push(line);
        }
        held_back
    }

    /// When a line that is held back is to be written.
    fn next_due(&self) -> Option<Time> {
        let due = |line: &Line| self.gates[line.kind().place()].shut_until;
        let next = self.held.iter().map(due).min();
        next.filter(|at| !at.is_never())
    }

    /// A line that need not be held back any more, and how many were before it.
    fn poll_due(&mut self, now: Time, pause: Duration) -> Option<(Line, u64)> {
        let is_due = |line: &Line| self.gates[line.kind().place()].shut_until <= now;
        let line = self.held.iter().position(is_due)?;
        let line = self.held.swap_remove(line);
        // It was counted itself.
        let held_back = self.gates[line.kind().place()].pass(now, pause)? - 1;
        Some((line, held_back))
    }
}

impl<K: Kernel> Core<K> {
    /// Writes down that an upstream's state has changed.
    pub(super) fn write_change(&mut self, service: u32, change: Change) {
        let lines = &mut self.service_lines[service as usize];
        let attempts = lines.attempts;
        if let Change::Up = change {
            lines.attempts = 0;
        }
        self.write_line(Some(service), Line::Change { change, attempts });
    }

    /// Writes down that a name was not found, for an upstream or a connection of the program's.
    pub(super) fn write_lookup(&mut self, owner: Owner, name: Option<NameKey>, why: ResolveError) {
        let service = match owner {
            Owner::Service { service, .. } | Owner::Parted { service } => Some(service),
            Owner::Program => None,
        };
        if let Some(name) = name {
            self.write_line(service, Line::Lookup { name, why });
        }
    }

    /// Writes down that this machine lacks something, such as descriptors.
    pub(super) fn write_want(&mut self, error: &Error) {
        if error.class == Class::Resource {
            self.write_line(None, Line::Want { error: *error });
        }
    }

    /// The pause after a line is over: writes what was held back, and is still so.
    pub(super) fn expire_lines(&mut self, service: Option<u32>) {
        let (now, pause) = (self.now, self.config.log_pause);
        while let Some((line, held_back)) = self.lines_of(service).poll_due(now, pause) {
            self.write_now(service, line, held_back);
        }
        self.file_lines(service);
    }

    /// Writes a line, of an upstream or of the loop itself, or holds it back.
    fn write_line(&mut self, service: Option<u32>, line: Line) {
        let (now, pause) = (self.now, self.config.log_pause);
        if let Some(held_back) = self.lines_of(service).pass(line, now, pause) {
            self.write_now(service, line, held_back);
        }
        self.file_lines(service);
    }

    fn lines_of(&mut self, service: Option<u32>) -> &mut Lines {
        match service {
            Some(service) => &mut self.service_lines[service as usize],
            None => &mut self.lines,
        }
    }

    /// There is an entry in the wheel only while a line is held back.
    fn file_lines(&mut self, service: Option<u32>) {
        let now = self.now;
        let lines = self.lines_of(service);
        let (due, timer) = (lines.next_due(), lines.timer);
        let timer = match (due, timer) {
            (None, None) => return,
            (None, Some(timer)) => {
                self.wheel.remove(timer);
                None
            }
            (Some(due), timer) => {
                let insert = || self.wheel.insert(TimerOwner::Lines(service));
                let timer = timer.unwrap_or_else(insert);
                self.wheel.schedule(timer, tick_of(due, now));
                Some(timer)
            }
        };
        self.lines_of(service).timer = timer;
    }

    fn write_now(&self, service: Option<u32>, line: Line, held_back: u64) {
        match (line, service) {
            (Line::Change { change, attempts }, Some(service)) => {
                self.write_change_now(service, change, attempts, held_back);
            }
            (Line::Change { .. }, None) => debug_assert!(false, "the loop has no such state"),
            (Line::Lookup { name, why }, _) => {
                // It may be forgotten by now.
                let Some(target) = self.names.target(name) else {
                    return;
                };
                let error = Source::Resolve(why);
                log::warn!(
                    target, errno = errno(&Error::new(Phase::Resolve, error)), held_back;
                    "the name of {target} was not looked up: {error}"
                );
            }
            (Line::Want { error }, _) => log::warn!(
                errno = errno(&error), phase = error.phase.name(), held_back;
                "this machine lacks what a connection needs: {error}"
            ),
        }
    }

    fn write_change_now(&self, service: u32, change: Change, attempts: u64, held_back: u64) {
        let lines = &self.service_lines[service as usize];
        let target = self.services[service as usize].target();
        match change {
            Change::Up => {
                let (peer, took) = (lines.peer, lines.took);
                let addr = peer.map(|peer| peer.to_string()).unwrap_or_default();
                log::info!(
                    upstream = service, target, addr = addr.as_str(), attempt = attempts + 1,
                    latency_us = micros(took), held_back;
                    "the upstream {target} is up, at {addr}, in {took:?}"
                );
            }
            Change::Down { error, .. } => {
                // By now it may have been tried again, more than once.
                let retry_at = self.services[service as usize].retry_at();
                let Lines {
                    attempts,
                    written,
                    received,
                    ..
                } = *lines;
                let retry_in = retry_at.since(self.now);
                log::warn!(
                    upstream = service, target, attempt = attempts, errno = errno(&error), class = error.class.name(),
                    phase = error.phase.name(), retry_in_us = micros(retry_in), written, received, held_back;
                    "the upstream {target} is down: {error}; to be tried again in {retry_in:?}"
                );
            }
            Change::BreakerOpen { until } => {
                let retry_in = until.since(self.now);
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
}

fn errno(error: &Error) -> i32 {
    error.errno().unwrap_or(0)
}

/// A duration as fields of a line have it.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
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
    #[test]
    fn what_is_held_back_is_due_when_the_pause_is_over_unless_the_state_is_another_by_then() {
        let mut lines = Lines::default();
        let pause = Duration::from_secs(5);
        let at = |secs| Time::ZERO.after(Duration::from_secs(secs));
        let line = |change| Line::Change {
            change,
            attempts: 0,
        };
        let (up, closed) = (line(Change::Up), line(Change::BreakerClosed));
        let down = line(Change::Down {
            error: Error::new(Phase::Connect, Source::Eof),
            retry_at: Time::ZERO,
        });
        assert_eq!(lines.pass(up, at(1), pause), Some(0));
        assert_eq!(lines.pass(down, at(2), pause), Some(0));
        assert_eq!(lines.next_due(), None);
        assert_eq!(lines.pass(up, at(3), pause), None);
        assert_eq!(lines.next_due(), Some(at(6)));
        assert_eq!(lines.pass(down, at(4), pause), None);
        assert_eq!(lines.next_due(), Some(at(7)));
        assert_eq!(lines.pass(closed, at(5), pause), Some(0));
        assert!(lines.poll_due(at(6), pause).is_none());
        let (told, held_back) = lines.poll_due(at(7), pause).unwrap();
        assert!(matches!(told.kind(), Kind::Down(_)));
        assert_eq!((held_back, lines.next_due()), (0, None));
        assert_eq!(
            lines.pass(down, at(8), pause),
            None,
            "the pause begins anew"
        );
        assert_eq!(lines.pass(up, at(9), pause), Some(1), "it was not told");
        assert_eq!(lines.next_due(), None);
    }
}
