//! What two sides agree on: the version, the cipher, the protocol of the program, an earlier session; and what is said
//! when they do not.

use std::ops::RangeInclusive;

use super::pair::Pair;
use super::people::Authority;
use crate::error::{Source, TlsFault};
use crate::session::TlsVersion::{self, Tls12, Tls13};

const PROTOCOL_VERSION: Source = Source::Alert(70);
const NO_APPLICATION_PROTOCOL: Source = Source::Alert(120);

fn pair_of(client: RangeInclusive<TlsVersion>, server: RangeInclusive<TlsVersion>) -> Pair {
    let root = Authority::new();
    let client = root.client().versions(client).build().unwrap();
    let server = root.sign_host().server().versions(server).build().unwrap();
    Pair::new(&client, &server).talk()
}

#[test]
fn the_newest_version_that_both_speak_is_agreed_on_and_told_with_its_cipher() {
    for (client, server, version) in [
        (Tls12..=Tls13, Tls12..=Tls13, Tls13),
        (Tls12..=Tls13, Tls12..=Tls12, Tls12),
        (Tls12..=Tls12, Tls12..=Tls13, Tls12),
        (Tls13..=Tls13, Tls12..=Tls13, Tls13),
    ] {
        let pair = pair_of(client, server);
        assert!(pair.is_up());
        for end in [&pair.client, &pair.server] {
            let info = end.session.info();
            assert_eq!(info.version, Some(version));
            let cipher = info.cipher.unwrap();
            assert!(
                cipher.starts_with("TLS_") && !cipher.starts_with("TLS13_"),
                "{cipher}"
            );
            assert_eq!(
                cipher.starts_with("TLS_ECDHE_"),
                version == Tls12,
                "{cipher}"
            );
        }
    }
}

#[test]
fn without_a_version_in_common_the_one_says_so_and_the_other_hears_it() {
    let pair = pair_of(Tls13..=Tls13, Tls12..=Tls12);
    assert_eq!(pair.client.broke, Some(PROTOCOL_VERSION));
    assert_eq!(pair.server.broke, Some(Source::Tls(TlsFault::Version)));

    let pair = pair_of(Tls12..=Tls12, Tls13..=Tls13);
    assert_eq!(pair.client.broke, Some(PROTOCOL_VERSION));
    assert_eq!(pair.server.broke, Some(Source::Tls(TlsFault::Version)));
}

/// A server of TLS 1.0 or 1.1 answers with a hello of its own version.
#[test]
fn a_server_that_speaks_older_versions_alone_is_told_so() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let server = root.sign_host().server().versions(Tls12..=Tls12).build();
    let mut pair = Pair::new(&client, &server.unwrap());
    let said = pair.client.words();
    pair.server.receive(&said);
    let mut answer = pair.server.words();
    // handshake, 3.3, length; server_hello, length; its version.
    assert_eq!(answer[9..11], [3, 3]);
    answer[10] = 1;
    pair.client.receive(&answer);
    assert_eq!(pair.client.broke, Some(Source::Tls(TlsFault::Version)));
}

#[test]
fn the_protocol_that_the_server_likes_best_is_agreed_on() {
    let root = Authority::new();
    let client = root.client().alpn(["http/1.1", "h2"]).build().unwrap();
    let server = root.sign_host().server().alpn(["h2", "http/1.1"]);
    let pair = Pair::new(&client, &server.build().unwrap()).talk();
    assert!(pair.is_up());
    for end in [&pair.client, &pair.server] {
        assert_eq!(end.session.info().alpn.as_deref(), Some(&b"h2"[..]));
    }
}

#[test]
fn without_a_protocol_in_common_the_one_says_so_and_the_other_hears_it() {
    let root = Authority::new();
    for version in [Tls12, Tls13] {
        let client = root.client().alpn(["redis"]).versions(version..=version);
        let server = root.sign_host().server().alpn(["http/1.1"]);
        let pair = Pair::new(&client.build().unwrap(), &server.build().unwrap()).talk();
        assert_eq!(pair.client.broke, Some(NO_APPLICATION_PROTOCOL));
        assert_eq!(pair.server.broke, Some(Source::Tls(TlsFault::Alpn)));
    }
}

#[test]
fn where_one_side_names_no_protocol_none_is_agreed_on() {
    let root = Authority::new();
    let shown = root.sign_host();
    for (client, server) in [
        (root.client().alpn(["redis"]), shown.server()),
        (root.client(), shown.server().alpn(["redis"])),
    ] {
        let pair = Pair::new(&client.build().unwrap(), &server.build().unwrap()).talk();
        assert!(pair.is_up());
        assert_eq!(pair.client.session.info().alpn, None);
    }
}

#[test]
fn the_second_session_goes_on_from_the_first_and_tells_its_certificate() {
    for version in [Tls12, Tls13] {
        let root = Authority::new();
        let client = root.client().versions(version..=version).build().unwrap();
        let server = root.sign_host().server().build().unwrap();
        let first = Pair::new(&client, &server).talk();
        let second = Pair::new(&client.clone(), &server.clone()).talk();
        assert!(first.is_up() && second.is_up());
        assert!(!first.client.session.info().is_resumed);
        let info = second.client.session.info();
        assert!(info.is_resumed && info.is_verified, "{version:?}");
        assert!(second.server.session.info().is_resumed, "{version:?}");
        assert_eq!(info.certificates, first.client.session.info().certificates);
        assert!(second.server.said < first.server.said);
    }
}

/// As OpenSSL's servers do that ask for certificates and have no context for their sessions.
#[test]
fn a_server_that_refuses_a_session_it_has_given_is_shown_none_again() {
    for version in [Tls12, Tls13] {
        let root = Authority::new();
        let client = root.client().versions(version..=version).build().unwrap();
        let server = root.sign_host().server().build().unwrap();
        assert!(Pair::new(&client, &server).talk().is_up());
        let mut refused = Pair::new(&client, &server);
        refused.client.words();
        // internal_error, fatal
        refused.client.receive(&[21, 3, 3, 0, 2, 2, 80]);
        assert_eq!(refused.client.broke, Some(Source::Alert(80)));
        for _ in 0..3 {
            let pair = Pair::new(&client, &server).talk();
            assert!(pair.is_up() && !pair.client.session.info().is_resumed);
        }
    }
}

/// Its next session is a new one, from which another may go on.
#[test]
fn a_handshake_that_was_given_up_costs_the_sessions_it_has_shown() {
    for version in [Tls12, Tls13] {
        let root = Authority::new();
        let client = root.client().versions(version..=version).build().unwrap();
        let server = root.sign_host().server().build().unwrap();
        assert!(Pair::new(&client, &server).talk().is_up());
        drop(Pair::new(&client, &server));
        let resumed = [(); 2].map(|()| {
            let pair = Pair::new(&client, &server).talk();
            pair.is_up() && pair.client.session.info().is_resumed
        });
        assert_eq!(resumed, [false, true]);
    }
}

#[test]
fn a_session_is_not_gone_on_from_where_that_is_not_wanted_or_the_name_is_another() {
    let root = Authority::new();
    let server = root.sign(&super::people::named(&["a.example", "b.example"]));
    let server = server.server().build().unwrap();
    let none = root.client().sessions_max(0).build().unwrap();
    for _ in 0..2 {
        let pair = Pair::to("a.example", &none, &server).talk();
        assert!(pair.is_up() && !pair.client.session.info().is_resumed);
    }
    let client = root.client().build().unwrap();
    for host in ["a.example", "b.example"] {
        let pair = Pair::to(host, &client, &server).talk();
        assert!(pair.is_up() && !pair.client.session.info().is_resumed);
    }
    // Nor is another setting's, which may trust others.
    let other = root.client().build().unwrap();
    let pair = Pair::to("a.example", &other, &server).talk();
    assert!(!pair.client.session.info().is_resumed);
}

#[test]
fn a_client_has_a_bound_of_its_own_for_the_sessions_it_keeps() {
    let root = Authority::new();
    let hosts: Vec<String> = (0..20).map(|n| format!("{n}.example")).collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let server = root.sign(&super::people::named(&names)).server();
    let server = server.build().unwrap();
    let client = root.client().sessions_max(4).build().unwrap();
    let mut resumed = 0;
    for host in hosts.iter().chain(&hosts) {
        let pair = Pair::to(host, &client, &server).talk();
        resumed += usize::from(pair.client.session.info().is_resumed);
    }
    assert_eq!(resumed, 0, "each was pushed out by those behind it");
}
