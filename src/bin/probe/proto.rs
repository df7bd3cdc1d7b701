//! The protocol: how replies are framed, how a request is, and what the smallest request is.

use std::fmt;
use std::str::FromStr;

use taut::Framing;

use crate::exit::Fault;
use crate::payload::Escaped;

/// The payload of length-prefixed protocols when nothing else is said.
const SIZE_DEFAULT: usize = 64;

/// The library's bound.
const DELIMITER_BYTES_MAX: usize = 16;

/// How replies are framed, and what the smallest request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proto {
    Line,
    Len16,
    Len32,
    Delim(Delimiter),
    Fixed(usize),
    Resp,
}

/// What ends a frame: 1 to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delimiter {
    bytes: [u8; DELIMITER_BYTES_MAX],
    len: usize,
}

impl Delimiter {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Proto {
    /// Replies may be as long as the request, and longer.
    pub(crate) fn framing(self, frame_bytes_max: usize) -> Framing {
        let framing = match self {
            Proto::Line => Framing::line(),
            Proto::Len16 => Framing::len16(),
            Proto::Len32 => Framing::len32(),
            Proto::Delim(delimiter) => Framing::delimiter(delimiter.as_bytes()),
            Proto::Fixed(bytes) => Framing::fixed(bytes),
            Proto::Resp => Framing::resp(),
        };
        framing.frame_bytes_max(frame_bytes_max)
    }

    /// The payload, as it goes over the wire.
    pub(crate) fn frame(self, mut payload: Vec<u8>) -> Result<Vec<u8>, Fault> {
        match self {
            Proto::Line if payload.last() != Some(&b'\n') => payload.push(b'\n'),
            // An inline command: Redis reads a line where no `*` comes first.
            Proto::Resp if payload.first() != Some(&b'*') && !payload.ends_with(b"\n") => {
                payload.extend_from_slice(b"\r\n");
            }
            Proto::Delim(delimiter) if !payload.ends_with(delimiter.as_bytes()) => {
                payload.extend_from_slice(delimiter.as_bytes());
            }
            Proto::Len16 => {
                let length = u16::try_from(payload.len()).map_err(|_| {
                    Fault::usage("a len16 payload has at most 65535 bytes; len32 takes more")
                })?;
                payload.splice(0..0, length.to_be_bytes());
            }
            Proto::Len32 => {
                let length = payload.len() as u32;
                payload.splice(0..0, length.to_be_bytes());
            }
            Proto::Fixed(_) if payload.is_empty() => {
                return Err(Fault::usage(
                    "the payload is empty: --send, --send-file or --size give it bytes",
                ));
            }
            _ => {}
        }
        Ok(payload)
    }

    /// A request of so many bytes of payload.
    pub(crate) fn filled(self, size: usize) -> Vec<u8> {
        let filler = vec![b'x'; size];
        match self {
            Proto::Resp => {
                let mut request = format!("*2\r\n$4\r\nECHO\r\n${size}\r\n").into_bytes();
                request.extend_from_slice(&filler);
                request.extend_from_slice(b"\r\n");
                request
            }
            _ => filler,
        }
    }

    pub(crate) fn smallest(self) -> Vec<u8> {
        match self {
            Proto::Line => b"ping\n".to_vec(),
            Proto::Delim(_) => b"ping".to_vec(),
            Proto::Len16 | Proto::Len32 => self.filled(SIZE_DEFAULT),
            Proto::Fixed(bytes) => self.filled(bytes),
            Proto::Resp => b"*1\r\n$4\r\nPING\r\n".to_vec(),
        }
    }
}

impl FromStr for Proto {
    type Err = String;

    fn from_str(text: &str) -> Result<Proto, String> {
        match text.split_once(':') {
            None if text == "line" => Ok(Proto::Line),
            None if text == "len16" => Ok(Proto::Len16),
            None if text == "len32" => Ok(Proto::Len32),
            Some(("delim", bytes)) => Ok(Proto::Delim(bytes.parse()?)),
            None if text == "delim" => {
                Err("delim needs what ends a reply, such as delim:\\r\\n".into())
            }
            None if text == "resp" => Ok(Proto::Resp),
            Some(("fixed", bytes)) => Ok(Proto::Fixed(crate::units::bytes_in_memory(bytes)?)),
            None if text == "fixed" => {
                Err("fixed needs the bytes of a reply, such as fixed:64".into())
            }
            _ => Err("a protocol is line, len16, len32, delim:BYTES, fixed:N or resp".into()),
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proto::Line => f.write_str("line"),
            Proto::Len16 => f.write_str("len16"),
            Proto::Len32 => f.write_str("len32"),
            Proto::Delim(delimiter) => write!(f, "delim:{}", delimiter.as_bytes().escape_ascii()),
            Proto::Fixed(bytes) => write!(f, "fixed:{bytes}"),
            Proto::Resp => f.write_str("resp"),
        }
    }
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Delimiter, String> {
        let Escaped(given) = text.parse()?;
        let mut bytes = [0; DELIMITER_BYTES_MAX];
        match bytes.get_mut(..given.len()).filter(|_| !given.is_empty()) {
            Some(place) => place.copy_from_slice(&given),
            None => return Err("a delimiter has 1 to 16 bytes, such as delim:\\r\\n".into()),
        }
        Ok(Delimiter {
            bytes,
            len: given.len(),
        })
    }
}
