//! The connection's states and ends, driven by hand: no socket, no clock.
#![allow(clippy::unwrap_used, reason = "tests")]

mod half_close;
mod handshaking;
mod heartbeat;
mod skipping;

use std::sync::Arc;
use std::time::Duration;

use super::{Conn, ConnEvent, Cut, Profile};
use crate::buffer::{Pool, ReceiveBuffer};
use crate::config::Timeouts;
use crate::error::{Error, Phase, Sent, Source};
use crate::frame::Framing;
use crate::time::Time;

/// A connection with the buffer and the pool that the engine would hold for it.
struct Bench {
    conn: Conn,
    buffer: ReceiveBuffer,
    pool: Pool,
    now: Time,
}

fn profile(half_close: bool, read_bytes_max: u64) -> Profile {
    Profile {
        timeouts: Timeouts::default(),
        half_close,
        reads_pause_above_bytes: usize::MAX,
        send_queue_bytes_max: 100,
        read_bytes_max,
    }
}

impl Bench {
    fn open() -> Bench {
        Bench::of(profile(false, u64::MAX))
    }

    fn of(profile: Profile) -> Bench {
        Bench::framed(profile, Framing::line())
    }

    fn framed(profile: Profile, framing: Framing) -> Bench {
        let (decoder, pool) = (framing.decoder(64), Pool::new(64, 1 << 20));
        let conn = Conn::accepted(Time::ZERO, Arc::new(profile), decoder);
        Bench {
            conn,
            buffer: ReceiveBuffer::default(),
            pool,
            now: Time::ZERO,
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = self.buffer.space(self.conn.wanted(), 64, &mut self.pool);
            let n = space.len().min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            self.buffer.received(n);
            self.conn.handle_received(self.now, n);
            rest = &rest[n..];
        }
    }

    fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(cut) = self.conn.poll_frame(&mut self.buffer) {
            let Cut::Frame { offset, len } = cut else {
                panic!("{cut:?}");
            };
            frames.push(self.buffer.bytes(offset, len as usize).unwrap().to_vec());
        }
        frames
    }

    fn send(&mut self, bytes: &[u8]) {
        self.conn.send(self.now, bytes, &mut self.pool).unwrap();
    }

    fn transmit(&mut self, n: usize) {
        self.conn.transmitted(self.now, n, &mut self.pool);
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.conn.handle_timeout(self.now);
    }

    fn closed(&mut self) -> Option<Error> {
        match self.conn.poll_event() {
            Some(ConnEvent::Closed(error)) => error,
            other => panic!("not closed: {other:?}"),
        }
    }
}

#[test]
fn frames_before_an_end_are_told_before_it() {
    let mut bench = Bench::open();
    bench.receive(b"one\ntwo\n");
    bench.conn.handle_eof();
    assert_eq!(
        bench.conn.poll_event(),
        None,
        "the end waits for its frames"
    );
    assert_eq!(bench.frames(), [b"one", b"two"]);
    let error = bench.closed().unwrap();
    assert_eq!(
        (error.phase, error.source, error.sent),
        (Phase::Idle, Source::Eof, Sent::No)
    );
    assert_eq!(bench.conn.poll_event(), None, "told once");
}

#[test]
fn an_end_within_a_frame_is_truncated_with_the_bytes_it_had() {
    let mut bench = Bench::open();
    bench.receive(b"one\ntw");
    bench.conn.handle_eof();
    assert_eq!(bench.frames(), [b"one"]);
    assert_eq!(
        bench.closed().unwrap().source,
        Source::Truncated { received: 2 }
    );
}

#[test]
fn a_failed_write_still_lets_the_peers_parting_words_be_read_and_is_the_error_told() {
    let mut bench = Bench::open();
    bench.send(b"request");
    bench.transmit(3);
    bench.conn.handle_write_error(Source::Os(32));
    assert!(bench.conn.poll_transmit().is_empty() && bench.conn.wants_read());
    bench.receive(b"bye\n");
    assert_eq!(bench.frames(), [b"bye"]);
    bench.conn.handle_error(Source::Os(104));
    assert_eq!(bench.frames(), [b""; 0]);
    let error = bench.closed().unwrap();
    assert_eq!(
        (error.source, error.phase, error.sent),
        (Source::Os(32), Phase::Write, Sent::Maybe)
    );
}

#[test]
fn closing_empties_the_queue_sends_a_fin_and_waits_for_the_peers() {
    let mut bench = Bench::open();
    bench.send(b"last words");
    bench.conn.close();
    assert!(!bench.conn.poll_shutdown(), "the queue first");
    bench.transmit(10);
    assert!(bench.conn.poll_shutdown());
    bench.conn.handle_shut(bench.now);
    bench.receive(b"answer\n");
    assert_eq!(bench.frames(), [b"answer"]);
    bench.conn.handle_eof();
    bench.frames();
    assert_eq!(bench.closed(), None);
}

#[test]
fn a_peer_that_does_not_end_after_our_fin_is_given_up_after_the_linger() {
    let mut bench = Bench::open();
    bench.conn.close();
    bench.conn.handle_shut(bench.now);
    bench.wait(Duration::from_millis(999));
    assert_eq!(bench.conn.poll_event(), None);
    bench.wait(Duration::from_millis(1));
    let error = bench.closed().unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Drain, Source::Timeout(Duration::from_secs(1)))
    );
}

#[test]
fn each_phase_has_its_own_timeout_and_progress_postpones_it() {
    let seconds = Duration::from_secs;
    let mut bench = Bench::open();
    assert_eq!(
        bench.conn.poll_timeout(),
        Time::ZERO.after(seconds(20)),
        "idle"
    );
    bench.send(b"xx");
    assert_eq!(
        bench.conn.poll_timeout(),
        Time::ZERO.after(seconds(5)),
        "write stall"
    );
    bench.wait(seconds(4));
    bench.transmit(1);
    assert_eq!(
        bench.conn.poll_timeout(),
        Time::ZERO.after(seconds(9)),
        "postponed by a byte"
    );
    bench.transmit(1);
    bench.conn.await_reply(bench.now);
    assert_eq!(
        bench.conn.poll_timeout(),
        Time::ZERO.after(seconds(9)),
        "first byte"
    );
    bench.wait(seconds(4));
    bench.receive(b"par");
    bench.frames();
    assert_eq!(
        bench.conn.poll_timeout(),
        Time::ZERO.after(seconds(13)),
        "read stall"
    );
    bench.wait(seconds(5));
    let error = bench.closed().unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Read, Source::Timeout(seconds(5)))
    );
}

/// Frames that a quota left for later turns were taken for one unfinished frame, whose rest did not come.
#[test]
fn while_whole_frames_wait_to_be_cut_the_peer_is_not_late() {
    let mut bench = Bench::open();
    bench.conn.await_reply(bench.now);
    bench.receive(b"one\ntwo\nthr");
    let cut = bench.conn.poll_frame(&mut bench.buffer);
    assert!(matches!(cut, Some(Cut::Frame { .. })));
    assert!(bench.conn.poll_timeout().is_never());
    bench.wait(Duration::from_secs(60));
    assert_eq!(bench.conn.poll_event(), None);

    assert_eq!(bench.frames(), [b"two"]);
    let stalled_at = Time::ZERO.after(Timeouts::default().read_stall);
    assert_eq!(bench.conn.poll_timeout(), stalled_at);
}

#[test]
fn resolving_and_connecting_are_bounded_one_by_one_and_together() {
    let decoder = Framing::line().decoder(64);
    let mut conn = Conn::resolving(Time::ZERO, Arc::new(profile(false, u64::MAX)), decoder);
    let at = |ms| Time::ZERO.after(Duration::from_millis(ms));
    assert_eq!(conn.poll_timeout(), at(2_000));
    conn.handle_connecting();
    assert_eq!(conn.poll_timeout(), at(5_000), "all of connecting");
    conn.handle_timeout(at(5_000));
    let Some(ConnEvent::Closed(Some(error))) = conn.poll_event() else {
        panic!("not closed")
    };
    assert_eq!((error.phase, error.sent), (Phase::Connect, Sent::No));
}

/// A connect that ended while its name was looked up told the longer timeout, of the lookup, as the one that had passed.
#[test]
fn the_timeout_that_is_told_is_the_one_that_has_passed() {
    let mut shorter = profile(false, u64::MAX);
    shorter.timeouts.connect = Duration::from_millis(200);
    let decoder = Framing::line().decoder(64);
    let mut conn = Conn::resolving(Time::ZERO, Arc::new(shorter), decoder);
    conn.handle_timeout(Time::ZERO.after(Duration::from_millis(200)));
    let Some(ConnEvent::Closed(Some(error))) = conn.poll_event() else {
        panic!("not closed")
    };
    let all_of_connecting = Source::Timeout(Duration::from_millis(200));
    assert_eq!(
        (error.phase, error.source),
        (Phase::Resolve, all_of_connecting)
    );
}

#[test]
fn writable_is_told_once_when_the_queue_has_drained_to_half() {
    let mut bench = Bench::open();
    bench.send(&[0; 100]);
    assert!(
        bench
            .conn
            .send(bench.now, &[0; 1], &mut bench.pool)
            .is_none()
    );
    bench.conn.refused();
    bench.transmit(49);
    assert_eq!(bench.conn.poll_event(), None);
    bench.transmit(1);
    assert_eq!(bench.conn.poll_event(), Some(ConnEvent::Writable));
    assert_eq!(bench.conn.poll_event(), None);
}

#[test]
fn garbage_is_a_protocol_error_and_the_first_end_counts() {
    let mut bench = Bench::open();
    bench.receive(&[b'x'; 64]);
    bench.frames();
    bench.receive(b"yz");
    bench.frames();
    bench.conn.handle_eof();
    bench.conn.abort(Source::Closed);
    assert_eq!(
        bench.closed().unwrap().source,
        Source::Oversize {
            limit: 64,
            claimed: 65
        }
    );
}

/// Another request was queued before the loss was found out, and the first one's bytes were taken out of it.
#[test]
fn what_a_failed_write_dropped_cannot_be_taken_back() {
    let mut bench = Bench::open();
    bench.send(b"sent");
    bench.transmit(4);
    bench.send(b"a long request");
    bench.conn.handle_write_error(Source::Os(32));
    bench.send(b"short");
    bench.conn.withdraw(std::iter::once(4..18), &mut bench.pool);
    assert_eq!(bench.conn.written_bytes(), 4);
    assert!(bench.conn.poll_transmit().is_empty());
}

/// Answers to the peer's last words, queued after the loss, held back the read that would have found its end.
#[test]
fn what_is_queued_after_a_failed_write_does_not_hold_back_the_end() {
    let mut bench = Bench::of(Profile {
        reads_pause_above_bytes: 10,
        ..profile(true, u64::MAX)
    });
    bench.send(b"first");
    bench.conn.handle_write_error(Source::Os(104));
    bench.send(b"an answer to parting words");
    assert!(bench.conn.wants_read());
}

/// It was paused by our own choice after a request had gone out, and its reply may lie here.
#[test]
fn a_peer_that_was_not_read_for_a_while_has_its_whole_time_for_the_first_byte() {
    let mut bench = Bench::open();
    bench.send(b"request");
    bench.transmit(7);
    bench.conn.await_reply(bench.now);
    let first_byte = Timeouts::default().first_byte;
    bench.now = bench.now.after(first_byte);
    bench.conn.handle_resumed(bench.now);
    assert_eq!(bench.conn.poll_timeout(), bench.now.after(first_byte));
}
