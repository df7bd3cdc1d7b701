//! The recipe of a framing: which codec, with which limit. It is checked once, where it is first used.

use std::fmt;
use std::sync::Arc;

use super::custom::Custom;
use super::decoder::{Decoder, Machine};
use super::delimiter::{Delimiter, Mark};
use super::fixed::Fixed;
use super::length::{LEN16, LEN32, Len32, Length, LengthPrefix};
use super::limit::Limit;
use super::line::Line;
use super::raw::Raw;
use super::relp::Relp;
use super::resp::Resp;
use super::{Codec, FrameError};

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
    id_of: Option<IdOf>,
    skips_oversize: bool,
}

/// Finds the id in a reply's payload.
pub(crate) type IdOf = fn(&[u8]) -> Option<u64>;

#[derive(Clone)]
enum Kind {
    Line,
    /// `None` when it cannot be.
    Delimiter(Option<Mark>),
    Length(LengthPrefix),
    Fixed(usize),
    Resp,
    Resp3,
    Relp,
    Raw,
    Custom(Arc<dyn Fn() -> Box<dyn Codec> + Send + Sync>),
}

const NO_DELIMITER: &str = "a delimiter has 1 to 16 bytes";

/// The largest limit of a frame: its length has to fit [`Frame`](crate::Frame).
pub(crate) const FRAME_BYTES_MAX: usize = i32::MAX as usize;

impl Framing {
    /// Lines: `\n` or `\r\n` ends a frame; the payload is what stands before it. A `\r` anywhere else is data.
    pub fn line() -> Self {
        Self::new(Kind::Line)
    }

    /// Frames that end with `bytes`, 1 to 16 of them; the payload is what stands before. Where it could end in two
    /// places it ends in the first.
    ///
    /// With no bytes or more than 16 every decode is [`FrameError::Malformed`].
    ///
    /// ```
    /// use taut::frame::{Decoded, Framing};
    ///
    /// let mut decoder = Framing::delimiter(b"--").decoder(1 << 20);
    /// assert_eq!(decoder.decode(b"a-b--c"), Ok(Decoded::Frame { start: 0, end: 3, consumed: 5 }));
    /// ```
    pub fn delimiter(bytes: &[u8]) -> Self {
        Self::new(Kind::Delimiter(Mark::new(bytes)))
    }

    /// A length first: 2 bytes, big-endian, that count the payload behind them. Zero is an empty frame.
    pub fn len16() -> Self {
        Self::length(LEN16)
    }

    /// A length first: 4 bytes, big-endian, that count the payload behind them. Zero is an empty frame.
    pub fn len32() -> Self {
        Self::length(LEN32)
    }

    /// A length in the header, wherever it stands there and whatever it counts.
    pub fn length(prefix: LengthPrefix) -> Self {
        Self::new(Kind::Length(prefix))
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

    /// RESP3, which a Redis speaks after `HELLO 3`: all of RESP2 and null, boolean, double, big number, blob error,
    /// verbatim string, map, set, attribute and push.
    ///
    /// An attribute belongs to the reply that follows: one frame holds both. A push is [`Decoded::Push`]: it answers no
    /// request. Streamed strings and arrays (`$?`, `*?`) are [`FrameError::Malformed`]. Arrays, maps, sets and attributes
    /// nest at most 32 deep.
    ///
    /// [`Decoded::Push`]: super::Decoded::Push
    pub fn resp3() -> Self {
        Self::new(Kind::Resp3)
    }

    /// RELP, the answers of a log server (rsyslog's `imrelp`): `TXNR SP COMMAND SP DATALEN [SP DATA] LF`. The payload is
    /// all of it but the LF; the frame limit counts that.
    ///
    /// TXNR and DATALEN have 1 to 9 digits, COMMAND 1 to 32 letters. A frame without data may have the SP before it.
    pub fn relp() -> Self {
        Self::new(Kind::Relp)
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
            id_of: None,
            skips_oversize: false,
        }
    }

    /// The largest frame, in bytes of payload (of everything consumed for a custom codec), in place of the default of
    /// the configuration. A larger frame is [`FrameError::Oversize`], if it is not to be
    /// [skipped](Self::skip_oversize); only `raw` cuts there instead.
    pub fn frame_bytes_max(mut self, n: usize) -> Self {
        self.frame_bytes_max = Some(n);
        self
    }

    /// A frame over the limit is no error: its bytes are dropped as they come, without being held, and the stream goes
    /// on behind them. A raw connection is told [`Event::Skipped`](crate::Event::Skipped); of an upstream the request
    /// that it answers fails with [`Source::Oversize`](crate::Source::Oversize), `sent = yes`, and its connection stays.
    ///
    /// For framings that tell a length first: length prefixes, RELP, and in RESP a string that is a reply of its own
    /// (what follows it is not looked at). A length that cannot be counted in 64 bits with its header is still an error, and
    /// so is an array over the limit. Elsewhere it is a flaw, and so it is where replies are matched by id: the id is
    /// part of what is dropped.
    pub fn skip_oversize(mut self) -> Self {
        self.skips_oversize = true;
        self
    }

    pub(crate) fn skips_oversize(&self) -> bool {
        self.skips_oversize
    }

    /// How to find the id that a reply carries, for an upstream whose replies are
    /// [matched by it](crate::Upstream::matched_by_id): from a payload to its id, or `None` for a frame that has none and
    /// so answers no request.
    ///
    /// It is asked once a frame, on such upstreams only; decoding costs the same as without.
    pub fn reply_id(mut self, id_of: fn(&[u8]) -> Option<u64>) -> Self {
        self.id_of = Some(id_of);
        self
    }

    pub(crate) fn id_of(&self) -> Option<IdOf> {
        self.id_of
    }

    /// The name of the framing: `line`, `delimiter`, `len16`, `len32`, `length`, `fixed`, `resp`, `resp3`, `relp`, `raw`
    /// or `custom`.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Line => "line",
            Kind::Delimiter(_) => "delimiter",
            Kind::Length(LEN16) => "len16",
            Kind::Length(LEN32) => "len32",
            Kind::Length(_) => "length",
            Kind::Fixed(_) => "fixed",
            Kind::Resp => "resp",
            Kind::Resp3 => "resp3",
            Kind::Relp => "relp",
            Kind::Raw => "raw",
            Kind::Custom(_) => "custom",
        }
    }

    /// Why this framing cannot be used, if so. `frame_bytes_max_default` as for [`Self::decoder`].
    pub(crate) fn flaw(&self, frame_bytes_max_default: usize) -> Option<&'static str> {
        let limit = self.frame_bytes_max.unwrap_or(frame_bytes_max_default);
        let tells_length = matches!(
            self.kind,
            Kind::Length(_) | Kind::Resp | Kind::Resp3 | Kind::Relp
        );
        match self.kind {
            _ if self.skips_oversize && !tells_length => {
                Some("skip_oversize with a framing that does not tell a length before the frame")
            }
            _ if limit == 0 => Some("a frame limit of 0 bytes; a frame has at least 1 byte"),
            _ if limit > FRAME_BYTES_MAX => Some("a frame limit above 2^31 - 1 bytes"),
            Kind::Delimiter(None) => Some(NO_DELIMITER),
            Kind::Fixed(0) => Some("fixed frames of 0 bytes; a frame has at least 1 byte"),
            Kind::Fixed(bytes) if bytes > limit => Some("fixed frames larger than the frame limit"),
            Kind::Length(prefix) => prefix.flaw(limit),
            _ => None,
        }
    }

    /// Makes the decoder of one connection. `frame_bytes_max_default` holds unless [`Self::frame_bytes_max`] was set.
    pub fn decoder(&self, frame_bytes_max_default: usize) -> Decoder {
        let limit = self.frame_bytes_max.unwrap_or(frame_bytes_max_default);
        let skips = self.skips_oversize;
        let counted = Limit {
            bytes: limit,
            skips,
        };
        let machine = match &self.kind {
            Kind::Line => Machine::Line(Line::new(limit)),
            Kind::Delimiter(Some(mark)) => Machine::Delimiter(Delimiter::new(*mark, limit)),
            Kind::Delimiter(None) => failed(NO_DELIMITER),
            Kind::Length(LEN32) => Machine::Len32(Len32::new(counted)),
            Kind::Length(prefix) => match prefix.flaw(usize::MAX) {
                Some(flaw) => failed(flaw),
                None => Machine::Length(Length::new(*prefix, counted)),
            },
            Kind::Fixed(bytes) => Machine::Fixed(Fixed::new(*bytes, limit)),
            Kind::Resp => Machine::Resp(Resp::new(limit).skipping(skips)),
            Kind::Resp3 => Machine::Resp(Resp::version_3(limit).skipping(skips)),
            Kind::Relp => Machine::Relp(Relp::new(counted)),
            Kind::Raw => Machine::Raw(Raw::new(limit)),
            Kind::Custom(make) => Machine::Custom(Custom::new(make(), limit)),
        };
        Decoder { machine }
    }
}

/// A framing that cannot be decodes nothing.
fn failed(flaw: &'static str) -> Machine {
    Machine::Failed {
        error: FrameError::Malformed(flaw),
        in_reply: false,
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
