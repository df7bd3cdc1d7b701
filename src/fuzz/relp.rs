//! RELP: its frames, cut from any stream, and the client's session, whatever a server says.
//!
//! The codec is held against a reader that looks at ever longer beginnings of the stream and splits each at its spaces
//! (`relp/reader.rs`), the session against a model that keeps lists of all that was asked and answered
//! (`relp/model.rs`). Neither shares a line with what it is held against.

mod model;
mod reader;

use super::codecs::draw_limit;
use super::feed::{Cut, feed_every_way};
use super::input::Input;
use super::plain::without_rule;
use crate::frame::Framing;
use crate::ship::Wire;

/// One input of the target `relp`.
pub fn relp(data: &[u8]) {
    let mut input = Input::new(data);
    match input.flag() {
        true => codec(&mut input),
        false => model::session(&mut input),
    }
}

fn codec(input: &mut Input) {
    let limit = draw_limit(input);
    let (pieces, skips, kind) = (input.pieces(), input.flag(), input.below(3));
    let (mut stream, mut ends) = (Vec::new(), Vec::new());
    match kind {
        0 => stream.extend_from_slice(input.rest()),
        _ => {
            let mut damage = *input;
            if kind == 1 {
                input.take(16);
            }
            while !input.is_empty() {
                put(input, &mut stream);
                ends.push(stream.len());
            }
            if kind == 1 {
                stream = damage.damage(stream);
                ends.clear();
            }
        }
    }

    let framing = match skips {
        true => Framing::relp().skip_oversize(),
        false => Framing::relp(),
    };
    let expected = reader::read(limit, skips, &stream);
    let fed = feed_every_way(&framing, limit, &stream, &pieces);
    assert_eq!(without_rule(fed), expected, "{}", stream.escape_ascii());
    if kind == 2 && expected.error.is_none() {
        let told = expected.cuts.iter().map(|cut| match *cut {
            Cut::Frame { end, .. } => end + 1,
            Cut::Skip { start, claimed } => start + claimed as usize + 1,
            Cut::Push { .. } => panic!("a push, in a framing without any"),
        });
        assert_eq!(told.collect::<Vec<_>>(), ends, "what was put is cut");
    }
}

/// A frame as a client or a server would write it.
fn put(input: &mut Input, stream: &mut Vec<u8>) {
    let (txnr, length) = (input.number() as u32, input.below(64));
    let data = input.take(length);
    match input.below(4) {
        0 => Wire::Relp.put(data, txnr, stream),
        1 => stream.extend_from_slice(b"0 serverclose 0\n"),
        2 => stream.extend_from_slice(format!("{txnr} rsp 0 \n").as_bytes()),
        _ => {
            let letters = "x".repeat(1 + input.below(32));
            let start = format!("{txnr:09} {letters} {length:09} ", length = data.len());
            stream.extend_from_slice(start.as_bytes());
            stream.extend_from_slice(data);
            stream.push(b'\n');
        }
    }
}
