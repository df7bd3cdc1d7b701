//! One connection, as pure state: no socket, no clock.
//!
//! ```text
//!  Resolving ──► Connecting ──► Open ──close──► Draining ──FIN seen──► Closed(None)
//!      │             │  ▲ next    │                 │
//!      │             └──┘ address │ FIN, RST,       │ linger, RST,
//!      ▼             ▼            ▼ timeout, frame  ▼ truncation
//!      └─────────────┴────────────┴─────────────────┴───────────────► Closed(Some(error))
//! ```
//! Input that was received before a loss is told before the loss: an end of the stream or an error is only *pending*
//! until the frames in the buffer are used up. The first error is kept, for the kernel tells it once.

mod timeouts;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use crate::buffer::{Pool, ReceiveBuffer, SendQueue};
use crate::config::Timeouts;
use crate::error::{Error, Phase, Sent, Source};
use crate::frame::{Decoded, Decoder, FrameError};
use crate::time::Time;

/// What connections of one kind have in common.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) timeouts: Timeouts,
    /// The peer may end its half and still be sent to.
    pub(crate) half_close: bool,
    /// Bytes queued for the peer above which it is no longer read from (a server's backpressure); a client must go on
    /// reading, or two full pipes would wait for each other.
    pub(crate) reads_pause_above_bytes: usize,
    pub(crate) send_queue_bytes_max: usize,
}

/// Where a connection is in its life.
#[derive(Debug)]
enum State {
    /// Its name is being looked up.
    Resolving { deadline: Time, connect_deadline: Time },
    /// One address is being tried.
    Connecting { deadline: Time, connect_deadline: Time },
    /// Both sides may speak.
    Open,
    /// The program has closed: the queue empties, our FIN goes out (at `fin_at`), the peer's is awaited.
    Draining { fin_at: Option<Time> },
    /// Over; nothing changes any more.
    Closed(Option<Error>),
}

/// An end that is told when the frames before it are used up.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Eof,
    Failed(Error),
}

/// What a connection has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnEvent {
    /// The queue that was full has drained to half.
    Writable,
    /// The peer has ended its half, and that is allowed.
    HalfClosed,
    /// The end.
    Closed(Option<Error>),
}

/// One connection. See the diagram on top.
#[derive(Debug)]
pub(crate) struct Conn {
    state: State,
    profile: Arc<Profile>,
    decoder: Decoder,
    queue: SendQueue,
    ending: Option<Ending>,
    /// A write failed with this; what the peer said before is still read.
    broken: Option<Error>,
    /// Bytes, from the first unparsed one, that the next frame needs at least.
    wanted: usize,
    /// Bytes of an unfinished frame.
    partial: usize,
    /// Bytes received in its life.
    received: u64,
    /// The peer has ended its half and that was told.
    half_closed: bool,
    wants_writable: bool,
    /// Told once, when set.
    tell_half_closed: bool,
    tell_writable: bool,
    closed_told: bool,
    /// The last byte came in; the last progress of writing; the oldest unanswered request went out (or NEVER); the
    /// last time anything was under way.
    received_at: Time,
    wrote_at: Time,
    awaiting_since: Time,
    active_at: Time,
    /// The last time anything came or went; queueing alone is neither.
    quiet_since: Time,
}

impl Conn {
    /// A connection whose name is looked up first.
    pub(crate) fn resolving(now: Time, profile: Arc<Profile>, decoder: Decoder) -> Conn {
        let connect_deadline = now.after(profile.timeouts.connect);
        let deadline = now.after(profile.timeouts.resolve).min(connect_deadline);
        Conn::new(State::Resolving { deadline, connect_deadline }, now, profile, decoder)
    }

    /// A connection that was accepted.
    pub(crate) fn accepted(now: Time, profile: Arc<Profile>, decoder: Decoder) -> Conn {
        Conn::new(State::Open, now, profile, decoder)
    }

    fn new(state: State, now: Time, profile: Arc<Profile>, decoder: Decoder) -> Conn {
        let queue = SendQueue::new(profile.send_queue_bytes_max);
        Conn {
            state,
            profile,
            decoder,
            queue,
            ending: None,
            broken: None,
            wanted: 1,
            partial: 0,
            received: 0,
            half_closed: false,
            wants_writable: false,
            tell_half_closed: false,
            tell_writable: false,
            closed_told: false,
            received_at: now,
            wrote_at: now,
            awaiting_since: Time::NEVER,
            active_at: now,
            quiet_since: now,
        }
    }

    // What happened.

    /// An address is tried now; `last` when there is none after it.
    pub(crate) fn handle_connecting(&mut self, now: Time, last: bool) {
        let (State::Resolving { connect_deadline, .. } | State::Connecting { connect_deadline, .. }) = self.state else {
            return;
        };
        let deadline = match last {
            true => connect_deadline,
            false => now.after(self.profile.timeouts.connect_address).min(connect_deadline),
        };
        self.state = State::Connecting { deadline, connect_deadline };
    }

    /// The TCP connection stands.
    pub(crate) fn handle_connected(&mut self, now: Time) {
        debug_assert!(self.is_connecting());
        self.state = State::Open;
        (self.received_at, self.wrote_at, self.active_at, self.quiet_since) = (now, now, now, now);
    }

    /// Connecting has failed for good.
    pub(crate) fn handle_connect_failed(&mut self, error: Error) {
        self.close_with(Some(error));
    }

    /// `n` bytes came in.
    pub(crate) fn handle_received(&mut self, now: Time, n: usize) {
        self.received += n as u64;
        (self.received_at, self.active_at, self.quiet_since) = (now, now, now);
    }

    /// The peer has ended its half of the stream.
    pub(crate) fn handle_eof(&mut self) {
        self.ending.get_or_insert(match self.broken {
            Some(error) => Ending::Failed(error),
            None => Ending::Eof,
        });
    }

    /// A read, or a look at the line, failed.
    pub(crate) fn handle_error(&mut self, source: Source) {
        let error = self.broken.unwrap_or_else(|| self.loss(source));
        self.ending.get_or_insert(Ending::Failed(error));
    }

    /// A write failed. The peer's parting words may still be in the line, so the end comes with the next read that
    /// finds nothing.
    pub(crate) fn handle_write_error(&mut self, source: Source, pool: &mut Pool) {
        let error = self.loss(source);
        let error = *self.broken.get_or_insert(error);
        if self.half_closed {
            // All of them were heard, and nothing more is read.
            self.ending.get_or_insert(Ending::Failed(error));
        }
        self.queue.clear(pool);
    }

    /// A read found nothing.
    pub(crate) fn handle_drained(&mut self) {
        if let Some(error) = self.broken {
            self.ending.get_or_insert(Ending::Failed(error));
        }
    }

    /// Our FIN is out.
    pub(crate) fn handle_shut(&mut self, now: Time) {
        self.state = State::Draining { fin_at: Some(now) };
        if self.half_closed {
            self.close_with(None);
        }
    }

    /// A reply was matched; `more` when others are awaited.
    pub(crate) fn handle_reply(&mut self, now: Time, more: bool) {
        self.awaiting_since = if more { now } else { Time::NEVER };
        self.active_at = now;
    }

    /// Its timer went off: ends the connection if one of its timeouts has passed.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if let Some((phase, source)) = self.overdue(now) {
            let error = self.loss_in(phase, source);
            self.close_with(Some(error));
        }
    }

    // Commands.

    /// Queues bytes, all or none. Returns the range of the stream they take.
    pub(crate) fn send(&mut self, now: Time, payload: &[u8], pool: &mut Pool) -> Option<Range<u64>> {
        debug_assert!(self.can_send());
        if self.queue.is_empty() {
            self.wrote_at = now;
        }
        let range = self.queue.push(payload, pool);
        if range.is_some() {
            self.active_at = now;
        }
        range
    }

    /// The program was refused room in the queue: it is told when at most half of it is taken.
    pub(crate) fn refused(&mut self) {
        self.wants_writable = true;
    }

    /// Takes back bytes of which none has been written.
    pub(crate) fn withdraw(&mut self, range: Range<u64>) {
        self.queue.withdraw(range);
    }

    /// A reply is awaited from now on.
    pub(crate) fn await_reply(&mut self, now: Time) {
        self.awaiting_since = self.awaiting_since.min(now);
    }

    /// Asks to be told when the queue has drained to half its bound.
    pub(crate) fn notify_writable(&mut self) {
        match self.queue.len() <= self.queue.bytes_max() / 2 {
            true => self.tell_writable = true,
            false => self.wants_writable = true,
        }
    }

    /// Empties the queue, ends our half, and waits for the peer's end.
    pub(crate) fn close(&mut self) {
        match self.state {
            State::Resolving { .. } | State::Connecting { .. } => self.abort(Source::Closed),
            State::Open => self.state = State::Draining { fin_at: None },
            State::Draining { .. } | State::Closed(_) => {}
        }
    }

    /// Ends at once.
    pub(crate) fn abort(&mut self, source: Source) {
        let error = self.loss(source);
        self.close_with(Some(error));
    }

    // What is wanted.

    /// The next whole frame: its payload's offset in the stream and its length. `None`: read on, or look at
    /// [`Conn::poll_event`].
    pub(crate) fn poll_frame(&mut self, buffer: &mut ReceiveBuffer) -> Option<(u64, u32)> {
        if self.is_closed() {
            return None;
        }
        let unparsed = buffer.unparsed();
        if !unparsed.is_empty() {
            match self.decoder.decode(unparsed) {
                Ok(Decoded::Frame { start, end, consumed }) => {
                    (self.wanted, self.partial) = (1, unparsed.len() - consumed);
                    return Some((buffer.take_frame(start, consumed), (end - start) as u32));
                }
                Ok(Decoded::Incomplete { wanted }) => (self.wanted, self.partial) = (wanted, unparsed.len()),
                Err(error) => {
                    self.partial = unparsed.len();
                    let error = self.loss_in(Phase::Read, source_of(error));
                    self.close_with(Some(error));
                    return None;
                }
            }
        }
        self.apply_ending();
        None
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
        (self.wrote_at, self.active_at, self.quiet_since) = (now, now, now);
        if self.wants_writable && self.queue.len() <= self.queue.bytes_max() / 2 {
            self.wants_writable = false;
            self.tell_writable = true;
        }
    }

    /// Whether our FIN should go out now.
    pub(crate) fn poll_shutdown(&self) -> bool {
        matches!(self.state, State::Draining { fin_at: None }) && self.queue.is_empty() && self.broken.is_none()
    }

    /// The next thing to tell.
    pub(crate) fn poll_event(&mut self) -> Option<ConnEvent> {
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
        matches!(self.state, State::Resolving { .. } | State::Connecting { .. })
    }

    pub(crate) fn is_resolving(&self) -> bool {
        matches!(self.state, State::Resolving { .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Whether the program may queue bytes: from the start until it closes or the connection ends.
    pub(crate) fn can_send(&self) -> bool {
        matches!(self.state, State::Resolving { .. } | State::Connecting { .. } | State::Open)
    }

    /// Whether its socket should be read: it stands, its end is not known, and the peer is not to be held back.
    pub(crate) fn wants_read(&self) -> bool {
        matches!(self.state, State::Open | State::Draining { .. })
            && self.ending.is_none()
            && !self.half_closed
            && self.queue.len() <= self.profile.reads_pause_above_bytes
    }

    /// Whether a write failed, so that only the peer's parting words are still awaited.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether a peer that has ended its half is still sent to.
    pub(crate) fn sends_to_half_closed(&self) -> bool {
        self.profile.half_close
    }

    /// Bytes the next frame needs at least.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Bytes of a frame that has begun to come.
    pub(crate) fn partial(&self) -> usize {
        self.partial
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn written_bytes(&self) -> u64 {
        self.queue.written_bytes()
    }

    pub(crate) fn received_bytes(&self) -> u64 {
        self.received
    }

    /// The last time anything came or went.
    pub(crate) fn quiet_since(&self) -> Time {
        self.quiet_since
    }

    /// Gives the queue's storage back.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        self.queue.clear(pool);
    }

    // The end.

    /// All frames before the end are told: now the end itself is.
    fn apply_ending(&mut self) {
        match (self.ending, &self.state) {
            (None, _) => {}
            (Some(Ending::Failed(error)), _) => self.close_with(Some(error)),
            (Some(Ending::Eof), _) if self.partial > 0 => {
                let source = Source::Truncated { received: self.partial as u64 };
                let error = self.loss_in(Phase::Read, source);
                self.close_with(Some(error));
            }
            (Some(Ending::Eof), State::Draining { fin_at: Some(_) }) => self.close_with(None),
            (Some(Ending::Eof), _) if self.profile.half_close => {
                self.ending = None;
                self.half_closed = true;
                self.tell_half_closed = true;
            }
            (Some(Ending::Eof), State::Draining { fin_at: None }) if self.queue.is_empty() => self.close_with(None),
            (Some(Ending::Eof), _) => {
                let error = self.loss(Source::Eof);
                self.close_with(Some(error));
            }
        }
    }

    /// The first end counts.
    fn close_with(&mut self, error: Option<Error>) {
        if !self.is_closed() {
            self.state = State::Closed(error);
        }
    }

    /// An error of the phase the connection is in.
    fn loss(&self, source: Source) -> Error {
        let phase = match self.state {
            State::Resolving { .. } => Phase::Resolve,
            State::Connecting { .. } => Phase::Connect,
            State::Draining { .. } => Phase::Drain,
            _ if !self.queue.is_empty() => Phase::Write,
            _ if self.partial > 0 || !self.awaiting_since.is_never() => Phase::Read,
            _ => Phase::Idle,
        };
        self.loss_in(phase, source)
    }

    fn loss_in(&self, phase: Phase, source: Source) -> Error {
        let sent = if self.written_bytes() == 0 { Sent::No } else { Sent::Maybe };
        Error { sent, ..Error::new(phase, source) }
    }
}

fn source_of(error: FrameError) -> Source {
    match error {
        FrameError::Oversize { limit, claimed } => Source::Oversize { limit, claimed },
        FrameError::Malformed(why) => Source::Malformed(why),
    }
}
