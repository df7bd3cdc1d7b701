//! Each timeout in its phase: in virtual time and in real, short ones are told alike.

use std::time::Duration;

use super::hand::Hand;
use super::stage::Stage;
use super::{on_loopback_and_like_it, patient};
use crate::config::{Config, Timeouts};
use crate::frame::Framing;
use crate::sim::world::World;
use crate::time::Time;
use crate::upstream::Upstream;

const SHORT: Duration = Duration::from_millis(200);

/// Everything is patient but what a script shortens.
fn config(shorten: impl FnOnce(&mut Timeouts)) -> Config {
    let mut config = patient();
    shorten(&mut config.timeouts);
    config
}

/// What the only raw connection is told at its end.
fn closed<S: Stage>(mut hand: Hand<S>) -> String {
    hand.until("it ends", |hand| hand.log.closed() == 1);
    hand.log.connections.concat().pop().unwrap()
}

/// A client with a connection that stands and was accepted.
fn standing<S: Stage>(stage: S, config: Config) -> Hand<S> {
    let mut hand = Hand::new(stage, config);
    hand.connect(&Framing::line());
    hand.settle();
    hand.turn();
    hand.accept();
    hand
}

/// The same with an upstream, and a request that the peer has read.
fn asked<S: Stage>(stage: S, config: Config) -> Hand<S> {
    let mut hand = Hand::new(stage, config);
    hand.add(Upstream::new(hand.at.to_string()));
    hand.settle();
    hand.turn();
    hand.accept();
    hand.request();
    hand.flush();
    hand.peer_reads(0, 64);
    hand
}

fn failed<S: Stage>(mut hand: Hand<S>) -> Vec<String> {
    let asked = hand.requests as usize;
    hand.until("all end", |hand| hand.log.requests.len() == asked);
    hand.log.requests.into_values().collect()
}

fn resolve<S: Stage>(mut stage: S) -> String {
    stage.name("silent.test", &[]);
    let mut hand = Hand::new(stage, config(|it| it.resolve = SHORT));
    hand.connect_to("silent.test:9", &Framing::line());
    closed(hand)
}

#[test]
fn a_lookup_that_hangs() {
    let told = on_loopback_and_like_it!(resolve);
    assert!(
        told.contains("phase: Resolve, sent: No, source: Timeout(200ms)"),
        "{told}"
    );
}

fn connect<S: Stage>(mut stage: S) -> String {
    let (at, _full) = stage.full();
    let mut hand = Hand::new(stage, config(|it| it.connect = SHORT));
    hand.connect_to(&at.to_string(), &Framing::line());
    hand.send(0, b"never\n");
    closed(hand)
}

#[test]
fn a_backlog_that_is_full() {
    let told = on_loopback_and_like_it!(connect);
    assert!(
        told.contains("phase: Connect, sent: No, source: Timeout(200ms)"),
        "{told}"
    );
}

fn idle<S: Stage>(stage: S) -> String {
    closed(standing(stage, config(|it| it.idle = SHORT)))
}

#[test]
fn a_connection_that_is_idle() {
    let told = on_loopback_and_like_it!(idle);
    assert!(
        told.contains("phase: Idle, sent: No, source: Timeout(200ms)"),
        "{told}"
    );
}

fn read_stall<S: Stage>(stage: S) -> String {
    let mut hand = standing(stage, config(|it| it.read_stall = SHORT));
    hand.peer_writes(0, b"hal");
    closed(hand)
}

#[test]
fn a_frame_that_does_not_go_on() {
    let told = on_loopback_and_like_it!(read_stall);
    assert!(
        told.contains("phase: Read, sent: No, source: Timeout(200ms)"),
        "{told}"
    );
}

fn write_stall<S: Stage>(stage: S) -> bool {
    let mut hand = standing(stage, config(|it| it.write_stall = SHORT));
    hand.send_until_full(0);
    closed(hand).contains("phase: Write, sent: Maybe, source: Timeout(200ms)")
}

#[test]
fn a_peer_that_does_not_read() {
    assert!(on_loopback_and_like_it!(write_stall));
}

fn linger<S: Stage>(stage: S) -> String {
    let mut hand = standing(stage, config(|it| it.linger = SHORT));
    hand.send(0, b"last\n");
    hand.close(0);
    closed(hand)
}

#[test]
fn a_peer_that_does_not_close() {
    let told = on_loopback_and_like_it!(linger);
    assert!(
        told.contains("phase: Drain, sent: Maybe, source: Timeout(200ms)"),
        "{told}"
    );
}

fn first_byte<S: Stage>(stage: S) -> Vec<String> {
    failed(asked(stage, config(|it| it.first_byte = SHORT)))
}

#[test]
fn a_reply_that_does_not_come() {
    let told = on_loopback_and_like_it!(first_byte);
    assert!(
        told[0].contains("phase: Read, sent: Maybe, source: Timeout(200ms)"),
        "{told:?}"
    );
}

fn wait<S: Stage>(stage: S) -> Vec<String> {
    let mut hand = asked(stage, config(|it| it.wait = SHORT));
    hand.request();
    hand.until("one gave up", |hand| hand.log.requests.len() == 1);
    hand.peer_writes(0, b"in time\n");
    failed(hand)
}

#[test]
fn a_connection_that_does_not_come_free() {
    let told = on_loopback_and_like_it!(wait);
    assert_eq!(told[0], "reply in time");
    assert!(
        told[1].contains("phase: Connect, sent: No, source: Timeout(200ms)"),
        "{told:?}"
    );
}

/// One that was sent, its neighbour behind it, and one that waits: each ends by its own deadline, and
/// the late reply is nobody's.
fn deadline<S: Stage>(stage: S) -> Vec<String> {
    let mut hand = Hand::new(stage, config(|_| ()));
    hand.add(Upstream::new(hand.at.to_string()).depth(2));
    hand.settle();
    hand.turn();
    hand.accept();
    hand.request_within(SHORT);
    hand.request();
    hand.request_within(SHORT);
    hand.flush();
    hand.until("two are late", |hand| hand.log.requests.len() == 2);
    hand.peer_reads(0, 64);
    hand.peer_writes(0, b"late\nin time\n");
    let mut told = failed_of(&mut hand);
    told.extend(hand.told.iter().take(2).cloned());
    told
}

fn failed_of<S: Stage>(hand: &mut Hand<S>) -> Vec<String> {
    let asked = hand.requests as usize;
    hand.until("all end", |hand| hand.log.requests.len() == asked);
    hand.log.requests.values().cloned().collect()
}

#[test]
fn a_deadline_of_a_request() {
    let told = on_loopback_and_like_it!(deadline);
    assert!(
        told[0].contains("phase: Read, sent: Maybe, source: Deadline"),
        "{told:?}"
    );
    assert_eq!(told[1], "reply in time");
    assert!(told[2].contains("sent: No, source: Deadline"), "{told:?}");
}

/// A deadline that has come before its request is made.
fn too_late<S: Stage>(stage: S) -> String {
    let mut hand = asked(stage, config(|_| ()));
    let upstream = hand.upstream.unwrap();
    let now = |_: Time, _: &_, _: &_| Time::ZERO;
    let made = hand.client.core.request(upstream, b"x\n", 9, now);
    format!("{made:?}")
}

#[test]
fn a_deadline_that_has_passed() {
    let told = on_loopback_and_like_it!(too_late);
    assert!(told.contains("source: Deadline"), "{told}");
}
