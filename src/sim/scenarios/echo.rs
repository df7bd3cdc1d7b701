//! Requests through an upstream to a peer that echoes, and lines on raw connections.

use std::collections::BTreeSet;

use super::{Script, Stage, echo, in_both_worlds};
use crate::frame::Framing;
use crate::upstream::Upstream;

const CONNECTIONS: usize = 3;
const DEPTH: usize = 4;
const ROUNDS: u64 = 5;

fn payload(tag: u64) -> Vec<u8> {
    // Some larger than a kernel's buffer.
    let padding = if tag % 7 == 3 { 100_000 } else { tag as usize };
    format!("request {tag}{}\n", ".".repeat(padding)).into_bytes()
}

/// Of each round, the tags in the order in which each connection answered them.
fn requests_through_several_connections<S: Stage>(stage: S) -> Vec<BTreeSet<Vec<u64>>> {
    let mut script = Script::new(stage);
    let at = script.listen(Framing::raw(), false);
    let upstream = Upstream::new(at.to_string())
        .connections(CONNECTIONS)
        .depth(DEPTH);
    let upstream = script.client.core.add(upstream).unwrap();
    let stats = |script: &Script<S>| script.client.core.upstream_stats(upstream).unwrap();
    script.until(echo, |script| stats(script).open == CONNECTIONS);

    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let first = round * (CONNECTIONS * DEPTH) as u64;
        let tags = first..first + (CONNECTIONS * DEPTH) as u64;
        for tag in tags.clone() {
            script.request(upstream, &payload(tag), tag);
        }
        script.until(echo, |script| {
            script.client_log.requests.len() as u64 == tags.end
        });
        for tag in tags {
            let line = payload(tag);
            let reply = format!("reply {}", line[..line.len() - 1].escape_ascii());
            assert!(
                script.client_log.requests[&tag] == reply,
                "another's reply for {tag}"
            );
        }
        rounds.push(
            std::mem::take(&mut script.client_log.replies)
                .into_values()
                .collect(),
        );
    }
    assert_eq!(stats(&script).in_flight + stats(&script).waiting, 0);
    assert_eq!(stats(&script).losses, 0);
    rounds
}

#[test]
fn requests_are_answered_alike_in_both_worlds_and_in_order_on_each_connection() {
    let rounds = in_both_worlds!(requests_through_several_connections);
    for orders in &rounds {
        assert_eq!(orders.len(), CONNECTIONS);
        for order in orders {
            assert_eq!(order.len(), DEPTH);
            assert!(order.is_sorted(), "{order:?}");
        }
    }
}

/// What each of two connections was told, by the client's and by the server's side.
fn lines_and_a_close<S: Stage>(stage: S) -> [Vec<Vec<String>>; 2] {
    let mut script = Script::new(stage);
    let at = script.listen(Framing::line(), true);
    let serve = |engine: &mut crate::engine::Engine<S::Base>, event: &crate::event::Event| {
        if let crate::event::Event::Frame { connection, frame } = event {
            let mut line = engine.bytes(frame).unwrap().to_vec();
            line.push(b'\n');
            engine.core.send(*connection, &line).unwrap();
        } else {
            echo(engine, event);
        }
    };
    for name in ["first", "second"] {
        let connection = script
            .client
            .core
            .connect(&at.to_string(), &Framing::line())
            .unwrap();
        let lines = format!("{name} one\n{name} two\r\n\n{name} three\n");
        script
            .client
            .core
            .send(connection, lines.as_bytes())
            .unwrap();
        let number = script.client_log.connections.len();
        script.until(serve, |script| {
            script
                .client_log
                .connections
                .get(number)
                .is_some_and(|told| told.len() == 5)
        });
        script.client.core.close(connection).unwrap();
        script.until(serve, |script| {
            script.client_log.closed() == number + 1 && script.server_log.closed() == number + 1
        });
    }
    script.until(serve, |script| {
        script.client.core.connections() + script.server.core.connections() == 0
    });
    [script.client_log.connections, script.server_log.connections]
}

#[test]
fn lines_come_whole_and_a_close_ends_both_sides_cleanly() {
    let [client, server] = in_both_worlds!(lines_and_a_close);
    let first = [
        "connected",
        "frame first one",
        "frame first two",
        "frame ",
        "frame first three",
    ];
    assert_eq!(client[0][..5], first);
    assert_eq!(client[0][5], "closed after 34: None");
    assert_eq!(server[0][5..], ["half closed", "closed after 33: None"]);
}
