//! Each thing that can be wrong with a server's certificate, and what both sides are told of it.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, date_time_ymd};

use super::pair::Pair;
use super::people::{Authority, HOST, Shown, authority, for_clients, named};
use crate::error::{CertificateFault, Source};
use crate::tls::TlsConfig;

/// RFC 8446 §6.
const CERTIFICATE_EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;
const BAD_CERTIFICATE: u8 = 42;

/// What a client that trusts `root` says of a server, and what the server hears of it. The certificates that were shown
/// are told, and nothing of the handshake is taken for good.
fn refusal(root: &Authority, host: &str, shown: &Shown) -> (CertificateFault, Option<Source>) {
    let client = root.client().build().unwrap();
    let pair = Pair::to(host, &client, &shown.server().build().unwrap()).talk();
    let info = pair.client.session.info();
    let shown = shown.chain.matches("BEGIN CERTIFICATE").count();
    assert_eq!(info.certificates.len(), shown, "told although refused");
    assert!(!info.is_verified);
    assert!(pair.client.session.is_handshaking());
    match pair.client.broke {
        Some(Source::Certificate(fault)) => (fault, pair.server.broke),
        other => panic!("{other:?}"),
    }
}

fn is_accepted(root: &Authority, host: &str, shown: &Shown) -> bool {
    let client = root.client().build().unwrap();
    let pair = Pair::to(host, &client, &shown.server().build().unwrap()).talk();
    pair.is_up() && pair.client.session.info().is_verified
}

#[test]
fn a_good_certificate_is_accepted_and_told() {
    let root = Authority::new();
    let shown = root.sign_host();
    let client = root.client().build().unwrap();
    let pair = Pair::new(&client, &shown.server().build().unwrap()).talk();
    assert!(pair.is_up(), "{:?}", pair.client.broke);
    let info = pair.client.session.info();
    assert!(info.is_verified && info.certificates.len() == 1);
    let of_server = pair.server.session.info();
    assert!(!of_server.is_verified && of_server.certificates.is_empty());
}

#[test]
fn an_expired_certificate_is_told_with_its_time_and_the_clock() {
    let root = Authority::new();
    let mut params = named(&[HOST]);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let (fault, heard) = refusal(&root, HOST, &root.sign(&params));
    let CertificateFault::Expired { not_after, now } = fault else {
        panic!("{fault:?}");
    };
    assert_eq!(not_after, 1_609_459_200);
    assert!(now > not_after);
    assert_eq!(heard, Some(Source::Alert(CERTIFICATE_EXPIRED)));
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_told_with_its_time_and_the_clock() {
    let root = Authority::new();
    let mut params = named(&[HOST]);
    params.not_before = date_time_ymd(3000, 1, 1);
    params.not_after = date_time_ymd(3001, 1, 1);
    let (fault, heard) = refusal(&root, HOST, &root.sign(&params));
    let CertificateFault::NotYetValid { not_before, now } = fault else {
        panic!("{fault:?}");
    };
    assert_eq!(not_before, 32_503_680_000);
    assert!(now < not_before);
    assert_eq!(heard, Some(Source::Alert(CERTIFICATE_EXPIRED)));
}

#[test]
fn a_certificate_of_an_authority_that_is_not_trusted_is_refused() {
    let root = Authority::new();
    let other = Authority::of(authority("another root"));
    let (fault, heard) = refusal(&root, HOST, &other.sign_host());
    assert_eq!(fault, CertificateFault::UnknownIssuer);
    assert_eq!(heard, Some(Source::Alert(UNKNOWN_CA)));
}

#[test]
fn an_authority_of_the_same_name_and_another_key_is_not_the_one_that_is_trusted() {
    let (root, double) = (Authority::new(), Authority::new());
    let (fault, _) = refusal(&root, HOST, &double.sign_host());
    let told = [
        CertificateFault::UnknownIssuer,
        CertificateFault::BadSignature,
    ];
    assert!(told.contains(&fault), "{fault:?}");
}

#[test]
fn a_certificate_that_has_signed_itself_is_refused_unless_it_is_given_as_an_authority() {
    let root = Authority::new();
    let own = Shown::by_itself(&named(&[HOST]));
    let (fault, heard) = refusal(&root, HOST, &own);
    assert_eq!(fault, CertificateFault::UnknownIssuer);
    assert_eq!(heard, Some(Source::Alert(UNKNOWN_CA)));

    let client = TlsConfig::builder().ca_pem(own.chain.clone());
    let pair = Pair::new(&client.build().unwrap(), &own.server().build().unwrap()).talk();
    assert!(pair.is_up(), "{:?}", pair.client.broke);
}

/// What `openssl req -x509` makes.
#[test]
fn an_authoritys_own_certificate_is_no_servers() {
    let root = Authority::new();
    let mut params = named(&[HOST]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (fault, heard) = refusal(&root, HOST, &root.sign(&params));
    assert_eq!(fault, CertificateFault::IsAuthority);
    assert!(matches!(heard, Some(Source::Alert(_))), "{heard:?}");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let root = Authority::new();
    let (fault, heard) = refusal(&root, "other.example", &root.sign_host());
    assert_eq!(fault, CertificateFault::WrongName);
    assert_eq!(heard, Some(Source::Alert(BAD_CERTIFICATE)));
}

#[test]
fn the_common_name_does_not_count() {
    let root = Authority::new();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, HOST);
    let (fault, _) = refusal(&root, HOST, &root.sign(&params));
    assert_eq!(fault, CertificateFault::WrongName);
}

#[test]
fn the_name_that_is_set_counts_in_place_of_the_targets() {
    let root = Authority::new();
    let server = root.sign_host().server().build().unwrap();
    for (name, is_right) in [(HOST, true), ("other.example", false)] {
        let client = root.client().server_name(name).build().unwrap();
        let pair = Pair::to("10.0.0.1", &client, &server).talk();
        assert_eq!(pair.is_up(), is_right, "{name}");
    }
}

#[test]
fn a_target_that_is_an_address_needs_a_certificate_for_the_address() {
    let root = Authority::new();
    let shown = root.sign(&named(&[HOST, "192.0.2.7", "2001:db8::7"]));
    for host in ["192.0.2.7", "2001:db8::7", "2001:db8::7%eth0", HOST] {
        assert!(is_accepted(&root, host, &shown), "{host}");
    }
    for host in ["192.0.2.8", "2001:db8::8"] {
        let (fault, _) = refusal(&root, host, &shown);
        assert_eq!(fault, CertificateFault::WrongName, "{host}");
    }
    let (fault, _) = refusal(&root, "192.0.2.7", &root.sign_host());
    assert_eq!(fault, CertificateFault::WrongName);
}

#[test]
fn a_star_stands_for_one_label() {
    let root = Authority::new();
    let shown = root.sign(&named(&["*.example.test"]));
    for host in ["a.example.test", "A.Example.Test", "a.example.test."] {
        assert!(is_accepted(&root, host, &shown), "{host}");
    }
    for host in ["a.b.example.test", "example.test", "aexample.test"] {
        let (fault, _) = refusal(&root, host, &shown);
        assert_eq!(fault, CertificateFault::WrongName, "{host}");
    }
}

#[test]
fn a_certificate_for_clients_is_no_servers() {
    let root = Authority::new();
    let (fault, _) = refusal(&root, HOST, &root.sign(&for_clients(&[HOST])));
    assert_eq!(fault, CertificateFault::WrongPurpose);
}

#[test]
fn a_chain_must_be_shown_whole() {
    let root = Authority::new();
    let middle = root.below(authority("the middle"));
    let alone = middle.sign_host();
    let (fault, _) = refusal(&root, HOST, &alone);
    assert_eq!(fault, CertificateFault::UnknownIssuer);
    assert!(is_accepted(&root, HOST, &alone.with(&middle)));
}

#[test]
fn who_is_no_authority_or_too_far_from_one_signs_nothing() {
    let root = Authority::new();
    let usual = root.below(named(&["middle.example"]));
    let (fault, _) = refusal(&root, HOST, &usual.sign_host().with(&usual));
    assert_eq!(fault, CertificateFault::BadChain);

    let mut params = authority("no further");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let middle = root.below(params);
    let low = middle.below(authority("below it"));
    let shown = low.sign_host().with(&low).with(&middle);
    let (fault, _) = refusal(&root, HOST, &shown);
    assert_eq!(fault, CertificateFault::BadChain);
}

#[test]
fn any_certificate_is_accepted_where_that_is_asked_for_and_none_is_called_verified() {
    let mut expired = named(&["other.example"]);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let client = TlsConfig::builder().danger_accept_invalid_certs();
    let client = client.build().unwrap();
    for shown in [Shown::by_itself(&expired), Authority::new().sign_host()] {
        let pair = Pair::new(&client, &shown.server().build().unwrap()).talk();
        assert!(pair.is_up(), "{:?}", pair.client.broke);
        let info = pair.client.session.info();
        assert!(!info.is_verified && info.certificates.len() == 1);
    }
}
