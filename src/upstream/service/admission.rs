//! Whether a request may be made at all, and what the end of one says of the upstream: the breaker, the rate and the
//! bound of what is in flight.
//!
//! Whoever makes a request asks [`Service::admit_now`], and says so when it is made ([`Service::handle_made`]). Each end of
//! one is heeded here, where it comes about: so a trial's lease ends with the trial.

use super::{Failed, Service};
use crate::error::{Class, Error, Limit, Phase, Sent, Source};
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::breaker::{BreakerState, End, Happened};
use crate::upstream::changes::Change;
use crate::upstream::rate::Bucket;

impl Service {
    /// Whether a request may be made now.
    pub(crate) fn admit_now(&self, now: Time) -> Result<(), Error> {
        if let Err(retry_after) = self.circuit.admit(now) {
            let source = Source::BreakerOpen { retry_after };
            return Err(Error::new(Phase::Write, source));
        }
        match self.rate.as_ref().map(|rate| rate.next()) {
            Some(next) if next > now => Err(Error::full(Limit::RequestRate {
                retry_after: next.since(now),
            })),
            _ => Ok(()),
        }
    }

    /// A request that was admitted is being made.
    pub(crate) fn handle_made(&mut self, now: Time, request: RequestId) {
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
        self.budget.earn();
        // Nothing is refused by it that was not before.
        self.circuit.handle(now, 0, Happened::Made { request });
    }

    /// There was no room for it: it was not made after all.
    pub(crate) fn handle_not_made(&mut self, now: Time, request: RequestId) {
        if let Some(rate) = &mut self.rate {
            rate.give_back();
        }
        self.heed_given_up(now, request);
    }

    /// The bound on what comes in on one connection: a tenth of a second's worth may come at once.
    pub(crate) fn frames_in(&self) -> Option<Bucket> {
        let of = |n: u32| Bucket::new(n, (n / 10).max(1));
        self.options.frames_per_second.map(of)
    }

    /// Requests that may be in flight at a time: what its connections can carry, or less.
    pub(crate) fn in_flight_max(&self) -> usize {
        let carried = self.options.connections.max * self.options.depth;
        self.options
            .in_flight_max
            .map_or(carried, |max| max.min(carried))
    }

    /// A request has ended with a reply.
    pub(crate) fn handle_answered(&mut self, now: Time, request: RequestId) {
        let end = End::Answered;
        if self
            .circuit
            .handle(now, 0, Happened::Ended { request, end })
        {
            self.changes.put(Change::BreakerClosed);
        }
    }

    /// A request ended, and its upstream is not to be judged by it.
    pub(super) fn heed_given_up(&mut self, now: Time, request: RequestId) {
        let end = End::Unjudged;
        self.circuit
            .handle(now, 0, Happened::Ended { request, end });
    }

    /// A connection stands.
    pub(super) fn heed_connected(&mut self, now: Time) {
        self.circuit.handle(now, 0, Happened::Connected);
    }

    /// A connection is gone, or was not made, and with it went the requests in `failed` from `first` on.
    pub(super) fn heed_loss(
        &mut self,
        now: Time,
        random: u64,
        has_stood: bool,
        error: Error,
        failed: &mut Vec<Failed>,
        first: usize,
    ) {
        let is_stall = matches!(error.source, Source::Timeout(_))
            && matches!(error.phase, Phase::Read | Phase::Write);
        // A line that ends at rest has cut nothing off, though its peer has not said that it would.
        let is_at_rest = matches!(error.phase, Phase::Idle | Phase::Drain)
            && error.source == Source::Truncated { received: 0 };
        let happened = match error.class {
            Class::Protocol if has_stood && is_at_rest => None,
            Class::Transient | Class::Protocol if !has_stood => Some(Happened::ConnectFailed),
            Class::Protocol => Some(Happened::BrokeProtocol),
            // Its requests speak for it, if any is left.
            Class::Transient if is_stall && failed.len() == first => Some(Happened::TimedOut),
            _ => None,
        };
        if let Some(happened) = happened {
            self.heed(now, random, happened, failed);
        }
        self.heed_failed(now, random, failed, first);
    }

    /// The requests in `failed` from `first` on have failed.
    pub(super) fn heed_failed(
        &mut self,
        now: Time,
        random: u64,
        failed: &mut Vec<Failed>,
        first: usize,
    ) {
        for index in first..failed.len() {
            let (request, _, error) = failed[index];
            let end = end_of(&error);
            self.heed(now, random, Happened::Ended { request, end }, failed);
        }
    }

    /// When the breaker opens, who waits fails now: nobody would be let through to serve him.
    pub(super) fn heed(
        &mut self,
        now: Time,
        random: u64,
        happened: Happened,
        failed: &mut Vec<Failed>,
    ) {
        if !self.circuit.handle(now, random, happened) {
            return;
        }
        let Some(until) = self.circuit.open_until() else {
            debug_assert!(self.circuit.state() != BreakerState::Closed, "{happened:?}");
            return;
        };
        self.changes.put(Change::BreakerOpen { until });
        let retry_after = until.since(now);
        let error = Error::new(Phase::Connect, Source::BreakerOpen { retry_after });
        let (waiting, mut leaving) = self.leaving();
        waiting.fail_all(|waiter, payload| failed.push(leaving.fail(waiter, payload, error)));
    }
}

/// What the end of a request says of its upstream.
fn end_of(error: &Error) -> End {
    let is_peers = matches!(error.class, Class::Transient | Class::Protocol);
    let has_stalled = matches!(error.source, Source::Timeout(_));
    match error.phase {
        _ if !is_peers => End::Unjudged,
        // The failed attempt is counted once, not once for each who waited for it; and who waited in vain may have
        // waited for the program's own requests.
        Phase::Resolve | Phase::Connect | Phase::Handshake => End::Unconnected,
        // A peer that ended what was idle has failed nobody; one that takes nothing, has.
        _ if error.sent == Sent::No && !has_stalled => End::Unjudged,
        _ => End::Failed,
    }
}
