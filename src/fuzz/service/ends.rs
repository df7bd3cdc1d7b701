//! How requests end in the model, and which of them are made again.

use super::model::{Model, State, Waiter};
use crate::error::{Class, Error, Phase, Sent, Source};
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::{Failed, InFlight, Which};

impl Model {
    pub(super) fn expire(
        &mut self,
        now: Time,
        member: usize,
        which: Which,
    ) -> Vec<(RequestId, Sent)> {
        let is_due = |request: &InFlight, sent: Sent| {
            (which == Which::All || sent == Sent::No) && request.deadline <= now
        };
        self.take_back(member, is_due)
    }

    /// Those that nobody wants any more: the unsent are gone, the others leave a tombstone.
    pub(super) fn take_back(
        &mut self,
        member: usize,
        is_unwanted: impl Fn(&InFlight, Sent) -> bool,
    ) -> Vec<(RequestId, Sent)> {
        let has_ids = self.has_ids;
        let line = &mut self.lines[member];
        let (mut taken, mut kept, mut gone) = (Vec::new(), Vec::new(), 0);
        for mut request in std::mem::take(&mut line.pipeline) {
            let sent = line.sent(&request, kept.is_empty(), has_ids);
            let is_taken = !request.is_tombstone && is_unwanted(&request, sent);
            if is_taken {
                taken.push((request.request, sent));
            }
            let range = request.range.clone();
            if is_taken && sent == Sent::No {
                gone += range.end - range.start;
                continue;
            }
            request.range = range.start - gone..range.end - gone;
            request.is_tombstone |= is_taken;
            kept.push(request);
        }
        line.pipeline = kept;
        line.queued -= gone;
        self.heed_room();
        taken
    }

    /// A connection is lost: who waits again, in the place that its request has.
    pub(super) fn makes_again(&mut self, now: Time, member: usize, error: &Error) {
        if matches!(error.class, Class::Persistent | Class::Local) {
            return;
        }
        let pipeline = self.lines[member].pipeline.clone();
        for (place, request) in pipeline.iter().enumerate() {
            let sent = self.lines[member].sent(request, place == 0, self.has_ids);
            let is_harmless = match sent {
                Sent::No => true,
                Sent::Maybe => request.again.is_idempotent && error.is_retryable_if_idempotent(),
                Sent::Yes => false,
            };
            let may = request.again.times < self.retry.attempts_max && request.deadline > now;
            if request.is_tombstone || !is_harmless || !may {
                continue;
            }
            let is_full = self.waiting.len() >= self.limits.waiting_requests_max;
            if is_full || !self.budget.spend(now) {
                self.stats.retries_refused += 1;
                continue;
            }
            self.stats.retries += 1;
            let of = |it: &InFlight| it.request == request.request;
            self.lines[member].pipeline.retain(|it| !of(it));
            let mut asked = request.asked();
            asked.again.times += 1;
            asked.again.sent = asked.again.sent.max(sent);
            self.waiting.push(Waiter {
                asked,
                payload: self.payloads[&asked.request].clone(),
                wait_until: now.after(self.wait),
                is_back: true,
            });
            self.waiting.sort_by_key(|it| it.asked.request);
        }
    }

    /// A connect failed: when no other connection stands or is being made, the waiting have none to hope for.
    pub(super) fn fail_hopeless(&mut self, error: Error, failed: &mut Vec<Failed>) {
        let others = self.count(|state| !matches!(state, State::Absent));
        if others == 0 {
            self.begun = self.first;
            failed.extend(self.waiting.drain(..).map(|it| it.failed(error)));
        }
    }

    /// Nothing new is begun: those that wait fail, when no connection is left for them.
    pub(super) fn drained(&mut self) -> Vec<Failed> {
        self.is_draining = true;
        let may_serve = self
            .lines
            .iter()
            .any(|line| !line.is_absent() && !line.is_over);
        let error = Error::new(Phase::Connect, Source::ShuttingDown);
        let waiting = self.waiting.extract_if(.., |_| !may_serve);
        waiting.map(|it| it.failed(error)).collect()
    }

    /// Those whose waiting is over.
    pub(super) fn give_up(&mut self, now: Time) -> Vec<Failed> {
        let over = self.waiting.extract_if(.., |it| it.end() <= now);
        let wait = self.wait;
        over.map(|it| {
            let source = match it.asked.deadline <= it.wait_until {
                true => Source::Deadline,
                false => Source::Timeout(wait),
            };
            it.failed(Error::new(Phase::Connect, source))
        })
        .collect()
    }
}

impl Waiter {
    pub(super) fn end(&self) -> Time {
        self.asked.deadline.min(self.wait_until)
    }

    pub(super) fn failed(&self, error: Error) -> Failed {
        let error = error.of_request(error.phase, self.asked.again.sent);
        (self.asked.request, self.asked.tag, error)
    }
}
