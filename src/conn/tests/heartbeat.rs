//! The watch over a silent connection.

use super::*;
use crate::config::{Expect, Heartbeat};

const AFTER: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(5);
/// So long that it plays no part.
const LONG: Duration = Duration::from_secs(3_600);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A connection that is never closed for being idle, and asked after the whole of `AFTER`.
fn watched(beside_requests: bool) -> Bench {
    let mut profile = profile(false, u64::MAX);
    profile.timeouts.idle = LONG;
    profile.timeouts.first_byte = secs(60);
    let mut bench = Bench::of(profile);
    let heartbeat = Heartbeat::new(b"ping\n", Expect::Any);
    bench.conn.watch(&heartbeat, beside_requests, 0);
    bench
}

impl Bench {
    /// The question is asked and leaves.
    fn ask(&mut self) {
        assert!(self.conn.wants_heartbeat(self.now));
        let range = self
            .conn
            .send_heartbeat(self.now, b"ping\n", 0, &mut self.pool);
        assert!(range.is_some());
        self.transmit(5);
    }

    fn request(&mut self) {
        self.send(b"what\n");
        self.conn.await_reply(self.now);
        self.transmit(5);
    }
}

#[test]
fn a_peer_is_asked_after_a_silence_that_is_drawn_below_its_bound() {
    for (random, quiet) in [
        (0, AFTER),
        (u64::MAX, Duration::from_millis(13_500)),
        (1 << 63, Duration::from_millis(14_250)),
    ] {
        let mut bench = watched(false);
        let heartbeat = Heartbeat::new(b"ping\n", Expect::Any);
        bench.conn.watch(&heartbeat, false, random);
        let due = bench.conn.poll_timeout().since(Time::ZERO);
        assert!(due >= quiet && due <= quiet + Duration::from_nanos(1));
        assert!(
            !bench
                .conn
                .wants_heartbeat(Time::ZERO.after(quiet - secs(1)))
        );
        bench.now = bench.conn.poll_timeout();
        bench.conn.handle_timeout(bench.now);
        bench.ask();
        assert!(!bench.conn.wants_heartbeat(bench.now.after(LONG)));
    }
}

#[test]
fn without_a_byte_in_time_it_ends_as_an_idle_connection_that_timed_out() {
    let mut bench = watched(false);
    bench.wait(AFTER);
    bench.ask();
    bench.wait(TIMEOUT - Duration::from_nanos(1));
    assert!(!bench.conn.is_closed());
    bench.wait(Duration::from_nanos(1));
    let error = bench.closed().unwrap();
    let expected = (Phase::Idle, Source::Timeout(TIMEOUT), Sent::Maybe);
    assert_eq!((error.phase, error.source, error.sent), expected);
    assert!(bench.conn.has_missed_heartbeat());
}

#[test]
fn any_byte_is_a_sign_of_life_and_the_rest_of_it_is_a_matter_of_the_read_stall() {
    let mut bench = watched(false);
    bench.wait(AFTER);
    bench.ask();
    bench.wait(TIMEOUT - secs(1));
    bench.receive(b"p");
    assert!(bench.frames().is_empty());
    bench.wait(secs(4));
    assert!(!bench.conn.is_closed(), "it has spoken");
    bench.wait(secs(1));
    let error = bench.closed().unwrap();
    assert_eq!(error.phase, Phase::Read);
    assert!(!bench.conn.has_missed_heartbeat());
}

/// Replies come in order, and a peer that was asked has said something else.
fn spoken_instead() -> Bench {
    let mut bench = watched(false);
    bench.wait(AFTER);
    bench.ask();
    bench.wait(secs(2));
    bench.receive(b"push\n");
    assert_eq!(bench.frames(), [b"push"]);
    bench.conn.handle_push(bench.now);
    bench
}

/// It is not asked twice: what is out is the question of the next silence, too.
#[test]
fn bytes_that_are_no_answer_put_the_judgement_off_by_one_silence() {
    let mut bench = spoken_instead();
    let judged_at = bench.now.after(AFTER + TIMEOUT);
    assert_eq!(bench.conn.poll_timeout(), judged_at);
    bench.now = judged_at;
    bench.conn.handle_timeout(judged_at);
    assert_eq!(bench.closed().unwrap().source, Source::Timeout(TIMEOUT));
    assert!(bench.conn.has_missed_heartbeat());
}

/// It has spoken, and owes an answer and a reply: the reply's own timeout judges.
#[test]
fn in_order_a_peer_that_spoke_instead_of_answering_is_judged_by_the_request_behind() {
    let mut bench = spoken_instead();
    bench.request();
    assert_eq!(bench.conn.poll_timeout(), bench.now.after(secs(60)));
}

#[test]
fn where_replies_come_in_order_nobody_is_asked_who_owes_one() {
    let mut bench = watched(false);
    bench.request();
    bench.wait(secs(59));
    assert!(!bench.conn.wants_heartbeat(bench.now));
    bench.wait(secs(1));
    let error = bench.closed().unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Read, Source::Timeout(secs(60)))
    );
    assert!(!bench.conn.has_missed_heartbeat());
}

#[test]
fn beside_requests_it_is_asked_and_answers_put_the_first_byte_not_off() {
    let mut bench = watched(true);
    bench.request();
    for _ in 0..3 {
        bench.wait(AFTER);
        bench.ask();
        bench.receive(b"pong\n");
        assert_eq!(bench.frames(), [b"pong"]);
        bench.conn.handle_heartbeat_reply(bench.now, false);
        assert!(!bench.conn.is_closed());
    }
    bench.wait(AFTER);
    let error = bench.closed().unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Read, Source::Timeout(secs(60))),
        "60 s from the request"
    );
}

#[test]
fn beside_requests_a_missed_answer_ends_it_in_the_midst_of_a_read() {
    let mut bench = watched(true);
    bench.request();
    bench.wait(AFTER);
    bench.ask();
    bench.wait(TIMEOUT);
    assert_eq!(bench.closed().unwrap().phase, Phase::Read);
    assert!(bench.conn.has_missed_heartbeat());
}

/// The answer was in the way of the reply, so the peer has its whole time from then.
#[test]
fn a_request_behind_a_heartbeat_is_awaited_from_its_answer_on() {
    let mut bench = watched(false);
    bench.wait(AFTER);
    bench.ask();
    bench.wait(secs(1));
    bench.request();
    bench.wait(secs(3));
    bench.receive(b"pong\n");
    assert_eq!(bench.frames(), [b"pong"]);
    bench.conn.handle_heartbeat_reply(bench.now, true);
    assert_eq!(bench.conn.poll_timeout(), bench.now.after(secs(60)));
}

/// A storm found that a peer which says something with each answer kept the connection for ever.
#[test]
fn neither_heartbeats_nor_what_comes_with_them_put_the_idle_limit_off_and_requests_do() {
    for is_used in [false, true] {
        let mut profile = profile(false, u64::MAX);
        profile.timeouts.idle = secs(20);
        let mut bench = Bench::of(profile);
        let heartbeat = Heartbeat {
            after: secs(4),
            ..Heartbeat::new(b"ping\n", Expect::Any)
        };
        bench.conn.watch(&heartbeat, false, 0);
        for _ in 0..4 {
            bench.wait(secs(4));
            bench.ask();
            bench.receive(b"po");
            assert!(bench.frames().is_empty());
            bench.receive(b"ng\npush\n");
            assert_eq!(bench.frames().len(), 2);
            bench.conn.handle_heartbeat_reply(bench.now, false);
            bench.conn.handle_push(bench.now);
        }
        if is_used {
            bench.request();
            bench.receive(b"reply\n");
            assert_eq!(bench.frames(), [b"reply"]);
            bench.conn.handle_reply(bench.now, false);
        }
        bench.wait(secs(4));
        assert_eq!(bench.conn.is_closed(), !is_used);
    }
}

#[test]
fn what_is_not_looked_at_yet_is_no_silence() {
    let mut bench = watched(false);
    bench.wait(AFTER);
    bench.ask();
    bench.receive(b"pong\n");
    bench.wait(secs(600));
    assert!(!bench.conn.is_closed());
    assert_eq!(bench.frames(), [b"pong"]);
}

#[test]
fn a_connection_that_ends_or_drains_is_not_asked() {
    let mut draining = watched(false);
    draining.conn.close();
    let mut ending = watched(false);
    ending.conn.handle_eof();
    let mut broken = watched(false);
    broken.conn.handle_write_error(Source::Os(32));
    for bench in [draining, ending, broken] {
        assert!(!bench.conn.wants_heartbeat(Time::ZERO.after(LONG)));
    }
}
