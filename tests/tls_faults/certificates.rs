//! Certificates of each kind, by TLS 1.2 and 1.3: which are taken, and by what name the others are refused. Of those
//! not a byte of the program's leaves, nobody waits for them in vain, and they are asked again at the pace of the cap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use taut::{
    Breaker, CertificateFault, Client, Config, Error, Event, Framing, Source, TlsConfig, TlsInfo,
    TlsVersion, Upstream,
};

use crate::common::*;
use crate::support::*;
use crate::tls::*;

const VERSIONS: [(&SupportedProtocolVersion, TlsVersion); 2] =
    [(&TLS12, TlsVersion::Tls12), (&TLS13, TlsVersion::Tls13)];

/// A client that finds every name there.
fn client_of_names(at: SocketAddr) -> Client {
    let config = Config {
        breaker: Breaker::off(),
        ..Config::default()
    };
    Client::with_resolver(config, Arc::new(Addresses(vec![at]))).unwrap()
}

/// What became of a raw connection, and what was known of its session then.
type Met = (Option<Error>, TlsInfo);

/// A raw connection to a server with this certificate, that is given a line before the handshake, for its answer.
#[track_caller]
fn met_by(
    version: &'static SupportedProtocolVersion,
    host: &str,
    tls: &TlsConfig,
    identity: &Identity,
) -> Met {
    let server = TlsServer::answering(&Terms::speaking(identity, &[version]));
    let mut client = client_of_names(server.address());
    let target = format!("{host}:{}", server.address().port());
    let connection = client.connect_tls(&target, Framing::line(), tls).unwrap();
    let line = [MARKER, b"\n"].concat();
    client.send(connection, &line).unwrap();
    let met = client_until(&mut client, |client, event| match event {
        Event::Connected { .. } => None,
        Event::Frame { frame, .. } => {
            assert_eq!(client.bytes(&frame), MARKER.to_ascii_uppercase());
            client.close(connection).unwrap();
            None
        }
        Event::Closed { error, written, .. } => {
            assert_eq!(written, error.map_or(line.len() as u64, |_| 0));
            Some((error, client.tls_info(connection).unwrap()))
        }
        other => panic!("{other:?}"),
    });
    assert_no_sockets_are_left(client, server.address());
    let heard = server.heard();
    assert_eq!(heard.len(), 1, "connections");
    match met.0 {
        Some(_) => assert_nothing_of_the_program(&heard[0]),
        None => assert_sealed(&heard[0]),
    }
    met
}

/// It is taken by both versions; what is known of it by TLS 1.3.
#[track_caller]
fn assert_taken(host: &str, tls: &TlsConfig, identity: &Identity) -> TlsInfo {
    let [_, info] = VERSIONS.map(|(version, told)| {
        let (error, info) = met_by(version, host, tls, identity);
        assert_eq!(error, None, "{host}: {}", error.unwrap());
        assert_eq!(info.version, Some(told));
        assert!(info.cipher.is_some() && info.handshake.is_some() && !info.is_resumed);
        assert_shown(&info, identity);
        info
    });
    info
}

/// It is refused by both versions; why.
#[track_caller]
fn refused(host: &str, tls: &TlsConfig, identity: &Identity) -> CertificateFault {
    let [one, other] = VERSIONS.map(|(version, _)| {
        let (error, info) = met_by(version, host, tls, identity);
        let error = error.expect("a refusal");
        assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{error}");
        assert!(!info.is_verified && info.handshake.is_none());
        assert_shown(&info, identity);
        match error.source {
            Source::Certificate(fault) => fault,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other));
    one
}

/// The certificates are told as they came, also of a server that was refused.
#[track_caller]
fn assert_shown(info: &TlsInfo, identity: &Identity) {
    let shown = identity.chain.iter().map(|der| der.to_vec());
    assert!(shown.eq(info.certificates.iter().cloned()));
}

const LOCAL: &str = "127.0.0.1";

#[test]
fn a_certificate_is_taken_by_each_of_its_names_and_addresses_also_through_another_authority() {
    let ours = Authority::new("ours");
    let tls = trusting(&ours);
    let beneath = ours.beneath("beneath").beneath("and beneath");
    for identity in [ours.issue_local(), beneath.issue_local()] {
        for host in [LOCAL, "localhost", "LOCALHOST", "localhost."] {
            let info = assert_taken(host, &tls, &identity);
            assert!(info.is_verified);
        }
    }
    // Of 60 KiB, in one message.
    let long = ours.issue_as(&[LOCAL], longer(60_000));
    assert!(assert_taken(LOCAL, &tls, &long).is_verified);
}

#[test]
fn a_certificate_whose_time_is_over_or_has_not_come_is_refused_with_that_time_and_this_clocks() {
    let ours = Authority::new("ours");
    let tls = trusting(&ours);
    let clock = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_secs()
    };
    let before = clock();
    let over = refused(LOCAL, &tls, &ours.issue_as(&[LOCAL], expired));
    let early = refused(LOCAL, &tls, &ours.issue_as(&[LOCAL], not_yet_valid));
    let (CertificateFault::Expired { not_after, now: a }, early) = (over, early) else {
        panic!("{over:?}");
    };
    let CertificateFault::NotYetValid { not_before, now: b } = early else {
        panic!("{early:?}");
    };
    assert_eq!((not_after, not_before), (EXPIRED_AT, VALID_FROM));
    for now in [a, b] {
        assert!((before..=clock()).contains(&now), "the clock says {now}");
    }
}

#[test]
fn what_nobody_that_is_trusted_has_signed_is_refused() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let tls = trusting(&ours);
    let unknown = [
        others.issue_local(),
        Identity::self_signed(&[LOCAL]),
        // By an authority of the same name.
        Authority::new("ours").issue_local(),
    ];
    for identity in &unknown[..2] {
        let fault = refused(LOCAL, &tls, identity);
        assert_eq!(fault, CertificateFault::UnknownIssuer);
    }
    let fault = refused(LOCAL, &tls, &unknown[2]);
    assert!(
        matches!(
            fault,
            CertificateFault::UnknownIssuer | CertificateFault::BadSignature
        ),
        "{fault:?}"
    );
    // The one between is not shown.
    let mut alone = ours.beneath("beneath").issue_local();
    alone.chain.truncate(1);
    assert_eq!(
        refused(LOCAL, &tls, &alone),
        CertificateFault::UnknownIssuer
    );
    // One that may not sign has signed.
    let no_authority = ours.issue_local().signs(&[LOCAL]);
    assert_eq!(
        refused(LOCAL, &tls, &no_authority),
        CertificateFault::BadChain
    );
}

#[test]
fn a_certificate_for_another_name_is_refused_and_a_star_stands_for_one_label() {
    let ours = Authority::new("ours");
    let tls = trusting(&ours);
    let star = ours.issue(&["*.a.test"]);
    assert!(assert_taken("x.a.test", &tls, &star).is_verified);
    let wrong = [
        (star.clone(), "a.test"),
        (star.clone(), "x.y.a.test"),
        (star.clone(), "xa.test"),
        (star, LOCAL),
        (ours.issue(&["a.test"]), "b.test"),
        (ours.issue(&["a.test"]), "x.a.test"),
        (ours.issue(&["a.test"]), LOCAL),
        (ours.issue(&["127.0.0.2", "::1"]), LOCAL),
        (ours.issue(&[LOCAL]), "localhost"),
        // By its common name alone.
        (ours.issue(&[]), "localhost"),
    ];
    for (identity, host) in wrong {
        assert_eq!(
            refused(host, &tls, &identity),
            CertificateFault::WrongName,
            "{host}"
        );
    }
    // The name that is asked for need not be the target's.
    let named = |name: &str| trusting_with(&ours, |it| it.server_name(name));
    let identity = ours.issue(&["a.test"]);
    assert_taken(LOCAL, &named("a.test"), &identity);
    assert_taken("b.test", &named("a.test"), &identity);
    assert_taken("b.test", &named("127.0.0.1"), &ours.issue(&[LOCAL]));
    let fault = refused("a.test", &named("b.test"), &identity);
    assert_eq!(fault, CertificateFault::WrongName);
}

#[test]
fn a_certificate_for_another_use_is_refused() {
    let ours = Authority::new("ours");
    let tls = trusting(&ours);
    let clients = ours.issue_as(&[LOCAL], for_clients);
    assert_eq!(
        refused(LOCAL, &tls, &clients),
        CertificateFault::WrongPurpose
    );
    let authority = ours.issue_as(&[LOCAL], for_an_authority);
    assert_eq!(
        refused(LOCAL, &tls, &authority),
        CertificateFault::IsAuthority
    );
}

#[test]
fn a_pin_refuses_other_keys_and_a_second_one_lets_a_key_be_changed() {
    let ours = Authority::new("ours");
    let (now, next) = (ours.issue_local(), ours.issue_local());
    let pinning = |pins: &[&Identity]| {
        trusting_with(&ours, |it| {
            pins.iter().fold(it, |it, identity| it.pin(identity.pin()))
        })
    };
    let (one, both) = (pinning(&[&now]), pinning(&[&now, &next]));
    assert!(assert_taken(LOCAL, &one, &now).is_verified);
    assert_eq!(refused(LOCAL, &one, &next), CertificateFault::PinMismatch);
    for identity in [&now, &next] {
        assert!(assert_taken(LOCAL, &both, identity).is_verified);
    }
    // A renewed certificate has the same key.
    assert!(assert_taken(LOCAL, &one, &ours.renew(&now, &[LOCAL])).is_verified);
    // The authority's verdict comes first, and a pin does not stand in for it.
    let others = Authority::new("others").renew(&now, &[LOCAL]);
    assert_eq!(
        refused(LOCAL, &one, &others),
        CertificateFault::UnknownIssuer
    );
}

#[test]
fn where_anybody_is_taken_pins_still_count_and_nobody_is_called_verified() {
    let ours = Authority::new("ours");
    let bad = ours.issue_as(&["other.test"], expired);
    let anybody = TlsConfig::builder().danger_accept_invalid_certs();
    let pinned = anybody.clone().pin(bad.pin()).build().unwrap();
    let anybody = anybody.build().unwrap();
    for identity in [&bad, &Identity::self_signed(&["x.test"])] {
        assert!(!assert_taken(LOCAL, &anybody, identity).is_verified);
    }
    assert!(!assert_taken(LOCAL, &pinned, &bad).is_verified);
    let fault = refused(LOCAL, &pinned, &ours.issue_local());
    assert_eq!(fault, CertificateFault::PinMismatch);
}

#[test]
fn an_upstream_with_a_bad_certificate_fails_who_waits_at_once_and_is_asked_again_at_the_caps_pace()
{
    let ours = Authority::new("ours");
    let identity = ours.issue_as(&[LOCAL], expired);
    let server = TlsServer::answering(&Terms::new(&identity));
    let mut client = client_with(|it| {
        // A pause drawn from this is not over soon; one drawn from the first pause would be, at once.
        it.reconnect.pause_max = Duration::from_secs(24 * 3600);
        it.reconnect.first_pause_max = ms(1);
        it.timeouts.wait = ms(30);
    });
    let upstream = Upstream::new(server.target()).tls(trusting(&ours));
    let upstream = client.add(upstream.connections(4)).unwrap();
    let (mut ledger, calm) = (Ledger::default(), Calm::begins());
    let payload = [MARKER, b"\n"].concat();
    let waiting: Vec<_> = (0..20)
        .map(|_| ledger.request(&mut client, upstream, &payload, far()))
        .collect();
    for request in waiting {
        let error = ledger.until(&mut client, request).error();
        assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{error}");
        assert!(matches!(
            error.source,
            Source::Certificate(CertificateFault::Expired { .. })
        ));
    }
    let asked = server.accepted();
    assert!(asked <= 4, "{asked} attempts");
    // Those who come now are not made to wait for what will not come.
    for _ in 0..10 {
        let request = ledger.request(&mut client, upstream, &payload, far());
        let error = ledger.until(&mut client, request).error();
        assert_eq!(error.sent, taut::Sent::No, "{error}");
    }
    calm.ends(30);
    ledger.until_all(&mut client);
    assert_eq!(server.accepted(), asked, "asked again too soon");
    for heard in server.heard() {
        assert_nothing_of_the_program(&heard);
    }
    // It is asked when the program knows better.
    client.retry_now(upstream).unwrap();
    turn_until(&mut client, "another attempt", |_| {
        server.accepted() == asked + 1
    });
    drop(client);
    assert_eq!(sockets_to(server.address()), 0);
}
