//! What is too much: bounds that are met by name, windows that shut and open again, and programs that
//! lag behind.

use super::hand::Hand;
use super::stage::Stage;
use super::{on_loopback_and_like_it, patient};
use crate::config::{Config, Limits};
use crate::error::{Limit, Source};
use crate::frame::Framing;
use crate::sim::world::World;
use crate::upstream::Upstream;

fn standing<S: Stage>(stage: S, config: Config, framing: &Framing) -> Hand<S> {
    let mut hand = Hand::new(stage, config);
    hand.connect(framing);
    hand.settle();
    hand.turn();
    hand.accept();
    hand
}

/// The peer reads nothing until the queue is full, and then everything.
fn a_window_that_shuts_and_opens<S: Stage>(stage: S) -> (bool, Vec<String>) {
    let mut hand = standing(stage, patient(), &Framing::line());
    let sent = hand.send_until_full(0);
    let mut read = 0;
    hand.until_read(0, sent, &mut read);
    hand.send(0, b"and more\n");
    hand.flush();
    read += hand.peer_reads_all(0);
    hand.close(0);
    hand.peer_closes(0, false);
    hand.turn();
    let told = hand.log.connections.swap_remove(0);
    let told = told.into_iter().filter(|it| !it.starts_with("closed"));
    (read == sent + 9, told.collect())
}

#[test]
fn what_was_queued_before_a_shut_window_arrives_when_it_opens_and_room_is_told_once() {
    let (all_came, told) = on_loopback_and_like_it!(a_window_that_shuts_and_opens);
    assert!(all_came);
    assert_eq!(
        told,
        ["connected", "writable", "sends: Ok(())", "closes: Ok(())"]
    );
}

/// The bounds of a client, each met by name.
fn bounds<S: Stage>(stage: S) -> Vec<Source> {
    let mut config = patient();
    config.limits = Limits {
        connections_max: 2,
        waiting_requests_max: 2,
        waiting_bytes_max: 100,
        send_queue_bytes_max: 1_000,
        ..config.limits
    };
    let mut hand = standing(stage, config, &Framing::line());
    let mut told = Vec::new();
    let connection = hand.connections[0];
    let large = vec![b'x'; 600];
    hand.client.core.send(connection, &large).unwrap();
    told.extend(hand.client.core.send(connection, &large).err());
    told.extend(hand.client.core.send(connection, &[0; 2_000]).err());
    let upstream = Upstream::new(hand.at.to_string());
    let upstream = hand.client.core.add(upstream).unwrap();
    let at = hand.at.to_string();
    told.extend(hand.client.core.connect(&at, &Framing::line()).err());
    for bytes in [50, 60, 10, 10] {
        let payload = vec![b'x'; bytes];
        let in_time = |now: crate::time::Time, _: &_, _: &_| now.after(super::AN_HOUR);
        let made = hand.client.core.request(upstream, &payload, 0, in_time);
        told.extend(made.err());
    }
    told.into_iter().map(|error| error.source).collect()
}

#[test]
fn each_bound_is_met_by_its_name() {
    let told = on_loopback_and_like_it!(bounds);
    let full = |limit| Source::Full { limit };
    assert_eq!(told[0], full(Limit::SendQueueBytes));
    assert!(matches!(told[1], Source::Invalid(_)), "{told:?}");
    assert_eq!(told[2], full(Limit::Connections));
    assert_eq!(told[3], full(Limit::WaitingBytes));
    assert_eq!(told[4], full(Limit::WaitingRequests));
}

/// A peer that says much to a program that pulls nothing: it is not read beyond the bound, and all of
/// it comes in order once it is pulled.
fn a_program_that_lags<S: Stage>(stage: S) -> (bool, Vec<String>) {
    let mut config = patient();
    config.limits.unpulled_bytes_max = 200;
    config.limits.read_bytes = 64;
    let mut hand = standing(stage, config, &Framing::line());
    let lines: String = (0..100).map(|line| format!("line {line}\n")).collect();
    hand.peer_writes(0, lines.as_bytes());
    hand.peer_shuts(0);
    for _ in 0..20 {
        hand.client.turn(Some(std::time::Duration::ZERO)).unwrap();
        hand.client.check();
    }
    let (held, _) = hand.client.held_bytes();
    hand.turn();
    (held <= 200 + 64, hand.log.connections.swap_remove(0))
}

#[test]
fn a_program_that_lags_holds_its_peer_back_and_misses_nothing() {
    let (is_bounded, told) = on_loopback_and_like_it!(a_program_that_lags);
    assert!(is_bounded);
    assert_eq!(told.len(), 1 + 100 + 1);
    assert!((0..100).all(|line| told[line + 1] == format!("frame line {line}")));
}
