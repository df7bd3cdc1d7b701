//! What a connection is told to do: plain verbs, each of which only changes its state.

use std::ops::Range;

use super::{Conn, State};
use crate::buffer::Pool;
use crate::error::Source;
use crate::time::Time;

impl Conn {
    /// Queues bytes, all or none. Returns the range of the stream they take.
    pub(crate) fn send(
        &mut self,
        now: Time,
        payload: &[u8],
        pool: &mut Pool,
    ) -> Option<Range<u64>> {
        debug_assert!(self.can_send());
        if !self.is_writing() {
            self.wrote_at = now;
        }
        let range = self.queue.push(payload, pool);
        if range.is_some() {
            self.active_at = now;
        }
        range
    }

    /// Somebody was refused room in the queue: it is told when at most half of it is taken.
    pub(crate) fn refused(&mut self) {
        self.wants_writable = true;
    }

    /// Takes back bytes of which none has been written, in their order.
    pub(crate) fn withdraw(&mut self, ranges: impl Iterator<Item = Range<u64>>, pool: &mut Pool) {
        self.queue.withdraw(ranges, pool);
    }

    /// A reply is awaited from now on.
    pub(crate) fn await_reply(&mut self, now: Time) {
        self.awaiting_since = self.awaiting_since.min(now);
    }

    /// Asks to be told when it stands and the queue has drained to half its bound.
    pub(crate) fn notify_writable(&mut self) {
        self.wants_writable = true;
        self.tell_when_writable();
    }

    /// Empties the queue, ends our half, and waits for the peer's end.
    pub(crate) fn close(&mut self) {
        match self.state {
            State::Resolving { .. } | State::Connecting { .. } | State::Handshaking { .. } => {
                self.abort(Source::Closed);
            }
            State::Open => self.state = State::Draining { fin_at: None },
            State::Draining { .. } | State::Closed(_) => {}
        }
    }

    /// Nobody needs it any more: as `close`, and what the peer still says is read and dropped.
    pub(crate) fn leave(&mut self) {
        self.close();
        self.discarding = true;
        (self.partial, self.reply_begun) = (0, false);
    }

    /// The same, and the peer's end is left to the kernel.
    pub(crate) fn part(&mut self) {
        self.close_with(None);
    }

    /// Ends at once.
    pub(crate) fn abort(&mut self, source: Source) {
        let error = self.loss(source);
        self.close_with(Some(error));
    }
}
