//! Records of all sizes and kinds: what is sealed at a time, new keys, floods of what carries nothing, and handshakes
//! that are too long.

use std::sync::Arc;

use rcgen::CustomExtension;
use rustls::pki_types::ServerName;
use rustls::version::TLS12;
use rustls::{
    CipherSuiteCommon, ClientConfig, ContentType, RootCertStore, SupportedCipherSuite,
    Tls12CipherSuite,
};

use super::pair::Pair;
use super::people::{Authority, HOST, authority};
use super::scripted::Scripted;
use crate::error::{Source, TlsFault};
use crate::session::SEAL_BYTES_MAX;
use crate::session::TlsVersion::{Tls12, Tls13};
use crate::tls::provider;
use crate::tls::session::of_client;

/// A record's head, the kind within it and what it is signed by (RFC 8446 §5.2, AES-GCM).
const RECORD_OVERHEAD: usize = 5 + 1 + 16;
const RECORD_BYTES_MAX: usize = 16 << 10;

#[test]
fn what_is_sealed_at_a_time_goes_into_as_few_records_as_can_be() {
    for version in [Tls12, Tls13] {
        let root = Authority::new();
        let client = root.client().versions(version..=version).build().unwrap();
        let mut pair = Pair::new(&client, &root.sign_host().server().build().unwrap()).talk();
        let mut said = Vec::new();
        for bytes in [1, RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, SEAL_BYTES_MAX] {
            let program: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
            let line = pair.client.seal(&program);
            let records = bytes.div_ceil(RECORD_BYTES_MAX);
            if version == Tls13 {
                assert_eq!(line.len(), bytes + records * RECORD_OVERHEAD);
            }
            pair.server.receive(&line);
            said.extend(program);
            assert!(pair.server.heard == said, "{bytes}");
            assert!(pair.client.words().is_empty(), "it was all in the seal");
        }
    }
}

/// rustls ends such a session by itself, and takes what it is given then without a word.
#[test]
fn keys_that_have_sealed_all_they_may_say_so_before_anything_is_dropped() {
    let root = Authority::new();
    let mut provider = provider::provider().as_ref().clone();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_none());
    for suite in &mut provider.cipher_suites {
        let SupportedCipherSuite::Tls12(it) = *suite else {
            unreachable!("those of TLS 1.3 are gone");
        };
        let common = CipherSuiteCommon {
            confidentiality_limit: 500,
            ..it.common
        };
        let short = Tls12CipherSuite { common, ..*it };
        *suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(short)));
    }
    let mut roots = RootCertStore::empty();
    roots.add(root.issuer.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut pair = Pair::new(
        &root.client().build().unwrap(),
        &root.sign_host().server().build().unwrap(),
    );
    let name = ServerName::try_from(HOST).unwrap();
    pair.client.session = of_client(Arc::new(config), name, None, true).unwrap();
    pair.settle();
    let mut said = 0;
    while !pair.client.session.is_used_up() {
        pair.say(b"line\n");
        said += 5;
        assert!(said < 500 * 5, "never told");
    }
    assert!(said > 400 * 5, "told at {said} bytes");
    assert_eq!(pair.server.heard.len(), said);
    pair.client.session.close();
    pair.settle();
    assert!(pair.server.session.is_peer_closed());
}

/// Tickets, in TLS 1.3.
#[test]
fn what_the_session_has_to_say_itself_takes_no_room_from_a_seal() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let mut pair = Pair::new(&client, &root.sign_host().server().build().unwrap());
    let said = pair.client.words();
    pair.server.receive(&said);
    let answer = pair.server.words();
    pair.client.receive(&answer);
    let finished = pair.client.words();
    pair.server.receive(&finished);
    assert!(pair.server.is_up());
    let line = pair.server.seal(&[7; SEAL_BYTES_MAX]);
    assert!(line.len() > SEAL_BYTES_MAX + 4 * RECORD_OVERHEAD, "tickets");
    pair.client.receive(&line);
    assert_eq!(pair.client.heard.len(), SEAL_BYTES_MAX);
}

#[test]
fn sealed_bytes_come_behind_what_the_line_holds() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let mut pair = Pair::new(&client, &root.sign_host().server().build().unwrap()).talk();
    let mut line = pair.client.seal(b"first ");
    pair.client.session.seal(b"second", &mut line);
    pair.client.session.close();
    pair.client.session.transmit(&mut line);
    pair.server.receive(&line);
    assert_eq!(pair.server.heard, b"first second");
    assert!(pair.server.session.is_peer_closed());
}

#[test]
fn new_keys_are_taken_and_answered_with_the_next_words() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let (mut client, mut server) = Scripted::with_client(&client, &root.sign_host(), Tls13);
    for round in 0..100 {
        server.rustls.refresh_traffic_keys().unwrap();
        let line = server.seal(b"behind the new keys");
        client.receive(&line);
        assert_eq!(client.broke, None, "round {round}");
        let said = client.seal(b"so are ours");
        assert_eq!(server.hear(&said), b"so are ours");
    }
    assert_eq!(client.heard.len(), 100 * b"behind the new keys".len());
}

#[test]
fn a_flood_of_new_keys_is_a_breach_and_answered_with_little() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let (mut client, mut server) = Scripted::with_client(&client, &root.sign_host(), Tls13);
    for _ in 0..1_000 {
        server.rustls.refresh_traffic_keys().unwrap();
        client.receive(&server.words());
    }
    assert_eq!(client.broke, Some(Source::Tls(TlsFault::Misbehaved)));
    assert!(client.words().len() < 1_000);
}

#[test]
fn a_flood_of_empty_records_is_a_breach() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let (mut client, server) = Scripted::with_client(&client, &root.sign_host(), Tls13);
    let mut sealing = server.sealing();
    for _ in 0..20 {
        client.receive(&sealing.record(ContentType::ApplicationData, b""));
        client.receive(&sealing.record(ContentType::ApplicationData, b"x"));
    }
    assert_eq!((client.broke, client.heard.len()), (None, 20));
    for _ in 0..100 {
        client.receive(&sealing.record(ContentType::ApplicationData, b""));
    }
    assert_eq!(client.broke, Some(Source::Tls(TlsFault::Misbehaved)));
}

#[test]
fn a_record_of_one_byte_after_another_is_handed_out_whole() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let (mut client, server) = Scripted::with_client(&client, &root.sign_host(), Tls13);
    let mut sealing = server.sealing();
    let line: Vec<u8> = (0..10_000_u32)
        .flat_map(|n| sealing.record(ContentType::ApplicationData, &[n as u8]))
        .collect();
    client.receive(&line);
    assert_eq!(client.heard.len(), 10_000);
}

#[test]
fn an_alert_within_a_session_is_told_and_what_came_before_it_handed_out() {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    let (mut client, server) = Scripted::with_client(&client, &root.sign_host(), Tls13);
    let mut sealing = server.sealing();
    let mut line = sealing.record(ContentType::ApplicationData, b"before");
    // fatal, internal_error
    line.extend(sealing.record(ContentType::Alert, &[2, 80]));
    client.receive(&line);
    assert_eq!(client.heard, b"before");
    assert_eq!(client.broke, Some(Source::Alert(80)));
}

/// What a client says of a server that shows about so many bytes of certificates, in pieces of that length.
fn outcome_of_chain(bytes: usize, piece: usize) -> Option<Source> {
    let root = Authority::new();
    let mut params = authority("of no use");
    let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![0; 9_000]);
    params.custom_extensions.push(padding);
    let mut shown = root.sign_host();
    // What is shown beside does not matter, but for its length.
    let beside = Authority::of(params);
    for _ in 0..bytes.div_ceil(beside.issuer.der().len()) {
        shown = shown.with(&beside);
    }
    let client = root.client().build().unwrap();
    let mut pair = Pair::new(&client, &shown.server().build().unwrap());
    pair.piece = piece;
    pair.settle();
    assert_eq!(pair.is_up(), pair.client.broke.is_none());
    pair.client.broke
}

#[test]
fn a_handshake_of_nearly_64_kib_is_taken_and_a_longer_one_told() {
    for piece in [1_000, usize::MAX] {
        assert_eq!(outcome_of_chain(54_000, piece), None);
        let too_large = Some(Source::Tls(TlsFault::TooLarge));
        assert_eq!(outcome_of_chain(70_000, piece), too_large);
    }
}
