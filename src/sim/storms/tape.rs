//! What a peer says on a raw connection: a stream that follows from the port of whom it is said to.
//!
//! Both sides make it, so each byte that comes is known, and so is the connection it was meant for.

use crate::frame::Framing;
use crate::sim::random::{Chance, Random};

/// How the stream of a raw connection is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tape {
    Raw,
    Line,
    /// Lengths first, and what is over the limit is skipped.
    Len32,
}

/// Bytes of a frame that is not skipped.
const FRAME_BYTES_MAX: usize = 300;

/// A stream, whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) bytes: Vec<u8>,
    pub(super) frames: Vec<Told>,
}

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Where its payload stands, and where it ends with what stands around it.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) consumed: usize,
    pub(super) is_skipped: bool,
}

impl Tape {
    pub(super) fn framing(self) -> Framing {
        match self {
            Tape::Raw => Framing::raw(),
            Tape::Line => Framing::line(),
            Tape::Len32 => {
                let framing = Framing::len32().frame_bytes_max(FRAME_BYTES_MAX);
                framing.skip_oversize()
            }
        }
    }

    /// What is said to the connection of this port, of `bytes` or a little more.
    pub(super) fn script(self, port: u16, bytes: usize) -> Script {
        let mut random = Random::new(u64::from(port));
        let mut script = Script::default();
        while script.bytes.len() < bytes {
            let is_long = random.happens(Chance(100));
            let length = random.within(0..=if is_long { 1_000 } else { 60 }) as usize;
            if self == Tape::Len32 {
                let header = (length as u32).to_be_bytes();
                script.bytes.extend_from_slice(&header);
            }
            let start = script.bytes.len();
            let letters = (0..length).map(|_| b'a' + random.within(0..=25) as u8);
            script.bytes.extend(letters);
            let end = script.bytes.len();
            if self == Tape::Line {
                script.bytes.push(b'\n');
            }
            script.frames.push(Told {
                start,
                end,
                consumed: script.bytes.len(),
                is_skipped: self == Tape::Len32 && length > FRAME_BYTES_MAX,
            });
        }
        script
    }
}
