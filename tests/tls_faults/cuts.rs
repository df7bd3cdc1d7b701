//! The line is cut at every byte that the server says, with a FIN or a reset: in the handshake nothing was sent, and
//! after it no end is taken for one that the peer has meant.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use taut::{
    Class, Client, Config, Error, Event, Framing, Phase, RequestId, Sent, Source, Upstream,
};

use crate::common::*;
use crate::proxy::Proxy;
use crate::support::*;
use crate::tls::*;

/// A header, the kind that is hidden, and the tag of an AEAD (RFC 8446 §5.2).
const RECORD_MORE: u64 = 5 + 1 + 16;

/// A server whose handshakes are all of one length, behind a proxy that writes down what a client says.
struct Way {
    _server: TlsServer,
    proxy: Proxy,
    tls: taut::TlsConfig,
    /// What the server says until its part of the handshake is over.
    handshake: u64,
}

impl Way {
    /// A server that answers a line with these records.
    fn new(version: &'static SupportedProtocolVersion, answer: &'static [&'static str]) -> Way {
        let ours = Authority::new("ours");
        let terms = Terms::speaking(&ours.issue_even(), &[version]);
        let server = TlsServer::start(&terms, move |it, _| {
            if it.handshake() && it.read_line().is_some() {
                for part in answer {
                    it.write(part.as_bytes());
                }
            }
            it.ended();
        });
        let proxy = Proxy::recording(server.address());
        // Nothing is resumed: that would be shorter.
        let tls = trusting_with(&ours, |it| it.sessions_max(0));
        let mut way = Way {
            _server: server,
            proxy,
            tls,
            handshake: 0,
        };
        let mut client = client();
        let target = way.proxy.target();
        let connection = client.connect_tls(&target, Framing::line(), &way.tls);
        until_connected(&mut client, connection.unwrap());
        // What the proxy has passed on is counted when it has gone round.
        way.proxy.set(|_| {});
        way.handshake = way.proxy.counts().to_client;
        way
    }

    fn cut(&self, after: u64, end: End) {
        self.proxy.set(|it| it.to_client.limit = Some((after, end)));
    }

    /// What the client has said on the connection of this number.
    fn recorded(&self, nth: usize) -> Vec<u8> {
        self.proxy.recorded().swap_remove(nth)
    }
}

fn assert_cut_by(error: &Error, end: End, whole: Source, what: &str) {
    match end {
        End::Fin => assert_eq!(error.source, whole, "{what}"),
        End::Rst => assert_eq!(error.errno(), Some(libc::ECONNRESET), "{what}"),
    }
}

/// How a handshake fails that is cut there. A reset in front of its first byte may come before the connection stands.
fn cut_in(error: &Error, after: u64) -> (Class, Phase, Sent) {
    let phase = match error.phase {
        Phase::Connect if after == 0 && error.errno().is_some() => Phase::Connect,
        _ => Phase::Handshake,
    };
    (Class::Transient, phase, Sent::No)
}

/// A raw connection that is given a line before the handshake.
fn handshakes_cut_at_every_byte(version: &'static SupportedProtocolVersion, end: End) {
    let way = Way::new(version, &[]);
    let mut client = client();
    for after in 0..=way.handshake {
        way.cut(after, end);
        let target = way.proxy.target();
        let connection = client.connect_tls(&target, Framing::line(), &way.tls);
        let connection = connection.unwrap();
        client.send(connection, &[MARKER, b"\n"].concat()).unwrap();
        let mut stood = false;
        let (error, written) = client_until(&mut client, |_, event| match event {
            Event::Connected { .. } => {
                stood = true;
                None
            }
            Event::Closed { error, written, .. } => Some((error.unwrap(), written)),
            other => panic!("{other:?}"),
        });
        let what = format!("{end:?} after {after} of {}: {error}", way.handshake);
        let heard = way.recorded(1 + after as usize);
        if after < way.handshake {
            assert!(!stood, "{what}");
            assert_eq!(
                (kind(&error), written),
                (cut_in(&error, after), 0),
                "{what}"
            );
            assert_cut_by(&error, end, Source::Eof, &what);
            assert_nothing_of_the_program(&heard);
        } else {
            // A reset may overtake the last byte.
            assert!(stood || end == End::Rst, "{what}");
            assert_nothing_in_the_open(&heard);
            assert_eq!(error.sent == Sent::No, written == 0, "{what}");
            let nothing = Source::Truncated { received: 0 };
            assert_cut_by(&error, end, nothing, &what);
        }
    }
    assert_nothing_is_left(client, way.proxy.address());
}

#[test]
fn a_handshake_of_tls_13_that_a_fin_cuts_at_any_byte_is_transient_and_nothing_was_sent() {
    handshakes_cut_at_every_byte(&TLS13, End::Fin);
}

#[test]
fn a_handshake_of_tls_13_that_a_reset_cuts_at_any_byte_is_transient_and_nothing_was_sent() {
    handshakes_cut_at_every_byte(&TLS13, End::Rst);
}

#[test]
fn a_handshake_of_tls_12_that_a_fin_cuts_at_any_byte_is_transient_and_nothing_was_sent() {
    handshakes_cut_at_every_byte(&TLS12, End::Fin);
}

#[test]
fn a_handshake_of_tls_12_that_a_reset_cuts_at_any_byte_is_transient_and_nothing_was_sent() {
    handshakes_cut_at_every_byte(&TLS12, End::Rst);
}

/// A request that is made when the connection of its upstream stands.
fn asked(client: &mut Client, way: &Way, ledger: &mut Ledger) -> RequestId {
    let upstream = Upstream::new(way.proxy.target()).tls(way.tls.clone());
    let upstream = client.add(upstream).unwrap();
    turn_until(client, "the connection", |client| {
        client.upstream_stats(upstream).unwrap().open == 1
    });
    let line = [MARKER, b"\n"].concat();
    ledger.request(client, upstream, &line, far())
}

/// The reply is told when the record with its end is whole. Of a record that is not, nothing is known.
#[test]
fn a_reply_that_is_cut_at_any_byte_is_no_reply_and_its_first_whole_record_proves_the_request_sent()
{
    const ANSWER: &[&str] = &["par", "tly\n"];
    let records = ANSWER.iter().map(|it| it.len() as u64 + RECORD_MORE);
    let whole: Vec<u64> = records
        .scan(0, |all, bytes| {
            *all += bytes;
            Some(*all)
        })
        .collect();
    for end in End::BOTH {
        let way = Way::new(&TLS13, ANSWER);
        // A cut right behind the handshake would come before the request.
        for after in 1..=whole[1] {
            let (mut client, mut ledger) = (client_without_retries(), Ledger::default());
            way.cut(way.handshake + after, end);
            let request = asked(&mut client, &way, &mut ledger);
            let ended = ledger.until(&mut client, request);
            let what = format!("{end:?} after {after} of {whole:?}: {ended:?}");
            match ended {
                Ended::Reply(bytes) => {
                    assert_eq!((after, &bytes[..]), (whole[1], &b"partly"[..]), "{what}");
                }
                Ended::Failed(error) => {
                    // A reset may overtake what came before it.
                    assert!(after < whole[1] || end == End::Rst, "{what}");
                    let parts: u64 = if after < whole[0] { 0 } else { 3 };
                    let sent = [Sent::Maybe, Sent::Yes][usize::from(parts > 0)];
                    let is_right =
                        error.sent == sent || end == End::Rst && error.sent == Sent::Maybe;
                    assert!(is_right && error.phase == Phase::Read, "{what}");
                    let source = Source::Truncated { received: parts };
                    assert_cut_by(&error, end, source, &what);
                    assert_eq!(error.class == Class::Protocol, end == End::Fin, "{what}");
                }
            }
            ledger.until_all(&mut client);
            assert_no_sockets_are_left(client, way.proxy.address());
        }
        for heard in way.proxy.recorded() {
            assert_nothing_in_the_open(&heard);
        }
    }
}

/// Nothing of it had left, wherever the cut was; the next one is answered.
#[test]
fn a_request_that_waits_for_a_handshake_that_is_cut_was_not_sent_and_the_next_one_is_answered() {
    for end in End::BOTH {
        let way = Way::new(&TLS13, &["yes\n"]);
        for after in (0..way.handshake).step_by(37) {
            let change = |it: &mut Config| it.reconnect.first_pause_max = ms(1);
            let (mut client, mut ledger) = (client_with(change), Ledger::default());
            way.cut(after, end);
            let upstream = Upstream::new(way.proxy.target()).tls(way.tls.clone());
            let upstream = client.add(upstream).unwrap();
            let line = [MARKER, b"\n"].concat();
            let request = ledger.request(&mut client, upstream, &line, far());
            let error = ledger.until(&mut client, request).error();
            let what = format!("{end:?} after {after}: {error}");
            assert_eq!(kind(&error), cut_in(&error, after), "{what}");
            assert_cut_by(&error, end, Source::Eof, &what);
            way.proxy.heal();
            let request = ledger.request(&mut client, upstream, &line, far());
            assert_eq!(ledger.until(&mut client, request).reply(), b"yes", "{what}");
            ledger.until_all(&mut client);
            assert_no_sockets_are_left(client, way.proxy.address());
        }
    }
}
