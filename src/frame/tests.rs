//! What holds for every codec: frames do not depend on how the stream was cut, nothing panics, limits are exact to the
//! byte, errors stick. The rules of each framing are tested beside its codec.

mod limits;
mod relp;
mod resp;
mod resp3;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Codec, Decoded, FrameError, Framing, LengthPrefix};
use crate::fuzz::feed::{self, Cut, Fed};
use resp::reply;

/// What a stream came to: its payloads, which of them were pushes, its error, and how many bytes were left over.
#[derive(Debug, PartialEq)]
struct Outcome {
    payloads: Vec<Vec<u8>>,
    pushes: Vec<usize>,
    /// How many payloads came before each frame that was skipped, and its size.
    skipped: Vec<(usize, u64)>,
    error: Option<FrameError>,
    left_over: usize,
}

fn clean(payloads: &[Vec<u8>]) -> Outcome {
    Outcome {
        payloads: payloads.to_vec(),
        pushes: Vec::new(),
        skipped: Vec::new(),
        error: None,
        left_over: 0,
    }
}

impl Outcome {
    fn of(fed: Fed, stream: &[u8]) -> Outcome {
        let mut outcome = Outcome {
            payloads: Vec::new(),
            pushes: Vec::new(),
            skipped: Vec::new(),
            error: fed.error,
            left_over: fed.left_over,
        };
        for cut in fed.cuts {
            let told = outcome.payloads.len();
            match cut {
                Cut::Skip { claimed, .. } => outcome.skipped.push((told, claimed)),
                Cut::Push { .. } => outcome.pushes.push(told),
                Cut::Frame { .. } => {}
            }
            if let Cut::Frame { start, end } | Cut::Push { start, end } = cut {
                outcome.payloads.push(stream[start..end].to_vec());
            }
        }
        outcome
    }
}

/// Feeds the stream in pieces, the sizes of which go round in `pieces`.
fn feed(framing: &Framing, limit: usize, stream: &[u8], pieces: &[usize]) -> Outcome {
    Outcome::of(feed::feed(framing, limit, stream, pieces), stream)
}

/// The same stream whole, byte by byte and in pieces comes to the same.
fn feed_every_way(framing: &Framing, limit: usize, stream: &[u8], pieces: &[usize]) -> Outcome {
    let fed = feed::feed_every_way(framing, limit, stream, pieces);
    Outcome::of(fed, stream)
}

/// A codec as a user would write it: one length byte, then the payload.
struct Len8;

impl Codec for Len8 {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let Some(&length) = bytes.first() else {
            return Ok(Decoded::Incomplete { wanted: 1 });
        };
        let end = usize::from(length) + 1;
        if length == 0xff {
            return Err(FrameError::Malformed("255 is no length"));
        }
        Ok(if bytes.len() < end {
            Decoded::Incomplete { wanted: end }
        } else {
            Decoded::Frame {
                start: 1,
                end,
                consumed: end,
            }
        })
    }
}

fn len8() -> Framing {
    Framing::custom(|| Box::new(Len8))
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1_usize..4, 1_usize..40], 1..12)
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(prop_oneof![Just(b'\r'), any::<u8>()], 0..40), 0..12)
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    width: usize,
    little: bool,
    offset: usize,
    adjustment: i64,
    with_header: bool,
}

fn prefix() -> impl Strategy<Value = Prefix> {
    let width = prop_oneof![Just(1_usize), Just(2), Just(4), Just(8)];
    (
        width,
        any::<bool>(),
        0_usize..8,
        -200_i64..20,
        any::<bool>(),
    )
        .prop_map(|(width, little, offset, adjustment, with_header)| Prefix {
            width,
            little,
            offset,
            adjustment,
            with_header,
        })
}

/// Bytes that look like a protocol now and then.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => "[-+:$*_#,(!=%~|>]".prop_map(String::into_bytes),
        4 => "[0-9]{1,3}".prop_map(String::into_bytes),
        6 => Just(b"\r\n".to_vec()),
        1 => prop_oneof![Just(vec![b'\r']), Just(vec![b'\n']), Just(vec![0, 0, 0])],
        2 => vec(any::<u8>(), 1..12),
        1 => reply(),
        1 => "[*][1-3]\r\n[*][1-3]\r\n".prop_map(String::into_bytes),
    ];
    vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn lines_come_out_as_they_went_in(lines in payloads(), returns in vec(any::<bool>(), 12), pieces in pieces()) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (mut line, with_return) in lines.into_iter().zip(returns) {
            line.retain(|&byte| byte != b'\n');
            while line.last() == Some(&b'\r') {
                line.pop();
            }
            stream.extend_from_slice(&line);
            stream.extend_from_slice(if with_return { b"\r\n" } else { b"\n" });
            expected.push(line);
        }
        prop_assert_eq!(feed_every_way(&Framing::line(), 40, &stream, &pieces), clean(&expected));
    }

    #[test]
    fn delimited_frames_are_what_a_plain_search_finds(
        mark in "[ab]{1,5}", stream in "[abc]{0,200}", pieces in pieces(),
    ) {
        let mut expected: Vec<_> = stream.split(&mark).map(|payload| payload.as_bytes().to_vec()).collect();
        let left_over = expected.pop().map_or(0, |tail| tail.len());
        let outcome = feed_every_way(&Framing::delimiter(mark.as_bytes()), 200, stream.as_bytes(), &pieces);
        prop_assert_eq!(outcome, Outcome { payloads: expected, pushes: vec![], skipped: vec![], error: None, left_over });
    }

    #[test]
    fn length_prefixed_frames_come_out_as_they_went_in(payloads in payloads(), pieces in pieces()) {
        let len32: Vec<u8> = payloads.iter().flat_map(|payload| [&(payload.len() as u32).to_be_bytes()[..], payload].concat()).collect();
        prop_assert_eq!(feed_every_way(&Framing::len32(), 40, &len32, &pieces), clean(&payloads));
        let custom: Vec<u8> = payloads.iter().flat_map(|payload| [&[payload.len() as u8][..], payload].concat()).collect();
        prop_assert_eq!(feed_every_way(&len8(), 41, &custom, &pieces), clean(&payloads));
    }

    #[test]
    fn every_length_prefix_gives_back_what_it_was_put_before(
        payloads in payloads(), prefix in prefix(), fill in any::<u8>(), pieces in pieces(),
    ) {
        let Prefix { width, little, offset, adjustment, with_header } = prefix;
        let mut length = LengthPrefix::new(width).offset(offset).adjustment(adjustment);
        length = if little { length.little_endian() } else { length };
        length = if with_header { length.with_header() } else { length };
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for payload in payloads {
            // What the adjustment adds to must be a number that fits the field.
            let Ok(number) = u64::try_from(payload.len() as i64 - adjustment) else { continue };
            let field = if little { number.to_le_bytes()[..width].to_vec() } else { number.to_be_bytes()[8 - width..].to_vec() };
            let header = [vec![fill; offset], field].concat();
            let frame = [&header[..], &payload].concat();
            stream.extend_from_slice(&frame);
            expected.push(if with_header { frame } else { payload });
        }
        let limit = 40 + if with_header { offset + width } else { 0 };
        prop_assert_eq!(feed_every_way(&Framing::length(length), limit, &stream, &pieces), clean(&expected));
    }

    #[test]
    fn frames_over_the_limit_are_skipped_and_all_others_are_not(
        payloads in payloads(), limit in 1_usize..40, pieces in pieces(),
    ) {
        let len32 = |payload: &Vec<u8>| [&(payload.len() as u32).to_be_bytes()[..], payload].concat();
        let odd = |payload: &Vec<u8>| [&[7][..], &(payload.len() as u16 + 3).to_le_bytes(), payload].concat();
        let bulk = |payload: &Vec<u8>| [format!("${}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat();
        let prefix = LengthPrefix::new(2).little_endian().offset(1).adjustment(-3);
        type Frame<'a> = &'a dyn Fn(&Vec<u8>) -> Vec<u8>;
        let framings: [(Framing, Frame<'_>, bool); 4] = [
            (Framing::len32(), &len32, false),
            (Framing::length(prefix), &odd, false),
            (Framing::length(prefix.with_header()), &odd, true),
            (Framing::resp3(), &bulk, true),
        ];
        for (framing, frame, counts_all) in framings {
            let stream: Vec<u8> = payloads.iter().flat_map(frame).collect();
            let told = payloads.iter().map(|payload| if counts_all { frame(payload) } else { payload.clone() });
            let mut expected = clean(&[]);
            for told in told {
                match told.len() <= limit {
                    true => expected.payloads.push(told),
                    false => expected.skipped.push((expected.payloads.len(), told.len() as u64)),
                }
            }
            // A header alone may be over the limit, too: that is no frame that could be skipped.
            if framing.clone().frame_bytes_max(limit).flaw(1).is_none() {
                let outcome = feed_every_way(&framing.skip_oversize(), limit, &stream, &pieces);
                if outcome.error.is_none() {
                    prop_assert_eq!(outcome, expected);
                } else {
                    prop_assert!(limit < 7, "only where a RESP header does not fit: {:?}", outcome);
                }
            }
        }
    }

    #[test]
    fn fixed_frames_are_the_chunks_of_the_stream(stream in vec(any::<u8>(), 0..200), size in 1_usize..20, pieces in pieces()) {
        let outcome = feed_every_way(&Framing::fixed(size), 20, &stream, &pieces);
        let frames: Vec<_> = stream.chunks_exact(size).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(outcome, Outcome { payloads: frames, pushes: vec![], skipped: vec![], error: None, left_over: stream.len() % size });
    }

    #[test]
    fn raw_loses_nothing(stream in vec(any::<u8>(), 0..200), limit in 1_usize..50, pieces in pieces()) {
        let outcome = feed(&Framing::raw(), limit, &stream, &pieces);
        prop_assert_eq!((outcome.error, outcome.left_over), (None, 0));
        prop_assert_eq!(outcome.payloads.concat(), stream);
    }

    #[test]
    fn garbage_never_panics_and_is_refused_alike_however_it_was_cut(stream in garbage(), limit in 0_usize..120, pieces in pieces()) {
        let length = Framing::length(LengthPrefix::new(1).little_endian().offset(2).adjustment(-3));
        let delimiters = [Framing::delimiter(b"\n"), Framing::delimiter(b"\r\n\r\n"), Framing::delimiter(&[0, 0, 0, 1])];
        for framing in delimiters {
            feed_every_way(&framing, limit, &stream, &pieces);
        }
        for framing in [Framing::len16(), Framing::len32(), length.clone(), Framing::resp(), Framing::resp3(), Framing::relp()] {
            feed_every_way(&framing.skip_oversize(), limit, &stream, &pieces);
        }
        for framing in [Framing::line(), Framing::len16(), Framing::len32(), length, Framing::fixed(7), Framing::fixed(0), Framing::resp(), Framing::resp3(), Framing::relp()] {
            feed_every_way(&framing, limit, &stream, &pieces);
        }
        feed(&Framing::raw(), limit, &stream, &pieces);
        feed_every_way(&len8(), limit, &stream, &pieces);
    }

}
