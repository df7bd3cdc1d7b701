//! What one frame of 64 bytes costs each codec. One iteration is one frame, so the time shown is the time a frame.
//!
//! The peer of `line` is the splitter that everybody writes first: `iter().position`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use taut::frame::{Decoded, Framing, LengthPrefix};

const FRAME_BYTES: usize = 64;
const FRAMES: usize = 1024;

fn stream(frame: &[u8]) -> Vec<u8> {
    assert_eq!(
        frame.len(),
        FRAME_BYTES,
        "all codecs get frames of one size"
    );
    frame.repeat(FRAMES)
}

/// The next frame starts here, or at the front again. (A remainder would cost as much as a small codec.)
fn behind(end: usize, stream: &[u8]) -> usize {
    if end == stream.len() { 0 } else { end }
}

fn framing(criterion: &mut Criterion) {
    let line = [&[b'x'; 63][..], b"\n"].concat();
    let len32 = [&60_u32.to_be_bytes()[..], &[b'x'; 60]].concat();
    let odd = LengthPrefix::new(2)
        .little_endian()
        .offset(2)
        .adjustment(-4);
    let length = [&[0, 0, 64, 0][..], &[b'x'; 60]].concat();
    let text = [&b"+"[..], &[b'x'; 61], b"\r\n"].concat();
    let bulk = [&b"$57\r\n"[..], &[b'x'; 57], b"\r\n"].concat();
    let array = [
        &b"*6\r\n"[..],
        &b":12345\r\n".repeat(3),
        b"$6\r\nabcdef\r\n",
        b"$-1\r\n",
        b"+abcdefghijklmnop\r\n",
    ]
    .concat();
    let codecs = [
        ("line", Framing::line(), &line),
        ("delimiter", Framing::delimiter(b"\r\n"), &text),
        ("len32", Framing::len32(), &len32),
        ("length", Framing::length(odd), &length),
        ("fixed", Framing::fixed(FRAME_BYTES), &line),
        ("resp_text", Framing::resp(), &text),
        ("resp_bulk", Framing::resp(), &bulk),
        ("resp_array_of_6", Framing::resp(), &array),
        ("raw", Framing::raw(), &line),
    ];

    let mut group = criterion.benchmark_group("framing");
    for (name, framing, frame) in codecs {
        let stream = stream(frame);
        let mut decoder = framing.frame_bytes_max(FRAME_BYTES).decoder(0);
        let mut start = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let Ok(Decoded::Frame { consumed, .. }) =
                    decoder.decode(black_box(&stream[start..]))
                else {
                    panic!("the stream holds whole frames only");
                };
                start = behind(start + consumed, &stream);
                consumed
            });
        });
    }

    let stream = stream(&line);
    let mut start = 0;
    group.bench_function("line_naive_peer", |bencher| {
        bencher.iter(|| {
            let bytes = black_box(&stream[start..]);
            let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') else {
                panic!("the stream holds whole lines only");
            };
            start = behind(start + newline + 1, &stream);
            newline
        });
    });
    group.finish();
}

criterion_group!(benches, framing);
criterion_main!(benches);
