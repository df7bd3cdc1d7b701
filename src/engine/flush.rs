//! Flushing: a look at the line, then one write a connection.
//!
//! What the kernel has already told (a latched RDHUP) costs nothing to heed; the peek asks for what came since the
//! loop last slept. A peer that has gone is not written to: the connection becomes ready instead, what the peer said
//! last is read, and whatever was not written fails with `sent = no`.

use std::io;

use super::core::Core;
use super::secure::Seen;
use super::slot::Owner;
use crate::config::Peek;
use crate::error::Source;
use crate::kernel::{Kernel, Peeked};
use crate::time::Time;
use crate::upstream::Which;

impl<K: Kernel> Core<K> {
    /// Everything queued leaves, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) {
        if self.has_dirty() {
            self.flush_at(self.kernel.now());
        }
    }

    pub(super) fn flush_at(&mut self, now: Time) {
        if !self.has_dirty() {
            return;
        }
        self.now = now;
        let mut dirty = self.steal_dirty();
        for index in dirty.drain(..) {
            if let Some(slot) = self.slots.get_mut(index as usize) {
                slot.in_dirty = false;
                self.flush_one(index);
            }
        }
        self.return_dirty(dirty);
        self.carry_out_outages();
    }

    fn flush_one(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if !slot.writable || slot.socket.is_none() {
            return;
        }
        if let Owner::Service { service, member } = slot.owner
            && !slot.conn.is_connecting()
        {
            // What is too late is not written any more.
            self.expire_requests(index, service, member, Which::Unsent);
        }
        let has_words = !self.slots[index as usize].conn.poll_transmit().is_empty();
        if has_words && !self.line_is_clear(index) {
            // One that is held back for its frames' sake is read when the next may come, or the program has pulled, and
            // comes up then.
            let slot = &self.slots[index as usize];
            if slot.paused_until.is_none() && !slot.is_stalled {
                self.push_ready(index);
            }
            // An end that is certain is carried out now: no other request may be put on this connection.
            return match self.slots[index as usize].conn.is_closed() {
                true => self.settle(index),
                false => self.heed_end(index),
            };
        }
        match self.slots[index as usize].secured() {
            Some(_) => self.transmit_secured(index),
            None => self.transmit(index),
        }
        self.shut_down(index);
        self.settle(index);
    }

    fn transmit(&mut self, index: u32) {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        let Some(socket) = slot.socket.as_ref() else {
            return;
        };
        loop {
            let pending = slot.conn.poll_transmit();
            if pending.is_empty() {
                return;
            }
            let asked = pending.len();
            match self.kernel.write(socket, pending) {
                Ok(n) => {
                    slot.conn.transmitted(now, n, &mut self.send_pool);
                    self.counts.bytes_written += n as u64;
                    if n < asked && K::SHORT_IS_ALL {
                        // The kernel's buffer is full; an edge comes when it has room.
                        slot.writable = false;
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    slot.writable = false;
                    return;
                }
                Err(error) => {
                    let source = Source::of(&error);
                    slot.conn.handle_write_error(source);
                    slot.readable = true;
                    return self.push_ready(index);
                }
            }
        }
    }

    /// Our FIN, when everything before it has left.
    fn shut_down(&mut self, index: u32) {
        if !self.slots[index as usize].conn.poll_shutdown() || !self.close_session(index) {
            return;
        }
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        let Some(socket) = slot.socket.as_ref() else {
            return;
        };
        match self.kernel.shutdown(socket) {
            // Our half has ended with the session's farewell, and a peer that is gone answers that with a reset. Whether it
            // had ended its half before is still to be read.
            Err(_) if slot.secure.is_some() => slot.conn.handle_shut(now),
            Ok(()) => {
                slot.ends.fin_sent = true;
                slot.conn.handle_shut(now);
            }
            // What the peer said before is still read, as after any write that failed.
            Err(error) => slot.conn.handle_write_error(Source::of(&error)),
        }
        // The peer may have ended its half before: its FIN is then still to be read.
        slot.readable = true;
        self.push_ready(index);
    }

    /// Ends a connection whose peer said what answers nothing. Parting words before its FIN are no breach of the
    /// protocol: the peer has gone, and nothing was written to it.
    pub(super) fn end_unsolicited(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let seen = |socket| self.kernel.peer_has_shut(socket);
        let is_gone = slot.read_closed || slot.socket.as_ref().is_some_and(seen);
        slot.conn.abort(if is_gone {
            Source::Eof
        } else {
            Source::Unsolicited
        });
    }

    /// The look before a write: false when the peer has gone.
    fn line_is_clear(&mut self, index: u32) -> bool {
        let slot = &mut self.slots[index as usize];
        // What lies in the line of an upstream before any request was written answers none: it is read, not written to.
        let expects_nothing = match slot.owner {
            Owner::Service { service, member } => {
                !self.services[service as usize].has_begun(member, slot.conn.written_bytes())
            }
            Owner::Program | Owner::Parted { .. } => false,
        };
        if expects_nothing && slot.conn.reply_begun() {
            self.end_unsolicited(index);
            return false;
        }
        let half_close = slot.conn.sends_to_half_closed();
        let has_said_so = slot.secured().is_some_and(|it| it.is_ending());
        if (slot.read_closed || has_said_so) && !half_close {
            slot.readable = true;
            return false;
        }
        let looks = match self.config.peek {
            Peek::Always => true,
            Peek::Idle(quiet) => self.now.since(slot.conn.quiet_since()) >= quiet,
            Peek::Never => false,
        };
        let Some(socket) = slot.socket.as_ref().filter(|_| looks) else {
            return true;
        };
        let shut = match self.kernel.peek(socket) {
            Peeked::Nothing => false,
            Peeked::Data if slot.secured().is_some() => {
                let seen = self.look_through(index);
                self.push_ready(index);
                match seen {
                    Seen::Loss => return false,
                    Seen::Words if expects_nothing => return false,
                    Seen::Words | Seen::Nothing => false,
                    Seen::End => true,
                }
            }
            Peeked::Data if expects_nothing => {
                slot.readable = true;
                return false;
            }
            Peeked::Data => self.kernel.peer_has_shut(socket),
            Peeked::Fin => true,
            Peeked::Failed(error) => {
                slot.handle_lost(Source::of(&error));
                return false;
            }
        };
        let slot = &mut self.slots[index as usize];
        if shut {
            slot.read_closed = true;
            slot.readable = true;
        }
        !shut || half_close
    }
}
