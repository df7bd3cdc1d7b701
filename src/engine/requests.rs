//! Requests of an upstream: each goes to a connection that can take it, or waits for one.
//!
//! Nothing here performs I/O: bytes leave in the next flush.

use std::ops::Range;

use super::core::Core;
use super::fallback::is_breakers;
use super::slot::Slot;
use crate::error::{Error, Limit, Phase, Source};
use crate::event::{RequestId, UpstreamId};
use crate::kernel::Kernel;
use crate::time::Time;
use crate::upstream::{Again, Asked, InFlight, Service};

/// What a program says of a request, beside its bytes and its deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) tag: u64,
    pub(crate) is_idempotent: bool,
}

impl From<u64> for Terms {
    /// With this tag, and not idempotent.
    fn from(tag: u64) -> Terms {
        Terms {
            tag,
            is_idempotent: false,
        }
    }
}

impl<K: Kernel> Core<K> {
    /// Makes a request: on the open connection with the fewest in flight, or it waits for one.
    pub(crate) fn request(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        terms: impl Into<Terms>,
        deadline: impl FnOnce(Time, &Service, &K) -> Time,
    ) -> Result<RequestId, Error> {
        let made = self.make(upstream, payload, terms.into(), deadline);
        self.counts.asked(made.is_ok());
        made
    }

    fn make(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        terms: Terms,
        deadline: impl FnOnce(Time, &Service, &K) -> Time,
    ) -> Result<RequestId, Error> {
        self.admits_work()?;
        if payload.is_empty() {
            let why = "a request of 0 bytes; no reply could be told to answer it";
            return Err(Error::new(Phase::Write, Source::Invalid(why)));
        }
        self.check_size(payload)?;
        let now = self.kernel.now();
        self.now = now;
        let it = self
            .services
            .get_mut(upstream.0 as usize)
            .ok_or_else(|| Error::new(Phase::Write, Source::NotOpen))?;
        let Terms { tag, is_idempotent } = terms;
        it.admit(tag)?;
        let admitted = it.admit_now(now);
        if it.fallback().is_none() || !admitted.is_err_and(|error| is_breakers(&error)) {
            admitted?;
        }
        let request = RequestId(self.requests_made + 1);
        let asked = Asked {
            request,
            tag,
            deadline: deadline(now, it, &self.kernel),
            again: Again::new(is_idempotent),
        };
        if asked.deadline <= now {
            return Err(Error::new(Phase::Write, Source::Deadline));
        }
        self.watch.handle_made(now, request, upstream);
        let begun = match admitted {
            Ok(()) => self.begin(upstream.0, asked, payload),
            Err(error) => self.hand_over(upstream.0, asked, payload, error),
        };
        if begun.is_err() {
            self.watch.handle_not_made(request);
        }
        begun?;
        self.requests_made += 1;
        Ok(request)
    }

    /// Makes a request that its upstream has admitted.
    pub(super) fn begin(
        &mut self,
        service: u32,
        asked: Asked,
        payload: &[u8],
    ) -> Result<(), Error> {
        let now = self.now;
        self.services[service as usize].handle_made(now, asked.request);
        let placed = self.place(service, asked, payload);
        if placed.is_err() {
            self.services[service as usize].handle_not_made(now, asked.request);
        }
        placed
    }

    /// Queues a request on a connection, or where it waits for one.
    fn place(&mut self, service: u32, mut asked: Asked, payload: &[u8]) -> Result<(), Error> {
        let now = self.now;
        let it = &mut self.services[service as usize];
        let chosen = if it.has_waiting() { None } else { it.choose() };
        match chosen {
            Some((member, index)) => {
                let slot = &mut self.slots[index as usize];
                // Behind others that wait for the same flush it changes nothing but the nearest deadline; they may have
                // been taken back.
                let is_first = !slot.in_dirty || slot.conn.queued() == 0;
                let changes = is_first || asked.deadline < it.next_deadline(member);
                let range = slot.conn.send(now, payload, &mut self.send_pool);
                let range = range.ok_or_else(|| Error::full(Limit::SendQueueBytes))?;
                it.keep(&mut asked, payload);
                entrust(slot, it, member, now, asked, range);
                if changes {
                    self.settle(index);
                }
                Ok(())
            }
            None => {
                let waits = it.queue(now, asked, payload);
                self.connect_members(service);
                waits
            }
        }
    }

    /// Puts waiting requests on connections that can take them.
    pub(super) fn serve_waiting(&mut self, service: u32) {
        if self.outages.has(service) {
            // Not on one that may be gone: when those are.
            return;
        }
        let now = self.now;
        loop {
            let it = &mut self.services[service as usize];
            let Some((member, index)) = it.choose() else {
                break;
            };
            let Some((_, payload)) = it.waiter() else {
                break;
            };
            let slot = &mut self.slots[index as usize];
            let Some(range) = slot.conn.send(now, payload, &mut self.send_pool) else {
                // Their turn comes when its queue has drained.
                slot.conn.refused();
                break;
            };
            let Some(asked) = it.waiter_served() else {
                break;
            };
            entrust(slot, it, member, now, asked, range);
            self.settle(index);
        }
        self.file_service(service);
    }

    /// A request has left its place: it is free for who waits, or for the connection that was wanted when as many were in
    /// flight as may be.
    pub(super) fn heed_room(&mut self, service: u32) {
        let it = &self.services[service as usize];
        if it.has_waiting() {
            self.serve_waiting(service);
        } else if it.is_asked_for() {
            self.connect_members(service);
        }
    }

    /// A connection of an upstream is lost: what may be made again of its requests waits for another. Returns how it
    /// ended for who fails with it.
    pub(super) fn make_again(
        &mut self,
        index: u32,
        service: u32,
        member: u32,
        error: Error,
    ) -> Error {
        let (now, progress) = (self.now, self.progress(index));
        let slot = &self.slots[index as usize];
        let it = &mut self.services[service as usize];
        // Of what is only queued its peer knows nothing: it has ended what was idle, with a word or without.
        let is_end = matches!(
            error.source,
            Source::Eof | Source::Truncated { received: 0 }
        );
        let is_idle =
            error.phase == Phase::Write && is_end && !it.is_begun(member, progress.written);
        let (unsent, watch) = (|range: &_| slot.conn.unsent(range), &mut self.watch);
        it.make_again(now, member, progress, &error, unsent, |asked| {
            watch.handle_again(UpstreamId(service), asked, error);
        });
        match is_idle {
            true => error.of_request(Phase::Idle, error.sent),
            false => error,
        }
    }

    /// Takes a request back; false when it has ended.
    pub(crate) fn cancel(&mut self, request: RequestId) -> bool {
        self.now = self.kernel.now();
        let now = self.now;
        let mut services = self.services.iter_mut().zip(0..);
        let waited =
            services.find_map(|(it, service)| Some((service, it.cancel_waiting(now, request)?)));
        if let Some((service, asked)) = waited {
            let error = Error::new(Phase::Connect, Source::Cancelled);
            let error = error.of_request(Phase::Connect, asked.again.sent);
            self.tell_failure(request, asked.tag, error);
            self.file_service(service);
            return true;
        }
        let mut services = self.services.iter().zip(0..);
        let Some((service, (member, index))) =
            services.find_map(|(it, service)| Some((service, it.member_of(request)?)))
        else {
            return false;
        };
        let progress = self.progress(index);
        let mut cancelled = Vec::with_capacity(1);
        self.services[service as usize].cancel(now, member, request, progress, &mut cancelled);
        self.end_given_up(index, service, member, cancelled, Source::Cancelled);
        self.settle(index);
        true
    }
}

/// A request's bytes are queued at `range` of a member's connection: its reply is awaited there from now on.
fn entrust<S>(
    slot: &mut Slot<S>,
    service: &mut Service,
    member: u32,
    now: Time,
    asked: Asked,
    range: Range<u64>,
) {
    slot.conn.await_reply(now);
    service.handle_work(now, member);
    let Asked {
        request,
        tag,
        deadline,
        again,
    } = asked;
    service.assign(
        member,
        InFlight {
            request,
            tag,
            deadline,
            again,
            range,
            is_tombstone: false,
        },
    );
}
