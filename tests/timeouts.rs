//! The timeouts of a connection's phases: each fires, by its own name, and never early.
//!
//! Lateness is asserted nowhere. A test in which the peer has to keep a pace goes again when the machine was too busy
//! for it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use support::*;
use taut::{Class, Client, Config, Error, Event, Framing, Phase, Sent, Source, Timeouts};

/// Long enough for a busy machine to have sent and read by then.
const SHORT: Duration = Duration::from_millis(120);

#[track_caller]
fn assert_timeout(error: Error, phase: Phase, sent: Sent, since: Instant) {
    assert!(
        since.elapsed() >= SHORT,
        "{:?} early: {error}",
        SHORT - since.elapsed()
    );
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Transient, phase, sent),
        "{error}"
    );
    assert_eq!(error.source, Source::Timeout(SHORT));
}

fn short(change: impl FnOnce(&mut Timeouts)) -> Client {
    client_with(|it: &mut Config| change(&mut it.timeouts))
}

#[test]
fn a_silent_peer_meets_the_first_byte_timeout() {
    let (mut client, peer, mut ledger) = (
        short(|it| it.first_byte = SHORT),
        Peer::new(),
        Ledger::default(),
    );
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
    let since = Instant::now();
    let requests = [0, 1].map(|_| ledger.request(&mut client, upstream, b"ping\n", far()));
    for request in requests {
        assert_timeout(
            ledger.until(&mut client, request).error(),
            Phase::Read,
            Sent::Maybe,
            since,
        );
    }
    ledger.until_all(&mut client);
    read_exactly(&mut streams[0], 10);
    assert_eq!(ended_by(&mut streams[0]), End::Rst, "it was given up");
}

#[test]
fn an_upstream_may_have_timeouts_of_its_own() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let timeouts = Timeouts {
        first_byte: SHORT,
        ..Timeouts::default()
    };
    let (upstream, _streams) = standing(&mut client, &peer, |it| it.timeouts(timeouts));
    let since = Instant::now();
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    assert_timeout(
        ledger.until(&mut client, request).error(),
        Phase::Read,
        Sent::Maybe,
        since,
    );
}

#[test]
fn a_reply_that_stops_in_its_midst_meets_the_read_stall() {
    let (mut client, peer, mut ledger) = (
        short(|it| it.read_stall = SHORT),
        Peer::new(),
        Ledger::default(),
    );
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
    let first = ledger.request(&mut client, upstream, b"one\n", far());
    let second = ledger.request(&mut client, upstream, b"two\n", far());
    client.flush();
    read_exactly(&mut streams[0], 8);
    let since = Instant::now();
    streams[0].write_all(b"half a repl").unwrap();
    assert_timeout(
        ledger.until(&mut client, first).error(),
        Phase::Read,
        Sent::Yes,
        since,
    );
    assert_timeout(
        ledger.until(&mut client, second).error(),
        Phase::Read,
        Sent::Maybe,
        since,
    );
    ledger.until_all(&mut client);
}

#[test]
fn a_raw_frame_that_stops_in_its_midst_meets_the_read_stall() {
    let (mut client, peer) = (short(|it| it.read_stall = SHORT), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::len32());
    let since = Instant::now();
    stream.write_all(&[0, 0]).unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_timeout(error, Phase::Read, Sent::No, since);
    assert_eq!(ended_by(&mut stream), End::Rst, "it was given up");
}

/// One byte at a time, each well within the stall, all of them far beyond it.
#[test]
fn a_frame_that_drips_is_not_stalled() {
    let stall = ms(200);
    for _ in 0..10 {
        let (mut client, peer) = (short(|it| it.read_stall = stall), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        for byte in b"drip drip" {
            while last.elapsed() < stall / 5 {
                client.turn(Some(ms(1))).unwrap();
            }
            stream.write_all(&[*byte]).unwrap();
            client.turn(Some(PATIENCE)).unwrap();
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        if longest < stall / 2 {
            stream.write_all(b"\n").unwrap();
            assert_eq!(next_frame(&mut client, connection), b"drip drip");
            return;
        }
    }
    panic!(
        "the machine was never quiet enough for a pace of {:?}",
        stall / 5
    );
}

#[test]
fn a_peer_that_does_not_read_meets_the_write_stall() {
    let (mut client, peer) = (
        client_with(|it| {
            (it.timeouts.write_stall, it.limits.send_queue_bytes_max) = (SHORT, 16 << 20)
        }),
        Peer::narrow(),
    );
    let (connection, _stream) = connected(&mut client, &peer, Framing::line());
    let since = Instant::now();
    client.send(connection, &[b'x'; 15 << 20]).unwrap();
    let told = until_closed(&mut client, connection);
    assert_timeout(told.error.unwrap(), Phase::Write, Sent::Maybe, since);
    assert!(
        told.written > 0 && told.written < 15 << 20,
        "{}",
        told.written
    );
    assert_silent(&mut client);
}

#[test]
fn a_peer_that_does_not_read_holds_up_a_close_for_the_write_stall_only() {
    let (mut client, peer) = (
        client_with(|it| {
            (it.timeouts.write_stall, it.limits.send_queue_bytes_max) = (SHORT, 16 << 20)
        }),
        Peer::narrow(),
    );
    let (connection, _stream) = connected(&mut client, &peer, Framing::line());
    let since = Instant::now();
    client.send(connection, &[b'x'; 15 << 20]).unwrap();
    client.close(connection).unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert!(since.elapsed() >= SHORT);
    assert_eq!(error.source, Source::Timeout(SHORT));
    assert_silent(&mut client);
}

#[test]
fn a_raw_connection_on_which_nothing_is_under_way_meets_the_idle_timeout() {
    let (mut client, peer) = (short(|it| it.idle = SHORT), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let since = Instant::now();
    client.send(connection, b"hello\n").unwrap();
    let told = until_closed(&mut client, connection);
    assert_timeout(told.error.unwrap(), Phase::Idle, Sent::Maybe, since);
    assert_eq!(read_to_the_end(&mut stream), b"hello\n");
}

#[test]
fn an_idle_upstream_connection_goes_silently_and_the_next_request_makes_another() {
    let (mut client, peer, mut ledger) =
        (short(|it| it.idle = SHORT), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    turn_until(&mut client, "the idle timeout", |client| {
        client.upstream_stats(upstream).unwrap().open == 0
    });
    let error = client.upstream_stats(upstream).unwrap().last_error.unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Idle, Source::Timeout(SHORT))
    );
    assert_eq!(ended_by(&mut streams[0]), End::Fin, "nothing was given up");

    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    turn_until(&mut client, "another connection", |client| {
        client.upstream_stats(upstream).unwrap().open == 1
    });
    client.turn(Some(Duration::ZERO)).unwrap();
    let mut stream = peer.accept();
    read_exactly(&mut stream, 5);
    stream.write_all(b"pong\n").unwrap();
    assert_eq!(ledger.until(&mut client, request).reply(), b"pong");
}

/// A request under way is not idle, however long it takes.
#[test]
fn a_connection_that_awaits_a_reply_is_not_idle() {
    let (mut client, peer, mut ledger) =
        (short(|it| it.idle = SHORT), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let since = Instant::now();
    while since.elapsed() < 2 * SHORT {
        client.turn(Some(ms(5))).unwrap();
        assert_eq!(client.next_event(), None);
    }
    streams[0].write_all(b"pong\n").unwrap();
    assert_eq!(ledger.until(&mut client, request).reply(), b"pong");
}

#[test]
fn a_request_that_finds_no_room_meets_the_wait_timeout() {
    let (mut client, peer, mut ledger) =
        (short(|it| it.wait = SHORT), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let sent = ledger.request(&mut client, upstream, b"sent\n", far());
    let since = Instant::now();
    let waits = ledger.request(&mut client, upstream, b"waits\n", far());
    assert_timeout(
        ledger.until(&mut client, waits).error(),
        Phase::Connect,
        Sent::No,
        since,
    );
    assert_eq!(read_exactly(&mut streams[0], 5), b"sent\n");
    streams[0].write_all(b"ok\n").unwrap();
    ledger.until(&mut client, sent).reply();
    ledger.until_all(&mut client);
}

/// While there is something to read nothing is judged, so a peer that never fell silent was never given up.
#[test]
fn a_close_ends_although_there_is_always_something_to_read() {
    let (mut client, peer) = (
        client_with(|it| {
            (it.timeouts.linger, it.limits.turn_frames_max) = (ms(50), 1);
            it.limits.read_bytes = 128 << 10;
        }),
        Peer::new(),
    );
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(&vec![b'\n'; 64 << 10]).unwrap();
    until_in_kernel(&client, connection, 64 << 10);
    client.close(connection).unwrap();
    let closed = client_until(&mut client, |_, event| {
        // One frame a turn, and a millisecond a frame.
        stall_until(Instant::now() + ms(1));
        match event {
            Event::Closed { error, .. } => Some(error),
            _ => None,
        }
    });
    let error = closed.unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Drain, Source::Timeout(ms(50)))
    );
}
