//! A delimiter of the protocol's own ends a frame.
//!
//! The search resumes where it stopped: at the first place where the delimiter may still begin, so one that comes in
//! pieces is found, also when it begins within a part of itself (`aab` in `aaab`). A frame that is too long is refused
//! as soon as that is certain, whether or not its end ever comes.

use super::find::find;
#[cfg(any(test, fuzzing))]
use super::find::meter;
use super::{Codec, Decoded, FrameError};

/// The longest delimiter, in bytes. It bounds how often a byte is looked at again.
const DELIMITER_BYTES_MAX: usize = 16;

/// What ends a frame: 1 to 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    bytes: [u8; DELIMITER_BYTES_MAX],
    length: u8,
}

impl Mark {
    /// `None` for no byte, or more than 16.
    pub(super) fn new(delimiter: &[u8]) -> Option<Mark> {
        let mut bytes = [0; DELIMITER_BYTES_MAX];
        bytes.get_mut(..delimiter.len())?.copy_from_slice(delimiter);
        let length = delimiter.len() as u8;
        (length > 0).then_some(Mark { bytes, length })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

pub(super) struct Delimiter {
    mark: Mark,
    limit: usize,
    /// The delimiter does not begin before here.
    scanned: usize,
}

impl Delimiter {
    pub(super) fn new(mark: Mark, limit: usize) -> Self {
        Self {
            mark,
            limit,
            scanned: 0,
        }
    }

    /// Where the delimiter begins, or the first place where it may still begin.
    fn search(&self, bytes: &[u8]) -> Result<usize, usize> {
        let mark = self.mark.bytes();
        let mut from = self.scanned.min(bytes.len());
        while let Some(index) = find(&bytes[from..], mark[0]) {
            let place = from + index;
            let here = &bytes[place..bytes.len().min(place + mark.len())];
            #[cfg(any(test, fuzzing))]
            meter::add(here.len());
            if here == mark {
                return Ok(place);
            }
            if mark.starts_with(here) {
                return Err(place);
            }
            from = place + 1;
        }
        Err(bytes.len())
    }
}

impl Codec for Delimiter {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let length = self.mark.bytes().len();
        // Behind the limit there is room for the delimiter and no more.
        let until = bytes.len().min(self.limit.saturating_add(length));
        let found = self.search(&bytes[..until]);
        let (Ok(end) | Err(end)) = found;
        if end > self.limit {
            return Err(FrameError::Oversize {
                limit: self.limit,
                claimed: self.limit as u64 + 1,
            });
        }
        if found.is_err() {
            self.scanned = end;
            return Ok(Decoded::Incomplete {
                wanted: end + length,
            });
        }
        self.scanned = 0;
        Ok(Decoded::Frame {
            start: 0,
            end,
            consumed: end + length,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use super::*;

    fn codec(mark: &[u8], limit: usize) -> Delimiter {
        Delimiter::new(Mark::new(mark).expect("a delimiter"), limit)
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

    const OVERSIZE: Result<Decoded, FrameError> = Err(FrameError::Oversize {
        limit: 4,
        claimed: 5,
    });

    #[test]
    fn a_delimiter_has_1_to_16_bytes() {
        for length in [1, 2, 15, 16] {
            let mark = Mark::new(&[7; 32][..length]).expect("a delimiter");
            assert_eq!(mark.bytes(), &[7; 32][..length]);
        }
        assert!(Mark::new(b"").is_none() && Mark::new(&[7; 17]).is_none());
    }

    #[test]
    fn a_delimiter_within_a_part_of_itself_is_found_however_it_comes() {
        for (mark, stream, end) in [
            (&b"aab"[..], &b"aaaab"[..], 2),
            (b"abab", b"abaabab", 3),
            (b"--X", b"---X", 1),
            (b"\r\n.\r\n", b"\r\n\r\n.\r\n", 2),
            (b"aa", b"aaa", 0),
            (b"0", b"10", 1),
        ] {
            let mut codec = codec(mark, 100);
            for length in 0..end + mark.len() {
                let decoded = codec.decode(&stream[..length]);
                assert!(
                    matches!(decoded, Ok(Decoded::Incomplete { wanted }) if length < wanted && wanted <= end + mark.len())
                );
            }
            assert_eq!(codec.decode(stream), frame(end, end + mark.len()));
            assert_eq!(codec.scanned, 0);
        }
    }

    #[test]
    fn what_is_wanted_reaches_from_where_the_delimiter_may_begin() {
        let mut codec = codec(b"abc", 100);
        assert_eq!(codec.decode(b""), incomplete(3));
        assert_eq!(codec.decode(b"xx"), incomplete(5));
        assert_eq!(codec.decode(b"xxab"), incomplete(5));
        assert_eq!(codec.decode(b"xxaba"), incomplete(7));
    }

    #[test]
    fn the_limit_counts_the_payload_and_is_met_as_soon_as_that_is_certain() {
        let decode = |bytes| codec(b"--X", 4).decode(bytes);
        assert_eq!(decode(b"abcd--X"), frame(4, 7));
        assert_eq!(decode(b"abcd--"), incomplete(7));
        assert_eq!(decode(b"abc---X"), frame(4, 7));
        assert_eq!(decode(b"abcd---X"), OVERSIZE);
        assert_eq!(decode(b"abcd---"), OVERSIZE);
        assert_eq!(decode(b"abcde"), OVERSIZE);
        assert_eq!(decode(b"abcd-x"), OVERSIZE);
        assert_eq!(decode(&[b'-'; 6]), incomplete(7));
        assert_eq!(decode(&[b'-'; 7]), OVERSIZE);
        assert_eq!(codec(b"--X", usize::MAX).decode(b"a--X"), frame(1, 4));
    }

    #[test]
    fn a_frame_that_arrives_byte_by_byte_is_looked_at_once_and_near_its_end_a_few_times() {
        for (fill, mark) in [(b'x', &b"\r\n"[..]), (b'a', b"aaaaaaaaaaaaaaab")] {
            let stream = [&vec![fill; 1 << 16][..], mark].concat();
            let mut codec = codec(mark, 1 << 20);
            meter::take();
            for length in 0..stream.len() {
                assert!(matches!(
                    codec.decode(&stream[..length]),
                    Ok(Decoded::Incomplete { .. })
                ));
            }
            assert!(meter::take() <= stream.len() * 2 * (mark.len() + 1));
            assert_eq!(codec.decode(&stream), frame(1 << 16, stream.len()));
        }
    }
}
