//! Pins: looked at after all else, in the same handshake, and whatever else is accepted.

use rcgen::{KeyPair, date_time_ymd};

use super::pair::{End, Pair};
use super::people::{Authority, HOST, Shown, named};
use super::scripted::Scripted;
use crate::error::{CertificateFault, Source};
use crate::session::TlsVersion;
use crate::tls::{TlsConfig, TlsConfigBuilder, TlsConfigError};

fn outcome(client: TlsConfigBuilder, shown: &Shown) -> Option<Source> {
    let pair = Pair::new(&client.build().unwrap(), &shown.server().build().unwrap()).talk();
    let info = pair.client.session.info();
    assert_eq!(info.certificates.len(), 1, "told in any case");
    assert_eq!(pair.client.broke.is_none(), pair.is_up());
    pair.client.broke
}

const MISMATCH: Option<Source> = Some(Source::Certificate(CertificateFault::PinMismatch));

#[test]
fn a_server_with_the_pinned_key_is_accepted_and_no_other() {
    let root = Authority::new();
    let (shown, other) = (root.sign_host(), root.sign_host());
    assert_eq!(outcome(root.client().pin(&shown.pin), &shown), None);
    assert_eq!(outcome(root.client().pin(&other.pin), &shown), MISMATCH);
}

#[test]
fn of_several_pins_one_is_enough_so_a_key_can_be_changed() {
    let root = Authority::new();
    let (present, next) = (root.sign_host(), root.sign_host());
    let client = || root.client().pin(&present.pin).pin(&next.pin);
    assert_eq!(outcome(client(), &present), None);
    assert_eq!(outcome(client(), &next), None);
    assert_eq!(outcome(client(), &root.sign_host()), MISMATCH);
}

#[test]
fn a_pin_is_of_the_key_and_outlives_the_certificate() {
    let root = Authority::new();
    let key = KeyPair::generate().unwrap();
    let first = root.sign_key(&named(&[HOST]), &key);
    let renewed = root.sign_key(&named(&[HOST, "also.example"]), &key);
    assert_ne!(first.chain, renewed.chain);
    assert_eq!(outcome(root.client().pin(&first.pin), &renewed), None);
}

#[test]
fn the_pin_of_an_authority_is_not_its_servers() {
    let root = Authority::new();
    let shown = root.sign_host();
    let own = Shown::by_itself(&named(&[HOST]));
    let client = TlsConfig::builder().ca_pem(own.chain.clone());
    assert_eq!(outcome(client.pin(&own.pin), &own), None);
    let of_root = root.client().pin(root.pin());
    assert_eq!(outcome(of_root, &shown), MISMATCH);
}

#[test]
fn a_pin_does_not_make_a_bad_certificate_good() {
    let root = Authority::new();
    let mut params = named(&[HOST]);
    params.not_after = date_time_ymd(2021, 1, 1);
    let shown = root.sign(&params);
    let broke = outcome(root.client().pin(&shown.pin), &shown);
    let expired = CertificateFault::Expired {
        not_after: 1_609_459_200,
        now: 0,
    };
    let Some(Source::Certificate(fault)) = broke else {
        panic!("{broke:?}");
    };
    assert_eq!(
        std::mem::discriminant(&fault),
        std::mem::discriminant(&expired)
    );
}

#[test]
fn where_any_certificate_is_accepted_the_pins_still_count() {
    let own = Shown::by_itself(&named(&["other.example"]));
    let another = Shown::by_itself(&named(&["other.example"]));
    let client = || {
        TlsConfig::builder()
            .danger_accept_invalid_certs()
            .pin(&own.pin)
    };
    assert_eq!(outcome(client(), &own), None);
    assert_eq!(outcome(client(), &another), MISMATCH);
}

/// Who shows another's certificate, and signs with a key of his own.
#[test]
fn a_server_must_have_the_key_of_the_certificate_that_it_shows_whatever_else_is_accepted() {
    let root = Authority::new();
    let copied = root.sign_host();
    let thief = Shown {
        key: root.sign_host().key,
        ..copied.clone()
    };
    let any = || TlsConfig::builder().danger_accept_invalid_certs();
    for client in [
        root.client(),
        root.client().pin(&copied.pin),
        any(),
        any().pin(&copied.pin),
    ] {
        let client = client.build().unwrap();
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let mut server = Scripted::new(&thief, version);
            let mut client = End::new(client.sessions().begin(HOST).unwrap());
            server.hear(&client.words());
            client.receive(&server.words());
            let expected = Source::Certificate(CertificateFault::BadSignature);
            assert_eq!(client.broke, Some(expected), "{version:?}");
            assert_eq!(client.session.info().certificates.len(), 1);
        }
    }
}

#[test]
fn a_mismatch_is_told_to_the_server_before_the_program_has_sent_anything() {
    let root = Authority::new();
    let (shown, other) = (root.sign_host(), root.sign_host());
    let client = root.client().pin(&other.pin).build().unwrap();
    let pair = Pair::new(&client, &shown.server().build().unwrap()).talk();
    assert!(pair.client.session.is_handshaking());
    // access_denied
    assert_eq!(pair.server.broke, Some(Source::Alert(49)));
    assert!(pair.server.heard.is_empty());
}

#[test]
fn what_is_no_pin_is_refused_when_the_setting_is_built() {
    let good = Authority::new().sign_host().pin;
    let base64 = good.trim_start_matches("sha256//");
    for bad in [
        "",
        "sha256//",
        base64,
        &format!("sha256/{base64}"),
        &format!("SHA256//{base64}"),
        &format!("sha256//{}", &base64[..40]),
        &format!("sha256//{base64}AAAA"),
        &format!("sha256//{base64};sha256//{base64}"),
        &good.replace('=', "-"),
        "sha256//not base64 at all",
    ] {
        let built = TlsConfig::builder()
            .danger_accept_invalid_certs()
            .pin(bad)
            .build();
        assert_eq!(built.unwrap_err(), TlsConfigError::BadPin(bad.to_owned()));
    }
}
