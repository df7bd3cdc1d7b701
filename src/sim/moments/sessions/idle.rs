//! Sessions on connections that nobody asks anything: tickets, other keys, heartbeats, and the limits of idleness.

use std::time::Duration;

use super::{Manner, bench, ms};
use crate::config::{Config, Expect, Heartbeat, Timeouts};
use crate::error::Source;
use crate::event::Event;
use crate::session::Session;
use crate::sim::moments::Bench;
use crate::upstream::Upstream;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_key_update_is_answered_while_idle_and_without_a_request() {
    let manner = Manner::plain();
    let mut bench = bench();
    let (upstream, mut other) = bench.sealed(Upstream::new(bench.at.to_string()), &manner);
    for round in 0..40 {
        other.session.update_key(true);
        other.session.ticket();
        other.speak();
        bench.tell(&mut other, usize::MAX);
        assert_eq!(bench.events(ms(1)), []);
        let line = bench.got(&other.socket);
        assert!(!line.is_empty(), "no answer");
        other.overheard.put(&line);
        other.session.receive(&line, &mut |_| {}).unwrap();
        other.speak();
        assert!(other.out.is_empty(), "an answer to an answer");
        if round % 8 == 7 {
            // Both speak on by the other keys.
            bench.ask(upstream, round, LONG);
            assert_eq!(bench.talk(&mut other), []);
            assert_eq!(std::mem::take(&mut other.got), b"ping\n");
            other.say(b"pong\n");
            let told = bench.talk(&mut other);
            assert!(matches!(told[..], [Event::Reply { .. }]), "{told:?}");
        }
    }
    // Slots give back at the start of a turn.
    assert_eq!(bench.events(ms(1)), []);
    assert_eq!(bench.engine.borrowed_bytes(), 0, "it keeps no storage");
}

/// The look before the write brings in what is no word of the program's: the write goes on, and its reply is its own.
#[test]
fn a_request_behind_tickets_and_other_keys_goes_out_at_once() {
    let manner = Manner::plain();
    let mut bench = bench();
    let (upstream, mut other) = bench.sealed(Upstream::new(bench.at.to_string()), &manner);
    for round in 0..5 {
        other.session.ticket();
        other.session.update_key(round % 2 == 0);
        other.session.ticket();
        other.speak();
        bench.tell(&mut other, usize::MAX);
        bench.stall(ms(1));
        bench.ask(upstream, round, LONG);
        bench.engine.core.flush();
        bench.stall(ms(1));
        bench.hear(&mut other);
        assert_eq!(std::mem::take(&mut other.got), b"ping\n");
        other.say(b"pong\n");
        let told = bench.talk(&mut other);
        assert!(matches!(told[..], [Event::Reply { .. }]), "{told:?}");
    }
    assert_eq!(
        bench.engine.core.upstream_stats(upstream).unwrap().losses,
        0
    );
}

/// What a look brings in of a push is told once and in its place.
#[test]
fn what_a_look_brings_in_is_told_before_what_is_read_behind_it() {
    let manner = Manner::plain();
    let mut bench = bench();
    let (id, mut other) = bench.talking(&manner);
    let mut expected = Vec::new();
    let mut told = Vec::new();
    for round in 0..20u8 {
        for _ in 0..2 {
            let line = [round; 3].map(|it| b'a' + it % 20);
            other.say(&[&line[..], b"\n"].concat());
            expected.push(line.to_vec());
        }
        bench.tell(&mut other, usize::MAX);
        bench.stall(ms(1));
        bench.engine.core.send(id, b"x").unwrap();
        bench.engine.core.flush();
        other.say(b"behind\n");
        expected.push(b"behind".to_vec());
        bench.tell(&mut other, usize::MAX);
        for _ in 0..3 {
            bench.stall(ms(1));
            bench.engine.turn(Some(Duration::ZERO)).unwrap();
            while let Some(Event::Frame { frame, .. }) = bench.engine.next_event() {
                told.push(bench.engine.bytes(&frame).unwrap().to_vec());
            }
        }
    }
    assert_eq!(told, expected);
    bench.hear(&mut other);
    assert_eq!(other.got.len(), 20);
}

/// The end was known, so nothing more was read, and what the first look had brought in was never told.
#[test]
fn what_a_look_has_brought_in_is_told_before_a_reset_that_the_next_look_finds() {
    let manner = Manner::plain();
    let mut bench = bench();
    let (id, mut other) = bench.talking(&manner);
    other.say(b"words\n");
    bench.tell(&mut other, usize::MAX);
    bench.stall(ms(1));
    bench.engine.core.send(id, b"x").unwrap();
    bench.engine.core.flush();
    bench.close(other, true);
    bench.stall(ms(1));
    bench.engine.core.send(id, b"y").unwrap();
    bench.engine.core.flush();
    let told = bench.events(ms(1));
    let [Event::Frame { .. }, Event::Closed { error, written, .. }] = told[..] else {
        panic!("{told:?}")
    };
    let source = error.map(|error| error.source);
    assert_eq!((source, written), (Some(Source::Os(libc::ECONNRESET)), 1));
}

#[test]
fn tickets_do_not_put_the_idle_limit_off_and_it_ends_with_a_farewell() {
    let manner = Manner::plain();
    let mut bench = bench();
    let upstream = Upstream::new(bench.at.to_string()).connections(1);
    let (upstream, mut other) = bench.sealed(upstream, &manner);
    bench.ask(upstream, 1, LONG);
    assert_eq!(bench.talk(&mut other), []);
    other.say(b"pong\n");
    assert_eq!(bench.talk(&mut other).len(), 1);
    let from = bench.world.now();
    let idle = Timeouts::default().idle;
    let open = |bench: &Bench| bench.engine.core.upstream_stats(upstream).unwrap().open;
    while open(&bench) == 1 {
        let rested = bench.world.now().since(from);
        assert!(rested < idle + ms(5), "tickets keep it");
        let until = (idle + ms(2)).saturating_sub(rested).max(ms(1));
        other.session.ticket();
        other.speak();
        bench.tell(&mut other, usize::MAX);
        assert_eq!(bench.events(until.min(Duration::from_secs(1))), []);
    }
    assert!(bench.world.now().since(from) >= idle - ms(5));
    bench.hear(&mut other);
    assert!(other.session.is_peer_closed(), "no farewell");
    let last = bench
        .engine
        .core
        .upstream_stats(upstream)
        .unwrap()
        .last_error;
    assert_eq!(last.unwrap().source, Source::Timeout(idle));
}

/// Nothing finds a silent peer but the heartbeat.
fn watched() -> Config {
    let mut config = Config::default();
    config.socket.keepalive = None;
    config.socket.user_timeout = None;
    config
}

#[test]
fn a_heartbeat_is_asked_and_answered_within_the_session_and_a_ticket_is_a_sign_of_life() {
    let manner = Manner::plain();
    let mut bench = Bench::new(watched());
    let heartbeat = Heartbeat::new(b"beat\n", Expect::exactly(b"beaten"));
    let upstream = Upstream::new(bench.at.to_string()).connections(1..=1);
    let (upstream, mut other) = bench.sealed(upstream.heartbeat(heartbeat), &manner);
    for _ in 0..3 {
        // Whoever speaks within the session is not asked.
        for _ in 0..4 {
            assert_eq!(bench.events(Duration::from_secs(10)), []);
            other.session.ticket();
            other.speak();
            bench.tell(&mut other, usize::MAX);
        }
        bench.hear(&mut other);
        assert_eq!(other.got, b"", "asked too early");
        assert_eq!(bench.events(Duration::from_secs(16)), []);
        bench.hear(&mut other);
        assert_eq!(std::mem::take(&mut other.got), b"beat\n");
        other.say(b"beaten\n");
        assert_eq!(bench.talk(&mut other), []);
    }
    let stats = bench.engine.core.upstream_stats(upstream).unwrap();
    assert_eq!((stats.heartbeats, stats.heartbeats_missed), (3, 0));
    assert_eq!((stats.losses, stats.open), (0, 1));
    // And who says nothing more is found.
    assert_eq!(bench.events(Duration::from_secs(22)), []);
    let stats = bench.engine.core.upstream_stats(upstream).unwrap();
    assert_eq!((stats.heartbeats_missed, stats.losses), (1, 1));
}
