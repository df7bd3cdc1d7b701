//! Sessions that break, or are broken off: what a look finds, what the peer said of it, and a drain.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use super::{Manner, bench, end_of, ms};
use crate::config::{Config, Peek};
use crate::error::{Class, Phase, Sent, Source, TlsFault};
use crate::event::Event;
use crate::session::Session;
use crate::sim::moments::{Bench, failed};
use crate::upstream::Upstream;

const LONG: Duration = Duration::from_secs(60);

/// The session breaks on what a look brings in: nothing is sealed behind that, whoever may be sent to.
#[test]
fn a_look_that_finds_the_session_broken_writes_nothing_of_the_programs() {
    for half_close in [false, true] {
        let manner = Manner::plain();
        let mut bench = Bench::new(Config {
            half_close,
            ..Config::default()
        });
        let (id, mut other) = bench.talking(&manner);
        other.session.alert(80);
        other.speak();
        bench.tell(&mut other, usize::MAX);
        bench.stall(ms(1));
        bench.engine.core.send(id, b"ping\n").unwrap();
        bench.engine.core.flush();
        let told = bench.events(ms(1));
        let line = bench.got(&other.socket);
        other.overheard.put(&line);
        let [Event::Closed { error, written, .. }] = told[..] else {
            panic!("{told:?}")
        };
        assert_eq!((error.unwrap().source, written), (Source::Alert(80), 0));
        assert_eq!(line, b"");
    }
}

/// The write that failed was told, and what the peer had said of it was lost with it.
#[test]
fn an_alert_behind_which_the_line_was_reset_is_told_although_a_write_met_the_reset_first() {
    let manner = Manner::plain();
    let mut bench = Bench::new(Config {
        peek: Peek::Never,
        ..Config::default()
    });
    let (id, mut other) = bench.talking(&manner);
    other.session.alert(49);
    other.speak();
    bench.tell(&mut other, usize::MAX);
    bench.close(other, true);
    bench.stall(ms(1));
    bench.engine.core.send(id, b"ping\n").unwrap();
    let told = bench.events(ms(1));
    let error = end_of(&told).unwrap();
    let expected = (Source::Alert(49), Class::Persistent, Phase::Write, Sent::No);
    let told = (error.source, error.class, error.phase, error.sent);
    assert_eq!(told, expected);
}

/// Nothing could be sealed any more, and until the next frame might come the loop tried it again and again.
#[test]
fn a_session_that_breaks_on_a_connection_that_is_held_back_does_not_spin() {
    for is_looked_at in [false, true] {
        let manner = Manner::plain();
        let mut bench = bench();
        let at = Upstream::new(bench.at.to_string());
        let (upstream, mut other) = bench.sealed(at.depth(100).frames_per_second(20), &manner);
        for tag in 0..4 {
            bench.ask(upstream, tag, ms(900));
        }
        assert_eq!(bench.events(ms(1)), []);
        bench.hear(&mut other);
        other.say(&b"pong\n".repeat(4));
        if !is_looked_at {
            other.session.alert(80);
            other.speak();
        }
        bench.tell(&mut other, usize::MAX);
        assert_eq!(bench.events(ms(1)).len(), 2, "a tenth of a second's worth");
        if is_looked_at {
            other.session.alert(80);
            other.speak();
            bench.tell(&mut other, usize::MAX);
            bench.stall(ms(1));
        }
        bench.ask(upstream, 4, ms(900));
        let turns = bench.world.rounds;
        assert_eq!(bench.events(ms(40)), []);
        assert!(bench.world.rounds < turns + 20, "it spins");
        bench.hear(&mut other);
        assert_eq!(other.got, b"ping\n".repeat(4));
    }
}

#[test]
fn a_record_that_was_changed_on_the_way_ends_it_and_the_peer_is_told() {
    let manner = Manner::plain();
    let mut bench = bench();
    let (upstream, mut other) = bench.sealed(Upstream::new(bench.at.to_string()), &manner);
    bench.ask(upstream, 1, LONG);
    assert_eq!(bench.talk(&mut other), []);
    other.say(b"pong\n");
    other.out[5] ^= 1;
    let told = bench.talk(&mut other);
    bench.hear(&mut other);
    let bad = Source::Tls(TlsFault::BadRecord);
    assert_eq!(
        told.iter().map(failed).collect::<Vec<_>>(),
        [Some((1, bad))]
    );
    let Event::Failed { error, .. } = told[0] else {
        unreachable!()
    };
    assert_eq!((error.phase, error.sent), (Phase::Read, Sent::Maybe));
    assert_eq!(other.ended, Some(Source::Alert(20)));
}

#[test]
fn a_drain_in_the_midst_of_a_handshake_and_of_a_record_ends_all_in_time() {
    // In the handshake.
    let manner = Manner::with(2, true);
    let mut bench = bench();
    let (_, mut other) = bench.dialled(&manner);
    bench.hear(&mut other);
    bench.tell(&mut other, 5);
    assert_eq!(bench.events(ms(1)), []);
    bench.engine.core.drain(|now, _, _| now.after(LONG));
    let told = bench.events(ms(5));
    let [Event::Closed { error, .. }, Event::Drained { forced }] = told[..] else {
        panic!("{told:?}")
    };
    let error = error.unwrap();
    assert_eq!((error.phase, forced), (Phase::Handshake, 0));
    assert_eq!(error.class, Class::Local);
    assert_eq!(bench.engine.core.kernel.descriptors(), 0);

    // In a record of the reply.
    let manner = Manner::plain();
    let mut bench = self::bench();
    let (upstream, mut other) = bench.sealed(Upstream::new(bench.at.to_string()), &manner);
    bench.ask(upstream, 1, LONG);
    assert_eq!(bench.talk(&mut other), []);
    other.say(b"pong\n");
    bench.tell(&mut other, 6);
    assert_eq!(bench.events(ms(1)), []);
    bench.engine.core.drain(|now, _, _| now.after(LONG));
    let told = bench.events(ms(5));
    assert!(
        matches!(told[..], [Event::Draining { left: 1 }]),
        "{told:?}"
    );
    bench.tell(&mut other, usize::MAX);
    let told = bench.events(ms(1));
    assert!(
        matches!(told[..], [Event::Reply { tag: 1, .. }]),
        "{told:?}"
    );
    bench.hear(&mut other);
    assert!(other.session.is_peer_closed(), "no farewell");
    other.session.close();
    other.speak();
    bench.tell(&mut other, usize::MAX);
    bench.close(other, false);
    let told = bench.events(ms(5));
    assert!(
        matches!(told[..], [Event::Drained { forced: 0 }]),
        "{told:?}"
    );
    assert_eq!(bench.engine.core.kernel.descriptors(), 0);
}
