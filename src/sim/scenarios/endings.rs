//! Peers that refuse, end within a frame, or end while nothing is under way.

use super::log::Log;
use super::{Script, Stage, echo, in_both_worlds};
use crate::config::Retry;
use crate::engine::Engine;
use crate::event::Event;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::upstream::Upstream;

fn a_refused_connect<S: Stage>(stage: S) -> Vec<String> {
    let mut script = Script::new(stage);
    let at = script.nobody().to_string();
    script.client.core.connect(&at, &Framing::line()).unwrap();
    script.until(echo, |script| script.client_log.closed() == 1);
    let upstream = script
        .client
        .core
        .add(Upstream::new(at).connections(2))
        .unwrap();
    script.request(upstream, b"ping\n", 7);
    script.until(echo, |script| !script.client_log.requests.is_empty());
    let Log {
        connections,
        requests,
        ..
    } = script.client_log;
    vec![connections.concat().concat(), requests[&7].clone()]
}

#[test]
fn a_refused_connect_is_told_once_and_its_requests_were_not_sent() {
    let told = in_both_worlds!(a_refused_connect);
    let refused = "class: Transient, phase: Connect, sent: No, source: Os(111)";
    assert!(
        told[0].starts_with("closed after 0") && told[0].contains(refused),
        "{}",
        told[0]
    );
    assert!(
        told[1].starts_with("failed") && told[1].contains(refused),
        "{}",
        told[1]
    );
}

/// Answers `go` with one line and a half, and closes.
fn half_an_answer<K: Kernel>(engine: &mut Engine<K>, event: &Event) {
    match event {
        Event::Frame { connection, frame } if engine.bytes(frame) == Some(b"go") => {
            engine.core.send(*connection, b"whole\nhal").unwrap();
            engine.core.close(*connection).unwrap();
        }
        Event::HalfClosed { connection } => engine.core.close(*connection).unwrap(),
        _ => {}
    }
}

fn a_peer_that_ends_within_a_frame<S: Stage>(stage: S) -> Vec<String> {
    let mut script = Script::new(stage);
    let at = script.listen(Framing::line(), true).to_string();
    let connection = script.client.core.connect(&at, &Framing::line()).unwrap();
    script.client.core.send(connection, b"go\n").unwrap();
    script.until(half_an_answer, |script| script.client_log.closed() == 1);

    let upstream = script.client.core.add(Upstream::new(at).depth(3)).unwrap();
    let open = |script: &Script<S>| script.client.core.upstream_stats(upstream).unwrap().open == 1;
    script.until(half_an_answer, open);
    for (tag, line) in [(0, "one\n"), (1, "two\n"), (2, "go\n")] {
        script.request(upstream, line.as_bytes(), tag);
    }
    script.until(half_an_answer, |script| {
        script.client_log.requests.len() == 3
    });
    let Log {
        connections,
        requests,
        ..
    } = script.client_log;
    connections
        .into_iter()
        .flatten()
        .chain(requests.into_values())
        .collect()
}

#[test]
fn an_end_within_a_frame_is_truncated_after_the_whole_frames_before_it() {
    let told = in_both_worlds!(a_peer_that_ends_within_a_frame);
    assert_eq!(told[..2], ["connected", "frame whole"]);
    assert!(
        told[2].contains("sent: Maybe, source: Truncated { received: 3 }"),
        "{}",
        told[2]
    );
    assert_eq!(told[3], "reply whole");
    assert!(
        told[4].contains("sent: Yes, source: Truncated { received: 3 }"),
        "{}",
        told[4]
    );
    assert!(
        told[5].contains("sent: Maybe, source: Truncated { received: 3 }"),
        "{}",
        told[5]
    );
}

/// The server ends an idle connection; the next request is made before or after that was seen.
fn an_end_while_idle<S: Stage>(stage: S, resets: bool, seen: bool, retry: Retry) -> Vec<String> {
    let mut script = Script::new(stage);
    let at = script.listen(Framing::raw(), false).to_string();
    let upstream = script
        .client
        .core
        .add(Upstream::new(at).retry(retry))
        .unwrap();
    script.request(upstream, b"one\n", 1);
    script.until(echo, |script| script.client_log.requests.len() == 1);
    let lost = |script: &Script<S>| script.client.core.upstream_stats(upstream).unwrap().losses;

    let connection = *script.server_log.numbers.keys().next().unwrap();
    match resets {
        true => script.server.core.abort(connection).unwrap(),
        false => script.server.core.close(connection).unwrap(),
    }
    script.server.core.flush();
    match seen {
        true => script.until(echo, |script| lost(script) == 1),
        false => script.stage.settle(),
    }
    script.request(upstream, b"two\n", 2);
    script.until(echo, |script| script.client_log.requests.len() == 2);
    script.request(upstream, b"three\n", 3);
    script.until(echo, |script| script.client_log.requests.len() == 3);
    assert_eq!(lost(&script), 1);
    script.client_log.requests.into_values().collect()
}

fn a_fin_that_was_seen<S: Stage>(stage: S) -> Vec<String> {
    an_end_while_idle(stage, false, true, Retry::off())
}

fn a_fin_that_was_not_seen<S: Stage>(stage: S) -> Vec<String> {
    an_end_while_idle(stage, false, false, Retry::off())
}

fn a_fin_that_was_not_seen_and_a_retry<S: Stage>(stage: S) -> Vec<String> {
    an_end_while_idle(stage, false, false, Retry::default())
}

#[test]
fn after_a_fin_that_was_seen_a_request_is_served_on_a_new_connection() {
    let told = in_both_worlds!(a_fin_that_was_seen);
    assert_eq!(told, ["reply one", "reply two", "reply three"]);
}

#[test]
fn a_fin_that_came_just_before_a_request_is_found_by_the_look_and_nothing_is_sent() {
    let told = in_both_worlds!(a_fin_that_was_not_seen);
    assert!(told[1].contains("sent: No, source: Eof"), "{}", told[1]);
    assert_eq!(told[2], "reply three");
}

fn a_reset_that_was_seen<S: Stage>(stage: S) -> Vec<String> {
    an_end_while_idle(stage, true, true, Retry::off())
}

fn a_reset_that_was_not_seen<S: Stage>(stage: S) -> Vec<String> {
    an_end_while_idle(stage, true, false, Retry::off())
}

fn a_reset_that_was_not_seen_and_a_retry<S: Stage>(stage: S) -> Vec<String> {
    an_end_while_idle(stage, true, false, Retry::default())
}

#[test]
fn whom_an_end_while_idle_met_is_served_on_another_connection_and_told_nothing() {
    let told = in_both_worlds!(a_fin_that_was_not_seen_and_a_retry);
    assert_eq!(told, ["reply one", "reply two", "reply three"]);
    let told = in_both_worlds!(a_reset_that_was_not_seen_and_a_retry);
    assert_eq!(told, ["reply one", "reply two", "reply three"]);
}

#[test]
fn a_reset_while_idle_is_as_harmless_as_a_fin_and_keeps_its_name() {
    let told = in_both_worlds!(a_reset_that_was_seen);
    assert_eq!(told, ["reply one", "reply two", "reply three"]);
    let told = in_both_worlds!(a_reset_that_was_not_seen);
    assert!(told[1].contains("sent: No, source: Os(104)"), "{}", told[1]);
    assert_eq!(told[2], "reply three");
}
