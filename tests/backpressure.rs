//! A slow program, a slow peer: the pressure reaches whoever sends, memory stays bounded, and no byte is lost.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::*;
use taut::{Client, ConnectionId, Event, Framing};

/// More than all buffers of the kernel on both sides.
const FAR_TOO_MUCH: usize = 256 << 20;

/// Writes numbered lines as long as anything moves, while the client turns and nothing is pulled. Returns the bytes.
fn write_until_stuck(
    client: &mut Client,
    connection: ConnectionId,
    stream: &mut TcpStream,
    line: &[u8],
) -> usize {
    stream.set_nonblocking(true).unwrap();
    let chunk = line.repeat((64 << 10) / line.len());
    let (mut written, mut stuck_since) = (0, Instant::now());
    let mut before = (0, 0);
    while stuck_since.elapsed() < ms(150) {
        assert!(written < FAR_TOO_MUCH, "nothing holds the peer back");
        match stream.write(&chunk[written % line.len()..]) {
            Ok(n) => written += n,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        client.turn(Some(Duration::ZERO)).unwrap();
        let now = (written, client.transferred(connection).unwrap().1);
        if now != before {
            (before, stuck_since) = (now, Instant::now());
        }
    }
    stream.set_nonblocking(false).unwrap();
    written
}

#[test]
fn a_program_that_does_not_pull_holds_the_peer_back_and_nothing_is_lost() {
    let (limit, read) = (64 << 10, 16 << 10);
    for line in [&b"0123456789abcdef0123456789abcde\n"[..], b"\n"] {
        let mut client =
            client_with(|it| (it.limits.unpulled_bytes_max, it.limits.read_bytes) = (limit, read));
        let peer = Peer::new();
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        let written = write_until_stuck(&mut client, connection, &mut stream, line);
        let received = client.transferred(connection).unwrap().1 as usize;
        assert!(
            received <= limit + read,
            "{received} bytes taken from a peer that nobody listens to"
        );
        assert!(written > received, "it was the kernel that was full");

        let mut rest = line[written % line.len()..].to_vec();
        if written.is_multiple_of(line.len()) {
            rest.clear();
        }
        let server = std::thread::spawn(move || stream.write_all(&rest).map(|()| stream));
        let whole = written.div_ceil(line.len());
        for _ in 0..whole {
            assert_eq!(next_frame(&mut client, connection), &line[..line.len() - 1]);
        }
        drop(server.join().unwrap().unwrap());
        assert!(until_closed(&mut client, connection).frames.is_empty());
    }
}

/// A frame that is larger than what may lie unpulled comes through all the same.
#[test]
fn one_frame_may_go_beyond_the_bound_of_what_is_not_pulled() {
    let mut client =
        client_with(|it| (it.limits.unpulled_bytes_max, it.limits.read_bytes) = (100, 64));
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::len32());
    let server = std::thread::spawn(move || {
        for n in 0..5 {
            stream.write_all(&(300_000_u32 + n).to_be_bytes()).unwrap();
            stream
                .write_all(&vec![n as u8; 300_000 + n as usize])
                .unwrap();
        }
        stream
    });
    for n in 0..5 {
        let frame = next_frame(&mut client, connection);
        assert_eq!(frame.len(), 300_000 + n);
        assert!(frame.iter().all(|&byte| byte == n as u8));
    }
    drop(server.join().unwrap());
}

#[test]
fn a_peer_that_does_not_read_is_met_by_full_and_then_by_writable_and_gets_every_byte() {
    let limit = 64 << 10;
    let (mut client, peer) = (
        client_with(|it| it.limits.send_queue_bytes_max = limit),
        Peer::narrow(),
    );
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let (total, chunk) = (8 << 20, 10_000);
    let byte_at = |position: usize| (position % 251) as u8;
    let bytes: Vec<u8> = (0..total).map(byte_at).collect();
    let (mut queued, mut refusals, mut server) = (0, 0, None);
    while queued < total {
        let next = &bytes[queued..total.min(queued + chunk)];
        match client.send(connection, next) {
            Ok(()) => queued += next.len(),
            Err(error) => {
                assert!(error.is_full(), "{error}");
                refusals += 1;
                // Until the first refusal the peer reads nothing; then it reads slowly.
                server.get_or_insert_with(|| {
                    let mut stream = stream.try_clone().unwrap();
                    std::thread::spawn(move || read_in_small_pieces(&mut stream, total))
                });
                client_until(&mut client, |_, event| match event {
                    Event::Writable { connection: it } if it == connection => Some(()),
                    other => panic!("{other:?}"),
                });
                assert!(client.queued(connection).unwrap() <= limit / 2);
            }
        }
        assert!(client.queued(connection).unwrap() <= limit);
    }
    assert!(refusals > 1);
    turn_until(&mut client, "an empty queue", |client| {
        client.queued(connection) == Some(0)
    });
    assert!(server.unwrap().join().unwrap() == bytes);
    stream.write_all(b"got it\n").unwrap();
    assert_eq!(next_frame(&mut client, connection), b"got it");
}

fn read_in_small_pieces(stream: &mut TcpStream, total: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(total);
    let mut piece = [0; 3_001];
    while all.len() < total {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "ended after {} bytes", all.len());
        all.extend_from_slice(&piece[..n]);
    }
    all
}

/// The window of the peer is shut; nothing moves; then it opens.
#[test]
fn a_window_that_was_shut_and_opens_again_loses_nothing() {
    let (mut client, peer) = (
        client_with(|it| it.limits.send_queue_bytes_max = 16 << 20),
        Peer::narrow(),
    );
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let bytes: Vec<u8> = (0..15 << 20)
        .map(|position: usize| (position % 253) as u8)
        .collect();
    client.send(connection, &bytes).unwrap();
    let mut before = (0, Instant::now());
    while before.1.elapsed() < ms(50) {
        client.turn(Some(ms(1))).unwrap();
        let written = client.transferred(connection).unwrap().0;
        if written != before.0 {
            before = (written, Instant::now());
        }
    }
    assert!(client.queued(connection).unwrap() > 0);
    client.close(connection).unwrap();
    let server = std::thread::spawn(move || read_to_the_end(&mut stream));
    let told = until_closed(&mut client, connection);
    assert_eq!((told.error, told.written), (None, bytes.len() as u64));
    assert!(server.join().unwrap() == bytes);
}

/// Both pipes are full at once; a client goes on reading, so neither waits for the other.
#[test]
fn two_full_pipes_do_not_wait_for_each_other() {
    let (mut client, peer) = (
        client_with(|it| it.limits.send_queue_bytes_max = 16 << 20),
        Peer::narrow(),
    );
    let (connection, stream) = connected(&mut client, &peer, Framing::raw());
    let server = std::thread::spawn(move || echo(stream));
    let bytes: Vec<u8> = (0..12 << 20)
        .map(|position: usize| (position % 241) as u8)
        .collect();
    client.send(connection, &bytes).unwrap();
    let mut back = Vec::new();
    client_until(&mut client, |client, event| match event {
        Event::Frame { frame, .. } => {
            back.extend_from_slice(client.bytes(&frame));
            (back.len() == bytes.len()).then_some(())
        }
        other => panic!("{other:?}"),
    });
    assert!(back == bytes);
    drop(client);
    server.join().unwrap();
}

/// The kernel took all of the queue at once, so no edge follows: the loop slept over the event it had to tell.
#[test]
fn room_that_a_flush_has_made_is_told_before_the_loop_sleeps() {
    let (mut client, peer) = (
        client_with(|it| it.limits.send_queue_bytes_max = 1000),
        Peer::new(),
    );
    let (connection, _stream) = connected(&mut client, &peer, Framing::line());
    assert_silent(&mut client);
    client.send(connection, &[b'x'; 900]).unwrap();
    assert!(client.send(connection, &[b'x'; 200]).unwrap_err().is_full());
    let asked_at = Instant::now();
    client.turn(Some(PATIENCE)).unwrap();
    assert!(
        asked_at.elapsed() < PATIENCE / 5,
        "slept with an event to pull"
    );
    assert_eq!(client.next_event(), Some(Event::Writable { connection }));
}
