//! A codec of the program's own, trusted with nothing: neither its ranges nor its sizes.
//!
//! What a frame of it costs beyond the payload is not known here, so the limit counts every byte that it consumes. That
//! bounds the buffer too when the codec never finds an end.

use super::{Codec, Decoded, FrameError};

pub(super) struct Custom {
    codec: Box<dyn Codec>,
    limit: usize,
}

impl Custom {
    pub(super) fn new(codec: Box<dyn Codec>, limit: usize) -> Self {
        Self { codec, limit }
    }
}

impl Codec for Custom {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let decoded = self.codec.decode(bytes)?;
        let (decoded, size, size_max) = match decoded {
            Decoded::Frame {
                start,
                end,
                consumed,
            }
            | Decoded::Push {
                start,
                end,
                consumed,
            } => {
                if start > end || end > consumed || consumed > bytes.len() || consumed == 0 {
                    return Err(FrameError::Malformed(
                        "a custom codec broke start <= end <= consumed <= length and consumed > 0",
                    ));
                }
                (decoded, consumed, self.limit)
            }
            Decoded::Skip { consumed: 0, .. } => {
                return Err(FrameError::Malformed(
                    "a custom codec skipped a frame of no bytes",
                ));
            }
            Decoded::Skip { .. } => return Ok(decoded),
            Decoded::Incomplete { wanted } => {
                let wanted = wanted.max(bytes.len() + 1);
                // Even with a limit of 0 an empty buffer is no error yet.
                (Decoded::Incomplete { wanted }, wanted, self.limit.max(1))
            }
        };
        if size > size_max {
            return Err(FrameError::Oversize {
                limit: self.limit,
                claimed: size as u64,
            });
        }
        Ok(decoded)
    }

    fn begins_reply(&self, bytes: &[u8]) -> bool {
        self.codec.begins_reply(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rogue(Decoded);

    impl Codec for Rogue {
        fn decode(&mut self, _: &[u8]) -> Result<Decoded, FrameError> {
            Ok(self.0)
        }
    }

    fn frame(start: usize, end: usize, consumed: usize) -> Result<Decoded, FrameError> {
        Custom::new(
            Box::new(Rogue(Decoded::Frame {
                start,
                end,
                consumed,
            })),
            8,
        )
        .decode(&[0; 10])
    }

    fn incomplete(wanted: usize, length: usize) -> Result<Decoded, FrameError> {
        Custom::new(Box::new(Rogue(Decoded::Incomplete { wanted })), 8).decode(&[0; 10][..length])
    }

    #[test]
    fn an_impossible_range_is_malformed() {
        let max = usize::MAX;
        for (start, end, consumed) in [
            (2, 1, 3),
            (0, 4, 3),
            (0, 3, 11),
            (0, 0, 0),
            (max, max, max),
            (max, 0, 1),
        ] {
            let decoded = frame(start, end, consumed);
            assert!(
                matches!(decoded, Err(FrameError::Malformed(_))),
                "{start} {end} {consumed}"
            );
        }
    }

    #[test]
    fn a_skip_of_nothing_would_never_end() {
        let skip = |consumed| Decoded::Skip {
            limit: 8,
            claimed: 9,
            consumed,
        };
        let decode = |decoded| Custom::new(Box::new(Rogue(decoded)), 8).decode(b"");
        assert!(matches!(decode(skip(0)), Err(FrameError::Malformed(_))));
        assert_eq!(decode(skip(u64::MAX)), Ok(skip(u64::MAX)));
    }

    #[test]
    fn the_limit_counts_all_that_is_consumed_or_wanted() {
        assert_eq!(
            frame(1, 8, 8),
            Ok(Decoded::Frame {
                start: 1,
                end: 8,
                consumed: 8
            })
        );
        assert_eq!(
            frame(1, 9, 9),
            Err(FrameError::Oversize {
                limit: 8,
                claimed: 9
            })
        );
        assert_eq!(incomplete(8, 5), Ok(Decoded::Incomplete { wanted: 8 }));
        assert_eq!(
            incomplete(9, 5),
            Err(FrameError::Oversize {
                limit: 8,
                claimed: 9
            })
        );
    }

    #[test]
    fn a_hint_that_asks_for_nothing_more_is_put_right() {
        assert_eq!(incomplete(3, 5), Ok(Decoded::Incomplete { wanted: 6 }));
        assert_eq!(
            incomplete(0, 8),
            Err(FrameError::Oversize {
                limit: 8,
                claimed: 9
            }),
            "it would grow for ever"
        );
    }
}
