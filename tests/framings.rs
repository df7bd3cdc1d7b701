//! Framings beyond the plain ones, over loopback against plain std servers: pushes between replies, replies matched by
//! the id they carry, frames over the limit that are skipped.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use taut::{Class, Client, Config, Deadline, Event, Framing, Sent, Source, Upstream, UpstreamId};

/// No wait of a passing test takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of one connection.
fn serve(speak: impl FnOnce(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        speak(stream);
    });
    (address, thread)
}

fn read_exactly(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    stream.read_exact(&mut buffer).unwrap();
    buffer
}

fn client() -> Client {
    Client::new(Config::default()).unwrap()
}

fn far() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// The next event, and a copy of the bytes it brought.
#[track_caller]
fn next(client: &mut Client) -> (Event, Vec<u8>) {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = client.next_event() {
            let bytes = match &event {
                Event::Frame { frame, .. }
                | Event::Push { frame, .. }
                | Event::Reply { frame, .. } => client.bytes(frame).to_vec(),
                _ => Vec::new(),
            };
            return (event, bytes);
        }
        assert!(Instant::now() < patience, "no event came");
        client.turn(Some(Duration::from_millis(100))).unwrap();
    }
}

#[test]
fn a_push_is_told_between_replies_and_answers_none() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 6);
        stream
            .write_all(b">2\r\n+invalidate\r\n+a\r\n|1\r\n+ttl\r\n:1\r\n#t\r\n>1\r\n+b\r\n_\r\n>1\r\n+c\r\n")
            .unwrap();
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = Upstream::new(address).framing(Framing::resp3()).depth(2);
    let upstream = client.add(upstream).unwrap();
    for tag in [1, 2] {
        client
            .request_tagged(upstream, b"+a\n", far(), tag)
            .unwrap();
    }
    let mut told = Vec::new();
    for _ in 0..5 {
        let (event, bytes) = next(&mut client);
        let bytes = String::from_utf8(bytes).unwrap();
        match event {
            Event::Reply { tag, .. } => told.push(format!("reply to {tag}: {bytes}")),
            Event::Push {
                upstream: from,
                connection,
                ..
            } => {
                assert_eq!(from, upstream);
                assert!(client.connections_of(upstream).eq([connection]));
                told.push(format!("push: {bytes}"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        told,
        [
            "push: >2\r\n+invalidate\r\n+a\r\n",
            "reply to 1: |1\r\n+ttl\r\n:1\r\n#t\r\n",
            "push: >1\r\n+b\r\n",
            "reply to 2: _\r\n",
            "push: >1\r\n+c\r\n",
        ]
    );
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.in_flight, stats.losses), (0, 0), "it goes on");
    client.request(upstream, b"+", far()).unwrap();
    client.flush();
    server.join().unwrap();
}

#[test]
fn a_push_on_a_raw_connection_is_a_frame() {
    let (address, server) = serve(|mut stream| stream.write_all(b">0\r\n_\r\n").unwrap());
    let mut client = client();
    client.connect(&address, Framing::resp3()).unwrap();
    let told: Vec<_> = (0..4).map(|_| next(&mut client)).collect();
    assert!(matches!(told[0].0, Event::Connected { .. }));
    assert!(matches!(told[1], (Event::Frame { .. }, ref bytes) if bytes == b">0\r\n"));
    assert!(matches!(told[2], (Event::Frame { .. }, ref bytes) if bytes == b"_\r\n"));
    assert!(matches!(told[3].0, Event::Closed { .. }));
    server.join().unwrap();
}

#[test]
fn what_a_push_had_of_its_bytes_is_no_proof_that_a_request_arrived() {
    for (what, sent) in [
        (&b">2\r\n+half"[..], Sent::Maybe),
        (b">x", Sent::Maybe),
        (b"*2\r\n+half", Sent::Yes),
        (b"*x", Sent::Yes),
    ] {
        let (address, server) = serve(move |mut stream| {
            read_exactly(&mut stream, 1);
            stream.write_all(what).unwrap();
        });
        let mut client = client();
        let upstream = Upstream::new(address).framing(Framing::resp3());
        let upstream = client.add(upstream).unwrap();
        client.request(upstream, b"x", far()).unwrap();
        match next(&mut client).0 {
            Event::Failed { error, .. } => assert_eq!(error.sent, sent, "{error}"),
            other => panic!("{other:?}"),
        }
        server.join().unwrap();
    }
}

#[test]
fn half_a_push_on_an_idle_line_is_no_reply_that_nobody_asked_for() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b">1\r\n+ha").unwrap();
        read_exactly(&mut stream, 1);
        stream.write_all(b"lf\r\n+OK\r\n").unwrap();
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = Upstream::new(address).framing(Framing::resp3());
    let upstream = client.add(upstream).unwrap();
    let patience = Instant::now() + PATIENCE;
    while client
        .connections_of(upstream)
        .next()
        .and_then(|id| client.transferred(id))
        != Some((0, 7))
    {
        assert!(Instant::now() < patience, "half a push never came");
        client.turn(Some(Duration::from_millis(5))).unwrap();
    }
    client.request(upstream, b"x", far()).unwrap();
    assert!(
        matches!(next(&mut client), (Event::Push { .. }, ref bytes) if bytes == b">1\r\n+half\r\n")
    );
    assert!(matches!(next(&mut client), (Event::Reply { .. }, ref bytes) if bytes == b"+OK\r\n"));
    client.request(upstream, b"x", far()).unwrap();
    client.flush();
    server.join().unwrap();
}

/// Frames of a length of 2 bytes; each payload begins with an id of one byte, 0 for none.
fn by_id(address: String) -> Upstream {
    let id_of = |payload: &[u8]| {
        payload
            .first()
            .map(|&id| u64::from(id))
            .filter(|&id| id > 0)
    };
    let framing = Framing::len16().reply_id(id_of);
    Upstream::new(address)
        .framing(framing)
        .depth(4)
        .matched_by_id()
}

/// An upstream of one connection, which stands: what is asked now leaves now.
fn standing(client: &mut Client, upstream: Upstream) -> UpstreamId {
    let upstream = client.add(upstream).unwrap();
    let patience = Instant::now() + PATIENCE;
    while client.connections_of(upstream).next().is_none() {
        assert!(Instant::now() < patience, "no connection");
        client.turn(Some(Duration::from_millis(5))).unwrap();
    }
    upstream
}

fn ask(client: &mut Client, upstream: UpstreamId, id: u8, deadline: Deadline) {
    client
        .request_tagged(upstream, &[0, 1, id], deadline, id.into())
        .unwrap();
    client.flush();
}

#[test]
fn replies_are_matched_by_the_id_they_carry_and_a_frame_without_one_is_a_push() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 9);
        stream
            .write_all(b"\0\x02\x03c\0\x05\0news\0\x02\x01a\0\x02\x02b")
            .unwrap();
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    for id in [1, 2, 3] {
        ask(&mut client, upstream, id, far());
    }
    let doubled = client
        .request_tagged(upstream, &[0, 1, 2], far(), 2)
        .unwrap_err();
    assert_eq!(
        (doubled.source, doubled.sent),
        (Source::IdInUse { id: 2 }, Sent::No)
    );
    let told: Vec<_> = (0..4)
        .map(|_| match next(&mut client) {
            (Event::Reply { tag, .. }, bytes) => (tag, bytes),
            (Event::Push { .. }, bytes) => (0, bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (3, &b"\x03c"[..]),
        (0, b"\0news"),
        (1, b"\x01a"),
        (2, b"\x02b"),
    ];
    assert_eq!(told, expected.map(|(tag, bytes)| (tag, bytes.to_vec())));
    ask(&mut client, upstream, 2, far());
    client.flush();
    server.join().unwrap();
}

#[test]
fn where_replies_carry_ids_a_timeout_costs_neither_the_connection_nor_its_neighbours() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 6);
        // The reply to 1 comes after its deadline: it is sent when 3 has come, which is asked after that.
        read_exactly(&mut stream, 3);
        stream.write_all(b"\0\x01\x01\0\x01\x03\0\x01\x02").unwrap();
        read_exactly(&mut stream, 3);
        stream.write_all(b"\0\x01\x01").unwrap();
        assert_eq!(
            stream.read(&mut [0; 1]).unwrap_or(0),
            0,
            "the client goes first"
        );
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    ask(
        &mut client,
        upstream,
        1,
        Deadline::after(Duration::from_millis(100)),
    );
    ask(&mut client, upstream, 2, far());
    match next(&mut client).0 {
        Event::Failed { tag: 1, error, .. } => assert_eq!(error.source, Source::Deadline),
        other => panic!("{other:?}"),
    }
    ask(&mut client, upstream, 3, far());
    let error = client
        .request_tagged(upstream, b"\0\x01\x01", far(), 1)
        .unwrap_err();
    assert_eq!(
        error.source,
        Source::IdInUse { id: 1 },
        "its late reply may still come"
    );
    for expected in [3, 2] {
        assert!(matches!(next(&mut client).0, Event::Reply { tag, .. } if tag == expected));
    }
    ask(&mut client, upstream, 1, far());
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 1, .. }));
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.connects, stats.losses),
        (1, 0),
        "one connection all along"
    );
    drop(client);
    server.join().unwrap();
}

#[test]
fn an_id_that_nobody_asked_with_ends_the_connection_and_fails_what_is_in_flight_once() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 6);
        stream.write_all(b"\0\x01\x01\0\x01\x01").unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it is ended");
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    ask(&mut client, upstream, 1, far());
    ask(&mut client, upstream, 2, far());
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 1, .. }));
    match next(&mut client).0 {
        Event::Failed { tag: 2, error, .. } => {
            assert_eq!(
                (error.source, error.class),
                (Source::Unsolicited, Class::Protocol)
            );
            assert_eq!(error.sent, Sent::Maybe);
        }
        other => panic!("{other:?}"),
    }
    server.join().unwrap();
}

#[test]
fn a_connection_full_of_requests_that_timed_out_is_replaced() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 12);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it is given up");
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    for id in 1..=4 {
        ask(
            &mut client,
            upstream,
            id,
            Deadline::after(Duration::from_millis(100)),
        );
    }
    for _ in 0..4 {
        assert!(
            matches!(next(&mut client).0, Event::Failed { error, .. } if error.source == Source::Deadline)
        );
    }
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 1);
    server.join().unwrap();
}

/// A frame of len32 with a body of so many bytes.
fn write_frame(stream: &mut TcpStream, bytes: u32) {
    stream.write_all(&bytes.to_be_bytes()).unwrap();
    let chunk = vec![b'x'; 64 << 10];
    let mut left = bytes as usize;
    while left > 0 {
        let n = left.min(chunk.len());
        stream.write_all(&chunk[..n]).unwrap();
        left -= n;
    }
}

const LIMIT: usize = 1 << 10;

fn skipping() -> Framing {
    Framing::len32().frame_bytes_max(LIMIT).skip_oversize()
}

#[test]
fn a_frame_over_the_limit_is_skipped_on_a_raw_connection_and_the_stream_goes_on() {
    let (address, server) = serve(|mut stream| {
        for bytes in [5, 100 << 20, 6, LIMIT as u32 + 1, LIMIT as u32] {
            write_frame(&mut stream, bytes);
        }
    });
    let mut client = client();
    client.connect(&address, skipping()).unwrap();
    let mut told = Vec::new();
    loop {
        match next(&mut client).0 {
            Event::Connected { .. } => {}
            Event::Frame { frame, .. } => told.push(("frame", frame.len() as u64)),
            Event::Skipped { bytes, .. } => told.push(("skipped", bytes)),
            Event::Closed { error, .. } => break assert_eq!(error.unwrap().source, Source::Eof),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        told,
        [
            ("frame", 5),
            ("skipped", 100 << 20),
            ("frame", 6),
            ("skipped", 1_025),
            ("frame", 1_024)
        ]
    );
    server.join().unwrap();
}

#[test]
fn a_reply_over_the_limit_fails_its_own_request_and_no_other() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 3);
        for bytes in [1, 10 << 20, 3] {
            write_frame(&mut stream, bytes);
        }
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = Upstream::new(address).framing(skipping()).depth(3);
    let upstream = standing(&mut client, upstream);
    for tag in [1, 2, 3] {
        client.request_tagged(upstream, b"?", far(), tag).unwrap();
    }
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 1, .. }));
    match next(&mut client).0 {
        Event::Failed { tag: 2, error, .. } => {
            let (limit, claimed) = (LIMIT, 10 << 20);
            assert_eq!(error.source, Source::Oversize { limit, claimed });
            assert_eq!((error.class, error.sent), (Class::Protocol, Sent::Yes));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 3, .. }));
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.losses, stats.in_flight),
        (0, 0),
        "the connection goes on"
    );
    client.request(upstream, b"?", far()).unwrap();
    client.flush();
    server.join().unwrap();
}

#[test]
fn a_skipped_frame_that_nobody_asked_for_is_unsolicited() {
    let (address, server) = serve(|mut stream| {
        write_frame(&mut stream, LIMIT as u32 + 1);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it is ended");
    });
    let mut client = client();
    let upstream = client
        .add(Upstream::new(address).framing(skipping()))
        .unwrap();
    let patience = Instant::now() + PATIENCE;
    while client.upstream_stats(upstream).unwrap().losses == 0 {
        assert!(Instant::now() < patience, "it stays");
        client.turn(Some(Duration::from_millis(5))).unwrap();
    }
    let error = client.upstream_stats(upstream).unwrap().last_error.unwrap();
    assert_eq!(error.source, Source::Unsolicited);
    server.join().unwrap();
}

#[test]
fn what_cannot_skip_or_tell_ids_apart_is_refused_by_name() {
    let mut client = client();
    for framing in [
        Framing::line(),
        Framing::delimiter(b"--"),
        Framing::fixed(8),
        Framing::raw(),
    ] {
        let error = client
            .connect("127.0.0.1:1", framing.skip_oversize())
            .unwrap_err();
        assert!(matches!(error.source, Source::Invalid(why) if why.contains("skip_oversize")));
    }
    let both = Upstream::new("127.0.0.1:1").framing(skipping().reply_id(|_| None));
    let error = client.add(both.matched_by_id()).unwrap_err();
    assert!(matches!(error.source, Source::Invalid(_)), "{error}");
}
