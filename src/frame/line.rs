//! Lines: `\n` or `\r\n` ends a frame.
//!
//! The search resumes where it stopped, so a long line that drips in costs no more than one that comes whole. A line
//! that is too long is refused as soon as that is certain, whether or not its end ever comes.

use super::find::find;
use super::{Codec, Decoded, FrameError};

pub(super) struct Line {
    limit: usize,
    /// No newline stands before here.
    scanned: usize,
}

impl Line {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, scanned: 0 }
    }
}

impl Codec for Line {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        // Behind the limit there is room for `\r\n` and no more.
        let until = bytes.len().min(self.limit.saturating_add(2));
        let from = self.scanned.min(until);
        let newline = find(&bytes[from..until], b'\n').map(|index| from + index);

        // A `\r` in the last place is not the payload's, or not yet.
        let line = &bytes[..newline.unwrap_or(until)];
        let end = line.strip_suffix(b"\r").unwrap_or(line).len();
        if end > self.limit {
            return Err(FrameError::Oversize {
                limit: self.limit,
                claimed: self.limit as u64 + 1,
            });
        }
        match newline {
            Some(newline) => {
                self.scanned = 0;
                Ok(Decoded::Frame {
                    start: 0,
                    end,
                    consumed: newline + 1,
                })
            }
            None => {
                self.scanned = until;
                Ok(Decoded::Incomplete {
                    wanted: bytes.len() + 1,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::find::meter;
    use super::*;

    const OVERSIZE: Result<Decoded, FrameError> = Err(FrameError::Oversize {
        limit: 4,
        claimed: 5,
    });

    fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
        Line::new(4).decode(bytes)
    }

    fn frame(end: usize, consumed: usize) -> Result<Decoded, FrameError> {
        Ok(Decoded::Frame {
            start: 0,
            end,
            consumed,
        })
    }

    fn incomplete(wanted: usize) -> Result<Decoded, FrameError> {
        Ok(Decoded::Incomplete { wanted })
    }

    #[test]
    fn both_line_ends_count_and_a_lone_return_is_data() {
        assert_eq!(decode(b"ab\ncd"), frame(2, 3));
        assert_eq!(decode(b"ab\r\ncd"), frame(2, 4));
        assert_eq!(decode(b"a\rb\n"), frame(3, 4));
        assert_eq!(decode(b"a\r\r\n"), frame(2, 4));
        assert_eq!(decode(b"\r"), incomplete(2));
        assert_eq!(decode(b"\n"), frame(0, 1));
        assert_eq!(decode(b"\r\n"), frame(0, 2));
        assert_eq!(decode(b"\xff\xfe\n"), frame(2, 3));
        assert_eq!(decode(b""), incomplete(1));
    }

    #[test]
    fn the_limit_counts_the_payload_and_nothing_else() {
        assert_eq!(decode(b"abc\n"), frame(3, 4));
        assert_eq!(decode(b"abcd\n"), frame(4, 5));
        assert_eq!(decode(b"abcd\r\n"), frame(4, 6));
        assert_eq!(decode(b"abcd\r"), incomplete(6));
        assert_eq!(decode(b"abc\r\r\n"), frame(4, 6));
        assert_eq!(decode(b"abcd\r\r\n"), OVERSIZE);
        assert_eq!(decode(b"abcde\n"), OVERSIZE);
        assert_eq!(decode(b"abcde\r\n"), OVERSIZE);
    }

    #[test]
    fn oversize_does_not_wait_for_the_newline() {
        assert_eq!(decode(b"abcde"), OVERSIZE);
        assert_eq!(decode(b"abcd\rx"), OVERSIZE);
        assert_eq!(decode(b"abcd\r\r"), OVERSIZE);
        assert_eq!(decode(&[b'x'; 1000]), OVERSIZE);
    }

    #[test]
    fn a_line_that_arrives_byte_by_byte_is_looked_at_once() {
        let mut line = vec![b'x'; 1 << 20];
        line.push(b'\n');
        let mut codec = Line::new(1 << 20);
        meter::take();
        let mut looked_at = 0;
        for length in 0..line.len() {
            assert_eq!(codec.decode(&line[..length]), incomplete(length + 1));
            assert_eq!(codec.scanned, length);
            looked_at += meter::take();
            assert_eq!(looked_at, length);
        }
        assert_eq!(codec.decode(&line), frame(1 << 20, line.len()));
        assert_eq!(codec.scanned, 0);
    }
}
