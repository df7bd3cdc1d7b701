//! What a server says while nothing is asked of it and it stays: tickets and key updates. The request that follows goes
//! out on the same connection.

use std::io::Write;
use std::time::Duration;

use taut::{Peek, Sent, Source, Upstream};

use crate::common::*;
use crate::line::Line;
use crate::support::*;
use crate::tls::*;

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

// What the look finds of the program's own.

/// A reply is in the line when the next request is written: the look has decrypted it, and it is told all the same.
#[test]
fn a_reply_that_the_look_brings_in_is_told_and_the_next_request_goes_out_behind_it() {
    for (bytes, requests_max) in [(3, 8), (5_000, 8), (40_000, 2)] {
        let (ours, terms) = ours();
        let mut client = client();
        let peer = Peer::new();
        let upstream = Upstream::new(peer.target()).tls(trusting(&ours));
        let upstream = client.add(upstream.depth(8)).unwrap();
        let mut conversation = next_conversation(&mut client, &peer, &terms, |client| {
            client.upstream_stats(upstream).unwrap().open == 1
        });
        let connection = only_connection(&client, upstream);
        let (mut ledger, mut requests) = (Ledger::default(), Vec::new());
        let mut sealing = conversation.sealing();
        for nth in 0..requests_max {
            let line = format!("{nth}\n");
            requests.push(ledger.request(&mut client, upstream, line.as_bytes(), far()));
            client.flush();
            assert_eq!(
                conversation.read_line().unwrap(),
                line.trim_end().as_bytes()
            );
            // Its reply is in the client's kernel when the next one is made, behind a ticket.
            let before = client.tcp_info(connection).unwrap().bytes_received;
            let reply = [&marked(bytes)[..], line.as_bytes()].concat();
            let mut bytes = sealing.ticket(100);
            for part in reply.chunks(10_000) {
                bytes.extend(sealing.data(part));
            }
            conversation.line(&bytes);
            until_in_kernel(&client, connection, before + bytes.len() as u64);
        }
        for (nth, request) in requests.into_iter().enumerate() {
            let reply = [marked(bytes), nth.to_string().into_bytes()].concat();
            assert_eq!(ledger.until(&mut client, request).reply(), reply);
        }
        ledger.until_all(&mut client);
        assert_eq!(client.upstream_stats(upstream).unwrap().losses, 0);
    }
}

/// The same on a raw connection, with the peer's farewell right behind its words: they are told, and nothing is written.
#[test]
fn parting_words_that_the_look_brings_in_are_told_and_nothing_is_written_behind_them() {
    for end in [None, Some(End::Fin), Some(End::Rst)] {
        let (ours, terms) = ours();
        let mut client = client();
        let (connection, mut conversation) = secured(&mut client, &terms, &trusting(&ours));
        let ends = both_ends(&conversation.stream);
        let mut sealing = conversation.sealing();
        let mut line = sealing.data(b"SO LONG\nBYE\n");
        line.extend(sealing.close_notify());
        let before = client.tcp_info(connection).unwrap().bytes_received;
        conversation.line(&line);
        let arrived = before + line.len() as u64;
        until_in_kernel(&client, connection, arrived);
        let kept = match end {
            None => Some(conversation),
            Some(End::Fin) => {
                conversation.fin();
                until_in_kernel(&client, connection, arrived + 1);
                Some(conversation)
            }
            Some(End::Rst) => {
                conversation.end(End::Rst);
                until_reset_arrived(ends);
                None
            }
        };
        client.send(connection, b"ping\n").unwrap();
        let told = until_closed(&mut client, connection);
        assert_eq!(told.frames, [&b"SO LONG"[..], b"BYE"], "{end:?}");
        let error = told.error.unwrap();
        assert_eq!(
            (told.written, error.sent),
            (0, Sent::No),
            "{end:?}: {error}"
        );
        if let Some(mut conversation) = kept {
            assert_eq!(conversation.read_line(), None, "{end:?}");
        }
        assert_silent(&mut client);
    }
}
