//! How the line is cut is nobody's business: the same plaintext comes of it, and never any before the handshake is over.

use proptest::collection::vec;
use proptest::prelude::*;

use super::pair::{End, Pair, carry};
use super::people::Authority;
use crate::session::TlsVersion::{self, Tls12, Tls13};
use crate::tls::{TlsConfig, TlsServerConfig};

fn settings(version: TlsVersion) -> (TlsConfig, TlsServerConfig) {
    let root = Authority::new();
    let client = root.client().versions(version..=version).build().unwrap();
    (client, root.sign_host().server().build().unwrap())
}

#[test]
fn a_line_that_carries_one_byte_at_a_time_carries_all() {
    for version in [Tls12, Tls13] {
        let (client, server) = settings(version);
        let mut pair = Pair::new(&client, &server);
        pair.piece = 1;
        pair.settle();
        assert!(
            pair.is_up(),
            "{:?} {:?}",
            pair.client.broke,
            pair.server.broke
        );
        pair.say(b"one byte at a time");
        pair.answer(b"there and back");
        assert_eq!(pair.server.heard, b"one byte at a time");
        assert_eq!(pair.client.heard, b"there and back");
        pair.client.session.close();
        pair.server.session.close();
        pair.settle();
        assert!(pair.client.session.is_peer_closed() && pair.server.session.is_peer_closed());
    }
}

/// A session knows no end of its line: cut at a byte, it stays as it was there.
#[test]
fn a_handshake_that_is_cut_at_any_byte_lets_nothing_pass() {
    for version in [Tls12, Tls13] {
        let (client, server) = settings(version);
        let mut pair = Pair::new(&client, &server);
        let mut cuts = 0;
        while !pair.is_up() {
            let (said, answered) = (pair.client.words(), pair.server.words());
            assert!(!said.is_empty() || !answered.is_empty(), "{version:?}");
            cuts += cut(&said, &mut pair.server) + cut(&answered, &mut pair.client);
        }
        assert!(cuts > 500, "{cuts}");
        assert!(pair.client.heard.is_empty() && pair.server.heard.is_empty());
    }
}

/// Gives it the line byte by byte, and looks at it before each of them.
fn cut(line: &[u8], end: &mut End) -> usize {
    for (n, byte) in line.iter().enumerate() {
        assert!(end.broke.is_none() && !end.session.is_peer_closed(), "{n}");
        let info = end.session.info();
        assert!(!info.is_verified || !end.session.is_handshaking());
        end.receive(&[*byte]);
    }
    line.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_place_of_a_peer_break_a_session_or_wait(
        line in vec(any::<u8>(), 0..600),
        head in any::<bool>(),
        piece in 1_usize..40,
        is_server in any::<bool>(),
    ) {
        let (client, server) = shared();
        let mut pair = Pair::new(client, server);
        let end = if is_server { &mut pair.server } else { &mut pair.client };
        end.words();
        let mut line = line;
        if head && line.len() >= 5 {
            // A record, whatever is in it.
            let length = u16::try_from(line.len() - 5).unwrap();
            let kind = 20 + line[0] % 4;
            line[..3].copy_from_slice(&[kind, 3, 3]);
            line[3..5].copy_from_slice(&length.to_be_bytes());
        }
        carry(&line, piece, end);
        end.words();
        prop_assert!(!end.is_up() && end.heard.is_empty());
    }

    #[test]
    fn a_handshake_with_a_byte_changed_lets_nothing_wrong_pass(
        at in any::<proptest::sample::Index>(),
        by in 1_u8..,
        of_server in any::<bool>(),
    ) {
        let (client, server) = shared();
        let mut pair = Pair::new(client, server);
        let mut said = pair.client.words();
        if !of_server {
            let at = at.index(said.len());
            said[at] ^= by;
        }
        pair.server.receive(&said);
        let mut answered = pair.server.words();
        if of_server {
            let at = at.index(answered.len());
            answered[at] ^= by;
        }
        pair.client.receive(&answered);
        pair.settle();
        prop_assert!(pair.client.heard.is_empty() && pair.server.heard.is_empty());
        // What the head of a record says of its version is nobody's business (RFC 8446 §5.1).
        if pair.is_up() {
            pair.say(b"request");
            prop_assert_eq!(&pair.server.heard, b"request");
        }
    }

    #[test]
    fn any_cut_gives_the_same_plaintext(
        parts in vec(vec(any::<u8>(), 1..20_000), 1..6),
        pieces in vec(1_usize..9_000, 1..8),
        before in 1_usize..400,
    ) {
        let (client, server) = shared();
        let mut pair = Pair::new(client, server);
        pair.piece = before;
        pair.settle();
        prop_assert!(pair.is_up());
        let line: Vec<u8> = parts.iter().flat_map(|part| pair.server.seal(part)).collect();
        let mut rest = &line[..];
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, behind) = rest.split_at((*piece).min(rest.len()));
            pair.client.receive(part);
            rest = behind;
        }
        prop_assert_eq!(pair.client.heard, parts.concat());
    }
}

/// One of each, for all cases.
fn shared() -> (&'static TlsConfig, &'static TlsServerConfig) {
    static SETTINGS: std::sync::LazyLock<(TlsConfig, TlsServerConfig)> =
        std::sync::LazyLock::new(|| settings(Tls13));
    (&SETTINGS.0, &SETTINGS.1)
}
