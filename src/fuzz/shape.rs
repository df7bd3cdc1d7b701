//! The framings that cut at a byte or at a length: drawn from a fuzzer's bytes, written by a plain encoder and read by
//! a plain reader.
//!
//! The reader sees the whole stream at once, remembers nothing and is as slow as it likes; numbers are 128 bits wide,
//! so that nothing can wrap in it. It shares no line with the codecs.

use super::feed::{Cut, Fed};
use super::input::Input;
use super::plain::{self, Found, malformed};
use crate::frame::{FrameError, Framing, LengthPrefix};

/// A framing, as far as its codec can be told from outside.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line,
    Delimiter(Vec<u8>),
    Length(Prefix),
    Fixed(usize),
}

/// What [`LengthPrefix`] was made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    width: usize,
    little: bool,
    offset: usize,
    adjustment: i64,
    with_header: bool,
}

impl Shape {
    pub(super) fn draw(input: &mut Input) -> Shape {
        let big_endian = |width| Prefix {
            width,
            little: false,
            offset: 0,
            adjustment: 0,
            with_header: false,
        };
        match input.below(8) {
            0 => Shape::Line,
            1 => Shape::Delimiter(vec![b"\n\r\0-"[input.below(4)]]),
            2 | 3 => {
                let length = input.below(18);
                // Two letters: the beginning of a delimiter is found within itself.
                let letters = input.take(length).iter().map(|byte| b'a' + byte % 2);
                Shape::Delimiter(letters.collect())
            }
            4 => Shape::Fixed(input.below(40)),
            5 => Shape::Length(big_endian(2)),
            6 => Shape::Length(big_endian(4)),
            _ => Shape::Length(Prefix::draw(input)),
        }
    }

    pub(super) fn framing(&self) -> Framing {
        match self {
            Shape::Line => Framing::line(),
            Shape::Delimiter(mark) => Framing::delimiter(mark),
            Shape::Fixed(bytes) => Framing::fixed(*bytes),
            Shape::Length(prefix) => Framing::length(prefix.length_prefix()),
        }
    }

    pub(super) fn tells_length(&self) -> bool {
        matches!(self, Shape::Length(_))
    }

    /// The bytes of one frame and the payload that is told of it; `None` where this payload cannot be framed.
    pub(super) fn encode(&self, payload: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let frame = match self {
            Shape::Line if payload.contains(&b'\n') || payload.ends_with(b"\r") => None,
            Shape::Line => Some(
                [
                    payload,
                    if payload.len().is_multiple_of(2) {
                        b"\n"
                    } else {
                        b"\r\n"
                    },
                ]
                .concat(),
            ),
            Shape::Delimiter(mark) => {
                let frame = [payload, mark].concat();
                let is_first = position(&frame, mark) == Some(payload.len());
                (is_first && (1..=16).contains(&mark.len())).then_some(frame)
            }
            Shape::Fixed(bytes) => {
                (payload.len() == *bytes && *bytes > 0).then(|| payload.to_vec())
            }
            Shape::Length(prefix) => prefix.encode(payload),
        }?;
        let tells_all = matches!(self, Shape::Length(prefix) if prefix.with_header);
        let told = if tells_all {
            frame.clone()
        } else {
            payload.to_vec()
        };
        Some((frame, told))
    }

    /// Cuts the whole stream.
    pub(super) fn read(&self, limit: usize, skips: bool, stream: &[u8]) -> Fed {
        // A framing that cannot be fails before any byte.
        let is_flawed = matches!(self.find(limit, skips, b""), Found::Wrong(_));
        let find = |rest: &[u8]| self.find(limit, skips, rest);
        plain::read(stream, find, |_| !is_flawed)
    }

    fn find(&self, limit: usize, skips: bool, rest: &[u8]) -> Found {
        let oversize = Found::Wrong(FrameError::Oversize {
            limit,
            claimed: (limit as u64).saturating_add(1),
        });
        let frame = |end: usize, consumed: usize| {
            Found::Cut(Cut::Frame { start: 0, end }, consumed as u128)
        };
        match self {
            Shape::Line => {
                let newline = position(rest, b"\n");
                let line = &rest[..newline.unwrap_or(rest.len())];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                match newline {
                    _ if line.len() > limit => oversize,
                    Some(newline) => frame(line.len(), newline + 1),
                    None => Found::Nothing,
                }
            }
            Shape::Delimiter(mark) if mark.is_empty() || mark.len() > 16 => malformed(),
            Shape::Delimiter(mark) => {
                let found = position(rest, mark);
                let may_begin = |&place: &usize| mark.starts_with(&rest[place..]);
                let end = found.or((0..=rest.len()).find(may_begin));
                match found {
                    _ if end.is_some_and(|end| end > limit) => oversize,
                    Some(end) => frame(end, end + mark.len()),
                    None => Found::Nothing,
                }
            }
            Shape::Fixed(0) => malformed(),
            Shape::Fixed(bytes) if *bytes > limit => Found::Wrong(FrameError::Oversize {
                limit,
                claimed: *bytes as u64,
            }),
            Shape::Fixed(bytes) => frame(*bytes, *bytes),
            Shape::Length(prefix) => prefix.find(limit, skips, rest),
        }
    }
}

impl Prefix {
    fn draw(input: &mut Input) -> Prefix {
        Prefix {
            width: input.one_of(&[1, 2, 4, 8]),
            little: input.flag(),
            offset: input.below(8),
            adjustment: match input.below(5) {
                0 => i64::MIN,
                1 => i64::MAX,
                2 => 0,
                _ => i64::from(input.byte() as i8),
            },
            with_header: input.flag(),
        }
    }

    fn length_prefix(self) -> LengthPrefix {
        let length = LengthPrefix::new(self.width)
            .offset(self.offset)
            .adjustment(self.adjustment);
        let length = if self.little {
            length.little_endian()
        } else {
            length
        };
        if self.with_header {
            length.with_header()
        } else {
            length
        }
    }

    fn encode(self, payload: &[u8]) -> Option<Vec<u8>> {
        let number = u64::try_from(payload.len() as i128 - i128::from(self.adjustment)).ok()?;
        let mut field = number.to_le_bytes().to_vec();
        let rest = field.split_off(self.width);
        if !self.little {
            field.reverse();
        }
        let frame = [&vec![7; self.offset][..], &field, payload].concat();
        rest.iter().all(|&byte| byte == 0).then_some(frame)
    }

    fn find(self, limit: usize, skips: bool, rest: &[u8]) -> Found {
        let header = self.offset + self.width;
        let Some(field) = rest.get(self.offset..header) else {
            return Found::Nothing;
        };
        let digit = |number: i128, byte: &u8| number << 8 | i128::from(*byte);
        let number = match self.little {
            true => field.iter().rev().fold(0, digit),
            false => field.iter().fold(0, digit),
        };
        let body = number + i128::from(self.adjustment);
        if body < 0 {
            return malformed();
        }
        let start = if self.with_header { 0 } else { header };
        let (consumed, claimed) = (
            body as u128 + header as u128,
            body as u128 + (header - start) as u128,
        );
        let counts = u128::from(u64::MAX);
        if claimed <= limit as u128 && consumed <= usize::MAX as u128 {
            let end = consumed as usize;
            return Found::Cut(Cut::Frame { start, end }, consumed);
        }
        let claimed = claimed.min(counts) as u64;
        match skips && consumed <= counts {
            true => Found::Cut(Cut::Skip { start: 0, claimed }, consumed),
            false => Found::Wrong(FrameError::Oversize { limit, claimed }),
        }
    }
}

fn position(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes
        .windows(mark.len().max(1))
        .position(|here| here == mark)
}
