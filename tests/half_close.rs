//! One half of the stream ends before the other, by either side.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use support::*;
use taut::{Class, Client, Event, Framing, Phase, Sent, Source};

fn half_closing() -> Client {
    client_with(|it| it.half_close = true)
}

#[test]
fn a_peer_that_ends_its_half_is_the_end_of_a_raw_connection_by_default() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"bye\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!(
        (told.frames, told.half_closed),
        (vec![b"bye".to_vec()], false)
    );
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.source),
        (Class::Transient, Phase::Idle, Source::Eof)
    );
    assert_eq!(
        client.send(connection, b"x").unwrap_err().source,
        Source::NotOpen
    );
    assert_eq!(read_to_the_end(&mut stream), b"");
}

#[test]
fn a_peer_that_ends_its_half_is_still_sent_to_where_that_is_allowed() {
    let (mut client, peer) = (half_closing(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"now you\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(next_frame(&mut client, connection), b"now you");
    client_until(&mut client, |_, event| match event {
        Event::HalfClosed { connection: it } if it == connection => Some(()),
        other => panic!("{other:?}"),
    });
    for _ in 0..3 {
        client.send(connection, b"and more\n").unwrap();
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(read_exactly(&mut stream, 9), b"and more\n");
    }
    client.send(connection, b"the end\n").unwrap();
    client.close(connection).unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!((told.error, told.written), (None, 3 * 9 + 8));
    assert_eq!(read_to_the_end(&mut stream), b"the end\n");
    assert_silent(&mut client);
}

/// A FIN that came before the send is no reason not to write, where half-close is allowed.
#[test]
fn the_look_before_the_write_lets_a_half_closed_peer_have_it() {
    let (mut client, peer) = (half_closing(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, connection, 1);
    client.send(connection, b"for you\n").unwrap();
    client.flush();
    assert_eq!(read_exactly(&mut stream, 8), b"for you\n");
    client.close(connection).unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!((told.error, told.written), (None, 8));
}

#[test]
fn a_half_that_ends_within_a_frame_is_told_as_truncated_at_the_close_and_may_be_answered_before() {
    let (mut client, peer) = (half_closing(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"half a li").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    client_until(&mut client, |_, event| match event {
        Event::HalfClosed { .. } => Some(()),
        other => panic!("{other:?}"),
    });
    client.send(connection, b"what?\n").unwrap();
    client.close(connection).unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!(
        told.error.unwrap().source,
        Source::Truncated { received: 9 }
    );
    assert_eq!(read_to_the_end(&mut stream), b"what?\n");
}

#[test]
fn a_half_closed_peer_that_resets_is_told_at_the_next_send() {
    let (mut client, peer) = (half_closing(), Peer::new());
    let (connection, stream) = connected(&mut client, &peer, Framing::line());
    stream.shutdown(Shutdown::Write).unwrap();
    client_until(&mut client, |_, event| match event {
        Event::HalfClosed { .. } => Some(()),
        other => panic!("{other:?}"),
    });
    let ends = both_ends(&stream);
    reset(stream);
    until_reset_arrived(ends);
    client.send(connection, b"anybody?\n").unwrap();
    let told = until_closed(&mut client, connection);
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Transient, Phase::Write, Sent::No)
    );
    assert!(
        matches!(error.errno(), Some(libc::EPIPE | libc::ECONNRESET)),
        "{error}"
    );
    assert_eq!(told.written, 0);
}

#[test]
fn after_our_fin_what_the_peer_still_says_is_told() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    client.send(connection, b"last question\n").unwrap();
    client.close(connection).unwrap();
    assert_eq!(
        client.send(connection, b"x").unwrap_err().source,
        Source::NotOpen
    );
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_to_the_end(&mut stream), b"last question\n");
    stream.write_all(b"last answer\n").unwrap();
    assert_eq!(next_frame(&mut client, connection), b"last answer");
    stream.write_all(b"and one more\n").unwrap();
    drop(stream);
    let told = until_closed(&mut client, connection);
    assert_eq!(
        (told.frames, told.error, told.written),
        (vec![b"and one more".to_vec()], None, 14)
    );
    assert_silent(&mut client);
}

#[test]
fn after_our_fin_a_reset_a_truncation_and_silence_are_errors_of_the_drain() {
    let mut client = client_with(|it| it.timeouts.linger = ms(150));
    let peer = Peer::new();
    let drain = |client: &mut Client| {
        let (connection, mut stream) = connected(client, &peer, Framing::line());
        client.close(connection).unwrap();
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(read_to_the_end(&mut stream), b"");
        (connection, stream)
    };

    let (connection, stream) = drain(&mut client);
    reset(stream);
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!(
        (error.phase, error.errno()),
        (Phase::Drain, Some(libc::ECONNRESET))
    );

    let (connection, mut stream) = drain(&mut client);
    stream.write_all(b"half a li").unwrap();
    drop(stream);
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!(error.source, Source::Truncated { received: 9 });

    let shut_at = Instant::now();
    let (connection, _stream) = drain(&mut client);
    let error = until_closed(&mut client, connection).error.unwrap();
    assert!(shut_at.elapsed() >= ms(150));
    assert_eq!(
        (error.phase, error.source),
        (Phase::Drain, Source::Timeout(ms(150)))
    );
    assert_silent(&mut client);
}

#[test]
fn both_sides_may_close_at_the_same_time() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"bye\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, connection, 5);
    client.close(connection).unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!((told.frames, told.error), (vec![b"bye".to_vec()], None));
    assert_eq!(read_to_the_end(&mut stream), b"");
}

#[test]
fn an_abort_drops_what_is_queued_and_the_peer_gets_a_reset() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    client.send(connection, b"never leaves\n").unwrap();
    client.abort(connection).unwrap();
    let told = until_closed(&mut client, connection);
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.sent, error.source),
        (Class::Local, Sent::No, Source::Closed)
    );
    assert_eq!(told.written, 0);
    let read = std::io::Read::read(&mut stream, &mut [0; 16]).unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(client.close(connection).is_err());
}

/// Upstreams take a FIN for the end whatever the setting says.
#[test]
fn requests_take_a_fin_for_the_end_also_where_half_close_is_allowed() {
    let (mut client, peer, mut ledger) = (half_closing(), Peer::new(), Ledger::default());
    let (upstream, streams) = standing(&mut client, &peer, |it| it);
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    client.flush();
    streams[0].shutdown(Shutdown::Write).unwrap();
    let error = ledger.until(&mut client, request).error();
    assert_eq!((error.sent, error.source), (Sent::Maybe, Source::Eof));
    ledger.until_all(&mut client);
}
