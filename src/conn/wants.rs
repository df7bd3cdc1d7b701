//! What a connection wants done (`poll_*`), and what it says of itself.
//!
//! Nothing here changes what has happened; `poll_frame` cuts, `transmitted` advances, `poll_event` tells once.

use std::ops::Range;

use super::ending::source_of;
use super::{Conn, ConnEvent, Cut, Skipping, State};
use crate::buffer::{Pool, ReceiveBuffer};
use crate::config::Timeouts;
use crate::error::Phase;
use crate::frame::Decoded;
use crate::time::Time;

impl Conn {
    // What is wanted.

    /// What comes next in the stream. `None`: read on, or look at [`Conn::poll_event`].
    pub(crate) fn poll_frame(&mut self, buffer: &mut ReceiveBuffer) -> Option<Cut> {
        if self.is_closed() {
            return None;
        }
        if self.discarding {
            buffer.drop_all_unparsed();
        } else if self.skipping.is_some() {
            return self.poll_skipped(buffer);
        }
        let unparsed = buffer.unparsed();
        if !unparsed.is_empty() {
            match self.decoder.decode(unparsed) {
                Ok(Decoded::Frame {
                    start,
                    end,
                    consumed,
                }) => {
                    let (offset, len) = self.take(buffer, start, end, consumed);
                    return Some(Cut::Frame { offset, len });
                }
                Ok(Decoded::Push {
                    start,
                    end,
                    consumed,
                }) => {
                    let (offset, len) = self.take(buffer, start, end, consumed);
                    return Some(Cut::Push { offset, len });
                }
                Ok(Decoded::Skip {
                    limit,
                    claimed,
                    consumed,
                }) => {
                    self.reply_begun = self.decoder.begins_reply(unparsed);
                    self.skipping = Some(Skipping {
                        limit,
                        claimed,
                        dropped: 0,
                        left: consumed,
                    });
                    return self.poll_skipped(buffer);
                }
                Ok(Decoded::Incomplete { wanted }) => {
                    (self.wanted, self.partial) = (wanted, unparsed.len());
                    self.reply_begun = self.decoder.begins_reply(unparsed);
                }
                Err(error) => {
                    self.partial = unparsed.len();
                    self.reply_begun = self.decoder.begins_reply(unparsed);
                    let error = self.loss_in(Phase::Read, source_of(error));
                    self.close_with(Some(error));
                    return None;
                }
            }
        }
        self.is_behind = false;
        self.apply_ending();
        None
    }

    /// Drops what has come of a frame that is skipped; tells it when all of it has passed.
    #[cold]
    fn poll_skipped(&mut self, buffer: &mut ReceiveBuffer) -> Option<Cut> {
        let skipping = self.skipping.as_mut()?;
        let come = buffer.unparsed().len();
        let n = usize::try_from(skipping.left).map_or(come, |left| left.min(come));
        buffer.drop_unparsed(n);
        skipping.dropped += n as u64;
        skipping.left -= n as u64;
        let Skipping {
            limit,
            claimed,
            dropped,
            left,
        } = *skipping;
        self.wanted = 1;
        if left > 0 {
            self.partial = usize::try_from(dropped).unwrap_or(usize::MAX);
            self.is_behind = false;
            self.apply_ending();
            return None;
        }
        (self.partial, self.reply_begun) = (come - n, false);
        self.skipping = None;
        Some(Cut::Skipped { limit, claimed })
    }

    /// Uses up a frame's bytes. Of what lies behind it nothing is known yet.
    fn take(
        &mut self,
        buffer: &mut ReceiveBuffer,
        start: usize,
        end: usize,
        consumed: usize,
    ) -> (u64, u32) {
        (self.wanted, self.partial) = (1, buffer.unparsed().len() - consumed);
        self.reply_begun = false;
        (buffer.take_frame(start, consumed), (end - start) as u32)
    }

    /// What to write now: nothing before it stands or after it broke.
    pub(crate) fn poll_transmit(&self) -> &[u8] {
        match self.state {
            State::Open | State::Draining { .. } if self.broken.is_none() => self.queue.pending(),
            _ => &[],
        }
    }

    /// The kernel took `n` bytes of it.
    pub(crate) fn transmitted(&mut self, now: Time, n: usize, pool: &mut Pool) {
        self.queue.written(n, pool);
        (self.wrote_at, self.quiet_since) = (now, now);
        if self.watch.is_none() {
            self.active_at = now;
        }
        self.tell_when_writable();
    }

    pub(super) fn tell_when_writable(&mut self) {
        let has_room = self.queue.len() <= self.queue.bytes_max() / 2;
        if self.wants_writable && has_room && !self.is_connecting() {
            self.wants_writable = false;
            self.tell_writable = true;
        }
    }

    /// Whether our FIN should go out now.
    pub(crate) fn poll_shutdown(&self) -> bool {
        matches!(self.state, State::Draining { fin_at: None })
            && !self.is_writing()
            && self.broken.is_none()
    }

    /// Whether anything waits to leave: bytes of the queue, or what was made of them.
    pub(super) fn is_writing(&self) -> bool {
        !self.queue.is_empty() || self.is_sealed && self.broken.is_none()
    }

    /// The next thing to tell.
    pub(crate) fn poll_event(&mut self) -> Option<ConnEvent> {
        if let Some(error) = self.lost_handshake.take() {
            return Some(ConnEvent::HandshakeLost(*error));
        }
        if std::mem::take(&mut self.tell_writable) {
            return Some(ConnEvent::Writable);
        }
        if std::mem::take(&mut self.tell_half_closed) {
            return Some(ConnEvent::HalfClosed);
        }
        match self.state {
            State::Closed(error) if !self.closed_told => {
                self.closed_told = true;
                Some(ConnEvent::Closed(error))
            }
            _ => None,
        }
    }

    // Getters.

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(
            self.state,
            State::Resolving { .. } | State::Connecting { .. } | State::Handshaking { .. }
        )
    }

    /// Whether its session does not stand yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking { .. })
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.profile.timeouts
    }

    pub(crate) fn is_resolving(&self) -> bool {
        matches!(self.state, State::Resolving { .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Whether its end was handed on already.
    pub(crate) fn is_end_told(&self) -> bool {
        self.closed_told
    }

    /// Whether the program may queue bytes: from the start until it closes or the connection ends.
    pub(crate) fn can_send(&self) -> bool {
        self.is_connecting() || matches!(self.state, State::Open)
    }

    /// Whether its socket should be read: it stands, its end is not known, and the peer is not to be held back.
    pub(crate) fn wants_read(&self) -> bool {
        // What is queued behind a failed write never leaves, and holds nobody back.
        let is_held_back = self.queue.len() > self.profile.reads_pause_above_bytes;
        self.wants_end() && (self.is_broken() || !is_held_back)
    }

    /// Whether its end is still to be read: what is queued for a peer that has gone holds nobody back.
    pub(crate) fn wants_end(&self) -> bool {
        let speaks = match self.state {
            State::Open => !self.discarding,
            State::Handshaking { .. } => true,
            State::Draining { .. } => true,
            _ => false,
        };
        speaks && self.ending.is_none() && !self.half_closed
    }

    /// Whether our FIN is out, and the peer's end is awaited.
    pub(crate) fn is_shut(&self) -> bool {
        matches!(self.state, State::Draining { fin_at: Some(_) })
    }

    /// Whether a write failed, so that only the peer's parting words are still awaited.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether its end is known, and only what came before it is still told.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_broken() || self.ending.is_some()
    }

    /// Whether a peer that has ended its half is still sent to.
    pub(crate) fn sends_to_half_closed(&self) -> bool {
        self.profile.half_close
    }

    /// Bytes the peer may still send; beyond them all is dropped, without a bound.
    pub(crate) fn may_receive(&self) -> usize {
        match self.discarding {
            true => usize::MAX,
            false => {
                usize::try_from(self.profile.read_bytes_max - self.received).unwrap_or(usize::MAX)
            }
        }
    }

    /// Whether nothing is under way in either direction.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.state, State::Open)
            && self.partial == 0
            && !self.is_writing()
            && self.ending.is_none()
    }

    /// Bytes the next frame needs at least.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Whether a frame that is sure to be a reply has begun to come.
    pub(crate) fn reply_begun(&self) -> bool {
        self.partial > 0 && self.reply_begun
    }

    /// These bytes of the stream, when none of them has left.
    pub(crate) fn unsent(&self, range: &Range<u64>) -> Option<&[u8]> {
        self.queue.pending_of(range)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    #[cfg(test)]
    pub(crate) fn queued_max(&self) -> usize {
        self.queue.bytes_max()
    }

    /// Whether room in its queue is to be told.
    #[cfg(test)]
    pub(crate) fn is_to_tell_writable(&self) -> bool {
        self.wants_writable
    }

    #[cfg(test)]
    pub(crate) fn queue_capacity(&self) -> usize {
        self.queue.capacity()
    }

    pub(crate) fn written_bytes(&self) -> u64 {
        self.queue.written_bytes()
    }

    pub(crate) fn received_bytes(&self) -> u64 {
        self.received
    }

    /// The last time anything came, or it began to stand.
    pub(crate) fn received_at(&self) -> Time {
        self.received_at
    }

    /// The last time anything came or went; of one that never stood, when it was begun.
    pub(crate) fn quiet_since(&self) -> Time {
        self.quiet_since
    }

    /// Gives the queue's storage back.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        self.queue.clear(pool);
    }
}
