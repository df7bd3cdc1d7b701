//! Faults 3 and 4: bytes come one at a time, or so slowly that waiting for more makes no sense.

use std::io::Write;
use std::time::{Duration, Instant};

use taut::{Class, Deadline, Event, Framing, Phase, Sent, Source, Upstream};

use crate::proxy::Proxy;
use crate::support::*;

/// A millisecond between two bytes, so that each is read by itself.
const BYTE_BY_BYTE: Option<(usize, Duration)> = Some((1, Duration::from_millis(1)));

type Frames = &'static [&'static [u8]];

/// Bytes leave one a write too: the program sends each by itself.
#[test]
fn one_byte_at_a_time_each_way_gives_the_same_frames_in_every_framing() {
    let resp: Frames = &[
        b"+\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*2\r\n:-1\r\n$-1\r\n",
        b"$-1\r\n",
    ];
    let cases: [(Framing, Frames, Frames); 5] = [
        (
            Framing::line(),
            &[b"\n", b"a\r\n", b"bc\n", b"\xff\0\r.\n"],
            &[b"", b"a", b"bc", b"\xff\0\r."],
        ),
        (
            Framing::delimiter(b"||"),
            &[b"||", b"a|b||", b"c||"],
            &[b"", b"a|b", b"c"],
        ),
        (
            Framing::len32(),
            &[b"\0\0\0\0", b"\0\0\0\x03abc", b"\0\0\0\x01\n"],
            &[b"", b"abc", b"\n"],
        ),
        (
            Framing::fixed(3),
            &[b"abc", b"\n\r\0"],
            &[b"abc", b"\n\r\0"],
        ),
        (Framing::resp(), resp, resp),
    ];
    for (framing, on_the_wire, frames) in cases {
        let (target, server) = serve(1, echo);
        let proxy = Proxy::new(target.parse().unwrap());
        proxy.set(|it| it.both_ways(|way| way.slices = BYTE_BY_BYTE));
        let mut client = client();
        let connection = client.connect(&proxy.target(), framing).unwrap();
        until_connected(&mut client, connection);
        for byte in on_the_wire.concat() {
            client.send(connection, &[byte]).unwrap();
            client.flush();
        }
        for frame in frames {
            assert_eq!(next_frame(&mut client, connection), *frame);
        }
        client.close(connection).unwrap();
        let told = until_closed(&mut client, connection);
        assert!(told.frames.is_empty() && told.error.is_none(), "{told:?}");
        server.join().unwrap();
    }
}

#[test]
fn pipelined_requests_find_their_replies_one_byte_at_a_time() {
    let (target, server) = serve(1, echo);
    let proxy = Proxy::new(target.parse().unwrap());
    proxy.set(|it| it.both_ways(|way| way.slices = Some((1, Duration::ZERO))));
    let (mut client, mut ledger) = (client(), Ledger::default());
    let upstream = client.add(Upstream::new(proxy.target()).depth(16)).unwrap();
    let requests: Vec<_> = (0..100)
        .map(|n| ledger.request(&mut client, upstream, format!("{n}\n").as_bytes(), far()))
        .collect();
    ledger.until_all(&mut client);
    for (n, request) in requests.into_iter().enumerate() {
        let reply = ledger.until(&mut client, request).reply();
        assert_eq!(reply, n.to_string().as_bytes());
    }
    drop(client);
    server.join().unwrap();
}

/// A proxy in front of a peer that has said all of its reply at once.
fn dripping(gap: Duration, change: impl Fn(&mut taut::Config)) -> (taut::Client, Proxy, Peer) {
    let peer = Peer::new();
    let proxy = Proxy::new(peer.addr());
    proxy.set(|it| it.to_client.slices = Some((1, gap)));
    (client_with(change), proxy, peer)
}

#[test]
fn a_drip_slower_than_the_read_stall_ends_the_request_that_is_known_to_have_been_sent() {
    let stall = ms(60);
    let (mut client, proxy, peer) = dripping(Duration::from_secs(3600), |it| {
        it.timeouts.read_stall = stall
    });
    let (upstream, mut ledger) = (
        client.add(Upstream::new(proxy.target())).unwrap(),
        Ledger::default(),
    );
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    client.turn(Some(ms(100))).unwrap();
    let mut stream = peer.accept();
    let said_at = Instant::now();
    stream.write_all(b"a long reply\n").unwrap();
    let error = ledger.until(&mut client, request).error();
    assert!(said_at.elapsed() >= stall);
    assert_eq!(
        (error.class, error.phase, error.sent, error.source),
        (
            Class::Transient,
            Phase::Read,
            Sent::Yes,
            Source::Timeout(stall)
        )
    );
    assert_eq!(proxy.counts().to_client, 1);
    ledger.until_all(&mut client);
    assert_eq!(client.upstream_stats(upstream).unwrap().open, 0);
    // The same for a frame that nobody asked for.
    let connection = client.connect(&proxy.target(), Framing::line()).unwrap();
    until_connected(&mut client, connection);
    let mut stream = peer.accept();
    stream.write_all(b"a long line\n").unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Read, Source::Timeout(stall))
    );
}

/// Each byte is progress: only the request's own deadline bounds the whole.
#[test]
fn a_drip_faster_than_the_read_stall_is_borne_until_the_requests_deadline() {
    let (mut client, proxy, peer) = dripping(ms(20), |it| {
        it.timeouts.read_stall = Duration::from_secs(5);
    });
    let (upstream, mut ledger) = (
        client.add(Upstream::new(proxy.target())).unwrap(),
        Ledger::default(),
    );
    let deadline = Instant::now() + ms(800);
    let request = ledger.request(&mut client, upstream, b"ping\n", Deadline::at(deadline));
    client.turn(Some(ms(100))).unwrap();
    let mut stream = peer.accept();
    stream.write_all(&[b'x'; 1_000]).unwrap();
    let error = ledger.until(&mut client, request).error();
    assert!(Instant::now() >= deadline);
    assert_eq!(
        (error.phase, error.sent, error.source),
        (Phase::Read, Sent::Yes, Source::Deadline)
    );
    ledger.until_all(&mut client);

    let connection = client.connect(&proxy.target(), Framing::line()).unwrap();
    until_connected(&mut client, connection);
    peer.accept().write_all(b"slow and whole\n").unwrap();
    client_until(&mut client, |client, event| match event {
        Event::Frame { frame, .. } => {
            assert_eq!(client.bytes(&frame), b"slow and whole");
            Some(())
        }
        other => panic!("{other:?}"),
    });
}
