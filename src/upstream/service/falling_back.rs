//! The upstream that serves what this one cannot: which requests go there.
//!
//! Those whose waiting fails because no connection can be had or because the breaker opened, and, as the engine sees to,
//! those that an open breaker refuses. Never one whose own deadline has passed, and none while draining.

use super::{Failed, Service};
use crate::error::{Error, Source};
use crate::event::UpstreamId;
use crate::upstream::asked::{Again, Asked};
use crate::upstream::handover::Outbox;
use crate::upstream::ids::Ids;
use crate::upstream::kept::Kept;
use crate::upstream::waiting::{Waiter, Waiting};

/// What a request that waits takes with it when it fails.
pub(super) struct Leaving<'a> {
    pub(super) ids: &'a mut Ids,
    pub(super) kept: &'a mut Kept,
    /// Where it goes if it may be handed over.
    pub(super) outbox: Option<&'a mut Outbox>,
}

impl Leaving<'_> {
    /// A request that waited has failed.
    pub(super) fn fail(&mut self, waiter: Waiter, payload: &[u8], why: Error) -> Failed {
        let asked = waiter.asked;
        if let Some(outbox) = &mut self.outbox
            && why.source != Source::Deadline
        {
            let bytes = asked.again.kept.map_or(payload, |key| self.kept.get(key));
            // What is kept here is nothing to the other.
            let kept = None;
            let again = Again {
                kept,
                ..asked.again
            };
            outbox.put(Asked { again, ..asked }, bytes);
        }
        self.ids.forget(asked.tag);
        self.kept.drop(asked.again.kept);
        let error = why.of_request(why.phase, asked.again.sent);
        (asked.request, asked.tag, error)
    }
}

impl Service {
    /// Those that wait, and what they take with them.
    pub(super) fn leaving(&mut self) -> (&mut Waiting, Leaving<'_>) {
        let is_handed_over = self.options.fallback.is_some() && !self.is_draining;
        let leaving = Leaving {
            ids: &mut self.ids,
            kept: &mut self.kept,
            outbox: is_handed_over.then_some(&mut self.outbox),
        };
        (&mut self.waiting, leaving)
    }

    /// Its fallback took a request of it. So that the next ones can be served here, a connection is wanted though nobody
    /// waits for it.
    pub(crate) fn handle_handed_over(&mut self) {
        self.stats.handed_over += 1;
        self.is_asked_for |= self.balance.least().is_none();
    }

    /// What has just failed and may go to the fallback.
    pub(crate) fn take_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    pub(crate) fn fallback(&self) -> Option<UpstreamId> {
        self.options.fallback
    }
}
