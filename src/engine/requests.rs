//! Requests of an upstream: each goes to a connection that can take it, or waits for one.
//!
//! Nothing here performs I/O: bytes leave in the next flush.

use std::ops::Range;

use super::core::Core;
use super::slot::Slot;
use crate::error::{Error, Limit, Phase, Source};
use crate::event::{RequestId, UpstreamId};
use crate::kernel::Kernel;
use crate::time::Time;
use crate::upstream::{InFlight, Service};

/// What a request asks for, beside its bytes.
#[derive(Clone, Copy)]
struct Asked {
    request: RequestId,
    tag: u64,
    deadline: Time,
}

impl<K: Kernel> Core<K> {
    /// Makes a request: on the open connection with the fewest in flight, or it waits for one.
    pub(crate) fn request(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        tag: u64,
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
        it.admit(tag)?;
        it.admit_now(now)?;
        let request = RequestId(self.requests_made + 1);
        let asked = Asked {
            request,
            tag,
            deadline: deadline(now, it, &self.kernel),
        };
        if asked.deadline <= now {
            return Err(Error::new(Phase::Write, Source::Deadline));
        }
        it.handle_made(now, request);
        let placed = self.place(upstream.0, asked, payload);
        if placed.is_err() {
            self.services[upstream.0 as usize].handle_not_made(now, request);
        }
        placed?;
        self.requests_made += 1;
        self.counts.requests += 1;
        Ok(request)
    }

    /// Queues a request on a connection, or where it waits for one.
    fn place(&mut self, service: u32, asked: Asked, payload: &[u8]) -> Result<(), Error> {
        let now = self.now;
        let it = &mut self.services[service as usize];
        let chosen = if it.has_waiting() { None } else { it.choose() };
        match chosen {
            Some((member, index)) => {
                let slot = &mut self.slots[index as usize];
                // Behind others that wait for the same flush it changes nothing but the nearest deadline.
                let changes = !slot.in_dirty || asked.deadline < it.next_deadline(member);
                let range = slot.conn.send(now, payload, &mut self.send_pool);
                let range = range.ok_or_else(|| Error::full(Limit::SendQueueBytes))?;
                entrust(slot, it, member, now, asked, range);
                if changes {
                    self.settle(index);
                }
                Ok(())
            }
            None => {
                let (request, tag, deadline) = (asked.request, asked.tag, asked.deadline);
                let waits = it.wait(now, request, tag, deadline, payload);
                self.connect_members(service);
                waits
            }
        }
    }

    /// Puts waiting requests on connections that can take them.
    pub(super) fn serve_waiting(&mut self, service: u32) {
        let now = self.now;
        loop {
            let it = &mut self.services[service as usize];
            let Some((member, index)) = it.choose() else {
                break;
            };
            let Some((waiter, payload)) = it.waiter() else {
                break;
            };
            let slot = &mut self.slots[index as usize];
            let Some(range) = slot.conn.send(now, payload, &mut self.send_pool) else {
                // Their turn comes when its queue has drained.
                slot.conn.refused();
                break;
            };
            let asked = Asked {
                request: waiter.request,
                tag: waiter.tag,
                deadline: waiter.deadline,
            };
            it.waiter_served();
            entrust(slot, it, member, now, asked, range);
            self.settle(index);
        }
        self.file_service(service);
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
    } = asked;
    service.assign(
        member,
        InFlight {
            request,
            tag,
            deadline,
            range,
            is_tombstone: false,
        },
    );
}
