//! What a client says of itself in figures: what came of requests and connections so far, and how full each bound is.
//!
//! Plain copies, made when they are asked for; counting them costs an increment where the thing happens. Never: a clock,
//! a name, a lock. Always: what was made has been replied to, has failed, was cancelled, or is in flight or waiting.

use std::fmt;
use std::time::Instant;

use crate::error::{Class, Error, Phase, Sent};

/// Figures of a whole client; see [`Client::stats`](crate::Client::stats). Those of one upstream are
/// [`UpstreamStats`](crate::UpstreamStats).
///
/// ```
/// let client = taut::Client::new(taut::Config::default())?;
/// let stats = client.stats();
/// println!("{} of {} connections", stats.connections.now, stats.connections.max);
/// for (class, phase, sent, count) in stats.failures.iter() {
///     println!("{} in {}, sent: {}: {count}", class.name(), phase.name(), sent.name());
/// }
/// # Ok::<(), taut::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests made so far. Those that were refused are not.
    pub requests: u64,
    /// Requests whose reply was told.
    pub replies: u64,
    /// Requests that failed, by how they did. A reply that was too long and skipped is a failure.
    pub failures: Failures,
    /// Of those, the ones that the program took back.
    pub cancelled: u64,
    /// Requests that the loop refused as they were made: a bound was met, the breaker is open, or the like.
    pub refusals: u64,
    /// Requests made again so far, after their connection was lost.
    pub retries: u64,
    /// Connections made so far, raw ones too.
    pub connects: u64,
    /// Connects that failed, by how they did.
    pub connect_failures: Failures,
    /// Standing connections that ended in an error, those that were idle too long included.
    pub losses: Failures,
    /// Bytes handed to the kernel, as the program queued them: what TLS makes of them is not counted.
    pub bytes_written: u64,
    /// Bytes received, as the program gets them.
    pub bytes_received: u64,
    /// Upstreams by the state of their breakers.
    pub breakers: Breakers,
    /// Connections at present, those being made and those being closed included;
    /// [`Limits::connections_max`](crate::Limits::connections_max).
    pub connections: Gauge,
    /// Connections being made; [`Limits::connecting_max`](crate::Limits::connecting_max), which does not hold back the
    /// program's own.
    pub connecting: Gauge,
    /// Requests on their way; the sum of what each upstream may have in flight.
    pub in_flight: Gauge,
    /// Requests that wait for a connection; [`Limits::waiting_requests_max`](crate::Limits::waiting_requests_max) of
    /// each upstream.
    pub waiting: Gauge,
    /// Events to be pulled; [`Limits::events_max`](crate::Limits::events_max).
    pub events: Gauge,
    /// Requests from other threads that the loop has not taken;
    /// [`Limits::submissions_max`](crate::Limits::submissions_max).
    pub submissions: Gauge,
    /// Bytes of free buffers kept for reuse; [`Limits::pool_bytes_max`](crate::Limits::pool_bytes_max) of those that
    /// receive, and of those that send.
    pub pooled_bytes: Gauge,
}

/// How many upstreams have their breaker in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakers {
    /// Requests are made.
    pub closed: usize,
    /// Requests are refused.
    pub open: usize,
    /// One request at a time is let through, as a trial.
    pub half_open: usize,
}

/// How much of something there is, and how much there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    /// At present.
    pub now: usize,
    /// The bound.
    pub max: usize,
}

/// How one target of an upstream stands; see [`Client::targets_of`](crate::Client::targets_of).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetStats<'a> {
    /// As the program named it, at `host:port`.
    pub target: &'a str,
    /// Connections to it that stand.
    pub open: usize,
    /// Connections to it that are being made.
    pub connecting: usize,
    /// Requests on their way to it, those that timed out and whose replies are still swallowed included.
    pub in_flight: usize,
    /// Until when no connection to it is begun, since it fails: [`Pool::ejection_failures`](crate::Pool). `None`: it is
    /// one of the others, or is back on trial with one attempt.
    pub ejected_until: Option<Instant>,
}

const CLASSES: [Class; 5] = [
    Class::Transient,
    Class::Persistent,
    Class::Protocol,
    Class::Resource,
    Class::Local,
];
const PHASES: [Phase; 7] = [
    Phase::Resolve,
    Phase::Connect,
    Phase::Handshake,
    Phase::Write,
    Phase::Read,
    Phase::Idle,
    Phase::Drain,
];
const SENT: [Sent; 3] = [Sent::No, Sent::Maybe, Sent::Yes];

/// A counter for each class, phase and what was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    counts: [[[u64; SENT.len()]; PHASES.len()]; CLASSES.len()],
}

impl Failures {
    /// How many there were of this class, in this phase, with so much sent.
    pub fn count(&self, class: Class, phase: Phase, sent: Sent) -> u64 {
        self.counts[place_of_class(class)][place_of_phase(phase)][place_of_sent(sent)]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.as_flattened().as_flattened().iter().sum()
    }

    /// Those that happened at all, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Class, Phase, Sent, u64)> {
        let of_class = |class| PHASES.map(|phase| SENT.map(|sent| (class, phase, sent)));
        let all = CLASSES.into_iter().flat_map(of_class).flatten();
        let counted = all.map(|(class, phase, sent)| {
            let count = self.count(class, phase, sent);
            (class, phase, sent, count)
        });
        counted.filter(|(.., count)| *count > 0)
    }

    /// One more.
    pub(crate) fn add(&mut self, error: &Error) {
        let of_class = &mut self.counts[place_of_class(error.class)];
        of_class[place_of_phase(error.phase)][place_of_sent(error.sent)] += 1;
    }
}

impl Default for Failures {
    fn default() -> Failures {
        Failures {
            counts: [[[0; SENT.len()]; PHASES.len()]; CLASSES.len()],
        }
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.iter().map(|(class, phase, sent, count)| {
            let (class, phase, sent) = (class.name(), phase.name(), sent.name());
            (format!("{class}/{phase}/{sent}"), count)
        });
        f.debug_map().entries(entries).finish()
    }
}

fn place_of_class(class: Class) -> usize {
    match class {
        Class::Transient => 0,
        Class::Persistent => 1,
        Class::Protocol => 2,
        Class::Resource => 3,
        Class::Local => 4,
    }
}

fn place_of_phase(phase: Phase) -> usize {
    match phase {
        Phase::Resolve => 0,
        Phase::Connect => 1,
        Phase::Handshake => 2,
        Phase::Write => 3,
        Phase::Read => 4,
        Phase::Idle => 5,
        Phase::Drain => 6,
    }
}

fn place_of_sent(sent: Sent) -> usize {
    match sent {
        Sent::No => 0,
        Sent::Maybe => 1,
        Sent::Yes => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;

    #[test]
    fn each_kind_of_failure_has_a_counter_of_its_own() {
        let mut failures = Failures::default();
        let mut added = Vec::new();
        for class in CLASSES {
            for (phase, sent) in PHASES.map(|phase| SENT.map(|sent| (phase, sent))).concat() {
                let count = added.len() as u64 + 1;
                let source = Source::Eof;
                let error = Error {
                    class,
                    phase,
                    sent,
                    source,
                };
                (0..count).for_each(|_| failures.add(&error));
                added.push((class, phase, sent, count));
            }
        }
        assert_eq!(failures.iter().collect::<Vec<_>>(), added);
        assert_eq!(failures.total(), (1..=105).sum());
        let shown = format!("{failures:?}");
        assert!(shown.contains("\"resource/read/maybe\": 77"), "{shown}");
    }

    #[test]
    fn what_never_happened_is_not_told() {
        assert_eq!(Failures::default().iter().count(), 0);
    }
}
