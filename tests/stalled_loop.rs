//! A program that does not turn: what came meanwhile is told before anything is called late.
//!
//! The loop stands still until the answer is in the kernel and every deadline has passed. Then it is the program that
//! was late, not the peer, and nothing may fail.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::*;
use taut::{Client, Config, Deadline, Event, Framing, Source, UpstreamId};

const SHORT: Duration = Duration::from_millis(150);

/// 8 connections with 8 requests each, all of them answered, all of them late: how many replies are told.
fn replies_after_a_stall(change: impl FnOnce(&mut Config), deadline: Deadline) -> usize {
    let (mut client, peer, mut ledger) = (client_with(change), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.connections(8).depth(8));
    let asked_at = Instant::now();
    for n in 0..64 {
        ledger.request(
            &mut client,
            upstream,
            format!("{n:02}\n").as_bytes(),
            deadline,
        );
    }
    client.flush();
    answer_all(&client, upstream, &mut streams);
    stall_until(asked_at + SHORT + ms(10));
    ledger.until_all(&mut client);
    ledger.replies()
}

fn answer_all(client: &Client, upstream: UpstreamId, streams: &mut [TcpStream]) {
    for stream in streams {
        let requests = read_exactly(stream, 8 * 3);
        stream.write_all(&requests).unwrap();
    }
    for connection in client.connections_of(upstream) {
        until_in_kernel(client, connection, 8 * 3);
    }
}

#[test]
fn requests_whose_deadline_passed_get_the_answers_that_are_here() {
    assert_eq!(replies_after_a_stall(|_| {}, Deadline::after(SHORT)), 64);
}

#[test]
fn requests_whose_first_byte_is_late_get_the_answers_that_are_here() {
    assert_eq!(
        replies_after_a_stall(|it| it.timeouts.first_byte = SHORT, far()),
        64
    );
}

/// One frame a turn: what is left for later turns is not late either.
#[test]
fn a_quota_that_leaves_answers_for_later_turns_fails_none_of_them() {
    let frames = |it: &mut Config| it.limits.turn_frames_max = 1;
    assert_eq!(replies_after_a_stall(frames, Deadline::after(SHORT)), 64);
    let events = |it: &mut Config| it.limits.events_max = 1;
    assert_eq!(replies_after_a_stall(events, Deadline::after(SHORT)), 64);
    let bytes = |it: &mut Config| (it.limits.turn_bytes_max, it.limits.read_bytes) = (1, 64);
    assert_eq!(replies_after_a_stall(bytes, Deadline::after(SHORT)), 64);
}

#[test]
fn an_unfinished_frame_whose_rest_is_here_is_not_stalled() {
    let mut client = client_with(|it| it.timeouts.read_stall = SHORT);
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"the beginning").unwrap();
    until_in_kernel(&client, connection, 13);
    client.turn(Some(Duration::ZERO)).unwrap();
    let read_at = Instant::now();
    stream.write_all(b" and the end\n").unwrap();
    until_in_kernel(&client, connection, 26);
    stall_until(read_at + SHORT);
    assert_eq!(
        next_frame(&mut client, connection),
        b"the beginning and the end"
    );
    drop(client);
}

#[test]
fn a_connection_that_was_spoken_to_is_not_idle() {
    let mut client = client_with(|it| it.timeouts.idle = SHORT);
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let since = Instant::now();
    stream.write_all(b"here I am\n").unwrap();
    until_in_kernel(&client, connection, 10);
    stall_until(since + SHORT);
    assert_eq!(next_frame(&mut client, connection), b"here I am");
}

#[test]
fn a_connection_that_stands_is_not_late() {
    let mut client = client_with(|it| it.timeouts.connect = SHORT);
    let peer = Peer::new();
    let since = Instant::now();
    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    let _stream = peer.accept();
    stall_until(since + SHORT);
    until_connected(&mut client, connection);
    assert_silent(&mut client);
}

/// The peer has read all that the kernel held: there is room again, so the next write makes progress.
#[test]
fn a_peer_that_has_read_is_not_stalled() {
    let (mut client, peer) = (
        client_with(|it| {
            (it.timeouts.write_stall, it.limits.send_queue_bytes_max) = (SHORT, 16 << 20)
        }),
        Peer::narrow(),
    );
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    client.send(connection, &vec![b'x'; 15 << 20]).unwrap();
    client.flush();
    let (written, wrote_at) = (client.transferred(connection).unwrap().0, Instant::now());
    assert!(written < 15 << 20);
    read_exactly(&mut stream, written as usize);
    stall_until(wrote_at + SHORT);
    client.turn(Some(Duration::ZERO)).unwrap();
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.next_event(), None);
    assert!(client.transferred(connection).unwrap().0 > written);
}

/// The program turns, but pulls nothing: the answers behind the first ones stay in the kernel, held back by itself.
#[test]
fn answers_that_a_lagging_program_holds_back_are_not_late() {
    let (mut client, peer, mut ledger) = (
        client_with(|it| (it.limits.unpulled_bytes_max, it.limits.read_bytes) = (1, 64)),
        Peer::new(),
        Ledger::default(),
    );
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(8));
    let asked_at = Instant::now();
    for _ in 0..8 {
        ledger.request(&mut client, upstream, b"x\n", Deadline::after(SHORT));
    }
    client.flush();
    read_exactly(&mut streams[0], 16);
    streams[0]
        .write_all(&[&[b'y'; 59][..], b"\n"].concat().repeat(8))
        .unwrap();
    let connection = only_connection(&client, upstream);
    until_in_kernel(&client, connection, 8 * 60);
    while asked_at.elapsed() < SHORT + ms(10) {
        client.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(
        client.transferred(connection).unwrap().1 < 8 * 60,
        "nothing was held back"
    );
    ledger.until_all(&mut client);
    assert_eq!(ledger.replies(), 8);
}

/// What a quota left was taken for an unfinished frame, whose rest the peer owed: after the read stall the connection
/// was ended, and whole frames with it.
#[test]
fn frames_that_are_worked_off_more_slowly_than_any_timeout_are_all_told() {
    let (mut client, peer, mut ledger) = (
        client_with(|it| {
            it.limits.turn_frames_max = 1;
            it.timeouts.read_first = ms(10);
            (it.timeouts.read_stall, it.timeouts.first_byte) = (ms(50), ms(50));
            it.timeouts.idle = ms(50);
        }),
        Peer::new(),
        Ledger::default(),
    );
    let (raw, mut raw_stream) = connected(&mut client, &peer, Framing::line());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(8));
    for n in 0..8 {
        ledger.request(&mut client, upstream, format!("{n:02}\n").as_bytes(), far());
    }
    client.flush();
    answer_all(&client, upstream, &mut streams);
    raw_stream
        .write_all(b"line\n".repeat(8).as_slice())
        .unwrap();
    until_in_kernel(&client, raw, 40);
    let mut lines = 0;
    while ledger.open() > 0 || lines < 8 {
        // Each turn tells one of either, and the program takes its time with it.
        client.turn(Some(Duration::ZERO)).unwrap();
        stall_until(Instant::now() + ms(25));
        while let Some(event) = client.next_event() {
            match event {
                Event::Frame { .. } => lines += 1,
                other => drop(ledger.book(&client, other)),
            }
        }
    }
    assert_eq!((lines, ledger.replies()), (8, 8));
}

/// With one connection given up by its peer and one answered, only the former's request fails.
#[test]
fn a_loss_during_the_stall_is_told_as_the_loss_it_was() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.connections(2));
    let asked_at = Instant::now();
    for _ in 0..2 {
        ledger.request(&mut client, upstream, b"x\n", Deadline::after(SHORT));
    }
    client.flush();
    for stream in &mut streams {
        stream.read_exact(&mut [0; 2]).unwrap();
    }
    streams[0].write_all(b"ok\n").unwrap();
    drop(streams);
    let ids: Vec<_> = client.connections_of(upstream).collect();
    until_in_kernel(&client, ids[0], 1);
    until_in_kernel(&client, ids[1], 1);
    stall_until(asked_at + SHORT);
    ledger.until_all(&mut client);
    assert_eq!((ledger.replies(), ledger.failures()), (1, 1));
    let error = client.upstream_stats(upstream).unwrap().last_error.unwrap();
    assert_eq!(error.source, Source::Eof);
}

/// A turn that was long in coming fires what is truly late: nothing came of it.
#[test]
fn what_did_not_come_is_late_after_a_stall_too() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it);
    let request = ledger.request(&mut client, upstream, b"x\n", Deadline::after(SHORT));
    client.flush();
    stall_until(Instant::now() + SHORT);
    assert_eq!(
        ledger.until(&mut client, request).error().source,
        Source::Deadline
    );
    ledger.until_all(&mut client);
}
