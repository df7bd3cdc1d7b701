//! Requests that are made again when their connection is lost: whom they meet, and what their program is told.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use support::*;
use taut::{Client, RequestId, RequestOptions, Retry, Sent, Source, UpstreamId};

/// Accepts the next connection, and answers what comes on it: two bytes at a time.
fn answers(peer: Peer, requests: usize) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut stream = peer.accept();
        let mut all = Vec::new();
        for _ in 0..requests {
            let line = read_exactly(&mut stream, 2);
            stream.write_all(&line).unwrap();
            all.extend(line);
        }
        all
    })
}

fn idempotent(
    client: &mut Client,
    ledger: &mut Ledger,
    upstream: UpstreamId,
    line: &[u8],
) -> RequestId {
    let options = RequestOptions::new().deadline(far()).idempotent();
    let request = client.request_with(upstream, line, options).unwrap();
    ledger.adopt(request);
    request
}

/// Its server ends a connection that nobody uses, and just then somebody does: who asked is told nothing of it.
#[test]
fn an_end_while_idle_that_meets_requests_is_not_seen_by_them() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, streams) = standing(&mut client, &peer, |it| it.depth(4));
    streams[0].shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, only_connection(&client, upstream), 1);
    let requests =
        [b"1\n", b"2\n", b"3\n"].map(|line| ledger.request(&mut client, upstream, line, far()));
    let server = answers(peer, 3);
    for (request, reply) in requests.into_iter().zip([b"1", b"2", b"3"]) {
        assert_eq!(ledger.until(&mut client, request).reply(), reply);
    }
    assert_eq!(server.join().unwrap(), b"1\n2\n3\n", "once, and in order");
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.retries, stats.retries_refused, stats.connects),
        (3, 0, 2)
    );
    ledger.until_all(&mut client);
}

/// Both were read by a server that then reset the connection.
#[test]
fn of_what_was_sent_only_the_idempotent_is_made_again() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(4));
    let plain = ledger.request(&mut client, upstream, b"1\n", far());
    let harmless = idempotent(&mut client, &mut ledger, upstream, b"2\n");
    client.flush();
    let mut stream: TcpStream = streams.remove(0);
    assert_eq!(read_exactly(&mut stream, 4), b"1\n2\n");
    reset(stream);
    let server = answers(peer, 1);
    let error = ledger.until(&mut client, plain).error();
    assert_eq!(error.sent, Sent::Maybe);
    assert_eq!(ledger.until(&mut client, harmless).reply(), b"2");
    assert_eq!(server.join().unwrap(), b"2\n");
    ledger.until_all(&mut client);
}

#[test]
fn one_whose_reply_had_begun_is_not_made_again() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let request = idempotent(&mut client, &mut ledger, upstream, b"1\n");
    client.flush();
    let mut stream = streams.remove(0);
    read_exactly(&mut stream, 2);
    stream.write_all(b"half a rep").unwrap();
    drop(stream);
    let error = ledger.until(&mut client, request).error();
    assert_eq!(
        (error.sent, error.source),
        (Sent::Yes, Source::Truncated { received: 10 })
    );
    assert_eq!(client.upstream_stats(upstream).unwrap().retries, 0);
    ledger.until_all(&mut client);
}

/// Nobody listens any more: at its last hope it fails, and does not deny that it was sent.
#[test]
fn one_that_finds_no_other_connection_fails_with_what_was_sent_of_it_before() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let request = idempotent(&mut client, &mut ledger, upstream, b"1\n");
    client.flush();
    let mut stream = streams.remove(0);
    read_exactly(&mut stream, 2);
    drop(peer);
    reset(stream);
    let error = ledger.until(&mut client, request).error();
    assert_eq!(
        (error.sent, error.errno()),
        (Sent::Maybe, Some(libc::ECONNREFUSED))
    );
    ledger.until_all(&mut client);
}

/// A server that reads and resets, each time: once and two times more.
#[test]
fn it_is_made_again_twice_at_most() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let upstream = client.add(taut::Upstream::new(peer.target())).unwrap();
    let request = idempotent(&mut client, &mut ledger, upstream, b"1\n");
    let server = std::thread::spawn(move || {
        for _ in 0..3 {
            let mut stream = peer.accept();
            assert_eq!(read_exactly(&mut stream, 2), b"1\n");
            reset(stream);
        }
        peer
    });
    let error = ledger.until(&mut client, request).error();
    assert_eq!(
        (error.sent, error.errno()),
        (Sent::Maybe, Some(libc::ECONNRESET))
    );
    assert_eq!(client.upstream_stats(upstream).unwrap().retries, 2);
    ledger.until_all(&mut client);
    assert!(!server.join().unwrap().has_waiting(), "once too often");
}

#[test]
fn an_upstream_may_say_that_nothing_is_made_again() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, streams) = standing(&mut client, &peer, |it| it.retry(Retry::off()));
    streams[0].shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, only_connection(&client, upstream), 1);
    let request = idempotent(&mut client, &mut ledger, upstream, b"1\n");
    let error = ledger.until(&mut client, request).error();
    assert_eq!((error.sent, error.source), (Sent::No, Source::Eof));
    ledger.until_all(&mut client);
}
