//! Heartbeats: the question goes out like a request, its answer is told to nobody.
//!
//! When it is due and when it is missed the connection says; what answers it, the upstream.

use super::core::Core;
use super::slot::Owner;
use super::{Engine, Inbox};
use crate::error::Source;
use crate::event::Frame;
use crate::kernel::Kernel;
use crate::upstream::Verdict;

/// Why a connection ends whose heartbeat is answered otherwise than expected.
const OTHER_ANSWER: Source =
    Source::Malformed("the answer to the heartbeat is not the one that was expected");

impl<K: Kernel> Core<K> {
    /// Has a new connection of an upstream watched over, where it has a heartbeat.
    pub(super) fn watch(&mut self, index: u32, service: u32) {
        let it = &self.services[service as usize];
        if let Some(heartbeat) = it.heartbeat() {
            let random = self.kernel.random();
            let conn = &mut self.slots[index as usize].conn;
            conn.watch(heartbeat, it.is_matched_by_id(), random);
        }
    }

    /// Asks the peer of a connection for a sign of life, if that is due. It leaves in the next flush.
    pub(super) fn ask_for_life(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Owner::Service { service, member } = slot.owner else {
            return;
        };
        if !slot.conn.wants_heartbeat(self.now) {
            return;
        }
        let it = &mut self.services[service as usize];
        let Some(heartbeat) = it.heartbeat() else {
            return;
        };
        let random = self.kernel.random();
        let (payload, pool) = (&heartbeat.payload, &mut self.send_pool);
        let range = slot.conn.send_heartbeat(self.now, payload, random, pool);
        debug_assert!(range.is_some(), "an empty queue takes it");
        if let Some(range) = range {
            it.handle_heartbeat_sent(member, range.start);
        }
    }

    /// Whether a frame was the answer to a heartbeat. One that is not what was expected ends its connection.
    pub(super) fn answers_heartbeat(
        &mut self,
        index: u32,
        service: u32,
        member: u32,
        id: Option<u64>,
        frame: Option<&[u8]>,
    ) -> bool {
        let (slot, it) = (
            &mut self.slots[index as usize],
            &mut self.services[service as usize],
        );
        match it.handle_heartbeat_reply(member, id, frame, slot.conn.written_bytes()) {
            Verdict::NotItsAnswer => return false,
            Verdict::Fits => {
                let was_in_the_way = !it.is_matched_by_id() && it.awaits(member);
                slot.conn.handle_heartbeat_reply(self.now, was_in_the_way);
            }
            Verdict::Differs => slot.conn.abort(OTHER_ANSWER),
        }
        // Nobody will pull it, and its buffer is to be given back.
        self.push_pulled(index);
        true
    }
}

impl<K: Kernel> Engine<K> {
    /// Swallows a frame that answers the heartbeat of its connection.
    pub(super) fn swallow_heartbeat(
        &mut self,
        index: u32,
        service: u32,
        member: u32,
        id: Option<u64>,
        frame: &Frame,
    ) -> bool {
        if !self.core.services[service as usize].awaits_heartbeat(member) {
            return false;
        }
        let bytes = Inbox::bytes(&self.inbox, frame);
        let is_swallowed = self
            .core
            .answers_heartbeat(index, service, member, id, bytes);
        if is_swallowed {
            self.inbox.discard(index);
        }
        is_swallowed
    }
}
