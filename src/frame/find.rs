//! The search for a byte, eight at a time in a `u64`, without `unsafe` and without a dependency.
//!
//! A word has a zero byte where `word ^ pattern` does; the classic test for that may report false bytes, but only above
//! the first true one, so the lowest hit of a little-endian load is always right (also the lowest of two patterns).

/// Where `needle` stands first in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: u8) -> Option<usize> {
    let pattern = repeat(needle);
    search(
        bytes,
        |word| zero_bytes(word ^ pattern),
        |byte| byte == needle,
    )
}

/// Where the first of two bytes stands in `bytes`.
pub(super) fn find_either(bytes: &[u8], one: u8, other: u8) -> Option<usize> {
    let (first, second) = (repeat(one), repeat(other));
    search(
        bytes,
        |word| zero_bytes(word ^ first) | zero_bytes(word ^ second),
        |byte| byte == one || byte == other,
    )
}

#[inline(always)]
fn search(
    bytes: &[u8],
    hits_in: impl Fn(u64) -> u64,
    is_hit: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    let found = words.iter().enumerate().find_map(|(index, word)| {
        let hits = hits_in(u64::from_le_bytes(*word));
        (hits != 0).then(|| index * 8 + hits.trailing_zeros() as usize / 8)
    });
    let found = found.or_else(|| {
        tail.iter()
            .position(|&byte| is_hit(byte))
            .map(|index| words.len() * 8 + index)
    });
    #[cfg(any(test, fuzzing))]
    meter::add(found.map_or(bytes.len(), |index| index + 1));
    found
}

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of each zero byte; bytes above the first zero one may be reported falsely.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeat(0x01)) & !word & repeat(0x80)
}

/// How many bytes the codecs of this thread have looked at: what the tests of linear work count.
#[cfg(any(test, fuzzing))]
pub(crate) mod meter {
    use std::cell::Cell;

    thread_local!(static LOOKED_AT: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn add(bytes: usize) {
        LOOKED_AT.set(LOOKED_AT.get() + bytes);
    }

    pub(crate) fn take() -> usize {
        LOOKED_AT.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{find, find_either};

    /// Bytes that lie next to each other, so that borrows run through the words and hits are many.
    fn close_bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(
            prop_oneof![
                Just(9),
                Just(10),
                Just(11),
                Just(13),
                Just(0x8a),
                any::<u8>()
            ],
            0..200,
        )
    }

    proptest! {
        #[test]
        fn finds_what_position_finds(bytes in close_bytes(), skip in 0_usize..9, needle in prop_oneof![Just(10_u8), any::<u8>()]) {
            let bytes = bytes.get(skip..).unwrap_or_default();
            prop_assert_eq!(find(bytes, needle), bytes.iter().position(|&byte| byte == needle));
        }

        #[test]
        fn finds_the_first_of_two(bytes in close_bytes(), one in 8_u8..14, other in any::<u8>()) {
            let expected = bytes.iter().position(|&byte| byte == one || byte == other);
            prop_assert_eq!(find_either(&bytes, one, other), expected);
        }
    }

    #[test]
    fn every_place_in_and_behind_the_words_is_found() {
        for length in 0..70 {
            for place in 0..length {
                let mut bytes = vec![0x0b_u8; length];
                bytes[place] = b'\n';
                assert_eq!(find(&bytes, b'\n'), Some(place));
                assert_eq!(find_either(&bytes, b'\r', b'\n'), Some(place));
            }
        }
    }
}
