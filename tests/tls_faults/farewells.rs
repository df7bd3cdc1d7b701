//! A server that goes while nothing is asked of it: with words or without, alone or behind tickets. The request that
//! follows was not sent at all, and is answered on the next connection: nothing is lost in between.

use std::time::Duration;

use rustls::version::TLS12;
use taut::{Breaker, BreakerState, Class, Peek, Phase, Retry, Sent, Source, Upstream};

use crate::common::*;
use crate::line::Line;
use crate::support::*;
use crate::tls::*;

/// What a server says in its farewell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// A FIN alone.
    Fin,
    /// Its close_notify, and a FIN.
    Words,
    /// The same behind tickets, all in one segment.
    BehindTickets,
    /// A FIN behind tickets, with no words.
    FinBehindTickets,
    /// Its close_notify alone: its FIN comes with the client's.
    WordsAlone,
    /// The same behind tickets.
    WordsAloneBehindTickets,
}

impl Farewell {
    const ALL: [Farewell; 6] = [
        Farewell::Fin,
        Farewell::Words,
        Farewell::BehindTickets,
        Farewell::FinBehindTickets,
        Farewell::WordsAlone,
        Farewell::WordsAloneBehindTickets,
    ];

    fn has_fin(self) -> bool {
        !matches!(
            self,
            Farewell::WordsAlone | Farewell::WordsAloneBehindTickets
        )
    }

    fn has_words(self) -> bool {
        !matches!(self, Farewell::Fin | Farewell::FinBehindTickets)
    }

    fn say(self, line: &mut Line) {
        let mut sealing = line.conversation.sealing();
        let mut bytes = Vec::new();
        let tickets = match self {
            Farewell::BehindTickets
            | Farewell::FinBehindTickets
            | Farewell::WordsAloneBehindTickets => 3,
            _ => 0,
        };
        for _ in 0..tickets {
            bytes.extend(sealing.ticket(200));
        }
        if self.has_words() {
            bytes.extend(sealing.close_notify());
        }
        match self.has_fin() {
            true => line.last_line(&bytes),
            false => line.line(&bytes),
        }
    }
}

/// The client does not turn between the farewell and the request: only the look can know. Several log agents and
/// syslogds lose a message here: they take a peer for alive whose line has bytes to read.
#[test]
fn a_request_that_meets_a_farewell_is_not_written_and_the_next_connection_answers() {
    for farewell in Farewell::ALL {
        let mut line = Line::new(Terms::new, |it| it.retry = Retry::off());
        farewell.say(&mut line);
        let request = line.ask();
        let error = line.ledger.until(&mut line.client, request).error();
        assert_eq!(error.sent, Sent::No, "{farewell:?}: {error}");
        assert!(
            matches!(error.phase, Phase::Write | Phase::Idle),
            "{farewell:?}: {error}"
        );
        let (class, source) = match farewell.has_words() {
            true => (Class::Transient, Source::Eof),
            false => (Class::Protocol, Source::Truncated { received: 0 }),
        };
        assert_eq!((error.class, error.source), (class, source), "{farewell:?}");
        line.assert_old_had_nothing_more();
        line.next_connection_answers(None);
        line.ends();
    }
}

/// The same with the retries that are on by default: the program sees its reply, and no more.
#[test]
fn a_request_that_meets_a_farewell_is_made_again_elsewhere_and_answered() {
    for farewell in Farewell::ALL {
        let mut line = Line::new(Terms::new, |it| it.reconnect.first_pause_max = ms(1));
        farewell.say(&mut line);
        let request = line.ask();
        line.client.flush();
        line.next_connection_answers(Some(request));
        line.ends();
    }
}

/// The loop has turned since: the connection was replaced without a word to the program.
#[test]
fn a_farewell_while_nothing_is_asked_is_told_to_nobody_and_the_next_request_goes_elsewhere() {
    for peek in [Peek::Always, Peek::Never] {
        for farewell in Farewell::ALL {
            let mut line = Line::new(Terms::new, |it| {
                it.peek = peek;
                it.reconnect.first_pause_max = ms(1);
            });
            let upstream = line.upstream;
            farewell.say(&mut line);
            turn_until(&mut line.client, "the end", |client| {
                client.upstream_stats(upstream).unwrap().open == 0
            });
            line.assert_old_had_nothing_more();
            line.next_connection_answers(None);
            line.ends();
        }
    }
}

/// Without the look nothing but an edge could know; of a write that may have gone nowhere it is said so.
#[test]
fn without_the_look_a_request_that_meets_a_farewell_is_never_called_unsent_when_it_was_written() {
    for farewell in Farewell::ALL {
        let mut line = Line::new(Terms::new, |it| {
            it.peek = Peek::Never;
            it.retry = Retry::off();
        });
        farewell.say(&mut line);
        let request = line.ask();
        let error = line.ledger.until(&mut line.client, request).error();
        let arrived = line.conversation.read_line();
        let sent = match arrived {
            Some(_) => Sent::Maybe,
            None => Sent::No,
        };
        assert_eq!(error.sent, sent, "{farewell:?}: {error}");
        line.next_connection_answers(None);
        line.ends();
    }
}

/// An edge has told of the FIN, behind more than one turn reads: with the look or without, it is heeded.
#[test]
fn an_edge_that_told_of_a_fin_behind_tickets_is_heeded_without_the_look() {
    let mut line = Line::new(Terms::new, |it| {
        (it.peek, it.retry) = (Peek::Never, Retry::off());
        it.limits.turn_bytes_max = 1;
    });
    let mut sealing = line.conversation.sealing();
    let bytes: Vec<u8> = (0..12).flat_map(|_| sealing.ticket(4_000)).collect();
    line.last_line(&bytes);
    line.client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(
        line.client.upstream_stats(line.upstream).unwrap().open,
        1,
        "one turn has read it all"
    );
    let request = line.ask();
    let error = line.ledger.until(&mut line.client, request).error();
    assert_eq!(error.sent, Sent::No, "{error}");
    line.assert_old_had_nothing_more();
    line.next_connection_answers(None);
    line.ends();
}

/// By TLS 1.2 as well, where a farewell is in the open.
#[test]
fn a_farewell_of_tls_12_is_heeded_before_a_request() {
    for has_fin in [true, false] {
        let terms = |it: &Identity| Terms::speaking(it, &[&TLS12]);
        let mut line = Line::new(terms, |it| it.retry = Retry::off());
        line.conversation.tls.send_close_notify();
        let words = line.conversation.said();
        match has_fin {
            true => line.last_line(&words),
            false => line.line(&words),
        }
        let request = line.ask();
        let error = line.ledger.until(&mut line.client, request).error();
        assert_eq!((error.sent, error.source), (Sent::No, Source::Eof));
        line.assert_old_had_nothing_more();
        line.next_connection_answers(None);
        line.ends();
    }
}

/// Many servers end what is idle without a word. Nothing was cut off: it is no breach of the protocol, of which a few in
/// a row would open the breaker.
#[test]
fn servers_that_end_what_is_idle_without_a_word_do_not_open_the_breaker() {
    for turns in [false, true] {
        let mut line = Line::new(Terms::new, |it| {
            it.breaker = Breaker::default();
            it.reconnect.first_pause_max = ms(1);
        });
        for _ in 0..12 {
            Farewell::Fin.say(&mut line);
            if turns {
                let upstream = line.upstream;
                turn_until(&mut line.client, "the end", |client| {
                    client.upstream_stats(upstream).unwrap().open == 0
                });
            }
            let request = line.ask();
            line.client.flush();
            line.next_connection_answers(Some(request));
        }
        let stats = line.client.upstream_stats(line.upstream).unwrap();
        assert_eq!(stats.breaker, BreakerState::Closed);
        line.ends();
    }
}

/// The same where the look finds it, with a request in hand and no reply in between. Not a byte of it was written, so it
/// is the idle connection that has ended, as without TLS.
#[test]
fn requests_that_meet_an_end_without_a_word_do_not_open_the_breaker() {
    let (ours, terms) = ours();
    let (peer, tls) = (Peer::new(), trusting(&ours));
    let mut client = client_with(|it| {
        (it.breaker, it.retry) = (Breaker::default(), Retry::off());
        it.reconnect.first_pause_max = ms(1);
    });
    let warm = Upstream::new(peer.target()).tls(tls).connections(1..=1);
    let upstream = client.add(warm).unwrap();
    let mut ledger = Ledger::default();
    for nth in 1..=6 {
        let mut conversation = next_conversation(&mut client, &peer, &terms, |client| {
            client.upstream_stats(upstream).unwrap().connects == nth
        });
        let connection = only_connection(&client, upstream);
        let received = client.tcp_info(connection).unwrap().bytes_received;
        conversation.fin();
        until_in_kernel(&client, connection, received + 1);
        let request = ledger.request(&mut client, upstream, b"x\n", far());
        let error = ledger.until(&mut client, request).error();
        assert_eq!(error.sent, Sent::No, "{error}");
    }
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(stats.breaker, BreakerState::Closed);
}
