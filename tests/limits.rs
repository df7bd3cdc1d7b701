//! Every bound is a return value that names itself; what was refused was not queued, and nothing more is told of it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::server::{Server, ServerConfig};
use taut::{Class, Client, Config, Deadline, Error, Event, Framing, Limit, Sent, Source, Upstream};

#[track_caller]
fn assert_full<T: std::fmt::Debug>(outcome: Result<T, Error>, limit: Limit) {
    let error = outcome.unwrap_err();
    assert_eq!(
        (error.class, error.sent, error.source),
        (Class::Resource, Sent::No, Source::Full { limit })
    );
    assert!(
        error.is_full() && error.to_string().contains(&limit.to_string()),
        "{error}"
    );
}

#[test]
fn the_send_queue_refuses_what_goes_beyond_its_bytes_and_tells_when_to_go_on() {
    let (mut client, peer) = (
        client_with(|it| it.limits.send_queue_bytes_max = 1000),
        Peer::new(),
    );
    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    client.send(connection, &[b'a'; 600]).unwrap();
    assert_full(client.send(connection, &[b'b'; 401]), Limit::SendQueueBytes);
    client.send(connection, &[b'c'; 400]).unwrap();
    assert_full(client.send(connection, b"d"), Limit::SendQueueBytes);
    assert_eq!(client.queued(connection), Some(1000));
    until_connected(&mut client, connection);
    client_until(&mut client, |_, event| match event {
        Event::Writable { connection: it } if it == connection => Some(()),
        other => panic!("{other:?}"),
    });
    assert_eq!(client.queued(connection), Some(0));
    let mut stream = peer.accept();
    let got = read_exactly(&mut stream, 1000);
    assert_eq!(
        (&got[..600], &got[600..]),
        (&[b'a'; 600][..], &[b'c'; 400][..])
    );
    assert_silent(&mut client);
}

#[test]
fn a_request_that_no_queue_can_ever_take_is_refused() {
    let (mut client, peer) = (
        client_with(|it| it.limits.send_queue_bytes_max = 1000),
        Peer::new(),
    );
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    for error in [
        client.request(upstream, &[b'x'; 1001], far()).unwrap_err(),
        client.send(connection, &[b'x'; 1001]).unwrap_err(),
    ] {
        assert!(
            !error.is_full() && error.to_string().contains("send_queue_bytes_max"),
            "{error}"
        );
    }
    client.abort(connection).unwrap();
    assert!(matches!(client.next_event(), Some(Event::Closed { .. })));
    let mut ledger = Ledger::default();
    let request = ledger.request(&mut client, upstream, &[b'x'; 1000], far());
    assert_full(client.request(upstream, b"y", far()), Limit::SendQueueBytes);
    client.flush();
    read_exactly(&mut streams[0], 1000);
    streams[0].write_all(b"ok\n").unwrap();
    ledger.until(&mut client, request).reply();
    ledger.until_all(&mut client);
}

/// `Writable` is for raw connections: an upstream's connection speaks through its requests only.
#[test]
fn a_refused_request_is_followed_by_no_event_when_the_queue_drains() {
    let (mut client, peer) = (
        client_with(|it| it.limits.send_queue_bytes_max = 12 << 20),
        Peer::narrow(),
    );
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(64));
    let mut ledger = Ledger::default();
    let large = ledger.request(&mut client, upstream, &[b'x'; 12 << 20], far());
    client.flush();
    while client
        .request(upstream, &[b'y'; 1 << 20], far())
        .is_ok_and(|id| ledger.adopt(id))
    {}
    let bytes = (12 << 20) + ((ledger.open() - 1) << 20);
    let mut stream = streams.remove(0);
    let open = ledger.open();
    let server = std::thread::spawn(move || {
        read_exactly(&mut stream, bytes);
        stream.write_all(&b"ok\n".repeat(open)).unwrap();
        stream
    });
    assert_eq!(ledger.until(&mut client, large).reply(), b"ok");
    ledger.until_all(&mut client);
    drop(server.join().unwrap());
}

#[test]
fn waiting_requests_are_bounded_in_number() {
    let mut client = client_with(|it| it.limits.waiting_requests_max = 3);
    let (peer, mut ledger) = (Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    for _ in 0..1 + 3 {
        ledger.request(&mut client, upstream, b"x\n", far());
    }
    assert_full(
        client.request(upstream, b"x\n", far()),
        Limit::WaitingRequests,
    );
    assert_eq!(client.upstream_stats(upstream).unwrap().waiting, 3);
    for _ in 0..4 {
        client.turn(Some(Duration::ZERO)).unwrap();
        read_exactly(&mut streams[0], 2);
        streams[0].write_all(b"ok\n").unwrap();
        let id = client_until(&mut client, |client, event| {
            Some(ledger.book(client, event))
        });
        assert_eq!(ledger.ended(id), Some(&Ended::Reply(b"ok".to_vec())));
    }
    ledger.until_all(&mut client);
}

#[test]
fn waiting_requests_are_bounded_in_bytes() {
    let mut client = client_with(|it| it.limits.waiting_bytes_max = 100);
    let (peer, mut ledger) = (Peer::new(), Ledger::default());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it);
    ledger.request(&mut client, upstream, b"sent\n", Deadline::after(ms(50)));
    ledger.request(&mut client, upstream, &[b'x'; 60], Deadline::after(ms(50)));
    assert_full(
        client.request(upstream, &[b'x'; 41], far()),
        Limit::WaitingBytes,
    );
    ledger.request(&mut client, upstream, &[b'x'; 40], Deadline::after(ms(50)));
    assert_full(client.request(upstream, b"x", far()), Limit::WaitingBytes);
    ledger.until_all(&mut client);
    assert_eq!(ledger.failures(), 3);
    // Those that gave up take no room.
    ledger.request(&mut client, upstream, &[b'x'; 100], Deadline::after(ms(1)));
    ledger.until_all(&mut client);
}

/// Those that gave up in the midst of others wait no more, so they do not count.
#[test]
fn a_waiting_request_that_gave_up_makes_room_for_another_at_once() {
    let mut client = client_with(|it| it.limits.waiting_requests_max = 2);
    let (peer, mut ledger) = (Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    ledger.request(&mut client, upstream, b"sent\n", far());
    ledger.request(&mut client, upstream, b"patient\n", far());
    let hasty = ledger.request(&mut client, upstream, b"hasty\n", Deadline::after(ms(5)));
    assert_full(
        client.request(upstream, b"x\n", far()),
        Limit::WaitingRequests,
    );
    ledger.until(&mut client, hasty).error();
    assert_eq!(client.upstream_stats(upstream).unwrap().waiting, 1);
    let next = ledger.request(&mut client, upstream, b"next\n", far());
    for expected in [&b"sent\n"[..], b"patient\n", b"next\n"] {
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(read_exactly(&mut streams[0], expected.len()), expected);
        streams[0].write_all(b"ok\n").unwrap();
        client_until(&mut client, |client, event| {
            Some(ledger.book(client, event))
        });
    }
    assert_eq!(ledger.ended(next), Some(&Ended::Reply(b"ok".to_vec())));
    ledger.until_all(&mut client);
}

#[test]
fn connections_are_bounded_and_a_closed_one_makes_room_after_its_event() {
    let (mut client, peer) = (client_with(|it| it.limits.connections_max = 2), Peer::new());
    let (one, _stream_one) = connected(&mut client, &peer, Framing::line());
    let (_two, _stream_two) = connected(&mut client, &peer, Framing::line());
    assert_full(
        client.connect(&peer.target(), Framing::line()),
        Limit::Connections,
    );
    assert_full(client.add(Upstream::new(peer.target())), Limit::Connections);
    assert_eq!(client.connections(), 2);
    client.abort(one).unwrap();
    until_closed(&mut client, one);
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.connections(), 1);
    assert_full(
        client.add(Upstream::new(peer.target()).connections(2)),
        Limit::Connections,
    );
    connected(&mut client, &peer, Framing::line());
}

#[test]
fn events_wait_in_a_bounded_number_and_none_is_lost() {
    let mut client = client_with(|it| it.limits.events_max = 10);
    let peer = Peer::new();
    let mut pairs: Vec<_> = (0..3)
        .map(|_| connected(&mut client, &peer, Framing::line()))
        .collect();
    for (_, stream) in &mut pairs {
        stream.write_all(&b"x\n".repeat(100)).unwrap();
    }
    for (connection, _) in &pairs {
        until_in_kernel(&client, *connection, 200);
    }
    let (mut told, deadline) = (0, std::time::Instant::now() + PATIENCE);
    while told < 300 {
        for _ in 0..5 {
            client.turn(Some(Duration::ZERO)).unwrap();
        }
        let waiting = std::iter::from_fn(|| client.next_event()).count();
        assert!(waiting <= 10, "{waiting} events waited");
        told += waiting;
        assert!(std::time::Instant::now() < deadline, "{told} of 300 told");
    }
    assert_silent(&mut client);
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    type Change = fn(&mut Config);
    let changes: [(&str, Change); 6] = [
        ("timeouts.connect", |it| {
            it.timeouts.connect = Duration::ZERO
        }),
        ("timeouts.idle", |it| it.timeouts.idle = Duration::ZERO),
        ("limits.connections_max", |it| it.limits.connections_max = 0),
        ("limits.events_max", |it| it.limits.events_max = 0),
        ("limits.frame_bytes_max", |it| {
            it.limits.frame_bytes_max = 1 << 31
        }),
        ("limits.read_bytes", |it| it.limits.read_bytes = 63),
    ];
    for (name, change) in changes {
        let mut config = Config::default();
        change(&mut config);
        let error = Client::new(config).unwrap_err();
        assert_eq!(error.class, Class::Local);
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let mut client = client();
    assert!(
        client
            .add(Upstream::new("127.0.0.1:1").connections(0))
            .is_err()
    );
    assert!(client.add(Upstream::new("127.0.0.1:1").depth(0)).is_err());
}

/// They overflowed a sum, or the memory, instead.
#[test]
fn sizes_that_no_memory_has_are_refused_by_name() {
    let mut config = Config::default();
    config.limits.read_bytes = usize::MAX;
    let error = Client::new(config).unwrap_err();
    assert!(error.to_string().contains("limits.read_bytes"), "{error}");
    let config = ServerConfig {
        line_bytes_max: usize::MAX,
        ..ServerConfig::default()
    };
    let error = Server::bind(([127, 0, 0, 1], 0).into(), config).unwrap_err();
    assert!(error.to_string().contains("line_bytes_max"), "{error}");
}

/// A large frame leaves large storage in the pool, and one read filled all of it.
#[test]
fn a_turn_reads_no_more_than_its_bound_and_one_read() {
    let mut client = client_with(|it| {
        (it.limits.read_bytes, it.limits.turn_bytes_max) = (64, 64);
        (it.limits.turn_frames_max, it.limits.unpulled_bytes_max) = (usize::MAX, usize::MAX);
    });
    let peer = Peer::new();
    let (large, mut stream) = connected(&mut client, &peer, Framing::fixed(60_000));
    stream.write_all(&[0; 60_000]).unwrap();
    assert_eq!(next_frame(&mut client, large).len(), 60_000);
    client.turn(Some(Duration::ZERO)).unwrap();
    let (other, mut stream) = connected(&mut client, &peer, Framing::raw());
    stream.write_all(&[1; 50_000]).unwrap();
    until_in_kernel(&client, other, 50_000);
    client.turn(Some(PATIENCE)).unwrap();
    assert!(client.transferred(other).unwrap().1 <= 128);
}
