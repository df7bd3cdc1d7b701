//! Storage is borrowed only while it holds bytes that somebody wants: an idle connection has none.

use super::{Bench, failed, ms};
use crate::config::Config;
use crate::error::Source;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::upstream::Upstream;

/// Nobody pulls a skipped frame, and the buffer was given up only when the next frame was pulled.
#[test]
fn a_skipped_reply_leaves_no_storage_behind() {
    let mut bench = Bench::new(Config::default());
    let framing = Framing::len32().frame_bytes_max(8).skip_oversize();
    let upstream = Upstream::new(bench.at.to_string()).framing(framing);
    let upstream = bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(1)), []);
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    bench.ask(upstream, 1, ms(100));
    bench.events(ms(1));
    let reply = [&20_u32.to_be_bytes()[..], &[7; 20]].concat();
    assert_eq!(bench.peer.write(&socket, &reply).unwrap(), reply.len());
    let events = bench.events(ms(1));
    let oversize = Source::Oversize {
        limit: 8,
        claimed: 20,
    };
    assert_eq!(events.first().and_then(failed), Some((1, oversize)));
    // The next turn gives up what this one used.
    assert_eq!(bench.events(ms(1)), []);
    assert_eq!(bench.engine.borrowed_bytes(), 0);
}

/// The queue kept its storage when the last of it was taken back instead of written.
#[test]
fn a_request_that_is_taken_back_leaves_no_storage_behind() {
    let mut bench = Bench::new(Config::default());
    let (upstream, _socket) = bench.upstream(1);
    bench.ask(upstream, 1, ms(1));
    bench.stall(ms(2));
    let events = bench.events(ms(1));
    assert_eq!(events.first().and_then(failed), Some((1, Source::Deadline)));
    // The next turn gives up what this one used.
    assert_eq!(bench.events(ms(1)), []);
    assert_eq!(bench.engine.borrowed_bytes(), 0);
}
