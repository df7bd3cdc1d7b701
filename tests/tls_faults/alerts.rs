//! Alerts of the server's at each step, and servers that do not speak TLS at all: refused by name, for good, and with
//! nothing of the program's on the line.

use std::io::Write;

use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};
use taut::{Class, Client, Error, Framing, Phase, Sent, Source, TlsConfig, TlsFault, Upstream};

use crate::common::*;
use crate::support::*;
use crate::tls::*;

/// An alert goes out after so many records of the server's first flight, sealed or open as the client expects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// Records of the flight before it.
    records: usize,
    is_sealed: bool,
}

const HANDSHAKE_FAILURE: u8 = 40;

/// A server of TLS 1.3 says a hello, a change of cipher, and all the rest in one record.
const STEPS: [Step; 5] = [
    Step {
        records: 0,
        is_sealed: false,
    },
    // Between the hello and the first sealed record either is right (RFC 8446 §5).
    Step {
        records: 1,
        is_sealed: false,
    },
    Step {
        records: 1,
        is_sealed: true,
    },
    Step {
        records: 2,
        is_sealed: true,
    },
    Step {
        records: 3,
        is_sealed: true,
    },
];

/// Says the first records of its flight, then the alert.
fn alert_at(conversation: &mut Conversation, step: Step, description: u8) {
    let flight = conversation.first_answer();
    let mut bytes = 0;
    for record in records(&flight).iter().take(step.records) {
        bytes += 5 + record.content.len();
    }
    let mut line = flight[..bytes].to_vec();
    match step.is_sealed {
        false => line.extend(open_alert(description)),
        true => {
            // The server's own keys of traffic hold as soon as its Finished is out.
            let epoch = match step.records {
                3 => Epoch::Traffic,
                _ => Epoch::Handshake,
            };
            line.extend(conversation.sealing_of(epoch, 0).alert(description));
        }
    }
    conversation.line(&line);
    conversation.hear_all();
}

/// What became of a request, and of a raw connection with a line, that met such a server.
#[track_caller]
fn met(
    client: &mut Client,
    terms: &Terms,
    tls: &TlsConfig,
    speak: impl Fn(&mut Conversation) + Send + Sync + 'static,
) -> [Error; 2] {
    let server = TlsServer::start(terms, move |it, _| speak(it));
    let line = [MARKER, b"\n"].concat();
    let connection = client.connect_tls(&server.target(), Framing::line(), tls);
    let connection = connection.unwrap();
    client.send(connection, &line).unwrap();
    let raw = client_until(client, |_, event| match event {
        taut::Event::Connected { .. } => None,
        taut::Event::Closed { error, .. } => error,
        other => panic!("{other:?}"),
    });
    let upstream = Upstream::new(server.target()).tls(tls.clone());
    let (upstream, mut ledger) = (client.add(upstream).unwrap(), Ledger::default());
    let request = ledger.request(client, upstream, &line, far());
    let managed = ledger.until(client, request).error();
    ledger.until_all(client);
    assert_eq!(sockets_to(server.address()), 0, "sockets left");
    for heard in server.heard() {
        assert_nothing_in_the_open(&heard);
        if managed.phase == Phase::Handshake {
            assert_nothing_of_the_program(&heard);
        }
    }
    [raw, managed]
}

#[test]
fn an_alert_in_the_handshake_of_tls_13_is_told_by_its_number_and_nothing_was_sent() {
    let mut client = client();
    let (ours, _) = ours();
    let terms = Terms::speaking(&ours.issue_local(), &[&TLS13]);
    let tls = trusting(&ours);
    for step in STEPS.into_iter().filter(|it| it.records < 3) {
        for description in [HANDSHAKE_FAILURE, 70, 80, 112, 255] {
            for error in met(&mut client, &terms, &tls, move |it| {
                alert_at(it, step, description)
            }) {
                assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{step:?}: {error}");
                assert_eq!(error.source, Source::Alert(description), "{step:?}");
            }
        }
    }
    assert_no_timers_are_left(client);
}

/// To the client its handshake is over with the server's Finished: what it says then may have been read.
#[test]
fn an_alert_right_behind_the_handshake_of_tls_13_is_told_by_its_number_after_it() {
    let mut client = client();
    let (ours, _) = ours();
    let terms = Terms::speaking(&ours.issue_local(), &[&TLS13]);
    let tls = trusting(&ours);
    let step = STEPS[4];
    for error in met(&mut client, &terms, &tls, move |it| {
        alert_at(it, step, HANDSHAKE_FAILURE)
    }) {
        assert_eq!(error.source, Source::Alert(HANDSHAKE_FAILURE));
        assert_eq!(error.class, Class::Persistent);
        assert_ne!(error.phase, Phase::Handshake);
    }
    assert_no_timers_are_left(client);
}

#[test]
fn an_alert_in_the_handshake_of_tls_12_is_told_by_its_number_and_nothing_was_sent() {
    let mut client = client();
    let (ours, _) = ours();
    let terms = Terms::speaking(&ours.issue_local(), &[&TLS12]);
    let tls = trusting(&ours);
    for at_records in 0..5 {
        let error = met(&mut client, &terms, &tls, move |it| {
            let flight = it.first_answer();
            let all = records(&flight);
            let said = all.iter().take(at_records);
            let bytes = said.map(|it| 5 + it.content.len()).sum();
            let line = [&flight[..bytes], &open_alert(HANDSHAKE_FAILURE)].concat();
            it.line(&line);
            it.hear_all();
        });
        for error in error {
            assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{at_records}: {error}");
            assert_eq!(error.source, Source::Alert(HANDSHAKE_FAILURE));
        }
    }
    assert_no_timers_are_left(client);
}

/// A server that ends the session before it stands says no more than one that hangs up.
#[test]
fn a_close_notify_in_the_handshake_is_an_end_of_the_line() {
    let mut client = client();
    let (ours, terms) = ours();
    let tls = trusting(&ours);
    for error in met(&mut client, &terms, &tls, |it| {
        it.first_answer();
        it.line(&[21, 3, 3, 0, 2, 1, 0]);
        it.fin();
        it.hear_all();
    }) {
        let expected = (Class::Transient, Phase::Handshake, Sent::No);
        assert_eq!((kind(&error), error.source), (expected, Source::Eof));
    }
    assert_no_timers_are_left(client);
}

/// With a request that was sent, and with its reply begun.
#[test]
fn an_alert_in_mid_stream_ends_the_request_as_sent_as_it_is() {
    let mut client = client();
    let (ours, terms) = ours();
    let tls = trusting(&ours);
    for (part, sent) in [(&b""[..], Sent::Maybe), (b"PART", Sent::Yes)] {
        for close in [false, true] {
            let [raw, managed] = met(&mut client, &terms, &tls, move |it| {
                assert!(it.handshake());
                assert_eq!(it.read_line().unwrap(), MARKER);
                let mut sealing = it.sealing();
                let mut line = match part.is_empty() {
                    true => Vec::new(),
                    false => sealing.data(part),
                };
                line.extend(sealing.alert(AlertDescription::InternalError.into()));
                it.line(&line);
                if close {
                    it.fin();
                }
                it.hear_all();
            });
            for error in [raw, managed] {
                assert_eq!(error.source, Source::Alert(80));
                assert_eq!(error.class, Class::Persistent, "{error}");
            }
            assert_eq!((managed.phase, managed.sent), (Phase::Read, sent));
        }
    }
    assert_no_timers_are_left(client);
}

/// What comes before an alert is told before it.
#[test]
fn a_reply_in_front_of_an_alert_is_a_reply() {
    let (ours, terms) = ours();
    let mut client = client();
    let (connection, mut conversation) = secured(&mut client, &terms, &trusting(&ours));
    client.send(connection, b"hello\n").unwrap();
    client.flush();
    assert_eq!(conversation.read_line().unwrap(), b"hello");
    let mut sealing = conversation.sealing();
    let line = [sealing.data(b"ONE\nTWO\nTHR"), sealing.alert(80)].concat();
    conversation.line(&line);
    let told = until_closed(&mut client, connection);
    assert_eq!(told.frames, [b"ONE", b"TWO"]);
    assert_eq!(told.error.unwrap().source, Source::Alert(80));
    assert_silent(&mut client);
}

// No TLS.

/// Servers of other kinds, by the first that they say.
const OTHERS: [(&str, &[u8]); 6] = [
    (
        "http",
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    ),
    ("redis", b"-ERR"),
    ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    ("smtp", b"220 mail.test ESMTP\r\n"),
    ("one byte", b"-"),
    ("zeroes", &[0; 64]),
];

#[test]
fn a_server_that_answers_in_the_open_is_told_to_speak_no_tls_and_gets_nothing_of_the_program() {
    let mut client = client();
    let (ours, terms) = ours();
    let tls = trusting(&ours);
    for (name, words) in OTHERS {
        for ends in [false, true] {
            for error in met(&mut client, &terms, &tls, move |it| {
                it.first_answer();
                it.stream.write_all(words).unwrap();
                if ends {
                    it.fin();
                }
                it.hear_all();
            }) {
                assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{name}: {error}");
                assert_eq!(error.source, Source::Tls(TlsFault::NotTls), "{name}");
            }
        }
    }
    assert_no_timers_are_left(client);
}

/// Of those that greet first, before they have heard anything.
#[test]
fn a_server_that_speaks_first_is_told_to_speak_no_tls() {
    let mut client = client();
    let (ours, terms) = ours();
    let tls = trusting(&ours);
    for (name, words) in OTHERS {
        for error in met(&mut client, &terms, &tls, move |it| {
            it.line(words);
            it.hear_all();
        }) {
            assert_eq!(kind(&error), IN_THE_HANDSHAKE, "{name}: {error}");
            assert_eq!(error.source, Source::Tls(TlsFault::NotTls), "{name}");
        }
    }
    assert_no_timers_are_left(client);
}

/// What begins like TLS and is not, is a breach of the protocol; nothing is made of it, and nothing hangs.
#[test]
fn what_looks_like_tls_and_is_none_is_a_breach_of_the_protocol() {
    let mut client = client();
    let (ours, terms) = ours();
    let tls = trusting(&ours);
    let records: [&[u8]; 5] = [
        // A handshake's record of noise; program's bytes in the open; a change of cipher alone, and twice; a hello again.
        &[22, 3, 3, 0, 4, 99, 0, 0, 0],
        &[23, 3, 3, 0, 4, b'a', b'b', b'c', b'd'],
        &[20, 3, 3, 0, 1, 2],
        &[22, 3, 3, 0, 4, 2, 0, 0, 0],
        &[22, 3, 3, 0xff, 0xff, 0],
    ];
    for line in records {
        for error in met(&mut client, &terms, &tls, move |it| {
            it.first_answer();
            it.line(line);
            it.hear_all();
        }) {
            let expected = (Class::Protocol, Phase::Handshake, Sent::No);
            assert_eq!(kind(&error), expected, "{line:?}: {error}");
        }
    }
    assert_no_timers_are_left(client);
}

/// A record of the stream that was changed on its way.
#[test]
fn a_record_that_was_changed_on_its_way_ends_the_request_as_a_breach_and_gives_no_byte_of_it() {
    let mut client = client();
    let (ours, terms) = ours();
    let tls = trusting(&ours);
    for at in [5, 12, 20] {
        let [raw, managed] = met(&mut client, &terms, &tls, move |it| {
            assert!(it.handshake());
            assert!(it.read_line().is_some());
            let mut line = it.sealing().data(b"A REPLY\n");
            line[at] ^= 1;
            it.line(&line);
            it.hear_all();
        });
        for error in [raw, managed] {
            assert_eq!(error.source, Source::Tls(TlsFault::BadRecord), "{at}");
            assert_eq!(error.class, Class::Protocol);
        }
        assert_eq!((managed.phase, managed.sent), (Phase::Read, Sent::Maybe));
    }
    assert_no_timers_are_left(client);
}
