//! How a session begins and ends on its line: a peer that speaks something else, close_notify both ways, what comes
//! behind an end, and what breaks it.

use super::pair::{Pair, carry};
use super::people::Authority;
use crate::error::{Source, TlsFault};
use crate::session::TlsVersion::{Tls12, Tls13};

fn pair() -> Pair {
    let root = Authority::new();
    let client = root.client().build().unwrap();
    Pair::new(&client, &root.sign_host().server().build().unwrap())
}

const NOT_TLS: Option<Source> = Some(Source::Tls(TlsFault::NotTls));

#[test]
fn a_peer_that_speaks_plaintext_is_told_so_by_its_first_bytes() {
    for reply in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"-ERR\r\n",
        b"+",
        b"220 mail.example ESMTP\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\x00\x00\x05hello",
        // The kind of a record, and no version of it.
        b"\x16\x02\x00",
        b"\x16\xfe\xfd",
    ] {
        for piece in [1, usize::MAX] {
            let mut pair = pair();
            pair.client.words();
            carry(reply, piece, &mut pair.client);
            assert_eq!(pair.client.broke, NOT_TLS, "{reply:?}");
            assert!(pair.client.words().is_empty(), "nothing that it could read");
        }
    }
}

#[test]
fn a_client_that_speaks_plaintext_is_told_so() {
    let mut pair = pair();
    pair.server.receive(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(pair.server.broke, NOT_TLS);
    assert!(pair.server.words().is_empty());
}

#[test]
fn plaintext_within_a_session_is_a_breach_and_none_of_it_is_handed_out() {
    let mut pair = pair().talk();
    pair.client.receive(b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(pair.client.broke, Some(Source::Tls(TlsFault::Misbehaved)));
    assert!(pair.client.heard.is_empty());
    assert!(!pair.client.words().is_empty(), "an alert");
}

#[test]
fn a_record_that_was_changed_on_the_way_is_told_so_and_what_came_before_it_is_handed_out() {
    let mut pair = pair().talk();
    let good = pair.server.seal(b"good");
    let mut changed = pair.server.seal(b"changed");
    *changed.last_mut().unwrap() ^= 1;
    let behind = pair.server.seal(b"behind");
    pair.client.receive(&[good, changed, behind].concat());
    assert_eq!(pair.client.heard, b"good");
    assert_eq!(pair.client.broke, Some(Source::Tls(TlsFault::BadRecord)));
    pair.settle();
    // bad_record_mac
    assert_eq!(pair.server.broke, Some(Source::Alert(20)));
}

#[test]
fn a_broken_session_takes_nothing_more_and_says_the_same_again() {
    let mut pair = pair().talk();
    pair.client.receive(b"nonsense");
    let first = pair.client.broke;
    let line = pair.server.seal(b"too late");
    for line in [&line[..], b"more nonsense"] {
        let again = pair
            .client
            .session
            .receive(line, &mut |_| panic!("handed out"));
        assert_eq!(again.err(), first);
    }
    assert!(!pair.client.session.is_peer_closed());
}

#[test]
fn each_side_ends_its_half_and_the_other_goes_on() {
    for version in [Tls12, Tls13] {
        let root = Authority::new();
        let client = root.client().versions(version..=version).build().unwrap();
        let mut pair = Pair::new(&client, &root.sign_host().server().build().unwrap()).talk();
        pair.client.session.close();
        pair.settle();
        assert!(pair.server.session.is_peer_closed());
        assert!(!pair.client.session.is_peer_closed());
        // The last of it may come behind the client's end.
        pair.answer(b"the reply");
        assert_eq!(pair.client.heard, b"the reply");
        pair.server.session.close();
        pair.settle();
        assert!(pair.client.session.is_peer_closed());
        assert_eq!((pair.client.broke, pair.server.broke), (None, None));
    }
}

#[test]
fn all_before_a_close_notify_is_handed_out_and_all_behind_it_is_dropped() {
    let mut pair = pair().talk();
    let mut line = pair.server.seal(b"before");
    pair.server.session.close();
    line.extend(pair.server.words());
    line.extend(b"behind");
    for piece in line.chunks(3) {
        pair.client.receive(piece);
    }
    assert_eq!(pair.client.heard, b"before");
    assert!(pair.client.session.is_peer_closed());
    assert_eq!(pair.client.broke, None);
    pair.client.receive(b"and behind that");
    assert_eq!(pair.client.broke, None);
}

#[test]
fn a_close_notify_is_said_once() {
    let mut pair = pair().talk();
    pair.client.session.close();
    assert!(!pair.client.words().is_empty());
    pair.client.session.close();
    assert!(pair.client.words().is_empty());
}

#[test]
fn what_breaks_a_session_behind_our_own_end_is_told_and_nothing_is_said_of_it() {
    for version in [Tls12, Tls13] {
        let root = Authority::new();
        let client = root.client().versions(version..=version).build().unwrap();
        let server = root.sign_host().server().build().unwrap();
        for line in [
            &b"\x17\x03\x03\x00\x14aaaaaaaaaaaaaaaaaaaa"[..],
            b"nonsense",
        ] {
            let mut pair = Pair::new(&client, &server).talk();
            pair.client.session.close();
            pair.client.words();
            pair.client.receive(line);
            assert!(pair.client.broke.is_some());
            assert!(pair.client.words().is_empty(), "one end is enough");
        }
    }
}

/// Nobody has signed it by then: it says no more than a FIN does.
#[test]
fn a_close_notify_within_the_handshake_is_no_end_that_can_be_trusted() {
    let mut pair = pair();
    pair.client.words();
    // alert, 3.3, two bytes: a warning, close_notify
    pair.client.receive(&[21, 3, 3, 0, 2, 1, 0]);
    assert!(!pair.client.session.is_peer_closed());
    assert!(pair.client.session.is_handshaking());
    assert!([None, Some(Source::Eof)].contains(&pair.client.broke));

    let mut pair = self::pair();
    pair.client.words();
    pair.client.receive(&[21, 3, 3, 0, 2, 2, 0]);
    assert_eq!(pair.client.broke, Some(Source::Eof));
}

#[test]
fn an_alert_in_the_open_is_told_by_its_number() {
    for number in [40, 47, 80, 112, 200] {
        let mut pair = pair();
        pair.client.words();
        pair.client.receive(&[21, 3, 3, 0, 2, 2, number]);
        assert_eq!(pair.client.broke, Some(Source::Alert(number)));
    }
}
