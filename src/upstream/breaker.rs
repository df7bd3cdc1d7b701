//! The breaker of one upstream: whether requests are let through, judged by how those before them ended.
//!
//! ```text
//!              too much has failed
//!    Closed ─────────────────────────► Open { until }
//!      ▲                               │           ▲
//!      │            `until` has passed │           │ a trial fails, or connecting
//!      │  or a connection stands again │           │ does again: a longer pause
//!      │                               ▼           │
//!      └────────────────────────────── HalfOpen { trials }
//!           a trial is answered
//! ```
//! Half open, one request at a time is let through: the trial. It holds a *lease* that ends with the request or by its
//! own deadline, whichever is first, so a trial that is lost, cancelled or hung never keeps the breaker half open; the
//! next request is the next trial then. A trial whose lease has ended is still heard when it is answered or fails; of other
//! requests, which were made before it opened, nothing is.
//!
//! Nothing here waits: that `until` or a lease has passed is seen when the next request asks.

mod trials;

use std::time::Duration;

use crate::config::Breaker;
use crate::event::RequestId;
use crate::time::Time;
use trials::Trials;

/// How a request ended, as its upstream is to be judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A reply came.
    Answered,
    /// The peer failed it, or the way to it.
    Failed,
    /// It had no connection by then. Of the attempts at one they say it themselves; for a trial it is a failure.
    Unconnected,
    /// It says nothing: its own deadline, a cancel, something that this machine lacks.
    Unjudged,
}

/// What may change the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// A request was let through; see [`Circuit::admit`].
    Made {
        request: RequestId,
    },
    Ended {
        request: RequestId,
        end: End,
    },
    /// A connection timed out although nobody waited for it any more.
    TimedOut,
    /// A connection ended by a breach of the protocol.
    BrokeProtocol,
    Connected,
    ConnectFailed,
}

impl Happened {
    fn is_failure(self) -> bool {
        match self {
            Happened::Ended { end, .. } => end == End::Failed,
            Happened::TimedOut | Happened::BrokeProtocol | Happened::ConnectFailed => true,
            Happened::Made { .. } | Happened::Connected => false,
        }
    }
}

/// The state, as the program is told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Requests are made.
    #[default]
    Closed,
    /// Requests are refused, until one may be let through as a trial.
    Open,
    /// One request at a time is let through, as a trial; others are refused.
    HalfOpen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        since: Time,
    },
    Open {
        until: Time,
        /// Because no connection could be made: one that stands ends it.
        for_connects: bool,
    },
    HalfOpen {
        trials: Trials,
    },
}

#[derive(Debug)]
pub(crate) struct Circuit {
    rules: Breaker,
    state: State,
    window: Window,
    /// In a row.
    connect_failures: u32,
    protocol_errors: u32,
    /// How often it has opened since it was last closed for long.
    openings: u32,
}

impl Circuit {
    pub(crate) fn new(rules: Breaker) -> Circuit {
        Circuit {
            rules,
            state: State::Closed { since: Time::ZERO },
            window: Window::new(rules.window),
            connect_failures: 0,
            protocol_errors: 0,
            openings: 0,
        }
    }

    /// Whether a request may be made now; if not, after how long a trial may be made at the latest.
    pub(crate) fn admit(&self, now: Time) -> Result<(), Duration> {
        let from = match self.state {
            State::Closed { .. } => return Ok(()),
            State::Open { until, .. } => until,
            State::HalfOpen { trials } => trials.next(),
        };
        match from <= now {
            true => Ok(()),
            false => Err(from.since(now)),
        }
    }

    /// Something has happened; `random` draws the pause if it opens. True when requests have become refused by it, or
    /// are let through again: see [`Circuit::state`] and [`Circuit::refused_until`].
    pub(crate) fn handle(&mut self, now: Time, random: u64, happened: Happened) -> bool {
        if !self.rules.is_on {
            return false;
        }
        self.count(now, happened);
        let next = match (self.state, happened) {
            (State::Closed { since }, _) if happened.is_failure() && self.is_too_much(now) => {
                if now.since(since) >= self.rules.window {
                    self.openings = 0;
                }
                self.open(now, random)
            }
            (State::Closed { .. }, _) => return false,
            (State::Open { .. }, Happened::Made { request }) => {
                self.trial(now, Trials::default(), request)
            }
            (State::Open { for_connects, .. }, Happened::Connected) if for_connects => {
                let trials = Trials::default();
                State::HalfOpen { trials }
            }
            (State::Open { .. }, _) => return false,
            (State::HalfOpen { trials }, Happened::Made { request }) => {
                self.trial(now, trials, request)
            }
            (State::HalfOpen { mut trials }, Happened::Ended { request, end })
                if trials.has(request) =>
            {
                match end {
                    End::Answered => self.close(now),
                    End::Failed | End::Unconnected => self.open(now, random),
                    End::Unjudged => {
                        trials.remove(request);
                        State::HalfOpen { trials }
                    }
                }
            }
            (State::HalfOpen { .. }, Happened::ConnectFailed) if self.is_unreachable() => {
                self.open(now, random)
            }
            (State::HalfOpen { .. }, _) => return false,
        };
        let before = std::mem::replace(&mut self.state, next);
        std::mem::discriminant(&before) != std::mem::discriminant(&next)
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// While it is open: until when.
    pub(crate) fn open_until(&self) -> Option<Time> {
        match self.state {
            State::Open { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Keeps the figures. Half open or open, requests are judged one by one.
    fn count(&mut self, now: Time, happened: Happened) {
        let is_closed = matches!(self.state, State::Closed { .. });
        match happened {
            Happened::Ended { end, .. } => {
                if end == End::Answered {
                    self.protocol_errors = 0;
                }
                if is_closed && matches!(end, End::Answered | End::Failed) {
                    self.window.add(now, end == End::Failed);
                }
            }
            Happened::TimedOut if is_closed => self.window.add(now, true),
            Happened::BrokeProtocol => {
                self.protocol_errors = self.protocol_errors.saturating_add(1);
            }
            Happened::Connected => self.connect_failures = 0,
            Happened::ConnectFailed => {
                self.connect_failures = self.connect_failures.saturating_add(1);
            }
            Happened::TimedOut | Happened::Made { .. } => {}
        }
    }

    fn is_too_much(&mut self, now: Time) -> bool {
        let Counts { ended, failed } = self.window.sum(now);
        let share =
            u64::from(failed) * 100 >= u64::from(ended) * u64::from(self.rules.failed_percent);
        ended >= self.rules.requests_min && share
            || self.is_unreachable()
            || self.protocol_errors >= self.rules.protocol_errors
    }

    fn is_unreachable(&self) -> bool {
        self.connect_failures >= self.rules.connect_failures
    }

    fn trial(&self, now: Time, mut trials: Trials, request: RequestId) -> State {
        trials.put(request, now.after(self.rules.lease));
        State::HalfOpen { trials }
    }

    fn close(&mut self, now: Time) -> State {
        self.connect_failures = 0;
        State::Closed { since: now }
    }

    /// Open for U(0.5, 1) · min(`pause_max`, `first_pause_max` · 2ⁿ): a herd of clients does not try all at once.
    fn open(&mut self, now: Time, random: u64) -> State {
        let doubled = 1u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        let ceiling = self.rules.first_pause_max.saturating_mul(doubled);
        let ceiling = ceiling.min(self.rules.pause_max);
        self.openings = self.openings.saturating_add(1);
        self.protocol_errors = 0;
        self.window.clear();
        let half = u64::try_from(ceiling.as_nanos() / 2).unwrap_or(u64::MAX);
        let drawn = ((u128::from(random) * u128::from(half)) >> 64) as u64;
        State::Open {
            until: now.after(Duration::from_nanos(half.saturating_add(drawn))),
            for_connects: self.is_unreachable(),
        }
    }
}

/// Parts of the window: it is so much shorter at times.
const BUCKETS: usize = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    ended: u32,
    failed: u32,
}

/// Ended requests of the last while, in memory that does not grow: `sum` is the sum of all `buckets`.
#[derive(Debug)]
struct Window {
    buckets: [Counts; BUCKETS],
    sum: Counts,
    bucket: Duration,
    /// The number of the present bucket, counted from the engine's start.
    number: u64,
    /// When it ends.
    end: Time,
}

impl Window {
    fn new(window: Duration) -> Window {
        Window {
            buckets: [Counts::default(); BUCKETS],
            sum: Counts::default(),
            bucket: (window / BUCKETS as u32).max(Duration::from_nanos(1)),
            number: 0,
            end: Time::ZERO,
        }
    }

    fn add(&mut self, now: Time, is_failed: bool) {
        self.keep_up(now);
        let bucket = &mut self.buckets[self.number as usize % BUCKETS];
        for counts in [bucket, &mut self.sum] {
            counts.ended = counts.ended.saturating_add(1);
            counts.failed = counts.failed.saturating_add(u32::from(is_failed));
        }
    }

    fn sum(&mut self, now: Time) -> Counts {
        self.keep_up(now);
        self.sum
    }

    fn keep_up(&mut self, now: Time) {
        if now >= self.end {
            self.advance(now);
        }
    }

    #[cold]
    fn advance(&mut self, now: Time) {
        let number = now.since(Time::ZERO).as_nanos() / self.bucket.as_nanos();
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let passed = (number - self.number).min(BUCKETS as u64);
        for passed in 0..passed {
            self.buckets[(number - passed) as usize % BUCKETS] = Counts::default();
        }
        self.number = number;
        let nanos = self
            .bucket
            .as_nanos()
            .saturating_mul(u128::from(number) + 1);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.end = Time::ZERO.after(Duration::from_nanos(nanos));
        let of = |count: fn(&Counts) -> u32| {
            let counts = self.buckets.iter().map(count);
            counts.fold(0, u32::saturating_add)
        };
        self.sum = Counts {
            ended: of(|counts| counts.ended),
            failed: of(|counts| counts.failed),
        };
    }

    fn clear(&mut self) {
        self.buckets = [Counts::default(); BUCKETS];
        self.sum = Counts::default();
    }
}

#[cfg(test)]
mod tests;
