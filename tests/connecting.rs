//! Connecting: refused, a full backlog, the next address, a connection to itself.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::*;
use taut::{Class, Client, Config, Event, Framing, Phase, Sent, Source, Upstream};

/// A port at which nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A listener whose backlog is full: a SYN to it is dropped. Keep what is returned.
fn black_hole() -> (SocketAddr, Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let stands = socket.connect_timeout(&address, ms(30)).is_ok();
        waiting.push(socket);
        if !stands {
            return (address.as_socket().unwrap(), listener, waiting);
        }
    }
}

#[test]
fn a_refused_raw_connection_is_told_once_and_nothing_was_sent() {
    let mut client = client();
    let connection = client
        .connect(&closed_port().to_string(), Framing::line())
        .unwrap();
    client
        .send(connection, b"queued before it stands\n")
        .unwrap();
    let told = until_closed(&mut client, connection);
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Transient, Phase::Connect, Sent::No)
    );
    assert_eq!((error.errno(), told.written), (Some(libc::ECONNREFUSED), 0));
    assert_silent(&mut client);
    assert_eq!(client.connections(), 0);
}

#[test]
fn requests_that_wait_for_a_refused_upstream_fail_at_once_and_not_by_their_deadline() {
    let (mut client, mut ledger) = (client(), Ledger::default());
    let upstream = client
        .add(Upstream::new(closed_port().to_string()).connections(3))
        .unwrap();
    let requests: Vec<_> = (0..10)
        .map(|_| ledger.request(&mut client, upstream, b"ping\n", far()))
        .collect();
    for request in requests {
        let error = ledger.until(&mut client, request).error();
        assert_eq!(
            (error.class, error.phase, error.sent),
            (Class::Transient, Phase::Connect, Sent::No)
        );
        assert_eq!(error.errno(), Some(libc::ECONNREFUSED));
    }
    ledger.until_all(&mut client);
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.connects, stats.connect_failures, stats.connecting),
        (0, 3, 0)
    );
}

#[test]
fn refused_and_then_listening_is_up_again_when_a_request_asks() {
    let (mut client, mut ledger) = (client(), Ledger::default());
    let address = closed_port();
    let upstream = client.add(Upstream::new(address.to_string())).unwrap();
    turn_until(&mut client, "the refusal", |client| {
        client.upstream_stats(upstream).unwrap().connect_failures == 1
    });
    let listener = TcpListener::bind(address).unwrap();
    let server = std::thread::spawn(move || echo(patient(listener.accept().unwrap().0)));
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    assert_eq!(ledger.until(&mut client, request).reply(), b"ping");
    ledger.until_all(&mut client);
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_full_backlog_ends_at_the_connect_deadline_and_not_before() {
    let (address, _listener, _waiting) = black_hole();
    let mut client = client_with(|it| it.timeouts.connect = ms(50));
    let asked_at = Instant::now();
    let connection = client
        .connect(&address.to_string(), Framing::line())
        .unwrap();
    let told = until_closed(&mut client, connection);
    assert!(asked_at.elapsed() >= ms(50));
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Transient, Phase::Connect, Sent::No)
    );
    assert_eq!(error.source, Source::Timeout(ms(50)));
    assert_silent(&mut client);
}

#[test]
fn a_backlog_that_empties_lets_the_connection_stand() {
    let (address, listener, waiting) = black_hole();
    let mut client = client();
    let connection = client
        .connect(&address.to_string(), Framing::line())
        .unwrap();
    client.send(connection, b"late\n").unwrap();
    client.turn(Some(ms(5))).unwrap();
    assert_eq!(client.next_event(), None);
    // The kernel tries the SYN again after a second.
    drop(waiting);
    let server = std::thread::spawn(move || {
        let listener: TcpListener = listener.into();
        loop {
            let mut stream = patient(listener.accept().unwrap().0);
            if stream.write_all(b"hello\n").is_ok() && read_to_the_end(&mut stream) == b"late\n" {
                return;
            }
        }
    });
    until_connected(&mut client, connection);
    assert_eq!(next_frame(&mut client, connection), b"hello");
    client.close(connection).unwrap();
    assert_eq!(until_closed(&mut client, connection).error, None);
    server.join().unwrap();
}

#[test]
fn the_second_address_is_used_when_the_first_is_refused() {
    let peer = Peer::new();
    let addresses = vec![closed_port(), peer.addr()];
    let mut client =
        Client::with_resolver(Config::default(), Arc::new(Addresses(addresses))).unwrap();
    let connection = client.connect("two.addresses:1", Framing::line()).unwrap();
    client.send(connection, b"hello\n").unwrap();
    let at = client_until(&mut client, |_, event| match event {
        Event::Connected { peer, .. } => Some(peer),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        (at, client.peer_addr(connection)),
        (peer.addr(), Some(peer.addr()))
    );
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_exactly(&mut peer.accept(), 6), b"hello\n");
}

#[test]
fn the_second_address_is_used_when_the_first_does_not_answer_in_its_time() {
    let (hole, _listener, _waiting) = black_hole();
    let peer = Peer::new();
    let mut config = Config::default();
    config.timeouts.connect_address = ms(40);
    let mut client =
        Client::with_resolver(config, Arc::new(Addresses(vec![hole, peer.addr()]))).unwrap();
    let asked_at = Instant::now();
    let connection = client.connect("two.addresses:1", Framing::line()).unwrap();
    until_connected(&mut client, connection);
    assert!(asked_at.elapsed() >= ms(40));
    assert_eq!(client.peer_addr(connection), Some(peer.addr()));
}

#[test]
fn when_no_address_answers_the_last_error_is_told_once() {
    let mut addresses: Vec<_> = (0..5).map(|_| closed_port()).collect();
    let (hole, _listener, _waiting) = black_hole();
    addresses.insert(2, hole);
    let mut config = Config::default();
    config.timeouts.connect_address = ms(40);
    let mut client = Client::with_resolver(config, Arc::new(Addresses(addresses))).unwrap();
    let connection = client.connect("six.addresses:1", Framing::line()).unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!(
        (error.phase, error.errno()),
        (Phase::Connect, Some(libc::ECONNREFUSED))
    );
    assert_silent(&mut client);
}

#[test]
fn the_connect_deadline_bounds_all_addresses_together() {
    let (hole, _listener, _waiting) = black_hole();
    let mut config = Config::default();
    config.timeouts.connect_address = ms(40);
    config.timeouts.connect = ms(60);
    let resolver = Arc::new(Addresses(vec![hole; 100]));
    let mut client = Client::with_resolver(config, resolver).unwrap();
    let asked_at = Instant::now();
    let connection = client.connect("many.addresses:1", Framing::line()).unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert!(asked_at.elapsed() >= ms(60));
    assert_eq!(
        (error.phase, error.source),
        (Phase::Connect, Source::Timeout(ms(60)))
    );
    assert!(
        asked_at.elapsed() < Duration::from_secs(3),
        "each of 100 addresses had its 40 ms"
    );
}

/// The kernel draws source ports from half of its range, so within some ten thousand attempts at a port of the range
/// it draws the very one; nobody listens there, and yet the connection stands.
#[test]
fn a_connection_to_itself_is_refused_by_name() {
    let mut client = client();
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let bounds: Vec<u16> = range
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    // connect(2) prefers ports of the parity of the lower bound.
    let target = std::iter::repeat_with(closed_port)
        .find(|at| {
            at.port() % 2 == bounds[0] % 2 || TcpListener::bind((at.ip(), at.port() ^ 1)).is_ok()
        })
        .map(|at| SocketAddr::new(at.ip(), at.port() & !1 | bounds[0] & 1))
        .unwrap();
    // Each draw hits it with a chance of one in half the range: e^-24 is left after so many.
    let attempts_max = 12 * u32::from(bounds[1] - bounds[0]);
    let (mut attempts, mut open, mut met_itself) = (0, BTreeSet::new(), false);
    while !met_itself && attempts < attempts_max {
        while open.len() < 64 {
            open.insert(
                client
                    .connect(&target.to_string(), Framing::line())
                    .unwrap(),
            );
            attempts += 1;
        }
        client.turn(Some(ms(100))).unwrap();
        while let Some(event) = client.next_event() {
            let Event::Closed {
                connection,
                error: Some(error),
                ..
            } = event
            else {
                panic!("{event:?}")
            };
            assert!(open.remove(&connection));
            assert_eq!(
                (error.class, error.phase, error.sent),
                (Class::Transient, Phase::Connect, Sent::No)
            );
            met_itself |= error.source == Source::SelfConnect;
        }
    }
    assert!(met_itself, "not in {attempts} attempts at {target}");
    assert!(TcpStream::connect(target).is_err());
}

#[test]
fn room_that_was_asked_for_while_connecting_is_told_after_connected() {
    let (mut client, peer) = (client(), Peer::new());
    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    client.notify_writable(connection).unwrap();
    until_connected(&mut client, connection);
    let told = client_until(&mut client, |_, event| Some(event));
    assert_eq!(told, Event::Writable { connection });
}
