//! Requests that are made again when the connection that had them is lost.
//!
//! One that may be goes back among those that wait, to its old place, with its bytes: for all the program knows it has
//! waited all along. What must always hold: nothing that may have been sent is made again unless the program said that
//! it does no harm; none more often than the policy says; and what it ends with says no less was sent than was.

use std::ops::Range;

use super::{Member, Service};
use crate::error::{Class, Error, Sent};
use crate::time::Time;
use crate::upstream::asked::Asked;
use crate::upstream::ids::Place;
use crate::upstream::pipeline::Progress;

impl Service {
    /// The member's connection is lost: takes those of its requests back that are made again. `unsent` finds the bytes
    /// of one of which nothing was written; `told` is told of each. Called before `handle_closed`, which fails the others.
    pub(crate) fn make_again<'a>(
        &mut self,
        now: Time,
        member: u32,
        progress: Progress,
        error: &Error,
        unsent: impl Fn(&Range<u64>) -> Option<&'a [u8]>,
        mut told: impl FnMut(&Asked),
    ) {
        // What another try would meet as well, and what the program has done itself.
        let is_in_vain = matches!(error.class, Class::Persistent | Class::Local);
        // Of what is left alone nothing is asked again either.
        let is_left_alone = self.circuit.admit(now).is_err();
        if is_in_vain || is_left_alone || self.retry.attempts_max == 0 {
            return;
        }
        let progress = self.ids.judged(progress);
        let wait_until = now.after(self.timeouts.wait);
        let attempts_max = self.retry.attempts_max;
        let (waiting, kept, budget) = (&mut self.waiting, &mut self.kept, &mut self.budget);
        let (ids, stats) = (&mut self.ids, &mut self.stats);
        let Member {
            pipeline,
            lost_sent,
            ..
        } = &mut self.members[member as usize];
        pipeline.take_out(progress, |request, sent| {
            let mut asked = request.asked();
            let again = &mut asked.again;
            let is_harmless = match sent {
                Sent::No => true,
                Sent::Maybe => again.is_idempotent && error.is_retryable_if_idempotent(),
                Sent::Yes => false,
            };
            if !is_harmless || again.times >= attempts_max || asked.deadline <= now {
                return false;
            }
            again.times += 1;
            again.sent = again.sent.max(sent);
            let was_kept = again.kept;
            if was_kept.is_none() && sent == Sent::No {
                again.kept = unsent(&request.range).and_then(|payload| kept.put(payload));
            }
            let new = again.kept.filter(|_| was_kept.is_none());
            let is_paid = again.kept.is_some() && waiting.has_room() && budget.spend(now);
            if !is_paid {
                kept.drop(new);
                stats.retries_refused += 1;
                return false;
            }
            *lost_sent |= sent != Sent::No;
            waiting.put_back(asked, wait_until);
            ids.put(asked.tag, Place::Waiting);
            stats.in_flight -= 1;
            stats.retries += 1;
            told(&asked);
            true
        });
    }

    /// Keeps the bytes of a request that goes on its way, if it may be needed again once a part of it has left.
    pub(crate) fn keep(&mut self, asked: &mut Asked, payload: &[u8]) {
        if asked.again.is_idempotent && asked.again.times < self.retry.attempts_max {
            asked.again.kept = self.kept.put(payload);
        }
    }

    /// It is served: what goes with it on its way.
    pub(crate) fn waiter_served(&mut self) -> Option<Asked> {
        let (waiter, payload) = self.waiting.front()?;
        let mut asked = waiter.asked;
        let again = &mut asked.again;
        let is_needed = again.is_idempotent && again.times < self.retry.attempts_max;
        match again.kept {
            None if is_needed => again.kept = self.kept.put(payload),
            Some(_) if !is_needed => self.kept.drop(again.kept.take()),
            _ => {}
        }
        self.waiting.pop();
        Some(asked)
    }
}
