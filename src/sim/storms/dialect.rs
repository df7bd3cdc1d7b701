//! What is said on the connections of an upstream: requests, which look the same in every dialect, and
//! replies, which do not.
//!
//! A request is a line that says its tag first, so that few bytes of it tell whose they are. Whatever
//! answers it follows from the tag and the length: both sides make it, neither has to ask the other.

use crate::frame::Framing;

/// How the replies of an upstream are framed, and matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Line,
    /// What the bundled server says: the line, in capitals.
    Shout,
    Resp,
    /// With pushes between the replies.
    Resp3,
    Len32,
    /// A length, then an id, in any order, with pushes between.
    ById,
}

/// A frame as it is sent, and what of it is its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) wire: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// Bytes of the shortest request, without the line feed.
pub(super) const PAYLOAD_BYTES_MIN: u64 = 8;

/// No request has this tag.
const NOBODY: u64 = 999_999;

/// Nor this one, which is the answer's to a heartbeat.
pub(super) const HEARTBEAT: u64 = 999_998;

/// What a heartbeat says, as a line; no request begins like it.
pub(super) const HEARTBEAT_LINE: &[u8] = b"#beat";

/// The id of a push.
const PUSH_ID: u64 = u64::MAX;

const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A request's line without its end: its tag, and a pattern of its own.
pub(super) fn payload(tag: u64, bytes: usize) -> Vec<u8> {
    let mut line = vec![DIGITS[(tag % 62) as usize]];
    line.extend(format!("{tag:06}:").into_bytes());
    line.extend((line.len()..bytes).map(|at| b'a' + ((tag as usize * 7 + at) % 26) as u8));
    line
}

/// Whether the program says of this request that it may be made twice. Both sides know it.
pub(super) fn is_idempotent(tag: u64) -> bool {
    tag.is_multiple_of(3)
}

/// The tag of a request's line.
pub(super) fn tag_of(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.get(1..7)?).ok()?.parse().ok()
}

impl Dialect {
    pub(super) fn framing(self) -> Framing {
        match self {
            Dialect::Line | Dialect::Shout => Framing::line(),
            Dialect::Resp => Framing::resp(),
            Dialect::Resp3 => Framing::resp3(),
            Dialect::Len32 => Framing::len32(),
            Dialect::ById => Framing::len32().reply_id(id_of),
        }
    }

    /// Whether an oversize reply may be skipped: its length is told first.
    pub(super) fn can_skip(self) -> bool {
        matches!(self, Dialect::Resp | Dialect::Resp3 | Dialect::Len32)
    }

    pub(super) fn has_pushes(self) -> bool {
        matches!(self, Dialect::Resp3 | Dialect::ById)
    }

    /// The reply to the request of this tag and size. Where oversize is skipped it is a plain string.
    pub(super) fn reply(self, tag: u64, bytes: usize, is_plain: bool) -> Spoken {
        let line = payload(tag, bytes);
        match self {
            Dialect::Line => Spoken::of_line(line),
            Dialect::Shout => Spoken::of_line(line.to_ascii_uppercase()),
            Dialect::Resp => Spoken::whole(resp(tag % 3, tag, &line, is_plain)),
            Dialect::Resp3 => Spoken::whole(resp(tag % 5, tag, &line, is_plain)),
            Dialect::Len32 => Spoken::of_length(line),
            Dialect::ById => Spoken::of_length([&tag.to_be_bytes(), &line[..]].concat()),
        }
    }

    /// What answers a heartbeat.
    pub(super) fn heartbeat(self) -> Spoken {
        match self {
            Dialect::Shout => Spoken::of_line(HEARTBEAT_LINE.to_ascii_uppercase()),
            _ => self.reply(HEARTBEAT, PAYLOAD_BYTES_MIN as usize, true),
        }
    }

    /// What answers no request although it looks like a reply.
    pub(super) fn unsolicited(self) -> Spoken {
        self.reply(NOBODY, PAYLOAD_BYTES_MIN as usize, true)
    }

    /// The nth push of a connection.
    pub(super) fn push(self, nth: u64) -> Spoken {
        match self {
            Dialect::ById => {
                let text = format!("push {nth}").into_bytes();
                Spoken::of_length([&PUSH_ID.to_be_bytes(), &text[..]].concat())
            }
            _ => Spoken::whole(format!(">2\r\n+push\r\n:{nth}\r\n").into_bytes()),
        }
    }

    /// A frame of more bytes than any may have.
    pub(super) fn oversize(self, frame_bytes_max: usize) -> Vec<u8> {
        let bytes = frame_bytes_max + 100;
        let filler = vec![b'x'; bytes];
        match self {
            Dialect::Line | Dialect::Shout => [&filler[..], b"\n"].concat(),
            Dialect::Resp | Dialect::Resp3 => {
                [format!("${bytes}\r\n").as_bytes(), &filler, b"\r\n"].concat()
            }
            Dialect::Len32 | Dialect::ById => Spoken::of_length(filler).wire,
        }
    }
}

impl Spoken {
    fn of_line(line: Vec<u8>) -> Spoken {
        let mut wire = line.clone();
        wire.push(b'\n');
        Spoken {
            wire,
            payload: line,
        }
    }

    /// In RESP all bytes of a reply are its payload.
    fn whole(wire: Vec<u8>) -> Spoken {
        Spoken {
            payload: wire.clone(),
            wire,
        }
    }

    fn of_length(payload: Vec<u8>) -> Spoken {
        let length = (payload.len() as u32).to_be_bytes();
        Spoken {
            wire: [&length, &payload[..]].concat(),
            payload,
        }
    }
}

/// One of the shapes that a RESP reply may have.
fn resp(shape: u64, tag: u64, line: &[u8], is_plain: bool) -> Vec<u8> {
    let string = [format!("${}\r\n", line.len()).as_bytes(), line, b"\r\n"].concat();
    match shape {
        _ if is_plain => string,
        0 => string,
        1 => [b"*2\r\n", &string[..], format!(":{tag}\r\n").as_bytes()].concat(),
        2 => [b"+", line, b"\r\n"].concat(),
        3 => [b"|1\r\n+about\r\n#t\r\n", &string[..]].concat(),
        _ => [b"%1\r\n_\r\n", &string[..]].concat(),
    }
}

fn id_of(payload: &[u8]) -> Option<u64> {
    let id = u64::from_be_bytes(*payload.first_chunk()?);
    (id != PUSH_ID).then_some(id)
}
