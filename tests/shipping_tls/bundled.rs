//! To the bundled sink, by TLS 1.2 and 1.3: each rung delivers everything, and a restart on the way loses nothing.

use std::time::Duration;

use taut::TlsServerConfig;
use taut::server::{ServerConfig, Service};
use taut::ship::{Ack, ShipConfig, Wire};

use crate::shipping::{Fate, Sender, Shipping};
use crate::support::Running;
use crate::tls::Authority;
use crate::{ship, to};

fn server(authority: &Authority, octet_counted: bool) -> Running {
    let identity = authority.issue_local();
    let tls = TlsServerConfig::pem(identity.chain_pem(), identity.key_pem());
    Running::start(ServerConfig {
        service: Service::Sink,
        octet_counted,
        tls: Some(tls.build().unwrap()),
        ..ServerConfig::default()
    })
}

#[test]
fn every_line_is_delivered_on_every_rung() {
    let authority = Authority::new("sinks");
    for ack in [Ack::None, Ack::Peek, Ack::Kernel, Ack::Commit] {
        let server = server(&authority, true);
        let config = to(&server.address.to_string(), &authority, ack);
        let (outcome, shipped) = ship(config, 20_000, |_| 1);
        assert_eq!(
            shipped.fates.count(Fate::Delivered),
            20_000,
            "{ack:?} {outcome:?}"
        );
        assert_eq!(
            (shipped.resent, shipped.lost.len()),
            (0, 0),
            "{ack:?} {:?}",
            shipped.lost
        );
        let stats = server.stop();
        assert_eq!((stats.lines, stats.failed), (20_000, 0), "{ack:?}");
    }
}

#[test]
fn epochs_follow_each_other_and_each_is_committed() {
    let authority = Authority::new("sinks");
    for ordered in [false, true] {
        let server = server(&authority, false);
        let config = ShipConfig {
            commit_bytes: 64 << 10,
            ordered,
            wire: Wire::Lf { escapes: false },
            ..to(
                &format!("localhost:{}", server.address.port()),
                &authority,
                Ack::Commit,
            )
        };
        let (outcome, shipped) = ship(config, 10_000, |_| 1);
        assert_eq!(shipped.fates.count(Fate::Delivered), 10_000, "{outcome:?}");
        assert_eq!(
            (shipped.resent, shipped.lost.len()),
            (0, 0),
            "{:?}",
            shipped.lost
        );
        assert_eq!(server.stop().lines, 10_000);
    }
}

/// A server that drains closes each connection in peace when it has answered what is there: of these lines some were
/// read, and none may be told so.
#[test]
fn a_restart_on_the_way_loses_nothing() {
    let authority = Authority::new("sinks");
    let identity = authority.issue_local();
    let tls = TlsServerConfig::pem(identity.chain_pem(), identity.key_pem());
    let config = ServerConfig {
        service: Service::Sink,
        octet_counted: true,
        tls: Some(tls.build().unwrap()),
        ..ServerConfig::default()
    };
    let first = Running::start(config.clone());
    let address = first.address;
    let mut shipping = Box::new(Shipping::new(
        ShipConfig {
            commit_bytes: 64 << 10,
            ..to(&address.to_string(), &authority, Ack::Commit)
        },
        &|_| {},
    ));
    (1..=2_000).for_each(|number| {
        shipping.offer(number);
        shipping.turn(Duration::ZERO);
    });
    first.stopper.stop();
    let before = first
        .ended
        .recv_timeout(crate::support::PATIENCE)
        .unwrap()
        .0;
    let mut server = taut::server::Server::bind(address, config).unwrap();
    let stopper = server.stopper();
    let second = std::thread::spawn(move || {
        server.run().unwrap();
        server.stats()
    });
    (2_001..=4_000).for_each(|number| shipping.offer(number));
    let shipped = shipping.finish();
    assert_eq!(shipped.fates.count(Fate::Delivered), 4_000);
    stopper.stop();
    let after = second.join().unwrap();
    assert!(before.lines + after.lines >= 4_000, "{before:?} {after:?}");
    assert!(
        before.lines + after.lines <= 4_000 + shipped.resent,
        "{before:?} {after:?}"
    );
}
