//! Requests that go to the fallback of the upstream that cannot serve them.
//!
//! Always: a request is handed over by each upstream at most once, for a fallback was added before the one that names it;
//! and one that its fallback does not take ends as it would have without.

use super::core::Core;
use crate::error::{Error, Source};
use crate::kernel::Kernel;
use crate::upstream::{Asked, Failed};

impl<K: Kernel> Core<K> {
    /// Tells the failures of requests of an upstream, but for those that its fallback takes; keeps the list for the next
    /// time.
    pub(super) fn end_failed(&mut self, service: u32, mut failed: Vec<Failed>) {
        let mut outbox = self.services[service as usize].take_outbox();
        for (request, tag, error) in failed.drain(..) {
            let leaving = outbox.front().filter(|(asked, _)| asked.request == request);
            let is_taken = leaving.is_some_and(|(asked, payload)| {
                self.hand_over(service, asked, payload, error).is_ok()
            });
            if leaving.is_some() {
                outbox.pop();
            }
            if !is_taken {
                self.tell_failure(request, tag, error);
            }
        }
        debug_assert!(outbox.is_empty(), "what is handed over has failed");
        self.failed = failed;
    }

    /// The fallback of an upstream takes a request that failed there with `error`, or that one's own does where its
    /// breaker is open. Where none does, the request has failed so.
    pub(super) fn hand_over(
        &mut self,
        service: u32,
        asked: Asked,
        payload: &[u8],
        error: Error,
    ) -> Result<(), Error> {
        if asked.deadline <= self.now {
            return Err(error);
        }
        let mut last = service;
        let taken_by = loop {
            let fallback = self.services[last as usize].fallback().ok_or(error)?.0;
            let it = &self.services[fallback as usize];
            it.admit(asked.tag).map_err(|_| error)?;
            match it.admit_now(self.now) {
                Ok(()) => break fallback,
                Err(refusal) if is_breakers(&refusal) => last = fallback,
                Err(_) => return Err(error),
            }
        };
        self.begin(taken_by, asked, payload).map_err(|_| error)?;
        let mut handed_by = service;
        while handed_by != taken_by {
            let it = &mut self.services[handed_by as usize];
            it.handle_handed_over();
            let next = it.fallback();
            self.connect_members(handed_by);
            handed_by = next.map_or(taken_by, |it| it.0);
        }
        Ok(())
    }
}

/// Whether the breaker has refused it.
pub(super) fn is_breakers(error: &Error) -> bool {
    matches!(error.source, Source::BreakerOpen { .. })
}
