//! A server that asks its clients for a certificate.

use rcgen::date_time_ymd;

use super::pair::Pair;
use super::people::{Authority, Shown, authority, for_clients, named};
use crate::error::{CertificateFault, Source};
use crate::session::TlsVersion::{self, Tls12, Tls13};

fn pair_of(version: TlsVersion, root: &Authority, client: Option<&Shown>) -> Pair {
    let mut config = root.client().versions(version..=version);
    if let Some(shown) = client {
        config = config.client_certificate_pem(shown.chain.clone(), shown.key.clone());
    }
    let server = root.sign_host().server().client_ca_pem(root.pem());
    let mut pair = Pair::new(&config.build().unwrap(), &server.build().unwrap()).talk();
    if pair.is_up() {
        pair.say(b"request");
        pair.answer(b"reply");
        assert_eq!(pair.server.heard, b"request");
        assert_eq!(pair.client.heard, b"reply");
    }
    pair
}

#[test]
fn a_client_with_a_good_certificate_is_let_in_and_told_verified() {
    let root = Authority::new();
    let shown = root.sign(&for_clients(&["client.example"]));
    for version in [Tls12, Tls13] {
        let pair = pair_of(version, &root, Some(&shown));
        assert!(pair.is_up(), "{:?}", pair.server.broke);
        let info = pair.server.session.info();
        assert!(info.is_verified && info.certificates.len() == 1);
    }
}

#[test]
fn a_client_without_a_certificate_is_refused_by_name() {
    let root = Authority::new();
    // certificate_required. In TLS 1.3 the client's handshake is over by then.
    for version in [Tls12, Tls13] {
        let pair = pair_of(version, &root, None);
        let missing = Source::Certificate(CertificateFault::Missing);
        assert_eq!(pair.server.broke, Some(missing), "{version:?}");
        assert!(pair.server.session.is_handshaking());
        assert_eq!(pair.client.broke, Some(Source::Alert(116)), "{version:?}");
        assert_eq!(pair.client.session.is_handshaking(), version == Tls12);
    }
}

#[test]
fn what_is_wrong_with_a_clients_certificate_is_told_on_both_sides() {
    let root = Authority::new();
    let mut expired = for_clients(&["client.example"]);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let stranger = Authority::of(authority("another root"));
    let mut for_servers = named(&["client.example"]);
    for_servers.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    for (shown, word, alert) in [
        (root.sign(&expired), "Expired", 45),
        (
            stranger.sign(&for_clients(&["client.example"])),
            "UnknownIssuer",
            48,
        ),
        (root.sign(&for_servers), "WrongPurpose", 43),
    ] {
        for version in [Tls12, Tls13] {
            let pair = pair_of(version, &root, Some(&shown));
            let Some(Source::Certificate(fault)) = pair.server.broke else {
                panic!("{:?}", pair.server.broke);
            };
            assert!(format!("{fault:?}").starts_with(word), "{fault:?}");
            let info = pair.server.session.info();
            assert!(!info.is_verified && info.certificates.len() == 1);
            assert_eq!(pair.client.broke, Some(Source::Alert(alert)), "{word}");
        }
    }
}

#[test]
fn a_client_shows_its_certificate_to_nobody_who_does_not_ask() {
    let root = Authority::new();
    let shown = root.sign(&for_clients(&["client.example"]));
    let client = root.client().client_certificate_pem(shown.chain, shown.key);
    let server = root.sign_host().server().build().unwrap();
    let pair = Pair::new(&client.build().unwrap(), &server).talk();
    assert!(pair.is_up() && pair.server.session.info().certificates.is_empty());
}
