//! What both sides agree on: versions, protocols (ALPN), certificates of clients, sessions that are resumed; and how
//! each is told when they do not.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use taut::{
    Class, Client, Error, Event, Framing, Phase, Sent, Source, TlsConfig, TlsInfo, TlsVersion,
    Upstream,
};

use crate::common::*;
use crate::support::*;
use crate::tls::*;

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A raw connection says a line, and is closed after the answer. Its error, if there was one, and its session.
#[track_caller]
fn met(server: &TlsServer, tls: &TlsConfig) -> (Option<Error>, TlsInfo) {
    let mut client = client();
    let connection = client.connect_tls(&server.target(), Framing::line(), tls);
    let connection = connection.unwrap();
    client.send(connection, &[MARKER, b"\n"].concat()).unwrap();
    let met = client_until(&mut client, |client, event| match event {
        Event::Connected { .. } => None,
        Event::Frame { frame, .. } => {
            assert_eq!(client.bytes(&frame), MARKER.to_ascii_uppercase());
            client.close(connection).unwrap();
            None
        }
        Event::Closed { error, .. } => Some((error, client.tls_info(connection).unwrap())),
        other => panic!("{other:?}"),
    });
    assert_no_sockets_are_left(client, server.address());
    met
}

#[track_caller]
fn agreed(server: &TlsServer, tls: &TlsConfig) -> TlsInfo {
    let (error, info) = met(server, tls);
    assert_eq!(error, None, "{}", error.unwrap());
    info
}

/// Refused for good, with this alert.
#[track_caller]
fn assert_alerted(server: &TlsServer, tls: &TlsConfig, alert: u8) -> Error {
    let error = met(server, tls).0.expect("a refusal");
    let expected = (Class::Persistent, Source::Alert(alert));
    assert_eq!((error.class, error.source), expected, "{error}");
    error
}

// Versions.

#[test]
fn the_newest_version_that_both_speak_is_spoken_and_where_there_is_none_it_is_said_so() {
    let (ours, _) = ours();
    let identity = ours.issue_local();
    let ranges = [
        TlsVersion::Tls12..=TlsVersion::Tls13,
        TlsVersion::Tls12..=TlsVersion::Tls12,
        TlsVersion::Tls13..=TlsVersion::Tls13,
    ];
    for (versions, told) in [
        (&[&TLS12][..], TlsVersion::Tls12),
        (&[&TLS13], TlsVersion::Tls13),
        (&[&TLS13, &TLS12], TlsVersion::Tls13),
    ] {
        let server = TlsServer::answering(&Terms::speaking(&identity, versions));
        for range in ranges.clone() {
            let tls = trusting_with(&ours, |it| it.versions(range.clone()));
            let newest = [TlsVersion::Tls13, TlsVersion::Tls12]
                .into_iter()
                .find(|it| range.contains(it) && (*it == told || versions.len() == 2));
            match newest {
                Some(version) => {
                    assert_eq!(agreed(&server, &tls).version, Some(version));
                }
                None => {
                    let error = assert_alerted(&server, &tls, 70);
                    assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{error}");
                }
            }
        }
    }
}

// Protocols.

#[test]
fn the_protocol_is_the_servers_choice_of_ours_and_none_where_it_has_no_opinion() {
    let (ours, _) = ours();
    let identity = ours.issue_local();
    let tls = trusting_with(&ours, |it| it.alpn(["redis", "line"]));
    let speaking = |protocols: &[&str]| {
        let protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        let terms = Terms::changed(&identity, |it| it.alpn_protocols = protocols);
        TlsServer::answering(&terms)
    };
    let alpn = |protocols: &[&str]| agreed(&speaking(protocols), &tls).alpn;
    assert_eq!(alpn(&["line"]), Some(b"line".to_vec()));
    assert_eq!(alpn(&["line", "redis"]), Some(b"line".to_vec()));
    assert_eq!(alpn(&[]), None);
    // A client that asks for none is served by one that knows some.
    assert_eq!(agreed(&speaking(&["line"]), &trusting(&ours)).alpn, None);
    let error = assert_alerted(&speaking(&["http/1.1"]), &tls, 120);
    assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{error}");
}

// Certificates of clients.

/// A server of that version which asks clients for certificates of this authority's.
fn asking(
    version: &'static SupportedProtocolVersion,
    identity: &Identity,
    clients: &Authority,
) -> TlsServer {
    let terms = Terms::with(identity, &[version], Some(clients), |_| {});
    TlsServer::answering(&terms)
}

#[test]
fn a_client_shows_its_certificate_to_a_server_that_asks_for_it_from_memory_or_from_files() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let identity = ours.issue_local();
    let own = clients
        .beneath("some clients")
        .issue_as(&["client.test"], for_clients);
    let files = own.files();
    let from_memory =
        |it: taut::TlsConfigBuilder| it.client_certificate_pem(own.chain_pem(), own.key_pem());
    let from_files =
        |it: taut::TlsConfigBuilder| it.client_certificate_files(files.chain(), files.key());
    let settings = [
        trusting_with(&ours, from_memory),
        trusting_with(&ours, from_files),
    ];
    for version in BOTH {
        for tls in &settings {
            assert!(agreed(&asking(version, &identity, &clients), tls).is_verified);
            // One that is not asked for is not shown, and does no harm.
            let plain = TlsServer::answering(&Terms::speaking(&identity, &[version]));
            agreed(&plain, tls);
        }
    }
}

#[test]
fn a_client_without_a_certificate_or_with_the_wrong_one_is_told_so_by_the_servers_alert() {
    const CERTIFICATE_EXPIRED: u8 = 45;
    const UNKNOWN_CA: u8 = 48;
    const CERTIFICATE_REQUIRED: u8 = 116;
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let identity = ours.issue_local();
    let with = |own: &Identity| {
        trusting_with(&ours, |it| {
            it.client_certificate_pem(own.chain_pem(), own.key_pem())
        })
    };
    let expired = clients.issue_as(&["client.test"], expired);
    for version in BOTH {
        let server = asking(version, &identity, &clients);
        for (tls, alert) in [
            (trusting(&ours), CERTIFICATE_REQUIRED),
            (with(&ours.issue(&["client.test"])), UNKNOWN_CA),
            (with(&expired), CERTIFICATE_EXPIRED),
        ] {
            let error = assert_alerted(&server, &tls, alert);
            // By TLS 1.3 the client's handshake is over before its certificate is looked at.
            let is_over = error.phase != Phase::Handshake;
            assert_eq!(is_over, version.version == TLS13.version, "{error}");
        }
        for heard in server.heard() {
            assert_nothing_in_the_open(&heard);
        }
    }
}

/// By TLS 1.3 the refusal comes when the connection stands, so a request may have left. It is failed at once, and the
/// server is asked again at the pace of what will not get better.
#[test]
fn an_upstream_that_wants_a_certificate_fails_who_waits_and_is_asked_again_at_the_caps_pace() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    for version in BOTH {
        let server = asking(version, &ours.issue_local(), &clients);
        let mut client = client_with(|it| {
            it.reconnect.pause_max = std::time::Duration::from_secs(24 * 3600);
            it.reconnect.first_pause_max = ms(1);
            it.timeouts.wait = ms(30);
        });
        let upstream = Upstream::new(server.target()).tls(trusting(&ours));
        let upstream = client.add(upstream).unwrap();
        let (mut ledger, calm) = (Ledger::default(), Calm::begins());
        for nth in 0..5 {
            let line = [MARKER, b"\n"].concat();
            let request = ledger.request(&mut client, upstream, &line, far());
            let error = ledger.until(&mut client, request).error();
            match nth {
                0 => assert_eq!(error.source, Source::Alert(116), "{error}"),
                _ => assert_eq!(error.sent, Sent::No, "{error}"),
            }
        }
        calm.ends(10);
        ledger.until_all(&mut client);
        assert_eq!(server.accepted(), 1, "{version:?}: asked again too soon");
        drop(client);
        assert_eq!(sockets_to(server.address()), 0);
        for heard in server.heard() {
            assert_nothing_in_the_open(&heard);
        }
    }
}

// Sessions that are resumed.

/// A server that gives sessions back.
fn resuming(version: &'static SupportedProtocolVersion, identity: &Identity) -> TlsServer {
    let terms = Terms::with(identity, &[version], None, |it| it.send_tls13_tickets = 2);
    TlsServer::answering(&terms)
}

#[test]
fn the_second_connection_resumes_the_first_ones_session_and_is_as_verified() {
    let (ours, _) = ours();
    let identity = ours.issue_local();
    for version in BOTH {
        let server = resuming(version, &identity);
        let tls = trusting_with(&ours, |it| it.pin(identity.pin()));
        for nth in 0..5 {
            let info = agreed(&server, &tls);
            assert_eq!(info.is_resumed, nth > 0, "{version:?}");
            assert!(info.is_verified);
            assert_eq!(info.certificates, [identity.chain[0].to_vec()]);
        }
        // A clone shares its sessions, another setting does not, and neither does one that keeps none.
        assert!(agreed(&server, &tls.clone()).is_resumed);
        for keeping in [256, 0] {
            let tls = trusting_with(&ours, |it| it.sessions_max(keeping));
            assert!(!agreed(&server, &tls).is_resumed);
            assert_eq!(agreed(&server, &tls).is_resumed, keeping > 0);
        }
        for heard in server.heard() {
            assert_sealed(&heard);
        }
    }
}

/// A server that was restarted knows no session of before: there is a whole handshake, and nobody is bothered.
#[test]
fn a_session_that_the_server_has_forgotten_is_made_anew() {
    let (ours, _) = ours();
    let identity = ours.issue_local();
    for version in BOTH {
        let tls = trusting_with(&ours, |it| it.server_name("localhost"));
        agreed(&resuming(version, &identity), &tls);
        let restarted = resuming(version, &identity);
        assert!(!agreed(&restarted, &tls).is_resumed);
        assert!(agreed(&restarted, &tls).is_resumed);
    }
}

/// The connections of an upstream resume each other's sessions, and a request is answered on each.
#[test]
fn an_upstreams_next_connections_resume_the_first_ones_session() {
    let (ours, _) = ours();
    let server = resuming(&TLS13, &ours.issue_local());
    let mut client = client();
    let upstream = Upstream::new(server.target()).tls(trusting(&ours));
    let upstream = client.add(upstream.connections(3)).unwrap();
    turn_until(&mut client, "three connections", |client: &mut Client| {
        client.upstream_stats(upstream).unwrap().open == 3
    });
    let mut ledger = Ledger::default();
    let requests: Vec<_> = (0..3)
        .map(|_| ledger.request(&mut client, upstream, b"x\n", far()))
        .collect();
    for request in requests {
        assert_eq!(ledger.until(&mut client, request).reply(), b"X");
    }
    ledger.until_all(&mut client);
    // The tickets have come with the replies at the latest.
    let tls = client.connections_of(upstream).collect::<Vec<_>>();
    assert!(
        tls.iter()
            .all(|it| client.tls_info(*it).unwrap().is_verified)
    );
    assert_no_sockets_are_left(client, server.address());
}
