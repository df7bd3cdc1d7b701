//! RESP2 and RESP3: replies of every type within each other, whole, damaged, or any bytes.
//!
//! The codec walks without recursion and resumes where it stopped; the reader of `resp/reader.rs` recurses over all the
//! bytes at once and remembers nothing. They must agree on each cut, each error and each claim.

mod reader;
mod writer;

use super::codecs::draw_limit;
use super::feed::{Cut, feed_every_way};
use super::input::Input;
use super::plain::without_rule;
use crate::frame::Framing;
use reader::Reader;
use writer::Writer;

/// One input of the target `resp`.
pub fn resp(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = draw_limit(&mut input);
    let pieces = input.pieces();
    let (is_resp3, skips) = (input.flag(), input.flag());
    let mut ends = Vec::new();
    let stream = match input.below(4) {
        0 => input.rest().to_vec(),
        kind => {
            let mut damage = input;
            if kind == 1 {
                input.take(16);
            }
            let mut writer = Writer::new(is_resp3);
            while !input.is_empty() && writer.bytes.len() < 1 << 14 {
                let is_push = writer.reply(&mut input);
                ends.push((writer.bytes.len(), is_push));
            }
            match kind {
                1 => damage.damage(writer.bytes),
                _ => {
                    check_reader(is_resp3, &writer.bytes, &ends);
                    writer.bytes
                }
            }
        }
    };

    let framing = if is_resp3 {
        Framing::resp3()
    } else {
        Framing::resp()
    };
    let framing = if skips {
        framing.skip_oversize()
    } else {
        framing
    };
    let expected = Reader {
        limit,
        is_resp3,
        skips,
    }
    .read(&stream);
    let fed = feed_every_way(&framing, limit, &stream, &pieces);
    assert_eq!(without_rule(fed), expected, "{}", stream.escape_ascii());
}

/// The reader itself finds each reply that was written where it was written.
fn check_reader(is_resp3: bool, stream: &[u8], ends: &[(usize, bool)]) {
    let limit = stream.len();
    let read = Reader {
        limit,
        is_resp3,
        skips: false,
    }
    .read(stream);
    let mut start = 0;
    let written = ends.iter().map(|&(end, is_push)| {
        let start = std::mem::replace(&mut start, end);
        match is_push {
            true => Cut::Push { start, end },
            false => Cut::Frame { start, end },
        }
    });
    assert_eq!(
        read.cuts,
        written.collect::<Vec<_>>(),
        "{}",
        stream.escape_ascii()
    );
    assert_eq!((read.error, read.left_over), (None, 0));
}
