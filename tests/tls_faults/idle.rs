//! What a server says while nothing is asked of it and it stays: tickets and key updates. The request that follows goes
//! out on the same connection.

use std::io::Write;
use std::time::Duration;

use taut::{Peek, Source};

use crate::line::Line;
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
