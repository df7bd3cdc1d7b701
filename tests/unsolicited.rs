//! Replies that answer nothing: what a peer says before a request was written cannot be meant for it.
//!
//! Taken for its reply, one such word would shift every later reply of the connection by one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use support::*;
use taut::{Class, Phase, Sent, Source};

/// Parting words ("idle timeout, closing") were written before the request was: they cannot answer it.
#[test]
fn parting_words_are_not_taken_for_the_reply_to_a_request_that_was_never_written() {
    let (mut client, peer, mut ledger) = (client_without_retries(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let connection = only_connection(&client, upstream);
    streams[0].write_all(b"idle timeout\n").unwrap();
    streams[0].shutdown(Shutdown::Write).unwrap();
    until_in_kernel(&client, connection, 14);

    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_eq!(
        (error.class, error.phase, error.sent, error.source),
        (Class::Transient, Phase::Write, Sent::No, Source::Eof),
        "the peer has gone, whatever it said last"
    );
    assert_eq!(read_to_the_end(&mut streams[0]), b"");
    ledger.until_all(&mut client);
}

/// The same without a FIN: were the request written, every later reply would answer the request before its own.
#[test]
fn words_that_came_before_a_request_was_written_do_not_answer_it() {
    let (mut client, peer, mut ledger) = (client_without_retries(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(4));
    let connection = only_connection(&client, upstream);
    streams[0].write_all(b"hello?\n").unwrap();
    until_in_kernel(&client, connection, 7);

    let requests = [&b"one\n"[..], b"two\n"]
        .map(|payload| ledger.request(&mut client, upstream, payload, far()));
    for request in requests {
        let error = ledger.until(&mut client, request).error();
        assert_eq!(
            (error.class, error.phase, error.sent, error.source),
            (Class::Protocol, Phase::Write, Sent::No, Source::Unsolicited)
        );
    }
    assert_eq!(read_to_the_end(&mut streams[0]), b"");
    ledger.until_all(&mut client);
}

/// A second reply to an answered request, in the same segment, meets the request that took the freed place.
#[test]
fn a_doubled_reply_does_not_answer_the_waiting_request_behind_it() {
    for depth in [1, 2] {
        let (mut client, peer, mut ledger) =
            (client_without_retries(), Peer::new(), Ledger::default());
        let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(depth));
        let sent: Vec<_> = (0..depth)
            .map(|_| ledger.request(&mut client, upstream, b"sent\n", far()))
            .collect();
        client.turn(Some(Duration::ZERO)).unwrap();
        let behind = ledger.request(&mut client, upstream, b"behind\n", far());
        assert_eq!(client.upstream_stats(upstream).unwrap().waiting, 1);
        read_exactly(&mut streams[0], 5 * depth);
        streams[0].write_all(&b"ok\n".repeat(depth + 1)).unwrap();
        until_in_kernel(
            &client,
            only_connection(&client, upstream),
            3 * (depth as u64 + 1),
        );

        for request in sent {
            assert_eq!(ledger.until(&mut client, request).reply(), b"ok");
        }
        let error = ledger.until(&mut client, behind).error();
        assert_eq!(
            (error.phase, error.sent, error.source),
            (Phase::Write, Sent::No, Source::Unsolicited)
        );
        assert_eq!(read_to_the_end(&mut streams[0]), b"");
        ledger.until_all(&mut client);
    }
}

/// Half a word is enough: the reply would be glued to it.
#[test]
fn the_beginning_of_a_word_that_came_before_the_write_is_not_glued_to_the_reply() {
    for turns_before in [0, 1] {
        let (mut client, peer, mut ledger) =
            (client_without_retries(), Peer::new(), Ledger::default());
        let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
        let connection = only_connection(&client, upstream);
        streams[0].write_all(b"hel").unwrap();
        until_in_kernel(&client, connection, 3);
        for _ in 0..turns_before {
            client.turn(Some(Duration::ZERO)).unwrap();
        }

        let request = ledger.request(&mut client, upstream, b"ping\n", far());
        let error = ledger.until(&mut client, request).error();
        assert_eq!(
            (error.phase, error.sent, error.source),
            (Phase::Write, Sent::No, Source::Unsolicited)
        );
        assert_eq!(read_to_the_end(&mut streams[0]), b"");
        ledger.until_all(&mut client);
    }
}

#[test]
fn a_word_on_an_idle_connection_ends_it_and_the_next_request_gets_another() {
    let (mut client, peer, mut ledger) = (client_without_retries(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    streams[0].write_all(b"hello?\n").unwrap();
    turn_until(&mut client, "the loss of the connection", |client| {
        client.upstream_stats(upstream).unwrap().open == 0
    });
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(stats.losses, 1);
    assert_eq!(stats.last_error.unwrap().source, Source::Unsolicited);

    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    turn_until(&mut client, "another connection", |client| {
        client.upstream_stats(upstream).unwrap().open == 1
    });
    let mut stream = peer.accept();
    client.turn(Some(Duration::ZERO)).unwrap();
    read_exactly(&mut stream, 5);
    stream.write_all(b"pong\n").unwrap();
    assert_eq!(ledger.until(&mut client, request).reply(), b"pong");
    ledger.until_all(&mut client);
}

/// The flush ended the connection, but its upstream still offered it: a request was put on what was closed.
#[test]
fn a_connection_that_a_flush_has_ended_takes_no_other_request() {
    let (mut client, peer, mut ledger) = (client_without_retries(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(4));
    let connection = only_connection(&client, upstream);
    streams[0].write_all(b"half a word").unwrap();
    turn_until(&mut client, "the half word", |client| {
        client.transferred(connection).unwrap().1 == 11
    });
    ledger.request(&mut client, upstream, b"first\n", far());
    client.flush();
    ledger.request(&mut client, upstream, b"second\n", far());
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.in_flight, stats.waiting), (0, 1));
}
