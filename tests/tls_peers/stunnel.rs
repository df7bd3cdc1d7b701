//! stunnel, which gives TLS to a server that has none: the bundled one, or one that writes down what it has read.

use std::net::SocketAddr;

use taut::server::{ServerConfig, Service};
use taut::{Framing, Source, TlsConfig, TlsVersion, Upstream};

use crate::daemon::{Daemon, Directory, local};
use crate::keys::{Farewell, Keys, VERSIONS, close, trusting_another};
use crate::ports::free_port;
use crate::recorder::{Asked, Recorder};
use crate::support::*;

struct Stunnel {
    daemon: Daemon,
    keys: Keys,
    port: u16,
}

impl Stunnel {
    /// Before this server; `options` are lines of its service.
    #[track_caller]
    fn before(server: SocketAddr, version: TlsVersion, options: &[&str]) -> Stunnel {
        let (keys, port) = (Keys::new(), free_port());
        let directory = Directory::new("stunnel");
        let version = match version {
            TlsVersion::Tls12 => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let config = format!(
            "foreground = yes\nsyslog = no\npid =\n\
             [tls]\naccept = {}\nconnect = {server}\n\
             cert = {}\nkey = {}\nCAfile = {}\nsslVersion = {version}\n{}\n",
            local(port),
            keys.chain(),
            keys.key(),
            keys.authority(),
            options.join("\n"),
        );
        let config = directory.put("conf", &config);
        let daemon = Daemon::start("stunnel4", directory, &[&config], &[port]);
        Stunnel { daemon, keys, port }
    }

    fn target(&self) -> String {
        local(self.port).to_string()
    }

    fn upstream(&self, tls: TlsConfig) -> Upstream {
        let upstream = Upstream::new(self.target());
        upstream.framing(Framing::line()).tls(tls)
    }
}

fn shouting() -> Running {
    Running::start(ServerConfig {
        service: Service::Shout,
        ..ServerConfig::default()
    })
}

#[test]
#[ignore = "needs stunnel4"]
fn the_bundled_server_shouts_two_thousand_lines_back_by_each_version() {
    for version in VERSIONS {
        let server = shouting();
        let stunnel = Stunnel::before(server.address, version, &[]);
        let mut client = client();
        let upstream = stunnel.upstream(stunnel.keys.trusted());
        let upstream = client.add(upstream.connections(4).depth(8)).unwrap();
        let mut ledger = Ledger::default();
        let asked: Vec<_> = (0..2_000)
            .map(|number| {
                // Now and then one that is of more than one record.
                let bytes = if number % 100 == 0 { 40_000 } else { 40 };
                let line = format!("{number} {}", "words ".repeat(bytes / 6));
                let payload = format!("{line}\n");
                let request = ledger.request(&mut client, upstream, payload.as_bytes(), far());
                if number % 64 == 63 {
                    ledger.until_all(&mut client);
                }
                (request, line)
            })
            .collect();
        ledger.until_all(&mut client);
        for (request, line) in asked {
            let reply = ledger.ended(request).unwrap().clone().reply();
            assert!(reply == line.to_uppercase().into_bytes(), "{line}");
        }
        for connection in client.connections_of(upstream) {
            let info = client.tls_info(connection).unwrap();
            assert!(
                info.is_verified && info.version == Some(version),
                "{info:?}"
            );
        }
        drop(client);
        server.stop();
    }
}

#[test]
#[ignore = "needs stunnel4"]
fn the_end_of_the_server_behind_it_is_an_end_and_no_truncation() {
    for version in VERSIONS {
        let server = shouting();
        let stunnel = Stunnel::before(server.address, version, &[]);
        let mut client = client();
        let tls = stunnel.keys.trusted();
        let connection = client
            .connect_tls(&stunnel.target(), Framing::line(), &tls)
            .unwrap();
        until_connected(&mut client, connection);
        client.send(connection, b"once\n").unwrap();
        assert_eq!(next_frame(&mut client, connection), b"ONCE");
        // The server ends its half, and awaits ours.
        server.stopper.stop();
        let error = until_closed(&mut client, connection).error.unwrap();
        assert_eq!(error.source, Source::Eof);
        server.stop();
    }
}

/// Whatever it says to those who are no clients of its own.
#[test]
#[ignore = "needs stunnel4"]
fn nothing_is_said_to_a_stranger_and_nothing_heard_of_one() {
    for version in VERSIONS {
        let recorder = Recorder::answering();
        let options = ["verifyChain = yes", "requireCert = yes"];
        let stunnel = Stunnel::before(recorder.address(), version, &options);
        let mut client = client();
        let mut all = Asked::default();
        let keys = &stunnel.keys;
        for tls in [trusting_another(), keys.trusted(), keys.trusted_and_known()] {
            let upstream = client.add(stunnel.upstream(tls)).unwrap();
            for _ in 0..5 {
                all.ask(&mut client, upstream, far());
            }
            all.ledger.until_all(&mut client);
        }
        drop(client);
        let outcomes = recorder.judge(&all);
        assert_eq!(outcomes.replies, 5, "{outcomes:?}");
        assert_eq!(outcomes.maybe_and_read, 0, "{outcomes:?}");
        if version == TlsVersion::Tls12 {
            assert_eq!(outcomes.not_sent, 10, "{outcomes:?}");
        }
    }
}

/// What the server behind it has read is the judge.
#[test]
#[ignore = "needs stunnel4"]
fn requests_end_as_the_server_behind_a_killed_tunnel_knows() {
    for version in VERSIONS {
        let recorder = Recorder::answering();
        let mut stunnel = Stunnel::before(recorder.address(), version, &[]);
        let mut client = client_with(|it| {
            it.reconnect.first_pause_max = ms(20);
            it.reconnect.pause_max = ms(50);
        });
        let upstream = stunnel.upstream(stunnel.keys.trusted());
        let upstream = client.add(upstream.connections(2..=4).depth(4)).unwrap();
        let mut asked = Asked::default();
        asked.keep_asking(&mut client, upstream, 2_000, 12, |number| {
            if number % 500 == 250 {
                stunnel.daemon.kill();
                stunnel.daemon.start_again();
            }
        });
        let stats = client.upstream_stats(upstream).unwrap();
        drop(client);
        let outcomes = recorder.judge(&asked);
        println!("{version:?}: {outcomes:?}, {} losses", stats.losses);
        assert!(stats.losses > 0);
        assert!(outcomes.replies > 1_000, "{outcomes:?}");
    }
}

#[test]
#[ignore = "needs stunnel4"]
fn a_session_goes_on_on_another_connection() {
    for version in VERSIONS {
        let server = shouting();
        let stunnel = Stunnel::before(server.address, version, &[]);
        let tls = stunnel.keys.trusted();
        let mut client = client();
        let resumed = [(); 3].map(|()| {
            let target = stunnel.target();
            let connection = client.connect_tls(&target, Framing::line(), &tls).unwrap();
            until_connected(&mut client, connection);
            client.send(connection, b"again\n").unwrap();
            assert_eq!(next_frame(&mut client, connection), b"AGAIN");
            let info = client.tls_info(connection).unwrap();
            close(&mut client, connection, Farewell::Said);
            info.is_resumed
        });
        assert_eq!(resumed, [false, true, true], "{version:?}");
        server.stop();
    }
}
