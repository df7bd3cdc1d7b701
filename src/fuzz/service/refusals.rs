//! The breaker of the model: which ends it is told of, and who is refused by it.
//!
//! It is the same machine as the service's, which has a model of its own (`upstream/breaker/tests/model.rs`): what is
//! asked here is that the service tells it what it should, and fails who waits when it opens.

use std::time::Duration;

use super::{Run, micros};
use crate::config::Breaker;
use crate::error::{Class, Error, Phase, Sent, Source};
use crate::event::RequestId;
use crate::fuzz::input::Input;
use crate::upstream::{End, Failed, Happened, InFlight};

/// None, or one that soon opens and soon closes.
pub(super) fn draw(input: &mut Input) -> Breaker {
    Breaker {
        is_on: input.flag(),
        window: Duration::from_millis(1 + input.below(4) as u64),
        requests_min: 1 + input.below(3) as u32,
        connect_failures: 1 + input.below(3) as u32,
        protocol_errors: 1 + input.below(2) as u32,
        first_pause_max: micros(100),
        pause_max: micros(1_000),
        lease: micros(1 + input.below(256) * 2),
        ..Breaker::default()
    }
}

impl Run {
    pub(super) fn is_let_through(&self) -> bool {
        let told = self.service.admit_now(self.now).map_err(|it| it.source);
        let expected = self.circuit.admit(self.now);
        let expected = expected.map_err(|retry_after| Source::BreakerOpen { retry_after });
        assert_eq!(told, expected);
        told.is_ok()
    }

    pub(super) fn made(&mut self, request: RequestId) {
        self.service.handle_made(self.now, request);
        self.model.budget.earn();
        let happened = Happened::Made { request };
        self.circuit.handle(self.now, 0, happened);
    }

    pub(super) fn not_made(&mut self, request: RequestId) {
        self.service.handle_not_made(self.now, request);
        self.given_up([request]);
    }

    pub(super) fn answered(&mut self, replied: &InFlight) {
        if !replied.is_tombstone {
            let request = replied.request;
            self.service.handle_answered(self.now, request);
            let end = End::Answered;
            let happened = Happened::Ended { request, end };
            self.circuit.handle(self.now, 0, happened);
        }
    }

    /// They ended by their own deadline, or by the program.
    pub(super) fn given_up(&mut self, requests: impl IntoIterator<Item = RequestId>) {
        for request in requests {
            let end = End::Unjudged;
            let happened = Happened::Ended { request, end };
            self.circuit.handle(self.now, 0, happened);
        }
    }

    /// Those that have failed, and those that fail because of it.
    pub(super) fn with_refused(
        &mut self,
        random: u64,
        first: Option<Happened>,
        mut failed: Vec<Failed>,
    ) -> Vec<Failed> {
        let ended = failed.iter().map(|(request, _, error)| Happened::Ended {
            request: *request,
            end: end_of(error),
        });
        let all: Vec<Happened> = first.into_iter().chain(ended).collect();
        for happened in all {
            if !self.circuit.handle(self.now, random, happened) {
                continue;
            }
            let until = self.circuit.open_until().expect("failures close nothing");
            let retry_after = until.since(self.now);
            let error = Error::new(Phase::Connect, Source::BreakerOpen { retry_after });
            let waiting = self.model.waiting.drain(..);
            failed.extend(waiting.map(|it| it.failed(error)));
        }
        failed
    }

    /// What the end of a connection says, apart from its requests: of one that never stood, and of one that did.
    pub(super) fn said_by(&self, member: usize, error: &Error) -> Option<Happened> {
        let in_flight = &self.model.lines[member].pipeline;
        let is_awaited = in_flight.iter().any(|it| !it.is_tombstone);
        let has_stalled = matches!(error.source, Source::Timeout(_))
            && matches!(error.phase, Phase::Read | Phase::Write);
        let stood = self.model.lines[member].is_open();
        match (error.class, stood) {
            (Class::Transient | Class::Protocol, false) => Some(Happened::ConnectFailed),
            (Class::Protocol, true) => Some(Happened::BrokeProtocol),
            (Class::Transient, true) if has_stalled && !is_awaited => Some(Happened::TimedOut),
            _ => None,
        }
    }
}

fn end_of(error: &Error) -> End {
    let is_ours = !matches!(error.class, Class::Transient | Class::Protocol);
    let timed_out = matches!(error.source, Source::Timeout(_));
    match (error.phase, error.sent) {
        _ if is_ours => End::Unjudged,
        (Phase::Resolve | Phase::Connect, _) => End::Unconnected,
        (_, Sent::No) if !timed_out => End::Unjudged,
        _ => End::Failed,
    }
}
