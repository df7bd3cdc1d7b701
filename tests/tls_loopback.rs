//! TLS over loopback: requests and raw connections to the bundled server, which speaks TLS by the same engine.
#![cfg(feature = "_tls")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use support::Addresses;
use taut::server::{Server, ServerConfig, Service};
use taut::{
    Class, Client, Config, Deadline, Event, Framing, Phase, Retry, Source, TlsConfig, TlsInfo,
    TlsServerConfig, TlsVersion, Upstream,
};

/// A certificate for localhost and 127.0.0.1 that signs itself, and its key.
fn certificate() -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

struct Running {
    address: String,
    stopper: taut::server::Stopper,
    thread: Option<std::thread::JoinHandle<taut::server::ServerStats>>,
    tls: TlsConfig,
}

fn start(service: Service, versions: std::ops::RangeInclusive<TlsVersion>) -> Running {
    let (cert, key) = certificate();
    let own = TlsServerConfig::pem(cert.as_str(), key.as_str())
        .versions(versions)
        .build();
    let config = ServerConfig {
        service,
        tls: Some(own.unwrap()),
        ..ServerConfig::default()
    };
    let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config).unwrap();
    let (address, stopper) = (server.local_addr().to_string(), server.stopper());
    let thread = std::thread::spawn(move || {
        server.run().unwrap();
        server.stats()
    });
    let tls = TlsConfig::builder().ca_pem(cert.as_str()).build().unwrap();
    Running {
        address,
        stopper,
        thread: Some(thread),
        tls,
    }
}

impl Running {
    fn stop(mut self) -> taut::server::ServerStats {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn requests_are_answered_over_tls_12_and_13() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let server = start(Service::Shout, version..=version);
        let mut client = Client::new(Config::default()).unwrap();
        let upstream = Upstream::new(&server.address).tls(server.tls.clone());
        let shout = client.add(upstream.connections(2).depth(4)).unwrap();
        for n in 0..200 {
            let asked = format!("line {n}\n");
            let deadline = Deadline::after(Duration::from_secs(10));
            let reply = client.call(shout, asked.as_bytes(), deadline).unwrap();
            let told = client.bytes(&reply);
            assert_eq!(told, asked.trim_end().to_uppercase().as_bytes());
        }
        drop(client);
        let stats = server.stop();
        assert_eq!((stats.lines, stats.failed), (200, 0), "{version:?}");
    }
}

#[test]
fn a_raw_connection_says_what_was_agreed_on_and_closes_in_peace() {
    let server = start(Service::Echo, TlsVersion::Tls12..=TlsVersion::Tls13);
    let mut client = Client::new(Config::default()).unwrap();
    let connection = client
        .connect_tls(&server.address, Framing::fixed(100_000), &server.tls)
        .unwrap();
    let sent: Vec<u8> = (0..100_000).map(|n| n as u8).collect();
    client.send(connection, &sent).unwrap();
    let mut info: Option<TlsInfo> = None;
    loop {
        client.turn(Some(Duration::from_secs(10))).unwrap();
        while let Some(event) = client.next_event() {
            match event {
                Event::Connected { .. } => info = client.tls_info(connection),
                Event::Frame { frame, .. } => {
                    assert_eq!(client.bytes(&frame), sent);
                    client.close(connection).unwrap();
                }
                Event::Closed { error, written, .. } => {
                    assert_eq!((error, written), (None, 100_000));
                    let parting = client.parting(connection).unwrap();
                    assert!(parting.is_commit(), "{parting:?}");
                    assert_eq!(parting.acked, Some(100_000));
                    let info = info.unwrap();
                    assert_eq!(info.version, Some(TlsVersion::Tls13));
                    assert!(info.is_verified && info.handshake.is_some(), "{info:?}");
                    let stats = server.stop();
                    assert_eq!(stats.failed, 0);
                    return;
                }
                _ => {}
            }
        }
    }
}

/// Accepts so many connections, and ends each when it has read what the client says first.
fn hangs_up(connections: usize) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            let read = std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
            assert!(read > 0, "a handshake was begun");
        }
    });
    (address, thread)
}

/// A client to whom every name has these addresses, in this order.
fn client_of(addresses: &[SocketAddr]) -> Client {
    let config = Config {
        retry: Retry::off(),
        ..Config::default()
    };
    Client::with_resolver(config, Arc::new(Addresses(addresses.to_vec()))).unwrap()
}

#[test]
fn where_one_address_hangs_up_in_the_handshake_the_next_one_is_tried() {
    let server = start(Service::Shout, TlsVersion::Tls12..=TlsVersion::Tls13);
    let (deaf, thread) = hangs_up(1);
    let good = server.address.parse().unwrap();
    let mut client = client_of(&[deaf, good]);
    let upstream = Upstream::new("localhost:7").tls(server.tls.clone());
    let shout = client.add(upstream).unwrap();
    let deadline = Deadline::after(Duration::from_secs(10));
    let reply = client.call(shout, b"line\n", deadline).unwrap();
    assert_eq!(client.bytes(&reply), b"LINE");
    let stats = client.upstream_stats(shout).unwrap();
    assert_eq!((stats.connects, stats.last_error), (1, None));
    thread.join().unwrap();
    drop(client);
    assert_eq!(server.stop().failed, 0);
}

#[test]
fn where_all_addresses_hang_up_in_the_handshake_that_is_told() {
    let server = start(Service::Shout, TlsVersion::Tls12..=TlsVersion::Tls13);
    let ((one, first), (other, second)) = (hangs_up(1), hangs_up(1));
    let mut client = client_of(&[one, other]);
    let connection = client.connect_tls("localhost:7", Framing::line(), &server.tls);
    let error = end_of(&mut client, connection.unwrap());
    assert_eq!((error.phase, error.source), (Phase::Handshake, Source::Eof));
    assert_eq!(error.class, Class::Transient);
    first.join().unwrap();
    second.join().unwrap();
    server.stop();
}

#[test]
fn a_certificate_that_is_refused_is_told_and_no_other_address_is_tried() {
    let server = start(Service::Shout, TlsVersion::Tls12..=TlsVersion::Tls13);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let addresses = [server.address.parse().unwrap(), other.local_addr().unwrap()];
    let mut client = client_of(&addresses);
    let stranger = TlsConfig::builder()
        .ca_pem(certificate().0)
        .build()
        .unwrap();
    let connection = client.connect_tls("localhost:7", Framing::line(), &stranger);
    let error = end_of(&mut client, connection.unwrap());
    let is_refused = matches!(error.source, Source::Certificate(_));
    assert!(is_refused && error.phase == Phase::Handshake, "{error}");
    assert!(other.accept().is_err(), "nobody came");
    server.stop();
}

/// The end of a connection that never stood, which is all that is told of it.
fn end_of(client: &mut Client, connection: taut::ConnectionId) -> taut::Error {
    let event = loop {
        client.turn(Some(Duration::from_secs(10))).unwrap();
        if let Some(event) = client.next_event() {
            break event;
        }
    };
    let Event::Closed {
        connection: it,
        error,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(it, connection);
    error.expect("it never stood")
}
