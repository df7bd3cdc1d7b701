//! What cuts the stream of a connection: any framing that a program may use, and a codec of its own that keeps no rule.

use super::super::input::Input;
use super::super::shape::Shape;
use crate::frame::{Codec, Decoded, FrameError, Framing};

/// The framings, and whether what they cut can be told in advance.
pub(super) struct Cutter {
    pub(super) framing: Framing,
    pub(super) shape: Option<Shape>,
    pub(super) limit: usize,
    pub(super) is_rogue: bool,
}

impl Cutter {
    pub(super) fn draw(input: &mut Input) -> Cutter {
        let limit = 1 + input.below(64);
        let skips = input.flag();
        let (framing, shape, is_rogue) = match input.below(6) {
            0 => (Framing::resp(), None, false),
            1 => (Framing::resp3(), None, false),
            2 => (Framing::custom(|| Box::new(Rogue)), None, true),
            _ => {
                let shape = Shape::draw(input);
                (shape.framing(), Some(shape), false)
            }
        };
        let tells_length = shape.as_ref().map_or(!is_rogue, Shape::tells_length);
        let framing = match skips && tells_length {
            true => framing.skip_oversize(),
            false => framing,
        };
        if framing.flaw(limit).is_some() {
            // It is refused before there is a connection.
            return Cutter {
                framing: Framing::line(),
                shape: Some(Shape::Line),
                limit,
                is_rogue: false,
            };
        }
        Cutter {
            framing,
            shape,
            limit,
            is_rogue,
        }
    }
}

/// Keeps no rule: its answers are what the peer says.
struct Rogue;

impl Codec for Rogue {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let Some(&[kind, a, b, c]) = bytes.first_chunk() else {
            return Ok(Decoded::Incomplete { wanted: 0 });
        };
        let number = |byte: u8| match byte {
            255 => usize::MAX,
            254 => bytes.len(),
            _ => usize::from(byte % 16),
        };
        let (start, end, consumed) = (number(a), number(b), number(c));
        match kind % 8 {
            0..3 => Ok(Decoded::Frame {
                start,
                end,
                consumed,
            }),
            3 => Ok(Decoded::Push {
                start,
                end,
                consumed,
            }),
            4 | 5 => Ok(Decoded::Skip {
                limit: start,
                claimed: end as u64,
                consumed: consumed as u64,
            }),
            6 => Ok(Decoded::Incomplete { wanted: start }),
            _ => Err(FrameError::Malformed("a rogue's word")),
        }
    }

    fn begins_reply(&self, bytes: &[u8]) -> bool {
        bytes[0].is_multiple_of(2)
    }
}
