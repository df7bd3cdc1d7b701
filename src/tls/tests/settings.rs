//! What can be wrong with a setting, and the words in which it is told.

use std::path::{Path, PathBuf};

use super::pair::Pair;
use super::people::{Authority, for_clients, named};
use crate::error::Source;
use crate::session::TlsVersion;
use crate::tls::{TlsConfig, TlsConfigBuilder, TlsConfigError, TlsServerConfig};

fn said(built: Result<TlsConfig, TlsConfigError>) -> String {
    built.map(|_| ()).unwrap_err().to_string()
}

fn unverified() -> TlsConfigBuilder {
    TlsConfig::builder().danger_accept_invalid_certs()
}

/// A file of this test's own.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> File {
        let name = format!("taut-tls-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        File(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_that_is_not_there_is_told_with_its_path() {
    let told = said(TlsConfig::builder().ca_file("/nowhere/ca.pem").build());
    assert!(
        told.starts_with("/nowhere/ca.pem cannot be read: No such file"),
        "{told}"
    );
    let told = said(
        unverified()
            .client_certificate_files("/nowhere/c", "/nowhere/k")
            .build(),
    );
    assert!(told.starts_with("/nowhere/c cannot be read"), "{told}");
    let server = TlsServerConfig::files("/nowhere/s", "/nowhere/k").build();
    let told = server.unwrap_err().to_string();
    assert!(told.starts_with("/nowhere/s cannot be read"), "{told}");
    let shown = Authority::new().sign_host();
    let server = shown.server().client_ca_file("/nowhere/ca").build();
    let told = server.unwrap_err().to_string();
    assert!(told.starts_with("/nowhere/ca cannot be read"), "{told}");
}

#[test]
fn a_file_without_pem_in_it_is_told_with_what_it_should_be() {
    let file = File::new("no-pem", "not PEM at all\n");
    let told = said(TlsConfig::builder().ca_file(file.path()).build());
    let path = file.path().display().to_string();
    assert!(
        told.contains(&format!("no certificate in {path}")),
        "{told}"
    );
    assert!(told.contains("openssl x509 -inform der"), "{told}");

    let shown = Authority::new().sign_host();
    let told = said(
        unverified()
            .client_certificate_pem(shown.chain.clone(), "")
            .build(),
    );
    assert!(
        told.contains("no private key in the PEM given as bytes"),
        "{told}"
    );
    assert!(told.contains("without a passphrase"), "{told}");
    // A key where the certificate should be, and the other way round.
    let told = said(
        unverified()
            .client_certificate_pem(shown.key, shown.chain)
            .build(),
    );
    assert!(told.contains("no certificate in the PEM"), "{told}");

    let broken = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let told = said(TlsConfig::builder().ca_pem(broken).build());
    assert!(told.contains("cannot be read as PEM"), "{told}");
}

#[test]
fn a_certificate_that_can_be_no_authoritys_is_told_unless_another_beside_it_can() {
    let nonsense = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
    let told = said(TlsConfig::builder().ca_pem(nonsense).build());
    assert!(
        told.starts_with("none of the certificates in the PEM given as bytes"),
        "{told}"
    );
    let bundle = format!("{nonsense}{}", Authority::new().pem());
    assert!(TlsConfig::builder().ca_pem(bundle.clone()).build().is_ok());
    // Each of what was given must be good for something.
    let told = said(TlsConfig::builder().ca_pem(bundle).ca_pem(nonsense).build());
    assert!(told.starts_with("none of the certificates"), "{told}");
}

#[test]
fn a_key_that_is_not_the_certificates_is_told() {
    let root = Authority::new();
    let (one, other) = (root.sign_host(), root.sign_host());
    let key = File::new("other-key", &other.key);
    let certificate = File::new("certificate", &one.chain);
    let client = unverified().client_certificate_files(certificate.path(), key.path());
    let expected = TlsConfigError::KeyMismatch {
        place: Some(key.path().to_owned()),
    };
    assert_eq!(client.build().unwrap_err(), expected);
    let server = TlsServerConfig::files(certificate.path(), key.path()).build();
    let told = server.unwrap_err();
    assert_eq!(told, expected);
    let path = key.path().display().to_string();
    assert!(
        told.to_string()
            .starts_with(&format!("the private key in {path} is not that"))
    );
}

#[test]
fn a_certificate_that_cannot_be_read_is_told_before_a_peer_sees_it() {
    let nonsense = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
    let key = Authority::new().sign_host().key;
    let server = TlsServerConfig::pem(nonsense, key.clone()).build();
    let told = server.unwrap_err().to_string();
    assert!(
        told.contains("or its certificate, cannot be used"),
        "{told}"
    );
    let told = said(unverified().client_certificate_pem(nonsense, key).build());
    assert!(
        told.contains("or its certificate, cannot be used"),
        "{told}"
    );
}

#[test]
fn files_that_are_right_are_read_when_the_setting_is_built_and_never_again() {
    let root = Authority::new();
    let shown = root.sign_host();
    let own = root.sign(&for_clients(&["client.example"]));
    let (client, server) = {
        let ca = File::new("ca", &root.pem());
        let files = [&shown.chain, &shown.key, &own.chain, &own.key];
        let files = files.map(|content| File::new(&format!("{:p}", content), content));
        let [chain, key, own_chain, own_key] = files.each_ref().map(File::path);
        let server = TlsServerConfig::files(chain, key).client_ca_file(ca.path());
        let client = TlsConfig::builder().ca_file(ca.path());
        let client = client.client_certificate_files(own_chain, own_key);
        (client.build().unwrap(), server.build().unwrap())
    };
    assert!(Pair::new(&client, &server).talk().is_up());
}

#[test]
fn a_name_that_no_certificate_could_be_for_is_refused() {
    for name in [
        "",
        "a b",
        "näme.example",
        "[::1]",
        "host:443",
        "-",
        "a..b",
        "*.example",
    ] {
        let told = said(unverified().server_name(name).build());
        assert!(told.contains(&format!("for the name {name:?}")), "{told}");
    }
    let sessions = unverified().build().unwrap().sessions();
    for host in ["", "a b", "host:443"] {
        let refused = sessions.check(host).unwrap_err();
        let Source::Invalid(words) = refused else {
            panic!("{refused:?}");
        };
        assert!(words.contains("server_name"), "{words}");
        assert_eq!(sessions.begin(host).map(|_| ()).unwrap_err(), refused);
    }
    for host in [
        "a.example",
        "under_score.example",
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
    ] {
        assert_eq!(sessions.check(host), Ok(()), "{host}");
    }
    let named = unverified().server_name("a.example").build().unwrap();
    assert_eq!(named.sessions().check("a b"), Ok(()), "its own name counts");
}

#[test]
fn a_protocol_that_cannot_be_said_is_refused() {
    let told = said(unverified().alpn(["h2", ""]).build());
    assert!(
        told.contains("0 bytes") && told.contains("1 to 255"),
        "{told}"
    );
    let told = said(unverified().alpn([vec![b'x'; 256]]).build());
    assert!(told.contains("256 bytes"), "{told}");
    assert!(unverified().alpn([vec![b'x'; 255]]).build().is_ok());
    let server = Authority::new().sign_host().server().alpn([""]).build();
    assert_eq!(
        server.unwrap_err(),
        TlsConfigError::BadProtocol { bytes: 0 }
    );
}

#[test]
fn a_range_without_a_version_is_refused() {
    let none = TlsVersion::Tls13..=TlsVersion::Tls12;
    let told = said(unverified().versions(none.clone()).build());
    assert!(told.contains("put the older one first"), "{told}");
    let server = Authority::new().sign_host().server().versions(none).build();
    assert_eq!(server.unwrap_err(), TlsConfigError::NoVersion);
}

#[test]
fn a_setting_is_equal_to_its_clones_alone_and_says_nothing_secret() {
    let root = Authority::new();
    let own = root.sign(&for_clients(&["client.example"]));
    let builder = || {
        root.client()
            .client_certificate_pem(own.chain.clone(), own.key.clone())
    };
    let client = builder().build().unwrap();
    assert_eq!(client, client.clone());
    assert_ne!(client, builder().build().unwrap());
    let server = root.sign_host().server();
    let secret = own.key.lines().nth(1).unwrap();
    let built = server.clone().build().unwrap();
    assert_eq!(built, built.clone());
    assert_ne!(built, server.clone().build().unwrap());
    for told in [
        format!("{:?}", builder()),
        format!("{client:?} {built:?} {server:?}"),
    ] {
        assert!(
            !told.contains(secret) && !told.contains("PRIVATE"),
            "{told}"
        );
        assert!(!told.contains(&format!("{:?}", secret.as_bytes()[..8].to_vec())[1..20]));
    }
}

#[test]
fn a_server_name_takes_what_is_asked_for_and_no_process_wide_provider_is_made() {
    let root = Authority::new();
    let shown = root.sign(&named(&["a.example"]));
    let client = root.client().build().unwrap();
    assert!(
        Pair::to("a.example", &client, &shown.server().build().unwrap())
            .talk()
            .is_up()
    );
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}
