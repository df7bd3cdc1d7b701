//! Which reply answers what: by order and by id, with pushes between, frames that are skipped, and
//! replies that come too late or to nobody.

use std::time::Duration;

use super::hand::Hand;
use super::stage::Stage;
use super::{on_loopback_and_like_it, patient};
use crate::frame::Framing;
use crate::sim::world::World;
use crate::upstream::Upstream;

/// A client with an upstream of so many requests at a time, accepted.
fn standing<S: Stage>(stage: S, adapt: impl Fn(Upstream) -> Upstream) -> Hand<S> {
    let mut hand = Hand::new(stage, patient());
    let upstream = Upstream::new(hand.at.to_string()).depth(4);
    hand.add(adapt(upstream));
    hand.settle();
    hand.turn();
    hand.accept();
    hand
}

/// The requests, then the pushes of their connections.
fn told<S: Stage>(mut hand: Hand<S>) -> Vec<String> {
    hand.turn();
    let requests = hand.log.requests.into_values();
    requests
        .chain(hand.log.connections.into_iter().flatten())
        .collect()
}

fn pushes<S: Stage>(stage: S) -> Vec<String> {
    let mut hand = standing(stage, |it| it.framing(Framing::resp3()));
    hand.request();
    hand.flush();
    hand.peer_writes(0, b">1\r\n+before\r\n+first\r\n>1\r\n");
    hand.turn();
    hand.request();
    hand.flush();
    hand.peer_writes(0, b"+between\r\n+second\r\n>1\r\n+idle\r\n");
    told(hand)
}

#[test]
fn pushes_before_between_and_behind_replies() {
    let told = on_loopback_and_like_it!(pushes);
    assert!(
        told[0].contains("first") && told[1].contains("second"),
        "{told:?}"
    );
    assert_eq!(told.iter().filter(|it| it.starts_with("frame")).count(), 3);
}

fn by_id<S: Stage>(stage: S) -> Vec<String> {
    // The id is the digit that a reply begins with.
    let id = |payload: &[u8]| {
        payload
            .first()
            .filter(|it| it.is_ascii_digit())
            .map(|it| u64::from(it - b'0'))
    };
    let framing = move || Framing::line().reply_id(id);
    let mut hand = standing(stage, |it| it.framing(framing()).matched_by_id());
    hand.request();
    hand.request_within(Duration::from_millis(200));
    hand.request();
    hand.flush();
    hand.until("one is late", |hand| hand.log.requests.len() == 1);
    hand.peer_writes(0, b"2 third\n1 late\nto nobody\n0 first\n");
    hand.turn();
    hand.request();
    hand.flush();
    hand.peer_writes(0, b"3 fourth\n7 never asked\n");
    told(hand)
}

#[test]
fn replies_in_any_order_by_their_ids() {
    let told = on_loopback_and_like_it!(by_id);
    assert_eq!(told[0], "reply 0 first");
    assert!(told[1].contains("source: Deadline"), "{told:?}");
    assert_eq!(
        told[2..5],
        ["reply 2 third", "reply 3 fourth", "frame to nobody"]
    );
}

fn skipped<S: Stage>(stage: S) -> Vec<String> {
    let framing = || Framing::len32().frame_bytes_max(8).skip_oversize();
    let mut hand = standing(stage, |it| it.framing(framing()));
    for _ in 0..3 {
        hand.request();
    }
    hand.flush();
    for part in [
        &b"\0\0\0\x05first\0\0"[..],
        b"\0\x0da frame",
        b" of 12\0\0\0\x05third",
    ] {
        hand.peer_writes(0, part);
        hand.turn();
    }
    told(hand)
}

#[test]
fn a_frame_that_is_too_long_costs_its_own_request_alone() {
    let told = on_loopback_and_like_it!(skipped);
    assert_eq!((&*told[0], &*told[2]), ("reply first", "reply third"));
    assert!(told[1].contains("Oversize"), "{told:?}");
}

/// Replies that answer nothing: before any request, after the last one, and one too many.
fn unsolicited<S: Stage>(stage: S) -> Vec<String> {
    let mut hand = standing(stage, |it| it);
    hand.request();
    hand.flush();
    hand.peer_writes(0, b"first\nnobody's\n");
    hand.turn();
    hand.accept();
    hand.peer_writes(0, b"line");
    let upstream = hand.upstream.unwrap();
    let stats = hand.client.core.upstream_stats(upstream).unwrap();
    let mut told = told(hand);
    told.push(format!("{:?}", stats.last_error.map(|it| it.source)));
    told
}

#[test]
fn a_reply_too_many_ends_its_connection_by_name() {
    let told = on_loopback_and_like_it!(unsolicited);
    assert_eq!(told, ["reply first", "Some(Unsolicited)"]);
}

/// Two members: each request goes where the fewest are, and the loss of one costs its own alone.
fn members<S: Stage>(stage: S) -> Vec<String> {
    let mut hand = standing(stage, |it| it.connections(2).depth(2));
    hand.accept();
    for _ in 0..4 {
        hand.request();
    }
    hand.flush();
    for end in 0..2 {
        hand.peer_reads(end, 64);
    }
    hand.peer_writes(1, b"of the second\n");
    hand.turn();
    hand.peer_closes(0, true);
    hand.turn();
    hand.peer_writes(1, b"of the second\n");
    hand.turn();
    // Which of both stood first is the kernel's affair.
    let reads = hand.told.iter().filter(|it| it.contains("reads"));
    let lines = reads.map(|it| format!("{} lines", it.matches("request").count()));
    let lines: Vec<String> = lines.collect();
    let mut outcomes = told(hand);
    outcomes.sort();
    outcomes.into_iter().chain(lines).collect()
}

#[test]
fn the_loss_of_one_member_costs_its_own_requests_alone() {
    let told = on_loopback_and_like_it!(members);
    let replied = told.iter().filter(|it| *it == "reply of the second");
    assert_eq!(replied.count(), 2, "{told:?}");
    assert_eq!(told[4..], ["2 lines", "2 lines"]);
    let lost = |it: &&String| it.contains("sent: Maybe, source: Os(104)");
    assert_eq!(told.iter().filter(lost).count(), 2, "{told:?}");
}
