//! A length first: four bytes, big-endian, that count the payload behind them.
//!
//! The claim is checked before it is used for anything, in `u64`, where no sum can wrap.

use super::{Codec, Decoded, FrameError};

const HEADER_BYTES: usize = 4;

pub(super) struct Len32 {
    limit: usize,
}

impl Len32 {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit }
    }
}

impl Codec for Len32 {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(Decoded::Incomplete {
                wanted: HEADER_BYTES,
            });
        };
        let claimed = u64::from(u32::from_be_bytes(*header));
        let oversize = FrameError::Oversize {
            limit: self.limit,
            claimed,
        };
        if claimed > self.limit as u64 {
            return Err(oversize);
        }
        // Fails only where a `usize` has 32 bits and the limit leaves no room for the header.
        let end = usize::try_from(claimed + HEADER_BYTES as u64).map_err(|_| oversize)?;
        if bytes.len() < end {
            return Ok(Decoded::Incomplete { wanted: end });
        }
        Ok(Decoded::Frame {
            start: HEADER_BYTES,
            end,
            consumed: end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
        Len32::new(LIMIT).decode(bytes)
    }

    #[test]
    fn the_header_names_exactly_what_is_wanted() {
        for length in 0..HEADER_BYTES {
            assert_eq!(
                decode(&[0, 0, 0][..length.min(3)]),
                Ok(Decoded::Incomplete { wanted: 4 })
            );
        }
        assert_eq!(
            decode(&[0, 0, 1, 2, 9]),
            Ok(Decoded::Incomplete { wanted: 4 + 258 })
        );
        assert_eq!(
            decode(&[0, 0, 0, 1, 7, 8]),
            Ok(Decoded::Frame {
                start: 4,
                end: 5,
                consumed: 5
            })
        );
    }

    #[test]
    fn length_zero_is_an_empty_frame() {
        assert_eq!(
            decode(&[0; 4]),
            Ok(Decoded::Frame {
                start: 4,
                end: 4,
                consumed: 4
            })
        );
    }

    #[test]
    fn a_claim_over_the_limit_is_refused_from_the_header_alone() {
        let limit = LIMIT as u32;
        for claimed in [limit - 1, limit] {
            assert_eq!(
                decode(&claimed.to_be_bytes()),
                Ok(Decoded::Incomplete {
                    wanted: 4 + claimed as usize
                })
            );
        }
        for claimed in [limit + 1, 1 << 31, u32::MAX] {
            let oversize = FrameError::Oversize {
                limit: LIMIT,
                claimed: u64::from(claimed),
            };
            assert_eq!(decode(&claimed.to_be_bytes()), Err(oversize));
        }
    }

    #[test]
    fn the_largest_limit_overflows_nothing() {
        let decoded = Len32::new(usize::MAX).decode(&u32::MAX.to_be_bytes());
        #[cfg(target_pointer_width = "64")]
        assert_eq!(
            decoded,
            Ok(Decoded::Incomplete {
                wanted: (1 << 32) + 3
            })
        );
        #[cfg(not(target_pointer_width = "64"))]
        assert!(decoded.is_err());
    }
}
