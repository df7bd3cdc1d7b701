//! Over TLS a request allocates what a session of rustls needs for it, and nothing beyond. Alone in its process: the
//! allocator is the whole binary's.
#![cfg(all(target_os = "linux", feature = "tls"))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and a counting allocator"
)]

#[path = "../benches/tls/bare.rs"]
mod bare;
#[path = "support/counting.rs"]
mod counting;
#[path = "../benches/tls/material.rs"]
mod material;
mod support;

use bare::Bare;
use counting::{Counting, counted};
use support::*;
use taut::server::{Server, ServerConfig, Service, Stopper};
use taut::{Client, Event, Framing, TlsConfig, TlsServerConfig, TlsVersion, Upstream, UpstreamId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUESTS: u64 = 300;

/// Makes so many requests, so many of them under way at a time, and checks each reply.
fn requests(client: &mut Client, upstream: UpstreamId, message: &[u8], at_a_time: u64) {
    let (mut asked, mut answered) = (0, 0);
    while answered < REQUESTS {
        while asked < REQUESTS && asked - answered < at_a_time {
            client.request(upstream, message, far()).unwrap();
            asked += 1;
        }
        client.turn(Some(PATIENCE)).unwrap();
        while let Some(event) = client.next_event() {
            let Event::Reply { frame, .. } = event else {
                panic!("{event:?}")
            };
            assert!(client.bytes(&frame) == &message[4..]);
            answered += 1;
        }
    }
}

/// The least that a try of this has allocated: what is warm, and how often a record is read in two, depends on how the
/// bytes were cut on their way; under load that may take some tries.
fn least(mut what: impl FnMut(), enough: u64) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..20 {
        least = least.min(counted(&mut what).1);
        if least <= enough {
            break;
        }
    }
    least
}

struct Echo {
    address: String,
    stopper: Stopper,
    thread: std::thread::JoinHandle<()>,
}

fn echo(made: &material::Material) -> Echo {
    let tls = TlsServerConfig::pem(made.certificate.as_str(), made.key.as_str());
    let config = ServerConfig {
        service: Service::Echo,
        tls: Some(tls.build().unwrap()),
        ..ServerConfig::default()
    };
    let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config).unwrap();
    Echo {
        address: server.local_addr().to_string(),
        stopper: server.stopper(),
        thread: std::thread::spawn(move || server.run().unwrap()),
    }
}

#[test]
fn a_request_over_tls_allocates_what_rustls_needs_and_nothing_beyond() {
    let made = material::make();
    for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
        for bytes in [64, 700, 16 << 10] {
            let config = material::rustls(&made.authority, version, false);
            let mut message = vec![b'x'; bytes];
            message[..4].copy_from_slice(&(bytes as u32 - 4).to_be_bytes());
            let needed = Bare::new(config, &made.certificate, &made.key).exchange_warm(&message);
            assert!(needed >= 2, "a record each way is rustls' own at the least");
            let tls = TlsConfig::builder().ca_pem(made.authority.as_str());
            let tls = tls.versions(version..=version).build().unwrap();
            // Connections, requests at a time on each, requests at a time in all.
            for (connections, depth, at_a_time) in [(1, 1, 1), (4, 1, 4), (1, 16, 16)] {
                let (server, mut client) = (echo(&made), client());
                let shape = Upstream::new(&server.address).framing(Framing::len32());
                let shape = shape.tls(tls.clone()).connections(connections).depth(depth);
                let upstream = client.add(shape).unwrap();
                for _ in 0..5 {
                    requests(&mut client, upstream, &message, at_a_time);
                }
                let needed = needed * REQUESTS;
                let spent = || requests(&mut client, upstream, &message, at_a_time);
                let spent = least(spent, needed);
                let shape =
                    format!("{version:?}, {bytes} bytes, {connections} connections, depth {depth}");
                match depth {
                    1 => assert_eq!(spent, needed, "{shape}"),
                    // Those that leave together share a record.
                    _ => assert!(spent <= needed, "{shape}: {spent} beyond {needed}"),
                }
                drop(client);
                server.stopper.stop();
                server.thread.join().unwrap();
            }
        }
    }
}
