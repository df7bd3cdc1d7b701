//! No framing: whatever has arrived is a frame, cut at the limit.
//!
//! The only codec whose frames depend on how the stream was cut on its way; their sum does not.

use super::{Codec, Decoded, FrameError};

pub(super) struct Raw {
    limit: usize,
}

impl Raw {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit }
    }
}

impl Codec for Raw {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        if bytes.is_empty() {
            return Ok(Decoded::Incomplete { wanted: 1 });
        }
        let end = bytes.len().min(self.limit);
        if end == 0 {
            return Err(FrameError::Oversize {
                limit: 0,
                claimed: 1,
            });
        }
        Ok(Decoded::Frame {
            start: 0,
            end,
            consumed: end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_is_a_frame_up_to_the_limit() {
        let mut codec = Raw::new(4);
        assert_eq!(codec.decode(b""), Ok(Decoded::Incomplete { wanted: 1 }));
        for (bytes, end) in [(&b"abc"[..], 3), (b"abcd", 4), (b"abcde", 4)] {
            assert_eq!(
                codec.decode(bytes),
                Ok(Decoded::Frame {
                    start: 0,
                    end,
                    consumed: end
                })
            );
        }
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_pass() {
        assert_eq!(
            Raw::new(0).decode(b"a"),
            Err(FrameError::Oversize {
                limit: 0,
                claimed: 1
            })
        );
    }
}
