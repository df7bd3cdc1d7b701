//! The end of a connection: what is pending becomes final, and what it means for what was sent.
//!
//! An end is *applied* only when every frame before it has been cut. The first end counts; nothing after it changes
//! anything.

use super::{Conn, State};
use crate::error::{Class, Error, Phase, Sent, Source};
use crate::frame::FrameError;

/// An end that is told when the frames before it are used up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Eof,
    /// As `Eof`, within a session that was not ended.
    Cut,
    /// The peer has sent all it may: for the program its half ends here.
    ReadLimit,
    Failed(Error),
}

impl Conn {
    /// All frames before the end are told: now the end itself is.
    pub(super) fn apply_ending(&mut self) {
        let Some(ending) = self.ending.take() else {
            return;
        };
        let torn = (self.partial > 0).then_some(Source::Truncated {
            received: self.partial as u64,
        });
        match (ending, &self.state) {
            (Ending::Failed(error), _) => self.close_with(Some(error)),
            (Ending::Eof | Ending::Cut, State::Handshaking { .. }) => {
                self.close_with(Some(self.loss(Source::Eof)));
            }
            (Ending::Cut, _) => {
                let received = self.partial as u64;
                self.close_with(Some(self.loss(Source::Truncated { received })));
            }
            (Ending::ReadLimit, _) => self.end_peers_half(torn),
            (Ending::Eof, State::Draining { fin_at: Some(_) }) => {
                self.close_torn(torn.or(self.torn))
            }
            (Ending::Eof, _) if self.profile.half_close => {
                self.half_closed = true;
                self.end_peers_half(torn);
            }
            (Ending::Eof, _) if torn.is_some() => self.close_torn(torn),
            (Ending::Eof, State::Draining { fin_at: None }) if !self.is_writing() => {
                self.close_with(None)
            }
            (Ending::Eof, _) => self.close_with(Some(self.loss(Source::Eof))),
        }
    }

    /// The peer will say nothing more; it may still be spoken to. Where the read limit ended its half, its FIN ends
    /// nothing anew.
    pub(super) fn end_peers_half(&mut self, torn: Option<Source>) {
        if std::mem::replace(&mut self.discarding, true) {
            return;
        }
        self.partial = 0;
        self.torn = torn;
        self.tell_half_closed = true;
    }

    /// Both halves have ended. What was wrong with the peer's is told only now: until now bytes could be sent.
    pub(super) fn close_torn(&mut self, torn: Option<Source>) {
        self.close_with(torn.map(|source| self.loss_in(Phase::Read, source)));
    }

    /// The first end counts. A handshake that failed for want of the peer's goes on with another address.
    pub(super) fn close_with(&mut self, error: Option<Error>) {
        if let (
            State::Handshaking {
                connect_deadline, ..
            },
            Some(error),
        ) = (&self.state, error)
            && self.has_next_address
            && error.class == Class::Transient
        {
            self.state = State::Connecting {
                connect_deadline: *connect_deadline,
            };
            (self.ending, self.broken, self.is_sealed) = (None, None, false);
            self.lost_handshake = Some(Box::new(error));
            return;
        }
        if !self.is_closed() {
            self.state = State::Closed(error);
        }
    }

    /// An error of the phase the connection is in.
    pub(super) fn loss(&self, source: Source) -> Error {
        let phase = match self.state {
            State::Resolving { .. } => Phase::Resolve,
            State::Connecting { .. } => Phase::Connect,
            State::Handshaking { .. } => Phase::Handshake,
            State::Draining { .. } => Phase::Drain,
            _ if self.is_writing() => Phase::Write,
            _ if self.partial > 0 || !self.awaiting_since.is_never() => Phase::Read,
            _ => Phase::Idle,
        };
        self.loss_in(phase, source)
    }

    pub(super) fn loss_in(&self, phase: Phase, source: Source) -> Error {
        let sent = if self.written_bytes() == 0 {
            Sent::No
        } else {
            Sent::Maybe
        };
        Error {
            sent,
            ..Error::new(phase, source)
        }
    }
}

/// What a codec found wrong, as the cause of an error.
pub(super) fn source_of(error: FrameError) -> Source {
    match error {
        FrameError::Oversize { limit, claimed } => Source::Oversize { limit, claimed },
        FrameError::Malformed(why) => Source::Malformed(why),
    }
}
