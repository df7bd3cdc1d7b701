//! TLS over loopback: requests and raw connections to the bundled server, which speaks TLS by the same engine.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use taut::server::{Server, ServerConfig, Service};
use taut::{
    Client, Config, Deadline, Event, Framing, TlsConfig, TlsInfo, TlsServerConfig, TlsVersion,
    Upstream,
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
