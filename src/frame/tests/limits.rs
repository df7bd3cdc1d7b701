//! Limits to the byte, the size of a decoder, and what names and errors say.

use super::super::{Decoded, Decoder, FrameError, Framing, LengthPrefix};
use super::{feed, feed_every_way, len8};

/// A frame of RELP that has so many bytes before its LF.
fn relp(n: usize) -> Vec<u8> {
    let header = format!("2 rsp {:03} ", n - 10).into_bytes();
    [header, vec![b'x'; n - 10], b"\n".to_vec()].concat()
}

#[test]
fn limits_are_exact_and_the_framing_overrides_the_default() {
    let max = 100;
    let line = |n: usize| [vec![b'x'; n], b"\n".to_vec()].concat();
    let line_return = |n: usize| [vec![b'x'; n], b"\r\n".to_vec()].concat();
    let delimited = |n: usize| [vec![b'x'; n - 1], b"---X".to_vec()].concat();
    let len32 = |n: usize| [(n as u32).to_be_bytes().to_vec(), vec![b'x'; n]].concat();
    let len16 = |n: usize| [(n as u16).to_be_bytes().to_vec(), vec![b'x'; n]].concat();
    let whole = LengthPrefix::new(8)
        .little_endian()
        .offset(3)
        .adjustment(-11)
        .with_header();
    let length = |n: usize| {
        [
            vec![7; 3],
            (n as u64).to_le_bytes().to_vec(),
            vec![b'x'; n - 11],
        ]
        .concat()
    };
    let text = |n: usize| [b"+".to_vec(), vec![b'x'; n - 3], b"\r\n".to_vec()].concat();
    let double = |n: usize| [b",".to_vec(), vec![b'1'; n - 3], b"\r\n".to_vec()].concat();
    let push = |n: usize| [b">1\r\n+".to_vec(), vec![b'x'; n - 7], b"\r\n".to_vec()].concat();
    let len8_whole = |n: usize| [vec![n as u8 - 1], vec![b'x'; n - 1]].concat();
    type Stream<'a> = &'a dyn Fn(usize) -> Vec<u8>;
    let streams: [(Framing, Stream<'_>); 11] = [
        (Framing::line(), &line),
        (Framing::line(), &line_return),
        (Framing::delimiter(b"--X"), &delimited),
        (Framing::len16(), &len16),
        (Framing::len32(), &len32),
        (Framing::length(whole), &length),
        (Framing::resp(), &text),
        (Framing::resp3(), &double),
        (Framing::resp3(), &push),
        (Framing::relp(), &relp),
        (len8(), &len8_whole),
    ];
    for (framing, stream) in streams {
        let overridden = framing.clone().frame_bytes_max(max);
        for size in [max - 1, max] {
            for outcome in [
                feed(&framing, max, &stream(size), &[1]),
                feed_every_way(&framing, max, &stream(size), &[9]),
            ] {
                assert_eq!(
                    (outcome.payloads.len(), outcome.error, outcome.left_over),
                    (1, None, 0)
                );
            }
        }
        let oversize = Some(FrameError::Oversize {
            limit: max,
            claimed: max as u64 + 1,
        });
        assert_eq!(
            feed_every_way(&framing, max, &stream(max + 1), &[9]).error,
            oversize,
            "{framing:?}"
        );
        assert_eq!(
            overridden.decoder(max * 2).decode(&stream(max + 1)).err(),
            oversize,
            "{framing:?}"
        );
    }
}

#[test]
fn each_connection_has_a_small_decoder_of_its_own() {
    assert!(size_of::<Decoder>() <= 64, "{} bytes", size_of::<Decoder>());
    let framing = Framing::line().clone();
    let (mut one, mut other) = (framing.decoder(9), framing.decoder(9));
    assert_eq!(one.decode(b"abc"), Ok(Decoded::Incomplete { wanted: 4 }));
    assert_eq!(
        other.decode(b"a\n"),
        Ok(Decoded::Frame {
            start: 0,
            end: 1,
            consumed: 2
        })
    );
}

#[test]
fn names_and_errors_say_what_is_meant() {
    let framings = [
        Framing::line(),
        Framing::delimiter(b"--"),
        Framing::len16(),
        Framing::len32(),
        Framing::length(LengthPrefix::new(4).little_endian()),
        Framing::fixed(1),
        Framing::resp(),
        Framing::resp3(),
        Framing::relp(),
        Framing::raw(),
        len8(),
    ];
    assert_eq!(
        framings.map(|framing| framing.name()),
        [
            "line",
            "delimiter",
            "len16",
            "len32",
            "length",
            "fixed",
            "resp",
            "resp3",
            "relp",
            "raw",
            "custom"
        ]
    );
    let text = FrameError::Oversize {
        limit: 10,
        claimed: 1 << 63,
    }
    .to_string();
    assert!(
        text.contains("9223372036854775808")
            && text.contains("10")
            && text.contains("frame_bytes_max")
    );
    let Err(error) = Framing::resp().decoder(99).decode(b"HTTP/1.1 400") else {
        panic!("HTTP is no RESP2")
    };
    assert_eq!(
        error.to_string(),
        "malformed frame: unknown RESP2 type byte: a reply starts with one of + - : $ *"
    );
}

#[test]
fn a_framing_that_cannot_be_says_why_and_decodes_nothing() {
    for (framing, word) in [
        (Framing::delimiter(b""), "1 to 16 bytes"),
        (Framing::delimiter(&[b'x'; 17]), "1 to 16 bytes"),
        (Framing::length(LengthPrefix::new(3)), "1, 2, 4 or 8"),
        (Framing::length(LengthPrefix::new(4).offset(4097)), "4,096"),
        (Framing::fixed(0), "at least 1 byte"),
    ] {
        assert!(
            framing
                .flaw(1 << 20)
                .is_some_and(|flaw| flaw.contains(word)),
            "{framing:?}"
        );
        for bytes in [&b""[..], b"some bytes"] {
            let decoded = framing.decoder(1 << 20).decode(bytes);
            assert!(matches!(decoded, Err(FrameError::Malformed(_))));
        }
    }
    let header = Framing::length(LengthPrefix::new(8).with_header()).frame_bytes_max(7);
    assert!(
        header
            .flaw(1 << 20)
            .is_some_and(|flaw| flaw.contains("header"))
    );
}

/// A decoder without a limit took a string of 2^64 - 1 bytes for one that fits, and overflowed at its end.
#[test]
fn what_cannot_be_counted_is_over_every_limit() {
    let max = u64::MAX;
    for (framing, claim) in [
        (Framing::resp(), format!("${max}\r\n").into_bytes()),
        (Framing::resp(), format!("*{max}\r\n").into_bytes()),
        (Framing::resp3(), format!("%{max}\r\n").into_bytes()),
        (Framing::length(LengthPrefix::new(8)), vec![0xff; 8]),
    ] {
        let decoded = framing.decoder(usize::MAX).decode(&claim);
        let is_oversize = matches!(decoded, Err(FrameError::Oversize { .. }));
        assert!(is_oversize, "{framing:?}: {decoded:?}");
    }
}
