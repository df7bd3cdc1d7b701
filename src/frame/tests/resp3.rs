//! RESP3: what one frame is, which frames are pushes, what is refused, and that attributes belong to what follows.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::find::meter;
use super::super::resp::Resp;
use super::super::{Codec, Decoded, FrameError, Framing};
use super::{Outcome, clean, feed_every_way, garbage, pieces, resp};

const LIMIT: usize = 1 << 20;

fn aggregate(kind: char, count: usize, elements: Vec<Vec<u8>>) -> Vec<u8> {
    [format!("{kind}{count}\r\n").into_bytes(), elements.concat()].concat()
}

/// An attribute of none to two pairs, or nothing.
fn attribute() -> impl Strategy<Value = Vec<u8>> {
    let pairs = vec("[+][a-z]{0,3}\r\n".prop_map(String::into_bytes), 0..3);
    prop_oneof![
        3 => Just(Vec::new()),
        1 => pairs.prop_map(|keys| {
            let elements = keys.into_iter().flat_map(|key| [key, b":1\r\n".to_vec()]).collect::<Vec<_>>();
            aggregate('|', elements.len() / 2, elements)
        }),
    ]
}

/// The bytes of a RESP3 reply: all types, within each other, attributes before any of them.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let blob = (
        "[!=]",
        vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..20),
    )
        .prop_map(|(kind, body)| {
            [
                format!("{kind}{}\r\n", body.len()).as_bytes(),
                &body,
                b"\r\n",
            ]
            .concat()
        });
    let leaf = prop_oneof![
        resp::reply(),
        prop_oneof![
            Just("_\r\n"),
            Just("#t\r\n"),
            Just("#f\r\n"),
            Just("~0\r\n"),
            Just("%0\r\n")
        ]
        .prop_map(Into::into),
        prop_oneof![
            Just(",1.5e-3\r\n"),
            Just(",inf\r\n"),
            Just("(-92233720368547758080\r\n")
        ]
        .prop_map(Into::into),
        blob,
    ];
    let whole = leaf.prop_recursive(4, 30, 6, |element| {
        (
            prop_oneof![Just('*'), Just('~'), Just('%')],
            vec((attribute(), element), 0..4),
        )
            .prop_map(|(kind, elements)| {
                let mut elements: Vec<_> = elements
                    .into_iter()
                    .map(|(attribute, element)| [attribute, element].concat())
                    .collect();
                let count = elements.len();
                if kind == '%' {
                    elements.extend(elements.clone());
                }
                aggregate(kind, count, elements)
            })
    });
    (attribute(), whole).prop_map(|(attribute, whole)| [attribute, whole].concat())
}

fn push() -> impl Strategy<Value = Vec<u8>> {
    (attribute(), vec(reply(), 0..3)).prop_map(|(attribute, elements)| {
        [attribute, aggregate('>', elements.len(), elements)].concat()
    })
}

/// A straightforward reader of one frame, by recursion over bytes that are all there: where it ends and whether it is
/// a push, or nothing.
fn frame_end(bytes: &[u8], is_top: bool) -> Option<(usize, bool)> {
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(bytes.get(1..line_end)?).unwrap_or("\n");
    let after = line_end + 2;
    let count = || {
        (line.len() <= 20 && line.bytes().all(|digit| digit.is_ascii_digit()))
            .then(|| line.parse().ok())?
    };
    let all = |from: usize, count: usize| {
        (0..count).try_fold(from, |end, _| {
            Some(end + frame_end(bytes.get(end..)?, false)?.0)
        })
    };
    let end = match bytes[0] {
        b'+' | b'-' | b':' | b'$' => return Some((resp_end(bytes)?, false)),
        b'*' if matches!(line, "-1" | "-01") => after,
        b'_' if line.is_empty() => after,
        b'#' if matches!(line, "t" | "f") => after,
        b',' | b'(' => bytes[..line_end]
            .iter()
            .all(|byte| !b"\r\n".contains(byte))
            .then_some(after)?,
        b'!' | b'=' => {
            resp_end(&[b"$", &bytes[1..]].concat()).filter(|_| !line.starts_with('-'))?
        }
        b'*' | b'~' => all(after, count()?)?,
        b'%' => all(after, count()?.checked_mul(2)?)?,
        b'>' if is_top => return Some((all(after, count()?)?, true)),
        b'|' => {
            let end = all(after, count()?.checked_mul(2)?)?;
            let (length, is_push) = frame_end(bytes.get(end..)?, is_top)?;
            return Some((end + length, is_push));
        }
        _ => return None,
    };
    Some((end, false))
}

fn resp_end(bytes: &[u8]) -> Option<usize> {
    resp::reply_end(bytes)
}

proptest! {
    #[test]
    fn replies_and_pushes_come_out_as_they_went_in(
        frames in vec(prop_oneof![3 => reply().prop_map(|reply| (reply, false)), 1 => push().prop_map(|push| (push, true))], 0..6),
        pieces in pieces(),
    ) {
        let (payloads, kinds): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        let pushes = kinds.iter().enumerate().filter_map(|(place, &is_push)| is_push.then_some(place)).collect();
        let outcome = feed_every_way(&Framing::resp3(), LIMIT, &payloads.concat(), &pieces);
        prop_assert_eq!(outcome, Outcome { payloads, pushes, skipped: vec![], error: None, left_over: 0 });
    }

    #[test]
    fn a_damaged_stream_is_cut_as_by_a_plain_reader(
        frames in vec(prop_oneof![reply(), push()], 1..4), damage in vec((any::<prop::sample::Index>(), garbage()), 0..3), pieces in pieces(),
    ) {
        let mut stream = frames.concat();
        for (place, bytes) in damage {
            let place = place.index(stream.len());
            let until = stream.len().min(place + 1);
            stream.splice(place..until, bytes.into_iter().take(3));
        }
        let (mut payloads, mut pushes) = (Vec::new(), Vec::new());
        let mut rest = &stream[..];
        while !rest.is_empty() && let Some((end, is_push)) = frame_end(rest, true) {
            if is_push {
                pushes.push(payloads.len());
            }
            payloads.push(rest[..end].to_vec());
            rest = &rest[end..];
        }
        let outcome = feed_every_way(&Framing::resp3(), LIMIT, &stream, &pieces);
        prop_assert_eq!((outcome.payloads, outcome.pushes), (payloads, pushes));
    }

    #[test]
    fn a_frame_passes_at_its_size_and_not_one_byte_below(frame in prop_oneof![reply(), push()], pieces in pieces()) {
        let size = frame.len();
        for limit in [size, size + 1] {
            prop_assert_eq!(feed_every_way(&Framing::resp3(), limit, &frame, &pieces).payloads, clean(std::slice::from_ref(&frame)).payloads);
        }
        let refused = feed_every_way(&Framing::resp3(), size - 1, &frame, &pieces);
        let is_oversize = matches!(refused.error, Some(FrameError::Oversize { limit, .. }) if limit == size - 1);
        prop_assert!(is_oversize);
    }
}

fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
    Resp::version_3(LIMIT).decode(bytes)
}

fn whole(end: usize) -> Result<Decoded, FrameError> {
    Ok(Decoded::Frame {
        start: 0,
        end,
        consumed: end,
    })
}

#[test]
fn every_type_is_one_frame_and_none_is_known_to_resp2() {
    let replies: [&[u8]; 18] = [
        b"_\r\n",
        b"#t\r\n",
        b"#f\r\n",
        b",-1.5e10\r\n",
        b",nan\r\n",
        b"(3492890328409238509324850943850943825024385\r\n",
        b"!21\r\nSYNTAX invalid syntax\r\n",
        b"=15\r\ntxt:Some string\r\n",
        b"!0\r\n\r\n",
        b"%0\r\n",
        b"%2\r\n+first\r\n:1\r\n+second\r\n:2\r\n",
        b"~0\r\n",
        b"~2\r\n+orange\r\n#t\r\n",
        b"%1\r\n~1\r\n_\r\n%1\r\n+a\r\n*0\r\n",
        b"|1\r\n+ttl\r\n:3600\r\n+OK\r\n",
        b"|0\r\n|1\r\n*1\r\n+a\r\n|1\r\n+b\r\n_\r\n:1\r\n*2\r\n:1\r\n|0\r\n:2\r\n",
        b"|1\r\n+a\r\n~0\r\n*0\r\n",
        b"=4\r\ntxt:\r\n",
    ];
    for reply in replies {
        assert_eq!(decode(&[reply, b"+next\r\n"].concat()), whole(reply.len()));
        for length in 0..reply.len() {
            let decoded = decode(&reply[..length]);
            assert!(
                matches!(decoded, Ok(Decoded::Incomplete { wanted }) if length < wanted && wanted <= reply.len())
            );
        }
        assert!(matches!(
            Resp::new(LIMIT).decode(reply),
            Err(FrameError::Malformed(_))
        ));
    }
}

#[test]
fn a_push_is_a_push_and_the_reply_behind_it_is_none() {
    let mut codec = Resp::version_3(LIMIT);
    for attribute in [&b""[..], b"|1\r\n+a\r\n:1\r\n"] {
        let push = [attribute, b">3\r\n+message\r\n+news\r\n$2\r\nhi\r\n"].concat();
        let end = push.len();
        for length in 1..end {
            assert!(matches!(
                codec.decode(&push[..length]),
                Ok(Decoded::Incomplete { .. })
            ));
            assert!(!codec.begins_reply(&push[..length]));
        }
        let (start, consumed) = (0, end);
        assert_eq!(
            codec.decode(&push),
            Ok(Decoded::Push {
                start,
                end,
                consumed
            })
        );
        assert_eq!(codec.decode(b"+OK\r\n"), whole(5));
    }
    assert!(codec.begins_reply(b"+O"));
    assert!(Resp::new(LIMIT).begins_reply(b">"));
}

#[test]
fn what_breaks_the_rules_is_malformed() {
    let broken: [&[u8]; 22] = [
        b"_x",
        b"_\n",
        b"#x\r\n",
        b"#\r\n",
        b"#true\r\n",
        b",1\n",
        b"!-1\r\n",
        b"=-1\r\n",
        b"%-1\r\n",
        b"~-1\r\n",
        b"|-1\r\n",
        b">-1\r\n",
        b"*1\r\n>0\r\n",
        b"|1\r\n>0\r\n",
        b"%x\r\n",
        b"!2\r\nabx\n",
        b"$?\r\n",
        b"*?\r\n",
        b"%?\r\n",
        b";4\r\n",
        b".\r\n",
        b"HTTP/1.1 400",
    ];
    for bytes in broken {
        assert!(
            matches!(decode(bytes), Err(FrameError::Malformed(_))),
            "{}",
            bytes.escape_ascii()
        );
    }
    for bytes in [&b"$?"[..], b"*?", b"%?"] {
        assert!(
            matches!(decode(bytes), Err(FrameError::Malformed(what)) if what.contains("streamed"))
        );
    }
}

#[test]
fn a_claim_of_pairs_counts_twice_and_an_attribute_owes_its_reply_too() {
    let decode = |limit, bytes: &[u8]| Resp::version_3(limit).decode(bytes);
    let oversize = |limit, claimed| Err(FrameError::Oversize { limit, claimed });
    assert_eq!(decode(16, b"%2\r\n"), Ok(Decoded::Incomplete { wanted: 5 }));
    assert_eq!(decode(15, b"%2\r\n"), oversize(15, 16));
    assert_eq!(decode(13, b"|1\r\n"), Ok(Decoded::Incomplete { wanted: 5 }));
    assert_eq!(decode(12, b"|1\r\n"), oversize(12, 13));
    for kind in ["%", "~", ">", "|"] {
        for claim in ["9223372036854775808", "99999999999999999999"] {
            let bytes = format!("{kind}{claim}\r\n").into_bytes();
            assert_eq!(decode(LIMIT, &bytes), oversize(LIMIT, u64::MAX));
        }
    }
}

#[test]
fn types_nest_32_deep_and_attributes_in_a_row_do_not_nest() {
    let nested = |depth: usize| [&b"~1\r\n".repeat(depth)[..], b"|0\r\n%0\r\n"].concat();
    let mut codec = Resp::version_3(LIMIT);
    for _ in 0..2 {
        assert_eq!(codec.decode(&nested(32)), whole(34 * 4));
    }
    assert!(matches!(decode(&nested(33)), Err(FrameError::Malformed(what)) if what.contains("32")));
    let row = [&b"|1\r\n+\r\n_\r\n".repeat(100)[..], b"_\r\n"].concat();
    assert_eq!(decode(&row), whole(row.len()));
}

#[test]
fn a_large_push_that_arrives_byte_by_byte_is_walked_once() {
    let push = [
        &b">10000\r\n"[..],
        &b"%1\r\n|1\r\n+a\r\n_\r\n,1.5\r\n#t\r\n".repeat(10_000),
    ]
    .concat();
    let mut codec = Resp::version_3(LIMIT);
    meter::take();
    for length in 0..push.len() {
        assert!(matches!(
            codec.decode(&push[..length]),
            Ok(Decoded::Incomplete { .. })
        ));
    }
    assert!(meter::take() <= push.len() * 21);
    assert!(matches!(codec.decode(&push), Ok(Decoded::Push { .. })));
}

#[test]
fn only_a_string_that_is_all_of_a_reply_is_skipped() {
    let decode = |bytes: &[u8]| {
        let framing = Framing::resp3().skip_oversize();
        framing.decoder(100).decode(bytes)
    };
    for kind in ["$", "!", "="] {
        let header = format!("{kind}95\r\n").into_bytes();
        let (limit, claimed, consumed) = (100, 102, 102);
        let skip = Decoded::Skip {
            limit,
            claimed,
            consumed,
        };
        assert_eq!(decode(&header), Ok(skip));
        for before in [&b"*1\r\n"[..], b"|0\r\n", b">1\r\n"] {
            let decoded = decode(&[before, &header].concat());
            assert!(
                matches!(decoded, Err(FrameError::Oversize { limit: 100, .. })),
                "{}",
                before.escape_ascii()
            );
        }
    }
    for claim in ["18446744073709551615", "99999999999999999999"] {
        let decoded = decode(format!("${claim}\r\n").as_bytes());
        let oversize = FrameError::Oversize {
            limit: 100,
            claimed: u64::MAX,
        };
        assert_eq!(decoded, Err(oversize), "more than can be counted");
    }
}
