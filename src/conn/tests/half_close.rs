//! A peer that has ended its half, or whose half the read limit has ended: what is still sent, told and taken.

use super::*;

#[test]
fn a_half_closed_peer_is_still_sent_to_where_that_is_allowed() {
    let mut bench = Bench::of(profile(true, u64::MAX));
    bench.receive(b"question\ntorn");
    bench.conn.handle_eof();
    assert_eq!(bench.frames(), [b"question"]);
    assert_eq!(bench.conn.poll_event(), Some(ConnEvent::HalfClosed));
    bench.send(b"answer");
    bench.conn.close();
    bench.transmit(6);
    bench.conn.handle_shut(bench.now);
    assert_eq!(
        bench.closed().unwrap().source,
        Source::Truncated { received: 4 },
        "not lost in silence"
    );
}

#[test]
fn what_comes_after_the_read_limit_is_dropped_and_does_not_keep_the_connection() {
    let mut bench = Bench::of(profile(true, 6));
    assert_eq!(bench.conn.may_receive(), 6);
    bench.receive(b"one\ntw");
    assert_eq!(bench.frames(), [b"one"]);
    assert_eq!(bench.conn.poll_event(), Some(ConnEvent::HalfClosed));
    assert!(!bench.conn.wants_read(), "held back until it is closed");
    bench.conn.close();
    bench.conn.handle_shut(bench.now);
    assert!(
        bench.conn.wants_read(),
        "and then drained, so that closing is no reset"
    );
    bench.receive(b"o\nthree\n");
    assert_eq!(bench.frames(), [b""; 0]);
    assert_eq!(bench.buffer.unparsed(), b"");
    bench.conn.handle_eof();
    bench.frames();
    assert_eq!(
        bench.closed().unwrap().source,
        Source::Truncated { received: 2 }
    );
}

/// A peer that sent on after its limit grew the buffer for as long as it liked.
#[test]
fn what_is_dropped_behind_the_read_limit_takes_no_memory() {
    let mut bench = Bench::of(profile(true, 64));
    bench.receive(&[b'a'; 64]);
    assert!(bench.frames().is_empty());
    bench.conn.close();
    for _ in 0..100 {
        bench.receive(&[b'b'; 32]);
        assert!(bench.frames().is_empty());
    }
    assert!(bench.buffer.held() <= 64, "{} held", bench.buffer.held());
}

/// The peer's FIN was read while answers were still queued: it ended the half a second time, and what was torn off by
/// the limit was forgotten.
#[test]
fn a_fin_behind_the_read_limit_is_no_second_end_and_the_torn_tail_is_still_told() {
    let mut bench = Bench::of(profile(true, 6));
    bench.receive(b"one\ntw");
    assert_eq!(bench.frames(), [b"one"]);
    assert_eq!(bench.conn.poll_event(), Some(ConnEvent::HalfClosed));
    bench.send(b"answer");
    bench.conn.close();
    bench.conn.handle_eof();
    bench.frames();
    assert_eq!(bench.conn.poll_event(), None, "told once");
    bench.transmit(6);
    bench.conn.handle_shut(bench.now);
    assert_eq!(
        bench.closed().unwrap().source,
        Source::Truncated { received: 2 }
    );
}

/// The error was made when the peer's half ended, before the answer was sent, and said that nothing was.
#[test]
fn a_torn_tail_told_at_the_close_knows_what_was_sent_meanwhile() {
    let mut bench = Bench::of(profile(true, u64::MAX));
    bench.receive(b"torn");
    bench.conn.handle_eof();
    bench.frames();
    assert_eq!(bench.conn.poll_event(), Some(ConnEvent::HalfClosed));
    bench.send(b"answer");
    bench.transmit(6);
    bench.conn.close();
    bench.conn.handle_shut(bench.now);
    let error = bench.closed().unwrap();
    assert_eq!(
        (error.source, error.sent),
        (Source::Truncated { received: 4 }, Sent::Maybe)
    );
}

/// The quota left frames in the buffer, so the read limit was met and not yet told when the look before a write found
/// the reset, which the kernel tells once: it was dropped, and the close looked clean.
#[test]
fn an_error_found_before_the_read_limit_is_told_is_not_lost_to_it() {
    let mut bench = Bench::of(profile(true, 8));
    bench.receive(b"one\ntwo\n");
    bench.conn.handle_error(Source::Os(104));
    assert_eq!(bench.frames(), [b"one", b"two"]);
    assert_eq!(bench.closed().unwrap().source, Source::Os(104));
}
