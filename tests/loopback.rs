//! Requests and frames over loopback, as they should go: whatever the framing, however the bytes were cut on their way.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::frame::{Codec, Decoded, FrameError};
use taut::{Client, Event, Framing, Upstream};

#[test]
fn requests_over_several_pipelined_connections_each_get_their_own_echo() {
    let (peer, threads) = (Peer::new(), 4);
    let mut client = client();
    let upstream = client
        .add(Upstream::new(peer.target()).connections(threads).depth(16))
        .unwrap();
    let server = std::thread::spawn(move || {
        let echoes: Vec<_> = (0..threads)
            .map(|_| peer.accept())
            .map(|it| std::thread::spawn(|| echo(it)))
            .collect();
        echoes.into_iter().for_each(|it| it.join().unwrap());
    });
    let (mut asked, mut answered, total) = (0_u64, 0, 5_000);
    let mut ids = std::collections::BTreeMap::new();
    while answered < total {
        while asked < total && asked - answered < 100 {
            let payload = format!(
                "request {asked} {}\n",
                "x".repeat((asked * 37 % 3_000) as usize)
            );
            let request = client
                .request_tagged(upstream, payload.as_bytes(), far(), asked)
                .unwrap();
            assert!(ids.insert(request, payload).is_none());
            asked += 1;
        }
        client_until(&mut client, |client, event| match event {
            Event::Reply {
                request,
                tag,
                frame,
            } => {
                let payload = ids.remove(&request).expect("ended once");
                assert_eq!(
                    client.bytes(&frame),
                    payload.trim_end_matches('\n').as_bytes()
                );
                assert!(payload.starts_with(&format!("request {tag} ")));
                answered += 1;
                Some(())
            }
            other => panic!("{other:?}"),
        });
    }
    assert_silent(&mut client);
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.open, stats.in_flight, stats.waiting, stats.losses),
        (threads, 0, 0, 0)
    );
    drop(client);
    server.join().unwrap();
}

/// Frames that end with a semicolon; the payload is what stands between the last colon and it.
struct Semicolon;

impl Codec for Semicolon {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        let Some(end) = bytes.iter().position(|&byte| byte == b';') else {
            return Ok(Decoded::Incomplete {
                wanted: bytes.len() + 1,
            });
        };
        if bytes[..end].contains(&b'!') {
            return Err(FrameError::Malformed("an exclamation mark"));
        }
        let start = bytes[..end]
            .iter()
            .rposition(|&byte| byte == b':')
            .map_or(0, |colon| colon + 1);
        Ok(Decoded::Frame {
            start,
            end,
            consumed: end + 1,
        })
    }
}

fn semicolon() -> Framing {
    Framing::custom(|| Box::new(Semicolon))
}

#[test]
fn replies_that_drip_byte_by_byte_are_the_same_replies() {
    type Case = (Framing, &'static [u8], [&'static [u8]; 2]);
    let cases: [Case; 5] = [
        (Framing::line(), b"one\r\ntwo\n", [b"one", b"two"]),
        (Framing::len32(), b"\0\0\0\x03one\0\0\0\0", [b"one", b""]),
        (Framing::fixed(4), b"onlyfour", [b"only", b"four"]),
        (
            Framing::resp(),
            b"*2\r\n$1\r\na\r\n:1\r\n-no\r\n",
            [b"*2\r\n$1\r\na\r\n:1\r\n", b"-no\r\n"],
        ),
        (semicolon(), b"skipped:one;two;", [b"one", b"two"]),
    ];
    for (framing, bytes, replies) in cases {
        let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
        let name = framing.name();
        let (upstream, mut streams) =
            standing(&mut client, &peer, |it| it.framing(framing).depth(2));
        let requests = [0, 1].map(|_| ledger.request(&mut client, upstream, b"x", far()));
        client.flush();
        read_exactly(&mut streams[0], 2);
        let connection = only_connection(&client, upstream);
        for (n, byte) in bytes.iter().enumerate() {
            streams[0].write_all(&[*byte]).unwrap();
            until_in_kernel(&client, connection, n as u64 + 1);
            client.turn(Some(Duration::ZERO)).unwrap();
            while let Some(event) = client.next_event() {
                ledger.book(&client, event);
            }
        }
        for (request, reply) in requests.into_iter().zip(replies) {
            assert_eq!(
                ledger.ended(request),
                Some(&Ended::Reply(reply.to_vec())),
                "{name}"
            );
        }
        ledger.until_all(&mut client);
    }
}

#[test]
fn a_raw_stream_is_told_as_it_comes() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    for byte in 0..=255 {
        stream.write_all(&[byte]).unwrap();
        assert_eq!(next_frame(&mut client, connection), [byte]);
    }
}

#[test]
fn a_codec_of_the_programs_own_serves_from_end_to_end() {
    let (target, server) = serve(1, echo);
    let (mut client, mut ledger) = (client(), Ledger::default());
    let upstream = client
        .add(Upstream::new(target).framing(semicolon()).depth(4))
        .unwrap();
    let ask = |ledger: &mut Ledger, client: &mut Client, payload| {
        ledger.request(client, upstream, payload, far())
    };
    let one = ask(&mut ledger, &mut client, &b"ignored:one;"[..]);
    let two = ask(&mut ledger, &mut client, b"a:b:two;");
    let three = ask(&mut ledger, &mut client, b"what!;");
    assert_eq!(ledger.until(&mut client, one).reply(), b"one");
    assert_eq!(ledger.until(&mut client, two).reply(), b"two");
    let error = ledger.until(&mut client, three).error();
    assert_eq!(error.source, taut::Source::Malformed("an exclamation mark"));
    ledger.until_all(&mut client);
    server.join().unwrap();
}

#[test]
fn received_bytes_are_answered_with_without_copying_them_out() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let (other, mut other_stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"one\ntwo\nthree\n").unwrap();
    let mut answered = 0;
    while answered < 3 {
        client.turn(Some(PATIENCE)).unwrap();
        while let Some(event) = client.next_event() {
            let Event::Frame {
                connection: it,
                frame,
            } = event
            else {
                panic!("{event:?}")
            };
            let (received, mut out) = client.split();
            let bytes = received.bytes(&frame);
            out.send(it, bytes).unwrap();
            out.send(other, bytes).unwrap();
            answered += 1;
        }
    }
    client.flush();
    assert_eq!(read_exactly(&mut stream, 11), b"onetwothree");
    assert_eq!(read_exactly(&mut other_stream, 11), b"onetwothree");
    let (_, mut out) = client.split();
    out.close(other).unwrap();
    assert!(out.send(other, b"x").is_err());
    assert_eq!(client.transferred(connection), Some((11, 14)));
}

#[test]
fn a_reply_may_become_the_next_request_while_it_is_borrowed() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
    client.request(upstream, b"x\n", far()).unwrap();
    client.flush();
    read_exactly(&mut streams[0], 2);
    streams[0].write_all(b"a reply\n").unwrap();
    let frame = client_until(&mut client, |_, event| match event {
        Event::Reply { frame, .. } => Some(frame),
        other => panic!("{other:?}"),
    });
    let (received, mut out) = client.split();
    out.request(upstream, received.bytes(&frame), far(), 7)
        .unwrap();
    client.flush();
    assert_eq!(read_exactly(&mut streams[0], 7), b"a reply");
}

#[test]
fn what_was_queued_before_the_connection_stands_leaves_when_it_does() {
    let (mut client, peer) = (client(), Peer::new());
    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    client.send(connection, b"early ").unwrap();
    client.send(connection, b"bird\n").unwrap();
    assert_eq!(client.queued(connection), Some(11));
    until_connected(&mut client, connection);
    assert_eq!(
        client.queued(connection),
        Some(0),
        "it left in the turn in which it stood"
    );
    assert_eq!(read_exactly(&mut peer.accept(), 11), b"early bird\n");
}

#[test]
fn a_client_may_move_to_another_thread_with_work_under_way() {
    let (target, server) = serve(1, echo);
    let mut client = client();
    let upstream = client.add(Upstream::new(target)).unwrap();
    client.request(upstream, b"hello\n", far()).unwrap();
    let thread = std::thread::spawn(move || {
        client_until(&mut client, |client, event| match event {
            Event::Reply { frame, .. } => Some(client.bytes(&frame).to_vec()),
            other => panic!("{other:?}"),
        })
    });
    assert_eq!(thread.join().unwrap(), b"hello");
    server.join().unwrap();
}

#[test]
fn a_spinning_loop_tells_the_same() {
    let (target, server) = serve(1, echo);
    let mut client = client_with(|it| it.spin = ms(2));
    let upstream = client.add(Upstream::new(target)).unwrap();
    for n in 0..200 {
        let payload = format!("{n}\n");
        client.request(upstream, payload.as_bytes(), far()).unwrap();
        client_until(&mut client, |client, event| match event {
            Event::Reply { frame, .. } => {
                assert_eq!(client.bytes(&frame), payload.trim_end().as_bytes());
                Some(())
            }
            other => panic!("{other:?}"),
        });
    }
    drop(client);
    server.join().unwrap();
}
