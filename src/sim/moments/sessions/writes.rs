//! Writing through a session to a peer that takes nothing, or little: what is sealed leaves whole or not at all, and a
//! stall is a stall whoever's bytes they are.

use std::time::Duration;

use super::{Manner, Other, bench, end_of, ms};
use crate::config::Timeouts;
use crate::error::{Phase, Sent, Source};
use crate::event::{Event, UpstreamId};
use crate::sim::moments::{Bench, failed};
use crate::time::Time;
use crate::upstream::Upstream;

const LONG: Duration = Duration::from_secs(60);

fn stall() -> Duration {
    Timeouts::default().write_stall
}

#[test]
fn a_write_stalls_while_sealed_bytes_wait_although_the_queue_is_empty() {
    let manner = Manner::plain();
    let mut bench = bench();
    bench.world.network.borrow_mut().buffer_bytes = 100;
    let (id, _other) = bench.talking(&manner);
    bench.engine.core.send(id, &[b'.'; 1_000]).unwrap();
    let from = bench.world.now();
    let mut told = Vec::new();
    while told.is_empty() {
        told = bench.events(ms(1));
    }
    let took = bench.world.now().since(from);
    assert!(took >= stall() && took < stall() + ms(5), "{took:?}");
    let Event::Closed { error, written, .. } = told[0] else {
        panic!("{told:?}")
    };
    let error = error.unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Write, Source::Timeout(stall()))
    );
    assert_eq!(written, 1_000, "all of the seal counts");
}

/// It was given up at once: the last byte had been written long before.
#[test]
fn an_answer_to_a_key_update_that_finds_no_room_may_wait_as_long_as_any_write() {
    let manner = Manner::plain();
    let mut bench = bench();
    bench.world.network.borrow_mut().buffer_bytes = 100;
    let (id, mut other) = bench.talking(&manner);
    // Both kernels are full, and nothing waits.
    bench.engine.core.send(id, &[b'.'; 200 - 7]).unwrap();
    assert_eq!(bench.events(2 * stall()), []);
    other.session.update_key(true);
    other.speak();
    bench.tell(&mut other, usize::MAX);
    let from = bench.world.now();
    let mut told = Vec::new();
    while told.is_empty() {
        told = bench.events(ms(1));
    }
    let took = bench.world.now().since(from);
    assert!(took >= stall() && took < stall() + ms(5), "{took:?}");
    assert_eq!(end_of(&told).unwrap().phase, Phase::Write);
}

fn asked(bench: &mut Bench, upstream: UpstreamId, tag: u64, payload: &[u8], after: Duration) {
    let deadline = |now: Time, _: &_, _: &_| now.after(after);
    let core = &mut bench.engine.core;
    core.request(upstream, payload, tag, deadline).unwrap();
}

fn sent_of(told: &[Event]) -> Vec<(u64, Sent)> {
    let of = |event: &Event| match event {
        Event::Failed { tag, error, .. } => Some((*tag, error.sent)),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

/// One is sealed and waits, one is behind it and is not.
#[test]
fn a_deadline_takes_back_what_is_not_sealed_and_leaves_what_is() {
    let manner = Manner::plain();
    let mut bench = bench();
    bench.world.network.borrow_mut().buffer_bytes = 30;
    let upstream = Upstream::new(bench.at.to_string()).depth(3);
    let (upstream, mut other) = bench.sealed(upstream, &manner);
    let long = [&[b'a'; 400][..], b"\n"].concat();
    asked(&mut bench, upstream, 1, &long, ms(20));
    assert_eq!(bench.events(ms(1)), []);
    asked(&mut bench, upstream, 2, b"second\n", ms(10));
    asked(&mut bench, upstream, 3, b"third\n", LONG);
    let told = bench.events(ms(15));
    assert_eq!(sent_of(&told), [(2, Sent::No)]);
    let told = bench.events(ms(10));
    assert_eq!(sent_of(&told), [(1, Sent::Maybe)]);
    assert_eq!(failed(&told[0]), Some((1, Source::Deadline)));
    // The seal leaves whole, and nothing of what was taken back.
    while other.got.len() < long.len() {
        bench.hear(&mut other);
        assert_eq!(bench.events(ms(1)), []);
    }
    for _ in 0..50 {
        bench.hear(&mut other);
        _ = bench.events(ms(1));
    }
    let rest = &other.got[long.len()..];
    assert!(rest.is_empty() || rest == b"third\n", "{rest:?}");
    let has_come = |other: &Other| other.got.windows(6).any(|it| it == b"second");
    assert!(!has_come(&other));
}

/// What was never in a seal was not sent; what was may have been.
#[test]
fn a_loss_tells_of_each_request_whether_it_was_sealed() {
    let manner = Manner::plain();
    let mut bench = bench();
    bench.world.network.borrow_mut().buffer_bytes = 30;
    let upstream = Upstream::new(bench.at.to_string()).depth(3);
    let (upstream, other) = bench.sealed(upstream, &manner);
    asked(
        &mut bench,
        upstream,
        1,
        &[&[b'a'; 400][..], b"\n"].concat(),
        LONG,
    );
    assert_eq!(bench.events(ms(1)), []);
    asked(&mut bench, upstream, 2, b"second\n", ms(100));
    assert_eq!(bench.events(ms(1)), []);
    bench.close(other, true);
    let told = bench.events(ms(200));
    assert_eq!(sent_of(&told), [(1, Sent::Maybe), (2, Sent::No)]);
}
