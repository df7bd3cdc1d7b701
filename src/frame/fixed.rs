//! Frames of one fixed size.
//!
//! A size that no frame can have (none, or more than the limit) is an error of the first decode, before any byte.

use super::{Codec, Decoded, FrameError};

pub(super) struct Fixed {
    bytes: usize,
    limit: usize,
}

impl Fixed {
    /// `bytes` should be at least 1 and at most `limit`; with anything else every decode fails.
    pub(super) fn new(bytes: usize, limit: usize) -> Self {
        Self { bytes, limit }
    }
}

impl Codec for Fixed {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        if self.bytes == 0 {
            return Err(FrameError::Malformed(
                "a fixed frame of 0 bytes never ends: its size must be 1 or more",
            ));
        }
        if self.bytes > self.limit {
            return Err(FrameError::Oversize {
                limit: self.limit,
                claimed: self.bytes as u64,
            });
        }
        if bytes.len() < self.bytes {
            return Ok(Decoded::Incomplete { wanted: self.bytes });
        }
        Ok(Decoded::Frame {
            start: 0,
            end: self.bytes,
            consumed: self.bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole_at_its_size_and_not_before() {
        let mut codec = Fixed::new(3, 3);
        assert_eq!(codec.decode(b""), Ok(Decoded::Incomplete { wanted: 3 }));
        assert_eq!(codec.decode(b"ab"), Ok(Decoded::Incomplete { wanted: 3 }));
        assert_eq!(
            codec.decode(b"abc"),
            Ok(Decoded::Frame {
                start: 0,
                end: 3,
                consumed: 3
            })
        );
        assert_eq!(
            codec.decode(b"abcd"),
            Ok(Decoded::Frame {
                start: 0,
                end: 3,
                consumed: 3
            })
        );
    }

    #[test]
    fn an_impossible_size_fails_before_any_byte() {
        assert!(matches!(
            Fixed::new(0, 9).decode(b""),
            Err(FrameError::Malformed(_))
        ));
        assert_eq!(
            Fixed::new(10, 9).decode(b""),
            Err(FrameError::Oversize {
                limit: 9,
                claimed: 10
            })
        );
        assert_eq!(
            Fixed::new(9, 9).decode(b""),
            Ok(Decoded::Incomplete { wanted: 9 })
        );
    }
}
