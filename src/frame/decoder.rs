//! The decoder of one connection: one machine out of those of all framings, and the memory that it has failed.

use std::fmt;

use super::custom::Custom;
use super::delimiter::Delimiter;
use super::fixed::Fixed;
use super::length::{Len32, Length};
use super::line::Line;
use super::raw::Raw;
use super::relp::Relp;
use super::resp::Resp;
use super::{Codec, Decoded, FrameError};

/// The decoder of one connection: at most 64 bytes, and no call through a pointer for the built-in codecs.
pub struct Decoder {
    pub(super) machine: Machine,
}

pub(super) enum Machine {
    Line(Line),
    Delimiter(Delimiter),
    Len32(Len32),
    Length(Length),
    Fixed(Fixed),
    Resp(Resp),
    Relp(Relp),
    Raw(Raw),
    Custom(Custom),
    Failed {
        error: FrameError,
        /// What it failed in was sure to answer a request.
        in_reply: bool,
    },
}

impl Decoder {
    /// Looks for one frame at the start of `bytes`; the rules of the call are those of [`Codec::decode`].
    ///
    /// # Errors
    /// When the stream breaks the framing or its limit. An error is sticky: the same one again for ever.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let decoded = match &mut self.machine {
            Machine::Line(codec) => codec.decode(bytes),
            Machine::Delimiter(codec) => codec.decode(bytes),
            Machine::Len32(codec) => codec.decode(bytes),
            Machine::Length(codec) => codec.decode(bytes),
            Machine::Fixed(codec) => codec.decode(bytes),
            Machine::Resp(codec) => codec.decode(bytes),
            Machine::Relp(codec) => codec.decode(bytes),
            Machine::Raw(codec) => codec.decode(bytes),
            Machine::Custom(codec) => codec.decode(bytes),
            Machine::Failed { error, .. } => return Err(*error),
        };
        if let Err(error) = decoded {
            let in_reply = self.begins_reply(bytes);
            self.machine = Machine::Failed { error, in_reply };
        }
        decoded
    }

    /// As [`Codec::begins_reply`]; after an error, of the frame that it was found in.
    pub fn begins_reply(&self, bytes: &[u8]) -> bool {
        match &self.machine {
            Machine::Resp(codec) => codec.begins_reply(bytes),
            Machine::Custom(codec) => codec.begins_reply(bytes),
            Machine::Failed { in_reply, .. } => *in_reply,
            _ => true,
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}
