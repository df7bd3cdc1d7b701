//! Pumping one connection: read, cut frames, hand them on, within a quota.
//!
//! Frames already received go before the next read, and before an end. What the quota or a lagging program leaves
//! stays where it is, and the connection stays ready; as long as it is, it is not expired.

use std::io;

use super::core::Core;
use super::slot::Owner;
use super::{Engine, Quota};
use crate::conn::Cut;
use crate::error::{Error, Phase, Sent, Source};
use crate::event::{Event, Frame, UpstreamId};
use crate::kernel::Kernel;

impl<K: Kernel> Engine<K> {
    pub(super) fn pump(&mut self, index: u32) {
        if self.core.slots[index as usize].is_dialled() {
            self.core.check_connect(index);
        }
        let limits = &self.core.config.limits;
        let mut quota = Quota {
            bytes: limits.turn_bytes_max,
            frames: limits.turn_frames_max,
        };
        while self.take_frames(index, &mut quota) && self.read(index, &mut quota) {}
        self.core.settle(index);
    }

    /// Cuts frames from what was received; false when the quota or a lagging program cut it short.
    fn take_frames(&mut self, index: u32, quota: &mut Quota) -> bool {
        loop {
            if quota.frames == 0 || self.core.events.len() >= self.core.config.limits.events_max {
                self.core.push_ready(index);
                return false;
            }
            let slot = &mut self.core.slots[index as usize];
            let (buffer, _) = self.inbox.buffer(index);
            if !buffer.unparsed().is_empty() && slot.holds_back(self.core.now) {
                return false;
            }
            let Some(cut) = slot.conn.poll_frame(buffer) else {
                return true;
            };
            if let Some(frames) = &mut slot.frames {
                frames.take(self.core.now);
            }
            quota.frames -= 1;
            self.hand_on(index, cut);
        }
    }

    /// Reads once; false when there is nothing more to read in this turn.
    fn read(&mut self, index: u32, quota: &mut Quota) -> bool {
        let slot = &mut self.core.slots[index as usize];
        let Some(socket) = slot.socket.as_ref().filter(|_| slot.wants_read()) else {
            return false;
        };
        if quota.bytes == 0 {
            self.core.push_ready(index);
            return false;
        }
        let read_bytes = self.inbox.read_bytes;
        let (buffer, pool) = self.inbox.buffer(index);
        if buffer.unpulled() > 0 && buffer.held() >= self.core.config.limits.unpulled_bytes_max {
            slot.is_stalled = true;
            return false;
        }
        if slot.secured().is_some() {
            return self.read_secured(index, quota);
        }
        let space = buffer.space(slot.conn.wanted(), read_bytes, pool);
        // Pooled storage may be larger than one read.
        let read_max = quota.bytes.max(read_bytes);
        let room = space.len().min(slot.conn.may_receive()).min(read_max);
        let outcome = self.core.kernel.read(socket, &mut space[..room]);
        match outcome {
            Ok(0) => {
                let (written, is_broken) = (slot.conn.written_bytes(), slot.conn.is_broken());
                slot.ends
                    .handle_eof(&self.core.kernel, socket, written, is_broken);
                slot.conn.handle_eof();
                slot.readable = false;
            }
            Ok(n) => {
                buffer.received(n);
                slot.conn.handle_received(self.core.now, n);
                self.core.counts.bytes_received += n as u64;
                quota.bytes = quota.bytes.saturating_sub(n);
                // Behind data that came together with a FIN no further edge comes: read on until the end is seen.
                let drained =
                    n < room && K::SHORT_IS_ALL && !slot.read_closed && !slot.conn.is_broken();
                slot.readable = !drained;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.conn.handle_drained();
                slot.readable = false;
            }
            Err(error) => {
                slot.conn.handle_error(Source::of(&error));
                slot.readable = false;
            }
        }
        buffer.trim(pool);
        true
    }

    /// Gives what was cut to whom it belongs.
    fn hand_on(&mut self, index: u32, cut: Cut) {
        let slot = &self.core.slots[index as usize];
        let (owner, connection) = (slot.owner, slot.id);
        let (offset, len) = match cut {
            Cut::Frame { offset, len } | Cut::Push { offset, len } => (offset, len),
            Cut::Skipped { limit, claimed } => return self.core.skipped(index, limit, claimed),
        };
        let frame = Frame {
            connection,
            offset,
            len,
        };
        match (owner, cut) {
            (Owner::Program, _) => self.core.tell(index, Event::Frame { connection, frame }),
            (Owner::Service { service, member }, Cut::Push { .. }) => {
                self.push(index, service, member, frame);
            }
            (Owner::Service { service, member }, _) => self.answer(index, service, member, frame),
            (Owner::Parted { .. }, _) => self.inbox.discard(index),
        }
    }

    /// Tells a frame that answers no request; whoever awaits a reply goes on awaiting it.
    fn push(&mut self, index: u32, service: u32, member: u32, frame: Frame) {
        let it = &mut self.core.services[service as usize];
        if it.heartbeat().is_none() {
            it.handle_heard(self.core.now, member);
        }
        let slot = &mut self.core.slots[index as usize];
        slot.conn.handle_push(self.core.now);
        slot.unpulled += 1;
        self.core.events.push_back(Event::Push {
            upstream: UpstreamId(service),
            connection: frame.connection,
            frame,
        });
    }

    /// Takes a frame for the reply to the request whose id it carries, or to the oldest request of its connection.
    fn answer(&mut self, index: u32, service: u32, member: u32, frame: Frame) {
        let id_of = self.core.services[service as usize].id_of();
        let id = id_of.and_then(|id_of| self.inbox.bytes(&frame).and_then(id_of));
        if self.swallow_heartbeat(index, service, member, id, &frame) {
            return;
        }
        if id_of.is_some() && id.is_none() {
            return self.push(index, service, member, frame);
        }
        let core = &mut self.core;
        let slot = &mut core.slots[index as usize];
        let it = &mut core.services[service as usize];
        let Some(request) = it.handle_reply(member, id, slot.conn.written_bytes()) else {
            core.end_unsolicited(index);
            self.inbox.discard(index);
            return self.core.push_pulled(index);
        };
        slot.conn.handle_reply(core.now, it.awaits(member));
        if !request.is_tombstone {
            core.counts.replies += 1;
            let (request, tag, bytes) = (request.request, request.tag, frame.len());
            core.watch.handle_ended(core.now, request, tag, Ok(bytes));
        }
        if !request.is_tombstone {
            it.handle_answered(core.now, request.request);
        }
        if !request.is_tombstone && !core.remote.awaits(request.request) {
            slot.unpulled += 1;
            let (request, tag) = (request.request, request.tag);
            core.events.push_back(Event::Reply {
                request,
                tag,
                frame,
            });
        } else {
            // A late reply is swallowed, one for another thread is copied: nobody here will pull it.
            if !request.is_tombstone {
                let bytes = self.inbox.bytes(&frame).unwrap_or_default();
                core.remote.tell(request.request, Ok(bytes.to_vec()));
            }
            self.inbox.discard(index);
            core.push_pulled(index);
        }
        core.answered(index, service, member);
    }
}

impl<K: Kernel> Core<K> {
    /// A frame over the limit has passed: the request that it answers fails with it, and the connection goes on.
    #[cold]
    fn skipped(&mut self, index: u32, limit: usize, claimed: u64) {
        let slot = &mut self.slots[index as usize];
        let connection = slot.id;
        let Owner::Service { service, member } = slot.owner else {
            let skipped = Event::Skipped {
                connection,
                bytes: claimed,
            };
            return self.tell(index, skipped);
        };
        if self.answers_heartbeat(index, service, member, None, None) {
            return;
        }
        let slot = &mut self.slots[index as usize];
        let it = &mut self.services[service as usize];
        let Some(request) = it.handle_reply(member, None, slot.conn.written_bytes()) else {
            return self.end_unsolicited(index);
        };
        slot.conn.handle_reply(self.now, it.awaits(member));
        if !request.is_tombstone {
            // One that was too long is an answer all the same: nothing is wrong with the way to the peer.
            it.handle_answered(self.now, request.request);
        }
        // Nobody will pull it, and its buffer is to be given back.
        self.push_pulled(index);
        if !request.is_tombstone {
            let error = Error::new(Phase::Read, Source::Oversize { limit, claimed });
            let error = error.of_request(Phase::Read, Sent::Yes);
            self.tell_failure(request.request, request.tag, error);
        }
        self.answered(index, service, member);
    }

    /// A reply was taken: its connection may be of no more use, or free for who waits.
    fn answered(&mut self, index: u32, service: u32, member: u32) {
        if self.services[service as usize].is_forsaken(member) {
            self.slots[index as usize].conn.abort(Source::Deadline);
        }
        self.services[service as usize].handle_rest(self.now, member);
        self.retire_spent(index);
        self.tell_changes(service);
        self.heed_room(service);
    }
}
