//! Codecs: where one frame ends and the next begins in a stream of bytes.
//!
//! A codec only looks. It never copies, never allocates in proportion to what a peer claims, and knows no socket and no
//! clock. What must always hold: a frame uses up at least one byte, the same stream gives the same frames and the same
//! error however it was cut on its way, and the work is linear in the bytes received.
//!
//! Bytes left over when a connection ends are a truncated frame; that is for the connection to say, which sees the end.

mod custom;
mod decoder;
mod delimiter;
mod find;
mod fixed;
mod framing;
mod length;
mod limit;
mod line;
mod raw;
mod relp;
mod resp;
mod resp3;
#[cfg(test)]
mod tests;

use std::fmt;

pub use decoder::Decoder;
pub(crate) use find::find;
#[cfg(any(test, fuzzing))]
pub(crate) use find::meter;
pub use framing::Framing;
pub(crate) use framing::{FRAME_BYTES_MAX, IdOf};
pub use length::LengthPrefix;
pub(crate) use relp::RelpFrame;

/// What a codec found at the start of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// One whole frame: its payload is `bytes[start..end]`.
    ///
    /// `start <= end <= consumed <= bytes.len()` and `consumed > 0`.
    Frame {
        /// Where the payload starts.
        start: usize,
        /// Where the payload ends (exclusive).
        end: usize,
        /// How many bytes the frame uses up, its header and delimiter included.
        consumed: usize,
    },
    /// One whole frame that answers no request: the peer sent it of its own accord. The rules are those of `Frame`.
    Push {
        /// Where the payload starts.
        start: usize,
        /// Where the payload ends (exclusive).
        end: usize,
        /// How many bytes the frame uses up.
        consumed: usize,
    },
    /// A frame over the limit begins, which is to be skipped: all its `consumed` bytes are dropped as they come, and the
    /// next call starts behind them. See [`Framing::skip_oversize`].
    Skip {
        /// The limit, in bytes.
        limit: usize,
        /// The size of the frame, in the bytes that the limit counts.
        claimed: u64,
        /// How many bytes the frame uses up, from its start; more than 0, and mostly more than have come.
        consumed: u64,
    },
    /// Not yet whole.
    Incomplete {
        /// How many bytes from the start are needed at least before another look can find a frame; always more than
        /// there are. A hint for growing the buffer: exact where the length is known, else one more byte.
        ///
        /// A built-in codec never asks for more than the limit and what stands around a payload (its header, its
        /// delimiter), a custom one never for more than the limit (or the one byte of an empty buffer).
        wanted: usize,
    },
}

/// Why a stream cannot be cut any further. The position in it is lost, so the connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame is larger than the limit.
    Oversize {
        /// The limit, in bytes: see [`Framing::frame_bytes_max`].
        limit: usize,
        /// The size the peer claimed, in bytes; where it claims none (a line), the smallest size that is proven.
        claimed: u64,
    },
    /// The bytes break the rules of the framing; the text says which, and what would be right.
    Malformed(&'static str),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversize { limit, claimed } => write!(
                f,
                "a frame of at least {claimed} bytes is over the limit of {limit}: raise frame_bytes_max if the peer is right"
            ),
            Self::Malformed(what) => write!(f, "malformed frame: {what}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Cuts one connection's stream into frames. Implement it for a protocol that is not built in.
pub trait Codec: Send {
    /// Looks for one frame at the start of `bytes`: everything received and not yet consumed, from a frame boundary on.
    ///
    /// After [`Decoded::Incomplete`] it is called again with the same start and more bytes, so it may remember how far
    /// it looked. After a frame it starts anew. `bytes` may be empty.
    ///
    /// # Errors
    /// When no frame can ever follow. It is not called again after that.
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError>;

    /// Whether an unfinished frame, begun with these bytes (at least one), is sure to answer a request. A codec that
    /// returns [`Decoded::Push`] says no while it may come to that: the engine takes a yes for a proof that the peer
    /// got the request, and for a breach of the protocol where no request was made.
    fn begins_reply(&self, bytes: &[u8]) -> bool {
        let _ = bytes;
        true
    }
}
