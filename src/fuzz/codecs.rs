//! The framings that are not RESP: any stream, cut at any places.
//!
//! Three things must agree: the codec fed at once, fed byte by byte and in the drawn pieces, and the plain reader of
//! `shape`. Where the stream was written by the plain encoder and not damaged, its payloads come out.

use super::feed::{Cut, Fed, feed, feed_every_way};
use super::input::Input;
use super::plain::without_rule;
use super::shape::Shape;
use crate::frame::Framing;

/// One input of the target `codecs`.
pub fn codecs(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = draw_limit(&mut input);
    let pieces = input.pieces();
    if input.below(10) == 0 {
        return raw(limit, input.rest(), &pieces);
    }
    let shape = Shape::draw(&mut input);
    let skips = input.flag() && shape.tells_length();
    let (stream, told) = draw_stream(&shape, &mut input);

    let framing = shape.framing();
    let framing = if skips {
        framing.skip_oversize()
    } else {
        framing
    };
    let expected = shape.read(limit, skips, &stream);
    let fed = feed_every_way(&framing, limit, &stream, &pieces);
    assert_eq!(
        without_rule(fed),
        expected,
        "{shape:?}, limit {limit}, skips {skips}"
    );
    if let Some(told) = told.filter(|_| expected.error.is_none()) {
        check_told(&expected, limit, &stream, &told);
    }
}

/// Small limits meet small streams; the largest ones meet what could overflow.
pub(super) fn draw_limit(input: &mut Input) -> usize {
    match input.below(12) {
        0 => input.number(),
        1 => 1 << 20,
        2 => crate::frame::FRAME_BYTES_MAX,
        3 => usize::MAX,
        _ => usize::from(input.byte()),
    }
}

/// Any bytes, or frames of any payloads, damaged or not. What was not damaged is told with its payloads.
fn draw_stream(shape: &Shape, input: &mut Input) -> (Vec<u8>, Option<Vec<Vec<u8>>>) {
    let (is_built, is_damaged) = (input.flag(), input.flag());
    if !is_built {
        return (input.rest().to_vec(), None);
    }
    let (mut stream, mut told) = (Vec::new(), Vec::new());
    let mut damage = *input;
    if is_damaged {
        input.take(8);
    }
    while !input.is_empty() {
        let bytes = match shape {
            Shape::Fixed(bytes) => (*bytes).max(1),
            _ => input.below(64),
        };
        let payload = input.take(bytes);
        if let Some((frame, payload)) = shape.encode(payload) {
            stream.extend(frame);
            told.push(payload);
        }
    }
    match is_damaged {
        true => (damage.damage(stream), None),
        false => (stream, Some(told)),
    }
}

/// Each payload comes out as it went in; those over the limit are skipped.
fn check_told(fed: &Fed, limit: usize, stream: &[u8], told: &[Vec<u8>]) {
    assert_eq!((fed.cuts.len(), fed.left_over), (told.len(), 0));
    for (cut, payload) in fed.cuts.iter().zip(told) {
        match *cut {
            Cut::Frame { start, end } => assert_eq!(&stream[start..end], payload),
            Cut::Push { .. } => panic!("a push, in a framing without any"),
            Cut::Skip { claimed, .. } => {
                assert_eq!(claimed, payload.len() as u64);
                assert!(payload.len() > limit);
            }
        }
    }
}

/// The one framing whose frames depend on the pieces; their sum does not.
fn raw(limit: usize, stream: &[u8], pieces: &[usize]) {
    let fed = feed(&Framing::raw(), limit, stream, pieces);
    let mut end_before = 0;
    for cut in fed.cuts {
        let Cut::Frame { start, end } = cut else {
            panic!("{cut:?} of raw bytes");
        };
        assert_eq!(start, end_before);
        end_before = end;
    }
    let is_refused = limit == 0 && !stream.is_empty();
    assert_eq!(fed.error.is_some(), is_refused);
    assert_eq!(end_before, if is_refused { 0 } else { stream.len() });
}
