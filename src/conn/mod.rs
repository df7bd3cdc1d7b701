//! One connection, as pure state: no socket, no clock.
//!
//! ```text
//!  Resolving ──► Connecting ──► (Handshaking) ──► Open ──close──► Draining ──FIN seen──► Closed(None)
//!      │             │                │            │ FIN, RST,       │ linger, RST,
//!      ▼             ▼                ▼            ▼ timeout, frame  ▼ truncation
//!      └─────────────┴────────────────┴────────────┴─────────────────┴───────────────► Closed(Some(error))
//! ```
//! *Handshaking* is there where a session runs above TCP; nothing of the program's leaves before it is over.
//! Input that was received before a loss is told before the loss: an end of the stream or an error is only *pending*
//! until the frames in the buffer are used up. The first error is kept, for the kernel tells it once.

mod commands;
mod ending;
mod heartbeat;
mod race;
mod session;
#[cfg(test)]
mod tests;
mod timeouts;
mod wants;

use std::sync::Arc;

use crate::buffer::SendQueue;
use crate::config::Timeouts;
use crate::error::{Error, Source};
use crate::frame::Decoder;
use crate::time::Time;
use ending::Ending;
use heartbeat::Watch;
pub(crate) use race::{Race, Rules};

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
    /// Bytes the peer may send in the connection's life; the rest is not taken.
    pub(crate) read_bytes_max: u64,
}

/// Where a connection is in its life.
#[derive(Debug)]
enum State {
    /// Its name is being looked up.
    Resolving {
        deadline: Time,
        connect_deadline: Time,
    },
    /// Its addresses are being tried.
    Connecting { connect_deadline: Time },
    /// The TCP connection stands, its session does not yet.
    Handshaking {
        deadline: Time,
        connect_deadline: Time,
    },
    /// Both sides may speak.
    Open,
    /// The program has closed: the queue empties, our FIN goes out (at `fin_at`), the peer's is awaited.
    Draining { fin_at: Option<Time> },
    /// Over; nothing changes any more.
    Closed(Option<Error>),
}

/// What a connection has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnEvent {
    /// The handshake failed in a way that another address may do better than: it is connecting again.
    HandshakeLost(Error),
    /// The queue that was full has drained to half.
    Writable,
    /// The peer has ended its half, and that is allowed.
    HalfClosed,
    /// The end.
    Closed(Option<Error>),
}

/// What was cut from the stream: a payload's offset in it, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// An ordinary frame.
    Frame { offset: u64, len: u32 },
    /// A frame that answers no request.
    Push { offset: u64, len: u32 },
    /// A frame over the limit has passed and was dropped.
    Skipped { limit: usize, claimed: u64 },
}

/// A frame over the limit that is being dropped.
#[derive(Clone, Copy, Debug)]
struct Skipping {
    limit: usize,
    claimed: u64,
    /// Bytes of it that have come, and that are still to come.
    dropped: u64,
    left: u64,
}

/// One connection. See the diagram on top.
#[derive(Debug)]
pub(crate) struct Conn {
    state: State,
    profile: Arc<Profile>,
    decoder: Decoder,
    queue: SendQueue,
    /// What was taken from the queue waits in sealed form for the kernel.
    is_sealed: bool,
    /// There is another address to try, should the handshake with this one fail; and how it failed, told once.
    has_next_address: bool,
    lost_handshake: Option<Box<Error>>,
    ending: Option<Ending>,
    /// A write failed with this; what the peer said before is still read.
    broken: Option<Error>,
    /// Bytes, from the first unparsed one, that the next frame needs at least.
    wanted: usize,
    /// Bytes of an unfinished frame.
    partial: usize,
    /// What has come is not looked through yet: the loop or the program is behind, not the peer.
    is_behind: bool,
    /// What is unfinished is sure to be a reply.
    reply_begun: bool,
    skipping: Option<Skipping>,
    /// Bytes received in its life.
    received: u64,
    /// The peer has ended its half and that was told.
    half_closed: bool,
    /// Behind our own end: the peer's of the session has come, and that of the line is awaited.
    has_farewell: bool,
    /// What still comes is read and dropped, so that our close is no reset.
    discarding: bool,
    /// What was wrong with the end of the peer's half, told when the connection closes.
    torn: Option<Source>,
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
    /// The last byte came in that was no answer to a heartbeat.
    spoke_at: Time,
    watch: Option<Watch>,
}

impl Conn {
    /// A connection whose name is looked up first.
    pub(crate) fn resolving(now: Time, profile: Arc<Profile>, decoder: Decoder) -> Conn {
        let connect_deadline = now.after(profile.timeouts.connect);
        let deadline = now.after(profile.timeouts.resolve).min(connect_deadline);
        Conn::new(
            State::Resolving {
                deadline,
                connect_deadline,
            },
            now,
            profile,
            decoder,
        )
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
            is_sealed: false,
            has_next_address: false,
            lost_handshake: None,
            ending: None,
            broken: None,
            wanted: 1,
            partial: 0,
            is_behind: false,
            reply_begun: false,
            skipping: None,
            received: 0,
            half_closed: false,
            has_farewell: false,
            discarding: false,
            torn: None,
            wants_writable: false,
            tell_half_closed: false,
            tell_writable: false,
            closed_told: false,
            received_at: now,
            wrote_at: now,
            awaiting_since: Time::NEVER,
            active_at: now,
            quiet_since: now,
            spoke_at: now,
            watch: None,
        }
    }

    // What happened.

    /// Its name is known: addresses are tried from now on.
    pub(crate) fn handle_connecting(&mut self) {
        if let State::Resolving {
            connect_deadline, ..
        } = self.state
        {
            self.state = State::Connecting { connect_deadline };
        }
    }

    /// The connection stands, and its session where there is one.
    pub(crate) fn handle_connected(&mut self, now: Time) {
        debug_assert!(self.is_connecting());
        self.state = State::Open;
        (self.received_at, self.spoke_at, self.wrote_at) = (now, now, now);
        (self.active_at, self.quiet_since, self.spoke_at) = (now, now, now);
        self.tell_when_writable();
    }

    /// Connecting has failed for good.
    pub(crate) fn handle_connect_failed(&mut self, error: Error) {
        self.close_with(Some(error));
    }

    /// `n` bytes came in.
    pub(crate) fn handle_received(&mut self, now: Time, n: usize) {
        self.received += n as u64;
        self.is_behind = true;
        (self.received_at, self.quiet_since) = (now, now);
        if self.watch.is_none() {
            self.active_at = now;
        }
        if !self.is_asked() {
            self.spoke_at = now;
        }
        if self.received >= self.profile.read_bytes_max && !self.discarding {
            self.ending.get_or_insert(Ending::ReadLimit);
        }
    }

    /// It was not read for a while, by our own choice: the peer begins anew, in what it says and in what it takes.
    pub(crate) fn handle_resumed(&mut self, now: Time) {
        (self.received_at, self.spoke_at, self.wrote_at) = (now, now, now);
    }

    /// The peer has ended its half of the stream.
    pub(crate) fn handle_eof(&mut self) {
        self.end_with(Ending::Eof);
    }

    /// The peer has ended its half of the session, and the end of the line is awaited.
    pub(crate) fn handle_farewell(&mut self) {
        self.has_farewell = true;
    }

    fn end_with(&mut self, ending: Ending) {
        self.ending.get_or_insert(match self.broken {
            Some(error) => Ending::Failed(error),
            None => ending,
        });
    }

    /// A read, or a look at the line, failed. The read limit ends one half, this ends both.
    pub(crate) fn handle_error(&mut self, source: Source) {
        let error = self.broken.unwrap_or_else(|| self.loss(source));
        self.fail_with(error);
    }

    /// The session has broken. Why says more than a write that failed: that only met what the peer had done then.
    pub(crate) fn handle_session_error(&mut self, source: Source) {
        let error = self.broken.unwrap_or_else(|| self.loss(source));
        self.fail_with(Error {
            class: source.class(),
            source,
            ..error
        });
    }

    fn fail_with(&mut self, error: Error) {
        if matches!(self.ending, None | Some(Ending::ReadLimit)) {
            self.ending = Some(Ending::Failed(error));
        }
    }

    /// A write failed. The peer's parting words may still be in the line, so the end comes with the next read that
    /// finds nothing.
    pub(crate) fn handle_write_error(&mut self, source: Source) {
        let error = self.loss(source);
        let error = *self.broken.get_or_insert(error);
        if self.half_closed {
            // All of the peer's words were heard, and nothing more is read.
            self.ending.get_or_insert(Ending::Failed(error));
        }
        if !self.is_handshaking() {
            self.queue.abandon();
        }
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
            self.close_torn(self.torn);
        }
    }

    /// A reply was matched; `more` when others are awaited.
    pub(crate) fn handle_reply(&mut self, now: Time, more: bool) {
        self.awaiting_since = if more { now } else { Time::NEVER };
        self.active_at = now;
    }

    /// A frame was told that the peer sent of its own accord.
    pub(crate) fn handle_push(&mut self, now: Time) {
        self.spoke_at = now;
    }

    /// Its timer went off: ends the connection if one of its timeouts has passed.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if let Some((phase, source)) = self.overdue(now) {
            if matches!(self.state, State::Handshaking { connect_deadline, .. } if connect_deadline <= now)
            {
                // No address has any time left.
                self.has_next_address = false;
            }
            if self.has_farewell {
                // Nothing is missing but the word of its system, which a parting would tell.
                return self.close_torn(self.torn);
            }
            let error = self.loss_in(phase, source);
            self.note_missed();
            self.close_with(Some(error));
        }
    }
}
