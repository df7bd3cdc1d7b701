//! RESP2: what one frame is, what is refused and when, and that the work is linear.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::find::meter;
use super::super::resp::Resp;
use super::super::{Codec, Decoded, FrameError, Framing};
use super::{clean, feed_every_way, garbage, pieces};

/// The bytes of a RESP2 reply, arrays within arrays included.
pub(super) fn reply() -> impl Strategy<Value = Vec<u8>> {
    let bulk = vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..30)
        .prop_map(|body| [format!("${}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat());
    let leaf = prop_oneof![
        "[+-][a-zA-Z0-9 $*:]{0,20}\r\n".prop_map(String::into_bytes),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        prop_oneof![Just("$-1\r\n"), Just("*-1\r\n"), Just("*0\r\n")].prop_map(Into::into),
        bulk,
    ];
    leaf.prop_recursive(5, 40, 6, |element| {
        vec(element, 0..6).prop_map(|elements| {
            [
                format!("*{}\r\n", elements.len()).into_bytes(),
                elements.concat(),
            ]
            .concat()
        })
    })
}

/// A straightforward reader of one reply, by recursion over bytes that are all there: where it ends, or nothing.
pub(super) fn reply_end(bytes: &[u8]) -> Option<usize> {
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(bytes.get(1..line_end)?).unwrap_or("");
    let after = line_end + 2;
    let digits = line.strip_prefix('-').unwrap_or(line);
    let number = (line.len() <= 20
        && !digits.is_empty()
        && digits.bytes().all(|digit| digit.is_ascii_digit()))
    .then_some(line);
    match (bytes[0], number) {
        (b'+' | b'-', _) => bytes[..line_end]
            .iter()
            .all(|byte| !b"\r\n".contains(byte))
            .then_some(after),
        (b':', Some(_)) | (b'$' | b'*', Some("-1" | "-01")) => Some(after),
        (b'$', Some(number)) => {
            let end = after.checked_add(number.parse().ok()?)?;
            (bytes.get(end..end.checked_add(2)?)? == b"\r\n").then_some(end + 2)
        }
        (b'*', Some(number)) => {
            let elements = number.parse::<usize>().ok()?;
            (0..elements).try_fold(after, |end, _| Some(end + reply_end(bytes.get(end..)?)?))
        }
        _ => None,
    }
}

proptest! {
    #[test]
    fn replies_come_out_as_they_went_in(replies in vec(reply(), 0..6), pieces in pieces()) {
        let outcome = feed_every_way(&Framing::resp(), 1 << 20, &replies.concat(), &pieces);
        prop_assert_eq!(outcome, clean(&replies));
    }

    #[test]
    fn a_damaged_stream_of_replies_is_cut_as_by_a_plain_reader(
        replies in vec(reply(), 1..4), damage in vec((any::<prop::sample::Index>(), garbage()), 0..3), pieces in pieces(),
    ) {
        let mut stream = replies.concat();
        for (place, bytes) in damage {
            let place = place.index(stream.len());
            let until = stream.len().min(place + 1);
            stream.splice(place..until, bytes.into_iter().take(3));
        }
        let mut expected = Vec::new();
        let mut rest = &stream[..];
        while let Some(end) = reply_end(rest) {
            expected.push(rest[..end].to_vec());
            rest = &rest[end..];
        }
        let outcome = feed_every_way(&Framing::resp(), 1 << 20, &stream, &pieces);
        prop_assert_eq!(outcome.payloads, expected);
    }

    #[test]
    fn a_reply_passes_at_its_size_and_not_one_byte_below(reply in reply(), pieces in pieces()) {
        let size = reply.len();
        for limit in [size, size + 1] {
            prop_assert_eq!(feed_every_way(&Framing::resp(), limit, &reply, &pieces), clean(std::slice::from_ref(&reply)));
        }
        let refused = feed_every_way(&Framing::resp(), size - 1, &reply, &pieces);
        let is_oversize = matches!(refused.error, Some(FrameError::Oversize { limit, .. }) if limit == size - 1);
        prop_assert!(is_oversize);
    }
}

const LIMIT: usize = 1 << 20;
/// A header is read anew at each byte: 20 digits and the byte behind them.
const HEADER_LOOKS: usize = 21;

fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
    Resp::new(LIMIT).decode(bytes)
}

fn oversize(limit: usize, claimed: u64) -> Result<Decoded, FrameError> {
    Err(FrameError::Oversize { limit, claimed })
}

fn whole(end: usize) -> Result<Decoded, FrameError> {
    Ok(Decoded::Frame {
        start: 0,
        end,
        consumed: end,
    })
}

#[test]
fn every_kind_of_reply_is_one_frame() {
    let replies: [&[u8]; 16] = [
        b"+OK\r\n",
        b"+\r\n",
        b"-ERR no\r\n",
        b":0\r\n",
        b":-9223372036854775808\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$2\r\n\r\n\r\n",
        b"$3\r\na\nb\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*1\r\n:1\r\n",
        b"*2\r\n*0\r\n*-1\r\n",
        b"*2\r\n*2\r\n+a\r\n*1\r\n$-1\r\n:7\r\n",
        b"*3\r\n$3\r\nfoo\r\n$-1\r\n$3\r\nbar\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*0\r\n",
    ];
    for reply in replies {
        assert_eq!(decode(&[reply, b"+next\r\n"].concat()), whole(reply.len()));
        for length in 0..reply.len() {
            let decoded = decode(&reply[..length]);
            assert!(
                matches!(decoded, Ok(Decoded::Incomplete { wanted }) if length < wanted && wanted <= reply.len())
            );
        }
    }
}

#[test]
fn what_breaks_the_rules_is_malformed() {
    let broken: [&[u8]; 23] = [
        b"OK\r\n",
        b"\r\n",
        b"HTTP/1.1 400",
        b"+a\rb",
        b"+a\nb",
        b"-\n",
        b":\r",
        b":-\r",
        b":+1\r\n",
        b":1a",
        b": 1\r\n",
        b":1\rx",
        b":--1\r\n",
        b"$-2\r\n",
        b"$-10\r\n",
        b"$-0\r\n\r\n",
        b"*-0\r\n",
        b"*-2\r\n",
        b"$3\r\nabcde",
        b"$3\r\nabc\rx",
        b"*1\r\n\r\n",
        b"$\r\n",
        b":123456789012345678901",
    ];
    for bytes in broken {
        assert!(
            matches!(decode(bytes), Err(FrameError::Malformed(_))),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_claim_is_refused_as_soon_as_it_proves_too_much() {
    assert_eq!(
        decode(b"$9223372036854775808\r\n"),
        oversize(LIMIT, (1 << 63) + 24)
    );
    assert_eq!(
        decode(b"$99999999999999999999\r\n"),
        oversize(LIMIT, u64::MAX)
    );
    assert_eq!(
        decode(b"*9223372036854775808\r\n"),
        oversize(LIMIT, u64::MAX)
    );
    assert_eq!(decode(b"*349523\r\n"), oversize(LIMIT, 349_523 * 3 + 9));
    assert_eq!(
        decode(b"*349522\r\n"),
        Ok(Decoded::Incomplete { wanted: 10 })
    );
    assert_eq!(
        decode(b"*2\r\n*349521\r\n"),
        oversize(LIMIT, 349_522 * 3 + 13)
    );
    assert_eq!(
        decode(b"*2\r\n*349520\r\n"),
        Ok(Decoded::Incomplete { wanted: 14 })
    );
    assert_eq!(decode(b"$1048565\r\n"), oversize(LIMIT, LIMIT as u64 + 1));
}

#[test]
fn the_limit_counts_every_byte_and_what_is_still_owed() {
    for reply in [
        &b"+abcdef\r\n"[..],
        b":123456\r\n",
        b"$3\r\nabc\r\n",
        b"*2\r\n+\r\n+\r\n",
        b"*1\r\n*1\r\n+\r\n",
    ] {
        let size = reply.len();
        assert_eq!(Resp::new(size).decode(reply), whole(size));
        assert_eq!(Resp::new(size + 1).decode(reply), whole(size));
        assert_eq!(
            Resp::new(size - 1).decode(reply),
            oversize(size - 1, size as u64)
        );
    }
    assert_eq!(
        Resp::new(10).decode(b"+abcdefg"),
        Ok(Decoded::Incomplete { wanted: 9 })
    );
    assert_eq!(Resp::new(10).decode(b"+abcdefgh"), oversize(10, 11));
    assert_eq!(Resp::new(10).decode(b"*2\r\n+a"), oversize(10, 11));
}

#[test]
fn arrays_nest_32_deep_and_no_deeper() {
    let nested = |depth: usize| [&b"*1\r\n".repeat(depth)[..], b"*0\r\n"].concat();
    let mut codec = Resp::new(LIMIT);
    for _ in 0..2 {
        assert_eq!(codec.decode(&nested(32)), whole(33 * 4));
    }
    assert!(matches!(decode(&nested(33)), Err(FrameError::Malformed(what)) if what.contains("32")));
    let wide = [&b"*33\r\n"[..], &b"*1\r\n+\r\n".repeat(33)].concat();
    assert_eq!(decode(&wide), whole(wide.len()));
}

#[test]
fn a_large_reply_that_arrives_byte_by_byte_is_walked_once() {
    let array = [
        &b"*30000\r\n"[..],
        &b"$3\r\nabc\r\n*1\r\n:12345\r\n+text\r\n".repeat(10_000),
    ]
    .concat();
    let text = [&b"+"[..], &vec![b'x'; LIMIT - 3], b"\r\n"].concat();
    for reply in [array, text] {
        let mut codec = Resp::new(LIMIT);
        meter::take();
        let mut looked_at = 0;
        for length in 0..reply.len() {
            assert!(matches!(
                codec.decode(&reply[..length]),
                Ok(Decoded::Incomplete { .. })
            ));
            looked_at += meter::take();
            assert!(
                looked_at <= (length + 1) * (HEADER_LOOKS),
                "{looked_at} looks at {length} bytes"
            );
        }
        assert_eq!(codec.decode(&reply), whole(reply.len()));
    }
}
