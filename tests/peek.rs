//! The look at the line before a write: a peer that has gone is not written to.
//!
//! The client never turns between the peer's end and the request, so only the look, or an edge it was told before,
//! can know. That nothing was written is asked of the peer, which ends only its own half and reads on.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use support::*;
use taut::{Class, Error, Framing, Peek, Phase, Retry, Sent, Source};

#[track_caller]
fn assert_not_sent(error: Error) {
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Transient, Phase::Write, Sent::No),
        "{error}"
    );
}

#[test]
fn a_request_that_meets_a_fin_is_not_written() {
    let (mut client, peer, mut ledger) = (client_without_retries(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let connection = only_connection(&client, upstream);
    streams[0].shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, connection, 1);

    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_not_sent(error);
    assert_eq!(error.source, Source::Eof);
    assert_eq!(read_to_the_end(&mut streams[0]), b"");
    ledger.until_all(&mut client);
}

#[test]
fn a_request_that_meets_a_reset_is_not_written() {
    let (mut client, peer, mut ledger) = (client_without_retries(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let stream = streams.remove(0);
    let ends = both_ends(&stream);
    reset(stream);
    until_reset_arrived(ends);

    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_not_sent(error);
    assert_eq!(error.errno(), Some(libc::ECONNRESET));
    ledger.until_all(&mut client);
}

#[test]
fn after_a_lost_peer_the_next_request_is_answered_on_a_new_connection() {
    let (mut client, peer, mut ledger) = (client_without_retries(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    streams[0].shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, only_connection(&client, upstream), 1);
    let lost = ledger.request(&mut client, upstream, b"one\n", far());
    assert_not_sent(ledger.until(&mut client, lost).error());

    let kept = ledger.request(&mut client, upstream, b"two\n", far());
    turn_until(&mut client, "another connection", |client| {
        client.upstream_stats(upstream).unwrap().connects == 2
    });
    let mut stream = peer.accept();
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_exactly(&mut stream, 4), b"two\n");
    stream.write_all(b"2\n").unwrap();
    assert_eq!(ledger.until(&mut client, kept).reply(), b"2");
    assert_eq!(read_to_the_end(&mut streams[0]), b"");
    ledger.until_all(&mut client);
}

#[test]
fn a_fin_behind_data_is_seen_before_the_next_send() {
    for end in End::BOTH {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        let ends = both_ends(&stream);
        stream.write_all(b"so long\nbye\n").unwrap();
        until_in_kernel(&client, connection, 12);
        let kept = end.of(stream);
        match end {
            End::Fin => until_in_kernel(&client, connection, 13),
            End::Rst => until_reset_arrived(ends),
        }

        client.send(connection, b"ping\n").unwrap();
        let told = until_closed(&mut client, connection);
        assert_eq!(told.frames, [&b"so long"[..], b"bye"], "{end:?}");
        assert_eq!(told.written, 0, "{end:?}");
        let error = told.error.unwrap();
        assert_not_sent(error);
        match end {
            End::Fin => assert_eq!(error.source, Source::Eof),
            End::Rst => assert_eq!(error.errno(), Some(libc::ECONNRESET)),
        }
        if let Some(mut stream) = kept {
            assert_eq!(read_to_the_end(&mut stream), b"");
        }
        assert_silent(&mut client);
    }
}

#[test]
fn without_the_look_the_same_request_is_written_and_maybe_sent() {
    let (mut client, peer, mut ledger) = (
        client_with(|it| it.peek = Peek::Never),
        Peer::new(),
        Ledger::default(),
    );
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    streams[0].shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, only_connection(&client, upstream), 1);

    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_eq!(
        (error.class, error.phase, error.sent, error.source),
        (Class::Transient, Phase::Read, Sent::Maybe, Source::Eof)
    );
    assert_eq!(read_to_the_end(&mut streams[0]), b"ping\n");
    ledger.until_all(&mut client);
}

/// The quota leaves data in front of the FIN, of which an edge has told already.
#[test]
fn an_edge_that_was_told_is_heeded_without_the_look() {
    let (mut client, peer) = (
        client_with(|it| {
            it.peek = Peek::Never;
            it.limits.turn_frames_max = 1;
        }),
        Peer::new(),
    );
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"a\nb\nc\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, connection, 7);
    assert_eq!(next_frame(&mut client, connection), b"a");

    client.send(connection, b"ping\n").unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!(told.frames, [b"b", b"c"]);
    assert_eq!(told.written, 0);
    assert_not_sent(told.error.unwrap());
    assert_eq!(read_to_the_end(&mut stream), b"");
}

#[test]
fn the_idle_policy_looks_after_quiet_and_not_before() {
    for (quiet, sent) in [
        (Duration::ZERO, Sent::No),
        (ms(30), Sent::No),
        (Duration::from_secs(3600), Sent::Maybe),
    ] {
        let (mut client, peer, mut ledger) = (
            client_with(|it| (it.peek, it.retry) = (Peek::Idle(quiet), Retry::off())),
            Peer::new(),
            Ledger::default(),
        );
        let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
        let stands_since = Instant::now();
        streams[0].shutdown(Shutdown::Write).unwrap();
        until_in_kernel(&client, only_connection(&client, upstream), 1);
        if quiet == ms(30) {
            stall_until(stands_since + quiet);
        }
        let request = ledger.request(&mut client, upstream, b"ping\n", far());
        let error = ledger.until(&mut client, request).error();
        assert_eq!(error.sent, sent, "{quiet:?}: {error}");
        let arrived = read_to_the_end(&mut streams[0]);
        assert_eq!(arrived.is_empty(), sent == Sent::No, "{quiet:?}");
        ledger.until_all(&mut client);
    }
}

#[test]
fn an_end_that_comes_after_the_write_leaves_it_maybe_sent() {
    for end in End::BOTH {
        let (mut client, peer, mut ledger) =
            (client_without_retries(), Peer::new(), Ledger::default());
        let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
        let request = ledger.request(&mut client, upstream, b"ping\n", far());
        client.flush();
        let mut stream = streams.remove(0);
        assert_eq!(read_exactly(&mut stream, 5), b"ping\n");
        let kept = end.of(stream);
        let error = ledger.until(&mut client, request).error();
        assert_eq!(
            (error.class, error.phase, error.sent),
            (Class::Transient, Phase::Read, Sent::Maybe),
            "{end:?}: {error}"
        );
        ledger.until_all(&mut client);
        drop(kept);
    }
}
