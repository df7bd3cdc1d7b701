//! Length prefixes: what each header says, to the byte and to the largest number.

use super::super::Framing;
use super::*;

const LIMIT: usize = 1 << 20;

fn decode(prefix: LengthPrefix, bytes: &[u8]) -> Result<Decoded, FrameError> {
    let decoded = Length::new(prefix, Limit::of(LIMIT)).decode(bytes);
    if prefix == LEN32 {
        assert_eq!(
            Len32::new(Limit::of(LIMIT)).decode(bytes),
            decoded,
            "both ways"
        );
    }
    decoded
}

fn incomplete(wanted: usize) -> Result<Decoded, FrameError> {
    Ok(Decoded::Incomplete { wanted })
}

fn frame(start: usize, end: usize) -> Result<Decoded, FrameError> {
    Ok(Decoded::Frame {
        start,
        end,
        consumed: end,
    })
}

fn oversize(claimed: u64) -> Result<Decoded, FrameError> {
    Err(FrameError::Oversize {
        limit: LIMIT,
        claimed,
    })
}

/// A header that says `number`, for each width and order that can.
fn headers(number: u64) -> Vec<(LengthPrefix, Vec<u8>)> {
    let fits = |width: &usize| *width == 8 || number >> (8 * width) == 0;
    let both = |width: usize| {
        let big = number.to_be_bytes()[8 - width..].to_vec();
        let little = number.to_le_bytes()[..width].to_vec();
        let prefix = LengthPrefix::new(width);
        [(prefix, big), (prefix.little_endian(), little)]
    };
    [1, 2, 4, 8]
        .into_iter()
        .filter(fits)
        .flat_map(both)
        .collect()
}

#[test]
fn the_header_names_exactly_what_is_wanted() {
    for (prefix, header) in headers(3) {
        let prefix = prefix.offset(2);
        let stream = [b"xy", &header[..], b"abcd"].concat();
        let header = 2 + header.len();
        for length in 0..header {
            assert_eq!(decode(prefix, &stream[..length]), incomplete(header));
        }
        for length in header..header + 3 {
            assert_eq!(decode(prefix, &stream[..length]), incomplete(header + 3));
        }
        assert_eq!(decode(prefix, &stream), frame(header, header + 3));
        assert_eq!(decode(prefix.with_header(), &stream), frame(0, header + 3));
    }
}

#[test]
fn a_claim_is_judged_from_the_header_alone_in_every_width() {
    let max = LIMIT as u64;
    for claimed in [0, 1, max - 1, max] {
        for (prefix, header) in headers(claimed) {
            let whole = header.len() + claimed as usize;
            let expected = match claimed {
                0 => frame(whole, whole),
                _ => incomplete(whole),
            };
            assert_eq!(decode(prefix, &header), expected);
        }
    }
    for claimed in [max + 1, 1 << 31, (1 << 32) - 1, 1 << 63, u64::MAX] {
        for (prefix, header) in headers(claimed) {
            assert_eq!(decode(prefix, &header), oversize(claimed));
        }
    }
}

#[test]
fn an_adjusted_length_is_judged_by_what_it_comes_to() {
    let max = LIMIT as u64;
    for (claimed, adjustment, comes_to) in [
        (7, -7, Ok(0)),
        (0, 5, Ok(5)),
        (max + 4, -4, Ok(max)),
        (max, 1, Err(oversize(max + 1))),
        (1 << 63, i64::MIN, Ok(0)),
        (u64::MAX, 1, Err(oversize(u64::MAX))),
        (u64::MAX, i64::MAX, Err(oversize(u64::MAX))),
        (u64::MAX, -1, Err(oversize(u64::MAX - 1))),
    ] {
        for (prefix, header) in headers(claimed) {
            let decoded = decode(prefix.adjustment(adjustment), &header);
            let expected = match comes_to {
                Ok(0) => frame(header.len(), header.len()),
                Ok(body) => incomplete(header.len() + body as usize),
                Err(oversize) => oversize,
            };
            assert_eq!(decoded, expected, "{claimed} {adjustment}");
        }
    }
}

#[test]
fn a_length_below_what_it_counts_is_malformed() {
    for (claimed, adjustment) in [(6, -7), (0, -1), (0, i64::MIN), ((1 << 63) - 1, i64::MIN)] {
        for (prefix, header) in headers(claimed) {
            let decoded = decode(prefix.adjustment(adjustment), &header);
            assert!(matches!(decoded, Err(FrameError::Malformed(_))));
        }
    }
}

#[test]
fn any_claim_is_skipped_that_can_be_counted_with_its_header() {
    let limit = Limit {
        bytes: LIMIT,
        skips: true,
    };
    let decode = |prefix, header: &[u8]| Length::new(prefix, limit).decode(header);
    for claimed in [
        LIMIT as u64 + 1,
        1 << 31,
        (1 << 32) - 1,
        1 << 63,
        u64::MAX - 8,
    ] {
        for (prefix, header) in headers(claimed) {
            let skip = Decoded::Skip {
                limit: LIMIT,
                claimed,
                consumed: claimed + header.len() as u64,
            };
            assert_eq!(decode(prefix, &header), Ok(skip));
        }
    }
    for (prefix, header) in headers(u64::MAX) {
        assert_eq!(decode(prefix, &header), oversize(u64::MAX));
        let adjusted = decode(prefix.adjustment(i64::MAX), &header);
        assert_eq!(adjusted, oversize(u64::MAX));
    }
    assert_eq!(Len32::new(limit).decode(&[0; 4]), frame(4, 4));
}

#[test]
fn the_limit_counts_the_header_where_the_payload_holds_it() {
    let prefix = LengthPrefix::new(2).offset(1).with_header();
    let mut codec = Length::new(prefix, Limit::of(10));
    assert_eq!(codec.decode(b"t\x00\x07"), incomplete(10));
    let refused = FrameError::Oversize {
        limit: 10,
        claimed: 11,
    };
    assert_eq!(codec.decode(b"t\x00\x08"), Err(refused));
    assert_eq!(prefix.flaw(3), None);
    assert!(prefix.flaw(2).is_some());
}

#[test]
fn a_prefix_that_cannot_be_is_refused_and_never_read() {
    for prefix in [
        LengthPrefix::new(0),
        LengthPrefix::new(3),
        LengthPrefix::new(usize::MAX),
        LengthPrefix::new(4).offset(OFFSET_MAX + 1),
        LengthPrefix::new(8).offset(usize::MAX),
    ] {
        assert!(prefix.flaw(LIMIT).is_some(), "{prefix:?}");
        let decoded = Framing::length(prefix).decoder(LIMIT).decode(&[0; 9]);
        assert!(matches!(decoded, Err(FrameError::Malformed(_))));
    }
    assert_eq!(LengthPrefix::new(1).offset(OFFSET_MAX).flaw(LIMIT), None);
}

#[test]
fn the_largest_limit_overflows_nothing() {
    let decode = |prefix, header: &[u8]| Length::new(prefix, Limit::of(usize::MAX)).decode(header);
    let (four, eight) = (LengthPrefix::new(4), LengthPrefix::new(8));
    assert!(decode(eight, &[0xff; 8]).is_err());
    assert!(decode(eight.with_header(), &[0xff; 8]).is_err());
    assert_eq!(
        Len32::new(Limit::of(usize::MAX)).decode(&[0xff; 4]),
        decode(LEN32, &[0xff; 4])
    );
    #[cfg(target_pointer_width = "64")]
    assert_eq!(decode(four, &[0xff; 4]), incomplete((1 << 32) + 3));
    #[cfg(not(target_pointer_width = "64"))]
    assert!(decode(four, &[0xff; 4]).is_err());
}
