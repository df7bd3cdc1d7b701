//! What is known of a raw connection at its end: what the peer's TCP acknowledged, whose FIN came first, and what that
//! proves of what the peer's program read.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod killed;
mod spared;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use support::*;
use taut::{Client, ConnectionId, Error, Framing, Parting, Peek, Source};

/// Sends, and waits until the peer's kernel has it all.
fn deliver(client: &mut Client, connection: ConnectionId, bytes: &[u8]) {
    client.send(connection, bytes).unwrap();
    until_acked(client, connection, bytes.len() as u64);
}

fn until_acked(client: &mut Client, connection: ConnectionId, bytes: u64) {
    client.flush();
    eventually("the acknowledgement", || {
        client
            .tcp_info(connection)
            .is_ok_and(|info| info.bytes_acked > bytes)
    });
}

/// The end of a connection, and what was known then: it must say the same.
#[track_caller]
fn parting(client: &mut Client, connection: ConnectionId) -> Parting {
    let told = until_closed(client, connection);
    let parting = client.parting(connection).unwrap();
    assert_eq!(
        (parting.written, parting.error),
        (told.written, told.error),
        "{parting:?}"
    );
    assert!(parting.acked.unwrap() <= parting.written, "{parting:?}");
    parting
}

/// What was acknowledged, whether our FIN was sent, the peer's was first, and ours was acknowledged then.
fn facts(parting: &Parting) -> (u64, bool, bool, bool) {
    (
        parting.acked.unwrap(),
        parting.fin_sent,
        parting.fin_first,
        parting.fin_acked,
    )
}

fn errno(error: Option<Error>) -> Option<i32> {
    error.unwrap().errno()
}

#[test]
fn a_peer_that_has_read_everything_and_closes_says_so_by_its_fin() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    assert_eq!(client.parting(connection), None, "before its end");
    deliver(&mut client, connection, b"read");
    read_exactly(&mut stream, 4);
    drop(stream);
    let parting = parting(&mut client, connection);
    assert_eq!(facts(&parting), (4, false, true, false));
    assert_eq!(parting.error.unwrap().source, Source::Eof);
    assert!(!parting.is_commit());
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.parting(connection), None, "after the next turn");
}

#[test]
fn a_peer_that_closes_with_unread_bytes_has_acknowledged_more_than_it_read() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    deliver(&mut client, connection, b"read not");
    read_exactly(&mut stream, 4);
    drop(stream);
    let parting = parting(&mut client, connection);
    assert_eq!(facts(&parting), (8, false, false, false));
    assert_eq!(errno(parting.error), Some(libc::ECONNRESET));
}

#[test]
fn a_fin_after_ours_that_was_acknowledged_is_a_commit() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    client.send(connection, b"the epoch").unwrap();
    client.close(connection).unwrap();
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_to_the_end(&mut stream), b"the epoch");
    stream.write_all(b"goodbye").unwrap();
    drop(stream);
    let parting = parting(&mut client, connection);
    assert_eq!(facts(&parting), (9, true, true, true));
    assert_eq!(parting.error, None);
    assert!(parting.is_commit());
}

#[test]
fn both_ends_may_be_over_before_the_loop_looks_and_the_commit_is_one_all_the_same() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, stream) = connected(&mut client, &peer, Framing::raw());
    drop(stream);
    until_in_kernel(&client, connection, 1);
    client.close(connection).unwrap();
    client.flush();
    let parting = parting(&mut client, connection);
    assert!(parting.is_commit(), "{parting:?}");
    assert_eq!(facts(&parting), (0, true, true, true));
}

#[test]
fn a_reset_after_our_fin_is_no_commit() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    client.send(connection, b"the epoch").unwrap();
    client.close(connection).unwrap();
    client.turn(Some(Duration::ZERO)).unwrap();
    read_exactly(&mut stream, 3);
    until_acked(&mut client, connection, 10);
    drop(stream);
    let parting = parting(&mut client, connection);
    assert_eq!(facts(&parting), (9, true, false, false));
    assert_eq!(errno(parting.error), Some(libc::ECONNRESET));
    assert!(!parting.is_commit());
}

/// Its FIN came first, and the reset that answered our bytes behind it: what was acknowledged is what it had read.
#[test]
fn a_peer_that_closes_while_we_write_has_read_what_was_acknowledged() {
    for looks in [Peek::Always, Peek::Never] {
        let mut client = client_with(|it| it.peek = looks);
        let peer = Peer::new();
        let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
        deliver(&mut client, connection, b"read");
        read_exactly(&mut stream, 4);
        drop(stream);
        until_in_kernel(&client, connection, 1);
        for _ in 0..3 {
            // The first meets nobody and brings the reset, the next one hears of it.
            if client.send(connection, b"lost").is_ok() {
                client.flush();
            }
        }
        let parting = parting(&mut client, connection);
        assert_eq!(facts(&parting), (4, false, true, false), "{parting:?}");
        match looks {
            Peek::Never => assert_eq!(errno(parting.error), Some(libc::EPIPE)),
            _ => assert_eq!(parting.error.unwrap().source, Source::Eof),
        }
    }
}

/// The same, with our FIN behind what was lost: its own is read, and ours was not acknowledged.
#[test]
fn a_peer_that_closes_before_our_last_bytes_come_has_committed_nothing() {
    let mut client = client_with(|it| it.peek = Peek::Never);
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    deliver(&mut client, connection, b"read");
    read_exactly(&mut stream, 4);
    drop(stream);
    until_in_kernel(&client, connection, 1);
    client.send(connection, b"lost").unwrap();
    client.close(connection).unwrap();
    client.flush();
    let parting = parting(&mut client, connection);
    assert!(parting.fin_first && !parting.fin_acked, "{parting:?}");
    assert_eq!((parting.acked, parting.written), (Some(4), 8));
    assert!(!parting.is_commit());
}

#[test]
fn a_fin_that_was_not_read_is_found_when_the_program_ends_it_first() {
    for parting_words in [&b""[..], b"?", b"some more"] {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
        deliver(&mut client, connection, b"read");
        read_exactly(&mut stream, 4);
        stream.write_all(parting_words).unwrap();
        drop(stream);
        until_in_kernel(&client, connection, parting_words.len() as u64 + 1);
        client.abort(connection).unwrap();
        let parting = parting(&mut client, connection);
        assert_eq!(facts(&parting), (4, false, true, false));
    }
}

/// One byte that was not read is counted like a FIN, and is none.
#[test]
fn a_byte_that_was_not_read_is_not_taken_for_a_fin() {
    for resets in [false, true] {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
        stream.write_all(b"?").unwrap();
        until_in_kernel(&client, connection, 1);
        if resets {
            let ends = both_ends(&stream);
            reset(stream);
            until_reset_arrived(ends);
        }
        client.abort(connection).unwrap();
        let parting = parting(&mut client, connection);
        assert_eq!(facts(&parting), (0, false, false, false));
    }
}

#[test]
fn of_a_connection_that_never_stood_nothing_is_known() {
    let mut client = client();
    let nobody = Peer::new().target();
    let connection = client.connect(&nobody, Framing::raw()).unwrap();
    until_closed(&mut client, connection);
    assert_eq!(client.parting(connection), None);
}

/// It looks like a close: what it still reads is acknowledged, and its end proves less.
#[test]
fn a_peer_that_ends_its_half_first_and_reads_on_is_no_commit() {
    let (mut client, peer) = (client_with(|it| it.half_close = true), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    stream.shutdown(Shutdown::Write).unwrap();
    client_until(&mut client, |_, event| match event {
        taut::Event::HalfClosed { .. } => Some(()),
        other => panic!("{other:?}"),
    });
    client.send(connection, b"the epoch").unwrap();
    client.close(connection).unwrap();
    let parting = parting(&mut client, connection);
    assert_eq!(read_to_the_end(&mut stream), b"the epoch");
    assert!(parting.fin_first && !parting.fin_acked, "{parting:?}");
    assert!(!parting.is_commit());
}

/// What no sender can tell: our FIN lies acknowledged in the kernel of a peer that had ended its own half before, and
/// reads nothing more (docs/guarantees.md).
#[test]
fn a_peer_that_ends_its_half_early_and_stops_reading_looks_like_a_commit() {
    let mut client = client_with(|it| it.peek = Peek::Never);
    let peer = Peer::new();
    let (connection, stream) = connected(&mut client, &peer, Framing::raw());
    stream.shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, connection, 1);
    client.send(connection, b"the epoch").unwrap();
    client.close(connection).unwrap();
    until_acked(&mut client, connection, 10);
    assert!(parting(&mut client, connection).is_commit());
}

/// The write is told of the reset, and the read behind it says what it says at a FIN.
#[test]
fn the_read_behind_a_write_that_met_a_reset_finds_no_fin() {
    let mut client = client_with(|it| it.peek = Peek::Never);
    let peer = Peer::new();
    let (connection, stream) = connected(&mut client, &peer, Framing::raw());
    deliver(&mut client, connection, b"unread");
    let ends = both_ends(&stream);
    drop(stream);
    until_reset_arrived(ends);
    client.send(connection, b"more").unwrap();
    client.flush();
    let parting = parting(&mut client, connection);
    assert_eq!(facts(&parting), (6, false, false, false));
    assert_eq!(errno(parting.error), Some(libc::ECONNRESET));
}
