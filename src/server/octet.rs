//! Octet counting, as a sink reads it: `LEN SP MSG` (RFC 6587 §3.4.1).
//!
//! Any byte may be in a message. A length that does not begin with a nonzero digit, or above the limit, ends the
//! connection; it is checked as it comes, and nothing is set aside for it.

use crate::frame::{Codec, Decoded, FrameError};

/// Digits of the longest length, 2,147,483,647.
const DIGITS_MAX: usize = 10;

/// What stands before a message at most.
pub(super) const HEADER_BYTES_MAX: usize = DIGITS_MAX + 1;

const NO_LENGTH: FrameError =
    FrameError::Malformed("a message begins with its length in digits and a blank");

pub(super) struct Octet {
    /// Of a message.
    pub(super) bytes_max: usize,
}

impl Codec for Octet {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let mut length = 0_u64;
        for (at, byte) in bytes.iter().take(HEADER_BYTES_MAX).enumerate() {
            match byte {
                b'0' if at == 0 => return Err(NO_LENGTH),
                b'0'..=b'9' => length = 10 * length + u64::from(byte - b'0'),
                b' ' if at > 0 => return self.message(bytes, at + 1, length),
                _ => return Err(NO_LENGTH),
            }
            if length > self.bytes_max as u64 {
                return Err(FrameError::Oversize {
                    limit: self.bytes_max,
                    claimed: length,
                });
            }
        }
        match bytes.len() < HEADER_BYTES_MAX {
            true => Ok(Decoded::Incomplete {
                wanted: bytes.len() + 1,
            }),
            false => Err(NO_LENGTH),
        }
    }
}

impl Octet {
    /// A message that begins there, of a length within the limit.
    fn message(&self, bytes: &[u8], start: usize, length: u64) -> Result<Decoded, FrameError> {
        let end = start + length as usize;
        debug_assert!(length <= self.bytes_max as u64, "{length} was let pass");
        Ok(match bytes.len() < end {
            true => Decoded::Incomplete { wanted: end },
            false => Decoded::Frame {
                start,
                end,
                consumed: end,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
        Octet { bytes_max: 1_000 }.decode(bytes)
    }

    #[test]
    fn a_message_is_as_many_bytes_as_its_length_says_whatever_they_are() {
        let frame = |start, end| {
            Ok(Decoded::Frame {
                start,
                end,
                consumed: end,
            })
        };
        assert_eq!(decode(b"3 abc4 next"), frame(2, 5));
        assert_eq!(decode(b"4 \n\0 91 x"), frame(2, 6));
        let long = [b"1000 ".as_slice(), &[b'x'; 1_000]].concat();
        assert_eq!(decode(&long), frame(5, 1_005));
    }

    #[test]
    fn what_is_not_whole_yet_wants_what_is_known_to_be_missing() {
        for (bytes, wanted) in [
            (&b""[..], 1),
            (b"1", 2),
            (b"10", 3),
            (b"10 ", 13),
            (b"10 abc", 13),
        ] {
            assert_eq!(
                decode(bytes),
                Ok(Decoded::Incomplete { wanted }),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn only_a_sink_counts_octets() {
        use crate::server::{ServerConfig, Service};
        let config = |service| ServerConfig {
            service,
            octet_counted: true,
            ..ServerConfig::default()
        };
        assert!(config(Service::Sink).validate().is_ok());
        assert!(config(Service::Shout).validate().is_err());
        assert!(config(Service::Echo).validate().is_err());
    }

    #[test]
    fn what_is_no_length_is_refused_as_soon_as_that_is_certain() {
        for bytes in [&b"0 "[..], b"01 a", b" a", b"<13>1", b"1x", b"-1 a", b"\n"] {
            assert_eq!(decode(bytes), Err(NO_LENGTH), "{bytes:?}");
        }
        for (bytes, claimed) in [(&b"1001"[..], 1_001), (b"99999999999 ", 9_999)] {
            let limit = 1_000;
            assert_eq!(decode(bytes), Err(FrameError::Oversize { limit, claimed }));
        }
        let mut widest = Octet {
            bytes_max: usize::MAX,
        };
        assert_eq!(widest.decode(b"12345678901"), Err(NO_LENGTH));
    }
}
