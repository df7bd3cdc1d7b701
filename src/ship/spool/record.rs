//! One line as it stands on the disk. Pure: no file is touched here.
//!
//! ```text
//! CRC-32 (u32) of all that follows | bytes of the line (u32) | number of the line (u64) | the line
//! ```
//! All little endian. The number is in the CRC's reach, so that a record from elsewhere (an old block that comes back
//! after a loss of power) is not taken for the one that should stand there, and so that zeros are no record.

/// Of a record, before its line.
pub(super) const HEADER_BYTES: usize = 16;

/// The longest line a record may hold: what a damaged length can make anybody read is bounded by it.
pub(super) const LINE_BYTES_CEILING: usize = 1 << 30;

/// The greatest number of a line: one more can always be said.
pub(super) const NUMBER_MAX: u64 = u64::MAX >> 2;

pub(super) fn encode(number: u64, line: &[u8], into: &mut Vec<u8>) {
    assert!(line.len() <= LINE_BYTES_CEILING, "the caller has a limit");
    let from = into.len();
    into.reserve(HEADER_BYTES + line.len());
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&(line.len() as u32).to_le_bytes());
    into.extend_from_slice(&number.to_le_bytes());
    into.extend_from_slice(line);
    let crc = crc32fast::hash(&into[from + 4..]);
    into[from..from + 4].copy_from_slice(&crc.to_le_bytes());
}

/// What the first bytes of a record say of it, which may be wrong.
pub(super) struct Claim {
    pub(super) number: u64,
    /// Of the whole record.
    pub(super) bytes: usize,
}

/// `None`: it is no record, or its header is cut off.
pub(super) fn claim(bytes: &[u8]) -> Option<Claim> {
    let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [_, _, _, _, a, b, c, d, number @ ..] = *header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (length <= LINE_BYTES_CEILING).then_some(Claim {
        number: u64::from_le_bytes(number),
        bytes: HEADER_BYTES + length,
    })
}

/// The line of the record that these bytes begin with, if it is whole and intact, and of this number.
pub(super) fn line(bytes: &[u8], number: u64) -> Option<&[u8]> {
    let claim = claim(bytes)?;
    let (record, _) = bytes.split_at_checked(claim.bytes)?;
    let (crc, rest) = record.split_first_chunk::<4>()?;
    let is_intact = claim.number == number && crc32fast::hash(rest) == u32::from_le_bytes(*crc);
    is_intact.then(|| &record[HEADER_BYTES..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn record(number: u64, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(number, text, &mut bytes);
        bytes
    }

    #[test]
    fn the_format_on_disk_is_this() {
        // zlib.crc32 of the bytes that follow: another implementation says the same.
        let expected = b"\xf2\x4a\x00\xb0\x05\0\0\0\x07\0\0\0\0\0\0\0hello";
        assert_eq!(record(7, b"hello"), expected);
    }

    #[test]
    fn a_record_is_read_as_it_was_written_whatever_follows() {
        for text in [&b""[..], b"a", b"\0\n\xff", &[b'x'; 100_000]] {
            let mut bytes = record(7, text);
            bytes.extend_from_slice(b"behind");
            assert_eq!(line(&bytes, 7), Some(text));
            assert_eq!(line(&bytes, 8), None, "the number is another");
        }
    }

    #[test]
    fn neither_a_part_of_a_record_nor_one_with_a_bit_turned_is_a_record() {
        let bytes = record(7, b"some line");
        for end in 0..bytes.len() {
            assert_eq!(line(&bytes[..end], 7), None, "cut at {end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut turned = bytes.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            for number in [7, claim(&turned).map_or(7, |it| it.number)] {
                assert_eq!(line(&turned, number), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert!((0..10_000).all(|number| line(&[0; 64], number).is_none()));
    }
}
