//! Streams that are no lines, or strange ones: no end for ever, `\r` apart from its `\n`, one byte more than the limit,
//! bytes that are no text, and floods of frames that hold nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Duration;

use support::*;
use taut::{Class, Client, ConnectionId, Event, Framing, LengthPrefix, Limits, Phase, Source};

/// Writes the same bytes again and again, until the client ends the connection. Returns how many it could write.
fn write_for_ever(mut stream: TcpStream, bytes: &'static [u8]) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let chunk = bytes.repeat((64 << 10) / bytes.len());
        let mut written = 0;
        loop {
            match stream.write(&chunk) {
                Ok(n) => written += n,
                Err(error) => {
                    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                    assert!(kinds.contains(&error.kind()), "{error}");
                    return written;
                }
            }
        }
    })
}

#[test]
fn a_frame_that_never_ends_is_given_up_at_its_limit_and_no_further_byte_is_taken() {
    const LIMIT: usize = 200_000;
    let one_read = Limits::default().read_bytes as u64;
    for (framing, bytes) in [
        (Framing::line(), &b"x"[..]),
        (Framing::line(), b"\r"),
        (Framing::line(), b"a\r "),
        (Framing::delimiter(b"--"), b"x"),
        (Framing::delimiter(b"ab"), b"aa"),
        (Framing::delimiter(b"\r\n"), b"\n "),
        (Framing::resp(), b"+"),
        (Framing::resp3(), b"*1\r\n"),
        (Framing::resp3(), b"|1\r\n:1\r\n:1\r\n"),
    ] {
        let name = format!("{} of {}", framing.name(), bytes.escape_ascii());
        let (mut client, peer) = (client(), Peer::new());
        let framing = framing.frame_bytes_max(LIMIT);
        let (connection, stream) = connected(&mut client, &peer, framing);
        let writer = write_for_ever(stream, bytes);
        let told = until_closed(&mut client, connection);
        let received = client.transferred(connection).unwrap().1;
        let error = told.error.unwrap();
        assert_eq!(
            (error.class, error.phase, told.frames.len()),
            (Class::Protocol, Phase::Read, 0),
            "{name}: {error}"
        );
        assert!(
            matches!(
                error.source,
                Source::Oversize { limit: LIMIT, .. } | Source::Malformed(_)
            ),
            "{name}: {error}"
        );
        assert!(
            received <= LIMIT as u64 + one_read,
            "{name}: {received} bytes taken"
        );
        writer.join().unwrap();
    }
}

/// Each stream is cut at each byte; the first part is read before the second one is written.
fn frames_of_each_cut(framing: &Framing, stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let (mut client, peer) = (client(), Peer::new());
    (1..stream.len())
        .map(|cut| {
            let (connection, mut peer) = connected(&mut client, &peer, framing.clone());
            peer.write_all(&stream[..cut]).unwrap();
            let (mut frames, is_over) = until_received(&mut client, connection, cut as u64);
            if !is_over {
                peer.write_all(&stream[cut..]).unwrap();
                drop(peer);
                frames.extend(until_closed(&mut client, connection).frames);
            }
            frames
        })
        .collect()
}

/// Turns until so many bytes were read; the frames told on the way, and whether that was the connection's end.
fn until_received(
    client: &mut Client,
    connection: ConnectionId,
    bytes: u64,
) -> (Vec<Vec<u8>>, bool) {
    let mut frames = Vec::new();
    until_in_kernel(client, connection, bytes);
    while client.transferred(connection).unwrap().1 < bytes {
        client.turn(Some(Duration::ZERO)).unwrap();
        while let Some(event) = client.next_event() {
            match event {
                Event::Frame { frame, .. } => frames.push(client.bytes(&frame).to_vec()),
                Event::Closed { .. } => return (frames, true),
                other => panic!("{other:?}"),
            }
        }
    }
    (frames, false)
}

#[test]
fn a_return_is_part_of_a_line_end_only_right_before_its_newline_wherever_the_stream_is_cut() {
    let stream = b"ab\r\n\r\n\nc\rd\n\r\r\ne\n\rf\r\n";
    let lines = [&b"ab"[..], b"", b"", b"c\rd", b"\r", b"e", b"\rf"];
    for frames in frames_of_each_cut(&Framing::line(), stream) {
        assert_eq!(frames, lines);
    }
    let frames = [&b"ab"[..], b"", b"\nc\rd\n\r", b"e\n\rf"];
    for cut in frames_of_each_cut(&Framing::delimiter(b"\r\n"), stream) {
        assert_eq!(cut, frames);
    }
}

#[test]
fn a_line_of_the_limit_passes_with_either_end_and_one_byte_more_does_not() {
    const LIMIT: usize = 8;
    let framing = Framing::line().frame_bytes_max(LIMIT);
    for length in [LIMIT - 1, LIMIT, LIMIT + 1] {
        for end in [&b"\n"[..], b"\r\n"] {
            let line = vec![b'x'; length];
            let stream = [&line, end, b"y\n"].concat();
            let expected = match length > LIMIT {
                true => vec![],
                false => vec![line, b"y".to_vec()],
            };
            for frames in frames_of_each_cut(&framing, &stream) {
                assert_eq!(frames, expected, "{length} {}", end.escape_ascii());
            }
        }
    }
    // The byte that follows tells whether the return belongs to the line.
    for frames in frames_of_each_cut(&framing, b"12345678\rx\n") {
        assert_eq!(frames, [] as [&[u8]; 0]);
    }
}

#[test]
fn bytes_that_are_no_text_are_a_line_like_others() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let others = |byte: &u8| *byte != b'\n';
    let all: Vec<u8> = (0..=255).filter(others).collect();
    let broken = [&b"\xff\xfe"[..], b"\xc3", b"\xed\xa0\x80", b"\0", &all];
    for line in broken {
        // A sequence that is cut in its midst, and the next line right behind it.
        stream.write_all(line).unwrap();
        stream.write_all(b"\n").unwrap();
        assert_eq!(next_frame(&mut client, connection), line);
    }
}

/// Framings in which a frame may hold nothing, and the bytes of such a frame.
fn empty_frames() -> [(Framing, &'static [u8]); 6] {
    [
        (Framing::line(), b"\n"),
        (Framing::line(), b"\r\n"),
        (Framing::delimiter(b"--"), b"--"),
        (Framing::length(LengthPrefix::new(1)), b"\0"),
        (Framing::len16(), b"\0\0"),
        (Framing::len32(), b"\0\0\0\0"),
    ]
}

/// Two bounds cap a flood of empty frames, both by name in `Limits`: `turn_frames_max` what one turn does of it,
/// `events_max` what waits of it. The rest stays with the peer.
#[test]
fn a_flood_of_empty_frames_is_capped_by_the_turn_and_by_the_events_that_wait() {
    const EVENTS_MAX: usize = 1_000;
    for (framing, empty) in empty_frames() {
        let mut client = client_with(|it| it.limits.events_max = EVENTS_MAX);
        let turn_frames_max = Limits::default().turn_frames_max;
        let peer = Peer::new();
        let (flooded, stream) = connected(&mut client, &peer, framing);
        let (other, mut other_stream) = connected(&mut client, &peer, Framing::line());
        let writer = write_for_ever(stream, empty);
        until_in_kernel(&client, flooded, 64 << 10);

        // A program that does not pull: what waits for it does not grow.
        for _ in 0..100 {
            client.turn(Some(Duration::ZERO)).unwrap();
        }
        let waiting = std::iter::from_fn(|| client.next_event()).count();
        assert_eq!(waiting, EVENTS_MAX, "events that wait");

        // One that pulls: a turn takes no more than its quota, and another's line is in the next one.
        for _ in 0..50 {
            other_stream.write_all(b"me too\n").unwrap();
            until_in_kernel(&client, other, client.transferred(other).unwrap().1 + 7);
            client.turn(Some(Duration::ZERO)).unwrap();
            let (mut empties, mut lines) = (0, 0);
            while let Some(event) = client.next_event() {
                match event {
                    Event::Frame { connection, frame } if connection == flooded => {
                        assert!(frame.is_empty() && client.bytes(&frame).is_empty());
                        empties += 1;
                    }
                    Event::Frame { connection, .. } if connection == other => lines += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(lines, 1, "another's line waits for {empties} empty frames");
            assert!(empties <= turn_frames_max, "{empties} frames in one turn");
        }
        client.abort(flooded).unwrap();
        writer.join().unwrap();
    }
}

/// On an upstream in order an empty frame is a reply: those that nobody asked for end the connection at the first.
#[test]
fn empty_replies_that_nobody_asked_for_end_the_connection_at_the_first() {
    for (framing, empty) in empty_frames() {
        let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
        let (upstream, mut streams) =
            standing(&mut client, &peer, |it| it.framing(framing).depth(3));
        let requests = [(); 2].map(|()| ledger.request(&mut client, upstream, b"x\n", far()));
        client.flush();
        let mut stream = streams.remove(0);
        read_exactly(&mut stream, 4);
        let writer = write_for_ever(stream, empty);
        for request in requests {
            assert_eq!(ledger.until(&mut client, request).reply(), b"");
        }
        ledger.until_all(&mut client);
        writer.join().unwrap();
        let stats = client.upstream_stats(upstream).unwrap();
        assert_eq!((stats.open, stats.losses), (0, 1));
        assert_eq!(stats.last_error.unwrap().source, Source::Unsolicited);
    }
}

/// Pushes answer no request, so a flood of them ends nothing: it is capped as other floods are, and a request in its
/// midst ends once, by its deadline or its reply.
#[test]
fn a_flood_of_empty_pushes_is_capped_and_the_request_behind_it_ends_once() {
    const EVENTS_MAX: usize = 500;
    let mut client = client_with(|it| it.limits.events_max = EVENTS_MAX);
    let (peer, mut ledger) = (Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.framing(Framing::resp3()));
    let request = ledger.request(&mut client, upstream, b"x\n", far());
    client.flush();
    let mut stream = streams.remove(0);
    read_exactly(&mut stream, 2);
    let pushes = 50_000;
    let writer = std::thread::spawn(move || {
        stream.write_all(&b">0\r\n".repeat(pushes)).unwrap();
        stream.write_all(b"+own\r\n").unwrap();
        stream
    });
    let mut told = 0;
    while ledger.open() > 0 {
        for _ in 0..4 {
            client.turn(Some(ms(1))).unwrap();
        }
        let mut waiting = 0;
        while let Some(event) = client.next_event() {
            waiting += 1;
            match event {
                Event::Push { .. } => told += 1,
                other => assert_eq!(ledger.book(&client, other), request),
            }
        }
        assert!(waiting <= EVENTS_MAX, "{waiting} events waited");
    }
    assert_eq!(told, pushes);
    assert_eq!(ledger.until(&mut client, request).reply(), b"+own\r\n");
    assert_silent(&mut client);
    drop(writer.join().unwrap());
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 0);
}
