//! A hundred thousand replies at once: all of them are told, and nobody else waits for it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::{Event, Framing};

const MANY: usize = 100_000;

#[test]
fn a_flood_of_pipelined_replies_starves_no_other_connection() {
    let mut client = client_with(|it| {
        // All that the kernel holds comes in one read.
        (it.limits.read_bytes, it.limits.turn_bytes_max) = (4 << 20, 4 << 20);
        it.limits.turn_frames_max = 100;
    });
    let peer = Peer::new();
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(MANY));
    let (other, mut other_stream) = connected(&mut client, &peer, Framing::line());
    for tag in 0..MANY as u64 {
        client.request_tagged(upstream, b"x\n", far(), tag).unwrap();
    }
    let mut stream = streams.remove(0);
    let (all_asked, asked) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        read_exactly(&mut stream, 2 * MANY);
        asked.recv().unwrap();
        stream.write_all(&b"\n".repeat(MANY)).unwrap();
        stream
    });
    let connection = only_connection(&client, upstream);
    turn_until(&mut client, "the requests on their way", |client| {
        client.queued(connection) == Some(0)
    });
    all_asked.send(()).unwrap();
    until_in_kernel(&client, connection, 50_000);

    let mut told = 0;
    for _ in 0..20 {
        // The other's line is in the kernel, and so are tens of thousands of replies.
        other_stream.write_all(b"me too\n").unwrap();
        until_in_kernel(&client, other, client.transferred(other).unwrap().1 + 7);
        let before = told;
        client_until(&mut client, |client, event| match event {
            Event::Reply { tag, frame, .. } => {
                assert_eq!((tag, frame.len()), (told, 0));
                told += 1;
                None
            }
            Event::Frame { connection, frame } if connection == other => {
                assert_eq!(client.bytes(&frame), b"me too");
                Some(())
            }
            other => panic!("{other:?}"),
        });
        assert!(
            told - before <= 200,
            "{} replies before another's line",
            told - before
        );
        assert!(
            told < 50_000,
            "the flood was over before it could starve anybody"
        );
    }
    while told < MANY as u64 {
        told += client_until(&mut client, |_, event| match event {
            Event::Reply { tag, .. } => {
                assert_eq!(tag, told);
                Some(1)
            }
            other => panic!("{other:?}"),
        });
    }
    assert_silent(&mut client);
    drop(server.join().unwrap());
}

/// Turn by turn, from the first reply of the flood to the last: whoever has something to say is heard in the very turn
/// that follows, so the worst wait is as bounded as the usual one, in turns and in frames of others told before.
#[test]
fn throughout_a_flood_each_of_many_others_is_served_in_the_turn_its_line_was_there() {
    const OTHERS: usize = 16;
    const TURN_FRAMES_MAX: usize = 100;
    let mut client = client_with(|it| {
        (it.limits.read_bytes, it.limits.turn_bytes_max) = (128 << 10, 128 << 10);
        it.limits.turn_frames_max = TURN_FRAMES_MAX;
    });
    let peer = Peer::new();
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(MANY));
    let mut others: Vec<_> = (0..OTHERS)
        .map(|_| connected(&mut client, &peer, Framing::line()))
        .collect();
    for tag in 0..MANY as u64 {
        client.request_tagged(upstream, b"x\n", far(), tag).unwrap();
    }
    let mut stream = streams.remove(0);
    let connection = only_connection(&client, upstream);
    turn_until(&mut client, "the requests on their way", |client| {
        client.queued(connection) == Some(0)
    });
    read_exactly(&mut stream, 2 * MANY);
    stream.write_all(&b"\n".repeat(MANY)).unwrap();
    until_in_kernel(&client, connection, MANY as u64);
    let (mut told, mut turns) = (0, 0);
    while told < MANY as u64 {
        // A different one each time, and sometimes all of them.
        let speaks = |n: usize| turns % 10 == 0 || n == turns % OTHERS;
        let speakers: Vec<_> = (0..OTHERS).filter(|&n| speaks(n)).collect();
        for &n in &speakers {
            let (other, stream) = &mut others[n];
            stream.write_all(b"me too\n").unwrap();
            until_in_kernel(&client, *other, client.transferred(*other).unwrap().1 + 7);
        }
        client.turn(Some(Duration::ZERO)).unwrap();
        turns += 1;
        let received = client.transferred(connection).unwrap().1;
        assert_eq!(received, MANY as u64, "all of the flood is one read");
        let (mut replies, mut heard) = (0, Vec::new());
        while let Some(event) = client.next_event() {
            match event {
                Event::Reply { tag, .. } => {
                    assert_eq!(tag, told);
                    (told, replies) = (told + 1, replies + 1);
                }
                Event::Frame { connection, .. } => {
                    heard.extend(others.iter().position(|other| other.0 == connection));
                }
                other => panic!("{other:?}"),
            }
        }
        heard.sort_unstable();
        assert_eq!(heard, speakers, "turn {turns}, beside {replies} replies");
        assert!(
            replies <= TURN_FRAMES_MAX,
            "{replies} replies in turn {turns}"
        );
    }
    assert!(
        turns >= MANY / TURN_FRAMES_MAX,
        "{turns} turns are no flood"
    );
    assert_silent(&mut client);
}

/// Bytes are shared out as well: a peer that never stops sending one large frame is cut at the turn's quota.
#[test]
fn a_flood_of_bytes_starves_no_other_connection() {
    let mut client =
        client_with(|it| (it.limits.turn_bytes_max, it.limits.read_bytes) = (8 << 10, 4 << 10));
    let peer = Peer::new();
    let (flooded, mut flood) = connected(&mut client, &peer, Framing::raw());
    let (other, mut other_stream) = connected(&mut client, &peer, Framing::line());
    let server = std::thread::spawn(move || {
        let chunk = [b'x'; 64 << 10];
        while flood.write_all(&chunk).is_ok() {}
    });
    until_in_kernel(&client, flooded, 64 << 10);
    for _ in 0..50 {
        other_stream.write_all(b"me too\n").unwrap();
        until_in_kernel(&client, other, client.transferred(other).unwrap().1 + 7);
        let before = client.transferred(flooded).unwrap().1;
        client_until(&mut client, |_, event| match event {
            Event::Frame { connection, .. } if connection == other => Some(()),
            Event::Frame { connection, .. } if connection == flooded => None,
            other => panic!("{other:?}"),
        });
        let taken = client.transferred(flooded).unwrap().1 - before;
        assert!(
            taken <= 3 * (12 << 10),
            "{taken} bytes before another's line"
        );
    }
    client.turn(Some(Duration::ZERO)).unwrap();
    drop(client);
    server.join().unwrap();
}
