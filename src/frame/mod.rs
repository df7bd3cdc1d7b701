//! Codecs: where one frame ends and the next begins in a stream of bytes.
//!
//! A codec only looks. It never copies, never allocates in proportion to what a peer claims, and knows no socket and no
//! clock. What must always hold: a frame uses up at least one byte, the same stream gives the same frames and the same
//! error however it was cut on its way, and the work is linear in the bytes received.
//!
//! Bytes left over when a connection ends are a truncated frame; that is for the connection to say, which sees the end.

mod custom;
mod find;
mod fixed;
mod len32;
mod line;
mod raw;
mod resp;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use custom::Custom;
use fixed::Fixed;
use len32::Len32;
use line::Line;
use raw::Raw;
use resp::Resp;

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
    /// Not yet whole.
    Incomplete {
        /// How many bytes from the start are needed at least before another look can find a frame; always more than
        /// there are. A hint for growing the buffer: exact where the length is known, else one more byte.
        ///
        /// A built-in codec never asks for more than the limit and 4 bytes, a custom one never for more than the limit
        /// (or the one byte of an empty buffer).
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
    /// it looked. After [`Decoded::Frame`] it starts anew. `bytes` may be empty.
    ///
    /// # Errors
    /// When no frame can ever follow. It is not called again after that.
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError>;
}

/// How replies are cut from the stream: a recipe that makes one [`Decoder`] a connection.
///
/// ```
/// use taut::frame::{Decoded, Framing};
///
/// let mut decoder = Framing::line().frame_bytes_max(1024).decoder(1 << 20);
/// let received = b"hello\r\nwor";
/// assert_eq!(decoder.decode(received), Ok(Decoded::Frame { start: 0, end: 5, consumed: 7 }));
/// assert_eq!(decoder.decode(&received[7..]), Ok(Decoded::Incomplete { wanted: 4 }));
/// ```
#[derive(Clone)]
pub struct Framing {
    kind: Kind,
    frame_bytes_max: Option<usize>,
}

#[derive(Clone)]
enum Kind {
    Line,
    Len32,
    Fixed(usize),
    Resp,
    Raw,
    Custom(Arc<dyn Fn() -> Box<dyn Codec> + Send + Sync>),
}

/// The largest limit of a frame: its length has to fit [`Frame`](crate::Frame).
pub(crate) const FRAME_BYTES_MAX: usize = i32::MAX as usize;

impl Framing {
    /// Lines: `\n` or `\r\n` ends a frame; the payload is what stands before it. A `\r` anywhere else is data.
    pub fn line() -> Self {
        Self::new(Kind::Line)
    }

    /// A length first: 4 bytes, big-endian, that count the payload behind them. Zero is an empty frame.
    pub fn len32() -> Self {
        Self::new(Kind::Len32)
    }

    /// Frames of exactly `bytes` bytes.
    ///
    /// A frame of 0 bytes would never end: with `bytes == 0` every decode is [`FrameError::Malformed`]. With `bytes`
    /// over the limit every decode is [`FrameError::Oversize`].
    pub fn fixed(bytes: usize) -> Self {
        Self::new(Kind::Fixed(bytes))
    }

    /// RESP2, the replies of Redis and its kin. One frame is one whole top-level reply, arrays with all they hold; the
    /// payload is all of its bytes, from the type byte to the last CRLF. Arrays nest at most 32 deep.
    pub fn resp() -> Self {
        Self::new(Kind::Resp)
    }

    /// No framing: whatever has arrived is a frame, cut at the limit.
    pub fn raw() -> Self {
        Self::new(Kind::Raw)
    }

    /// A codec of your own; `make` is called once a connection.
    ///
    /// An impossible range from it is [`FrameError::Malformed`], never a panic. What a frame costs beyond its payload is
    /// not known here, so its limit counts every byte the frame consumes.
    ///
    /// ```
    /// use taut::frame::{Codec, Decoded, FrameError, Framing};
    ///
    /// /// Frames that end with a zero byte.
    /// struct Zero;
    ///
    /// impl Codec for Zero {
    ///     fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
    ///         Ok(match bytes.iter().position(|&byte| byte == 0) {
    ///             Some(end) => Decoded::Frame { start: 0, end, consumed: end + 1 },
    ///             None => Decoded::Incomplete { wanted: bytes.len() + 1 },
    ///         })
    ///     }
    /// }
    ///
    /// let mut decoder = Framing::custom(|| Box::new(Zero)).decoder(1 << 20);
    /// assert_eq!(decoder.decode(b"ab\0c"), Ok(Decoded::Frame { start: 0, end: 2, consumed: 3 }));
    /// ```
    pub fn custom(make: impl Fn() -> Box<dyn Codec> + Send + Sync + 'static) -> Self {
        Self::new(Kind::Custom(Arc::new(make)))
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            frame_bytes_max: None,
        }
    }

    /// The largest frame, in bytes of payload (of everything consumed for a custom codec), in place of the default of
    /// the configuration. A larger frame is [`FrameError::Oversize`]; only `raw` cuts there instead.
    pub fn frame_bytes_max(mut self, n: usize) -> Self {
        self.frame_bytes_max = Some(n);
        self
    }

    /// The name of the framing: `line`, `len32`, `fixed`, `resp`, `raw` or `custom`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Line => "line",
            Kind::Len32 => "len32",
            Kind::Fixed(_) => "fixed",
            Kind::Resp => "resp",
            Kind::Raw => "raw",
            Kind::Custom(_) => "custom",
        }
    }

    /// Why this framing cannot be used, if so. `frame_bytes_max_default` as for [`Self::decoder`].
    pub(crate) fn flaw(&self, frame_bytes_max_default: usize) -> Option<&'static str> {
        let limit = self.frame_bytes_max.unwrap_or(frame_bytes_max_default);
        match self.kind {
            _ if limit == 0 => Some("a frame limit of 0 bytes; a frame has at least 1 byte"),
            _ if limit > FRAME_BYTES_MAX => Some("a frame limit above 2^31 - 1 bytes"),
            Kind::Fixed(0) => Some("fixed frames of 0 bytes; a frame has at least 1 byte"),
            Kind::Fixed(bytes) if bytes > limit => Some("fixed frames larger than the frame limit"),
            _ => None,
        }
    }

    /// Makes the decoder of one connection. `frame_bytes_max_default` holds unless [`Self::frame_bytes_max`] was set.
    pub fn decoder(&self, frame_bytes_max_default: usize) -> Decoder {
        let limit = self.frame_bytes_max.unwrap_or(frame_bytes_max_default);
        let machine = match &self.kind {
            Kind::Line => Machine::Line(Line::new(limit)),
            Kind::Len32 => Machine::Len32(Len32::new(limit)),
            Kind::Fixed(bytes) => Machine::Fixed(Fixed::new(*bytes, limit)),
            Kind::Resp => Machine::Resp(Resp::new(limit)),
            Kind::Raw => Machine::Raw(Raw::new(limit)),
            Kind::Custom(make) => Machine::Custom(Custom::new(make(), limit)),
        };
        Decoder { machine }
    }
}

impl fmt::Debug for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framing")
            .field("name", &self.name())
            .field("frame_bytes_max", &self.frame_bytes_max)
            .finish()
    }
}

/// The decoder of one connection: at most 64 bytes, and no call through a pointer for the built-in codecs.
pub struct Decoder {
    machine: Machine,
}

enum Machine {
    Line(Line),
    Len32(Len32),
    Fixed(Fixed),
    Resp(Resp),
    Raw(Raw),
    Custom(Custom),
    Failed(FrameError),
}

impl Decoder {
    /// Looks for one frame at the start of `bytes`; the rules of the call are those of [`Codec::decode`].
    ///
    /// # Errors
    /// When the stream breaks the framing or its limit. An error is sticky: the same one again for ever.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let decoded = match &mut self.machine {
            Machine::Line(codec) => codec.decode(bytes),
            Machine::Len32(codec) => codec.decode(bytes),
            Machine::Fixed(codec) => codec.decode(bytes),
            Machine::Resp(codec) => codec.decode(bytes),
            Machine::Raw(codec) => codec.decode(bytes),
            Machine::Custom(codec) => codec.decode(bytes),
            Machine::Failed(error) => return Err(*error),
        };
        if let Err(error) = decoded {
            self.machine = Machine::Failed(error);
        }
        decoded
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}
