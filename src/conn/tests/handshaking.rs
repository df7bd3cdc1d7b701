//! A session above TCP: its handshake, what is sealed and waits, and a line that ends before it.

use super::*;
use crate::error::{CertificateFault, Class};

/// Connecting since time zero, with a line queued already.
fn connecting() -> Bench {
    let mut bench = Bench::open();
    let (profile, decoder) = (profile(false, u64::MAX), Framing::line().decoder(64));
    bench.conn = Conn::resolving(Time::ZERO, Arc::new(profile), decoder);
    bench.conn.handle_connecting();
    bench.send(b"line\n");
    bench
}

fn handshaking(has_next_address: bool) -> Bench {
    let mut bench = connecting();
    bench.conn.handle_handshaking(bench.now, has_next_address);
    bench
}

fn at(time: Duration) -> Time {
    Time::ZERO.after(time)
}

#[test]
fn nothing_leaves_before_the_handshake_is_over() {
    let mut bench = handshaking(false);
    assert!(bench.conn.poll_transmit().is_empty());
    assert!(bench.conn.is_connecting() && bench.conn.wants_read());
    bench.conn.handle_connected(bench.now);
    assert_eq!(bench.conn.poll_transmit(), b"line\n");
}

#[test]
fn a_handshake_has_its_own_deadline_within_that_of_connecting() {
    let timeouts = Timeouts::default();
    let bench = handshaking(false);
    assert_eq!(bench.conn.poll_timeout(), at(timeouts.handshake));

    let mut late = connecting();
    late.now = at(timeouts.connect - Duration::from_secs(1));
    late.conn.handle_handshaking(late.now, false);
    assert_eq!(late.conn.poll_timeout(), at(timeouts.connect));

    let mut bench = handshaking(false);
    bench.conn.handle_timeout(at(timeouts.handshake));
    let error = bench.closed().unwrap();
    assert_eq!(error.source, Source::Timeout(timeouts.handshake));
    let told = (error.class, error.phase, error.sent);
    assert_eq!(told, (Class::Transient, Phase::Handshake, Sent::No));
}

#[test]
fn a_peer_that_ends_within_the_handshake_is_an_end_and_no_truncation() {
    for end in [Conn::handle_eof, Conn::handle_cut] {
        let mut bench = handshaking(false);
        end(&mut bench.conn);
        assert_eq!(bench.frames(), [b""; 0]);
        let error = bench.closed().unwrap();
        let told = (error.class, error.phase, error.sent, error.source);
        let expected = (Class::Transient, Phase::Handshake, Sent::No, Source::Eof);
        assert_eq!(told, expected);
    }
}

#[test]
fn another_address_is_tried_where_it_may_do_better_and_what_was_queued_goes_there() {
    let mut bench = handshaking(true);
    bench.conn.handle_write_error(Source::Os(32));
    bench.conn.handle_cut();
    assert_eq!(bench.frames(), [b""; 0]);
    let Some(ConnEvent::HandshakeLost(error)) = bench.conn.poll_event() else {
        panic!("it is over");
    };
    assert_eq!(
        (error.phase, error.class),
        (Phase::Handshake, Class::Transient)
    );
    assert!(!bench.conn.is_handshaking() && bench.conn.is_connecting());
    assert_eq!(bench.conn.poll_event(), None, "told once");
    assert_eq!(bench.conn.poll_timeout(), at(Timeouts::default().connect));
    bench.conn.handle_handshaking(bench.now, false);
    bench.conn.handle_connected(bench.now);
    assert_eq!(bench.conn.poll_transmit(), b"line\n");
}

#[test]
fn a_certificate_that_is_refused_is_the_end_whatever_other_addresses_there_are() {
    let mut bench = handshaking(true);
    let source = Source::Certificate(CertificateFault::UnknownIssuer);
    bench.conn.handle_error(source);
    assert_eq!(bench.frames(), [b""; 0]);
    let error = bench.closed().unwrap();
    assert_eq!((error.class, error.source), (Class::Persistent, source));
}

#[test]
fn a_line_that_ends_before_its_session_is_truncated_between_frames_too() {
    for (bytes, received) in [(&b"one\n"[..], 0), (b"one\ntw", 2)] {
        let mut bench = Bench::open();
        bench.receive(bytes);
        bench.conn.handle_cut();
        assert_eq!(bench.frames(), [b"one"]);
        let source = Source::Truncated { received };
        assert_eq!(bench.closed().unwrap().source, source);
    }
}

#[test]
fn what_was_sealed_and_waits_is_still_to_be_written() {
    let mut bench = Bench::open();
    bench.send(b"line\n");
    bench.transmit(5);
    bench.conn.handle_line_written(bench.now, true);
    bench.conn.close();
    assert!(!bench.conn.poll_shutdown(), "its end would overtake it");
    assert!(!bench.conn.is_quiet());
    let stall = Timeouts::default().write_stall;
    assert_eq!(bench.conn.poll_timeout(), at(stall));
    bench.now = at(stall / 2);
    bench.conn.handle_line_written(bench.now, false);
    assert!(bench.conn.poll_shutdown());
}
