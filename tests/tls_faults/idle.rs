//! What a server says while nothing is asked of it: tickets, key updates, its farewell with or without words, alone or
//! behind tickets. A request that follows is written to a peer that is there, on the same connection; or it was not
//! sent at all, and is answered on the next one. Nothing is lost in between.

use std::time::Duration;

use rustls::version::TLS12;
use taut::{
    Breaker, BreakerState, Class, Client, Config, ConnectionId, Peek, Phase, Retry, Sent, Source,
    Upstream, UpstreamId,
};

use crate::common::*;
use crate::support::*;
use crate::tls::*;

/// An upstream whose one connection stands and has answered a request, with the peer's end of it.
struct Line {
    peer: Peer,
    terms: Terms,
    client: Client,
    ledger: Ledger,
    upstream: UpstreamId,
    conversation: Conversation,
}

impl Line {
    fn new(terms: impl FnOnce(&Identity) -> Terms, change: impl FnOnce(&mut Config)) -> Line {
        let ours = Authority::new("ours");
        let terms = terms(&ours.issue_local());
        let (peer, tls, mut client) = (Peer::new(), trusting(&ours), client_with(change));
        let (upstream, conversation) = secured_upstream(&mut client, &peer, &terms, &tls);
        let mut line = Line {
            peer,
            terms,
            client,
            ledger: Ledger::default(),
            upstream,
            conversation,
        };
        line.ask_and_answer();
        line
    }

    fn connection(&self) -> ConnectionId {
        only_connection(&self.client, self.upstream)
    }

    fn ask(&mut self) -> taut::RequestId {
        let line = [MARKER, b"\n"].concat();
        let (client, upstream) = (&mut self.client, self.upstream);
        self.ledger.request(client, upstream, &line, far())
    }

    /// A request is made, and answered on the connection that stands.
    fn ask_and_answer(&mut self) {
        let request = self.ask();
        self.client.flush();
        let asked = self.conversation.read_line().expect("the request");
        assert_eq!(asked, MARKER);
        assert!(self.conversation.answer(&asked));
        let reply = self.ledger.until(&mut self.client, request).reply();
        assert_eq!(reply, MARKER.to_ascii_uppercase());
    }

    /// Puts bytes on the line and waits, without a turn, until they are in the client's kernel.
    fn line(&mut self, bytes: &[u8]) {
        let connection = self.connection();
        let before = self.client.tcp_info(connection).unwrap().bytes_received;
        assert!(self.conversation.line(bytes));
        let wanted = before + bytes.len() as u64;
        until_in_kernel(&self.client, connection, wanted);
    }

    /// The same with a FIN behind them.
    fn last_line(&mut self, bytes: &[u8]) {
        let connection = self.connection();
        let before = self.client.tcp_info(connection).unwrap().bytes_received;
        assert!(self.conversation.line(bytes));
        self.conversation.fin();
        let wanted = before + bytes.len() as u64 + 1;
        until_in_kernel(&self.client, connection, wanted);
    }

    /// The connection that stood had nothing of a further request; its farewell, if there was one, is no alert.
    fn assert_old_had_nothing_more(&mut self) {
        assert_eq!(self.conversation.read_line(), None, "it was written");
        assert_sealed(&self.conversation.heard);
        let ending = self.conversation.ended();
        assert!(!matches!(ending, Ending::Broken(_)), "{ending:?}");
    }

    /// The next connection is made, and takes a request that waits or is made now.
    fn next_connection_answers(&mut self, request: Option<taut::RequestId>) {
        let request = request.unwrap_or_else(|| self.ask());
        let (upstream, connects) = (self.upstream, self.connects());
        self.conversation =
            next_conversation(&mut self.client, &self.peer, &self.terms, |client| {
                client.upstream_stats(upstream).unwrap().connects > connects
            });
        self.client.flush();
        let asked = self.conversation.read_line().expect("the request");
        assert!(self.conversation.answer(&asked));
        let reply = self.ledger.until(&mut self.client, request).reply();
        assert_eq!(reply, MARKER.to_ascii_uppercase());
    }

    fn connects(&self) -> u64 {
        self.client.upstream_stats(self.upstream).unwrap().connects
    }

    /// Everything has ended, and nothing is left.
    fn ends(mut self) {
        self.ledger.until_all(&mut self.client);
        assert_no_sockets_are_left(self.client, self.peer.addr());
    }
}

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

#[test]
fn tickets_while_idle_are_read_by_the_look_and_the_request_goes_out_on_the_same_connection() {
    for peek in [Peek::Always, Peek::Idle(Duration::ZERO), Peek::Never] {
        for turns in [false, true] {
            let mut line = Line::new(Terms::new, |it| it.peek = peek);
            let mut sealing = line.conversation.sealing();
            for _ in 0..3 {
                let tickets = [sealing.ticket(200), sealing.ticket(2_000)].concat();
                line.line(&tickets);
                if turns {
                    line.client.turn(Some(Duration::ZERO)).unwrap();
                }
                let request = line.ask();
                line.client.flush();
                assert_eq!(line.conversation.read_line().unwrap(), MARKER);
                let answer = sealing.data(b"THE ANSWER\n");
                line.line(&answer);
                let reply = line.ledger.until(&mut line.client, request).reply();
                assert_eq!(reply, b"THE ANSWER");
            }
            assert_eq!(line.connects(), 1, "{peek:?}");
            line.ends();
        }
    }
}

/// More tickets than one look brings in: what is left is the next one's, or the pump's.
#[test]
fn a_request_behind_many_tickets_is_answered_on_the_same_connection() {
    let mut line = Line::new(Terms::new, |_| {});
    let mut sealing = line.conversation.sealing();
    let tickets: Vec<u8> = (0..60).flat_map(|_| sealing.ticket(2_000)).collect();
    line.line(&tickets);
    let request = line.ask();
    line.client.flush();
    assert_eq!(line.conversation.read_line().unwrap(), MARKER);
    let answer = sealing.data(b"THE ANSWER\n");
    line.line(&answer);
    let reply = line.ledger.until(&mut line.client, request).reply();
    assert_eq!(reply, b"THE ANSWER");
    assert_eq!(line.connects(), 1);
    line.ends();
}

#[test]
fn a_key_update_while_idle_is_answered_and_the_next_requests_go_out_with_the_new_keys() {
    for turns in [false, true] {
        let mut line = Line::new(Terms::new, |_| {});
        for _ in 0..5 {
            line.conversation.tls.refresh_traffic_keys().unwrap();
            let update = line.conversation.said();
            line.line(&update);
            if turns {
                line.client.turn(Some(Duration::ZERO)).unwrap();
            }
            line.ask_and_answer();
        }
        assert_eq!(line.connects(), 1);
        assert_sealed(&line.conversation.heard);
        line.ends();
    }
}

/// Words that nobody asked for, of the program's own kind, are no reply: the connection ends, and is told by its name.
#[test]
fn a_line_while_idle_is_no_reply_to_the_request_that_follows() {
    let mut line = Line::new(Terms::new, |_| {});
    let unasked = {
        use std::io::Write;
        line.conversation
            .tls
            .writer()
            .write_all(b"HELLO\n")
            .unwrap();
        line.conversation.said()
    };
    line.line(&unasked);
    let request = line.ask();
    line.client.flush();
    line.next_connection_answers(Some(request));
    let stats = line.client.upstream_stats(line.upstream).unwrap();
    assert_eq!(stats.last_error.unwrap().source, Source::Unsolicited);
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
