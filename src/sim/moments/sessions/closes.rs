//! How sessions end: by a close_notify, which is the peer's FIN, or without one, which is none.

use std::time::Duration;

use super::{Manner, Other, bench, end_of, ms};
use crate::config::{Config, Retry};
use crate::error::{Class, Sent, Source};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::session::Session;
use crate::sim::moments::Bench;
use crate::upstream::Upstream;

const LONG: Duration = Duration::from_secs(60);

/// The session is ended behind tickets, and that lies in the line when the next request is made.
#[test]
fn a_farewell_behind_tickets_is_seen_before_the_next_request_which_goes_to_a_new_connection() {
    for tickets in [0, 1, 3] {
        for has_fin in [false, true] {
            let manner = Manner::plain();
            let mut bench = bench();
            let at = Upstream::new(bench.at.to_string());
            let (upstream, mut other) = bench.sealed(at, &manner);
            for _ in 0..tickets {
                other.session.ticket();
            }
            other.session.close();
            other.speak();
            bench.tell(&mut other, usize::MAX);
            if has_fin {
                bench.peer.shutdown(&other.socket).unwrap();
            }
            // The loop has not been turned since: only a look can know.
            bench.stall(ms(1));
            bench.ask(upstream, 1, LONG);
            bench.engine.core.flush();
            let line = bench.got(&other.socket);
            other.overheard.put(&line);
            let got = &mut other.got;
            _ = other.session.receive(&line, &mut |it| got.extend(it));
            assert_eq!(other.got, b"", "it was written to a peer that has gone");
            assert_eq!(bench.events(ms(200)), []);
            bench.hear(&mut other);
            assert_eq!(other.got, b"");
            let mut next = Other::new(bench.accepted(), &manner);
            assert_eq!(bench.talk(&mut next), []);
            assert_eq!(next.got, b"ping\n");
            next.say(b"pong\n");
            let told = bench.talk(&mut next);
            assert!(
                matches!(told[..], [Event::Reply { tag: 1, .. }]),
                "{told:?}"
            );
        }
    }
}

/// The quota of a turn left the end behind the reply for the next one, and who waited was written to a peer that had
/// gone: a look finds nothing in the line any more.
#[test]
fn a_farewell_that_was_read_behind_a_reply_is_heeded_before_it_is_carried_out() {
    let manner = Manner::plain();
    let mut config = Config::default();
    config.limits.turn_frames_max = 1;
    let mut bench = Bench::new(config);
    let at = Upstream::new(bench.at.to_string()).connections(1);
    let (upstream, mut other) = bench.sealed(at, &manner);
    for tag in [1, 2] {
        bench.ask(upstream, tag, LONG);
    }
    assert_eq!(bench.talk(&mut other), []);
    assert_eq!(other.got, b"ping\n");
    other.say(b"pong\n");
    other.session.close();
    other.speak();
    bench.tell(&mut other, usize::MAX);
    let told = bench.events(ms(200));
    assert!(
        matches!(told[..], [Event::Reply { tag: 1, .. }]),
        "{told:?}"
    );
    bench.hear(&mut other);
    assert_eq!(
        other.got, b"ping\n",
        "it was written to a peer that has gone"
    );
    let mut next = Other::new(bench.accepted(), &manner);
    assert_eq!(bench.talk(&mut next), []);
    assert_eq!(next.got, b"ping\n");
}

/// Where it may not be made again the request fails, and it is said that nothing of it was sent.
#[test]
fn a_request_that_meets_a_farewell_was_not_sent() {
    let manner = Manner::plain();
    let mut bench = Bench::new(Config {
        retry: Retry::off(),
        ..Config::default()
    });
    let at = Upstream::new(bench.at.to_string());
    let (upstream, mut other) = bench.sealed(at, &manner);
    other.session.ticket();
    other.session.close();
    other.speak();
    bench.tell(&mut other, usize::MAX);
    bench.stall(ms(1));
    bench.ask(upstream, 1, ms(50));
    let told = bench.events(ms(60));
    for event in &told {
        let Event::Failed { error, .. } = event else {
            panic!("{told:?}")
        };
        assert_eq!(error.sent, Sent::No);
    }
    bench.hear(&mut other);
    assert_eq!(other.got, b"");
}

#[test]
fn a_line_that_ends_without_a_farewell_is_truncated_wherever_that_is() {
    for (said, received) in [(&b""[..], 0), (b"whole\n", 0), (b"whole\nhal", 3)] {
        for half_record in [false, true] {
            let manner = Manner::plain();
            let mut bench = bench();
            let (_, mut other) = bench.talking(&manner);
            if !said.is_empty() {
                other.say(said);
            }
            let whole = other.out.len();
            other.say(b"more\n");
            let part = if half_record { whole + 6 } else { whole };
            bench.tell(&mut other, part);
            bench.close(other, false);
            let mut told = bench.events(ms(1));
            if said.contains(&b'\n') {
                assert!(matches!(told.remove(0), Event::Frame { frame, .. } if frame.len() == 5));
            }
            let error = end_of(&told).unwrap();
            let expected = (Source::Truncated { received }, Class::Protocol);
            assert_eq!((error.source, error.class), expected);
            assert_eq!(bench.events(ms(1)), []);
            assert_eq!(bench.engine.borrowed_bytes(), 0, "storage is held");
        }
    }
}

/// A session's end within a frame is as torn as a FIN there.
#[test]
fn a_farewell_between_frames_is_an_end_and_within_one_it_is_truncated() {
    for (said, expected) in [
        (&b"whole\n"[..], Source::Eof),
        (b"whole\nhal", Source::Truncated { received: 3 }),
    ] {
        let manner = Manner::plain();
        let mut bench = bench();
        let (_, mut other) = bench.talking(&manner);
        other.say(said);
        other.session.close();
        other.speak();
        bench.tell(&mut other, usize::MAX);
        let told = bench.events(ms(1));
        assert!(matches!(told[0], Event::Frame { .. }));
        let error = end_of(&told[1..]).unwrap();
        assert_eq!(error.source, expected);
        // It is answered, before the FIN.
        bench.hear(&mut other);
        assert!(other.session.is_peer_closed());
    }
}

#[test]
fn a_close_says_farewell_behind_what_is_queued_and_awaits_the_peers() {
    let manner = Manner::plain();
    let mut bench = bench();
    bench.world.network.borrow_mut().buffer_bytes = 20;
    let (id, mut other) = bench.talking(&manner);
    bench.engine.core.send(id, &[b'.'; 500]).unwrap();
    bench.engine.core.close(id).unwrap();
    let mut told = Vec::new();
    while !other.session.is_peer_closed() {
        told.extend(bench.events(ms(1)));
        bench.hear(&mut other);
    }
    assert_eq!((other.got.len(), told), (500, vec![]));
    assert_eq!(bench.peer.read(&other.socket, &mut [0; 8]).ok(), Some(0));
    other.session.close();
    other.speak();
    bench.tell(&mut other, usize::MAX);
    // A farewell comes from whoever closes, whatever it has read: only its FIN says that there was nothing more.
    assert_eq!(bench.events(ms(1)), vec![]);
    bench.peer.shutdown(&other.socket).unwrap();
    let told = bench.events(ms(1));
    assert!(
        matches!(
            told[..],
            [Event::Closed {
                error: None,
                written: 500,
                ..
            }]
        ),
        "{told:?}"
    );
}

/// A farewell that finds the line broken is a write that failed: what the peer said before is still read.
#[test]
fn what_a_peer_said_before_its_reset_is_told_although_the_farewell_failed() {
    let manner = Manner::plain();
    let mut bench = bench();
    let (id, mut other) = bench.talking(&manner);
    other.say(b"words\n");
    bench.tell(&mut other, usize::MAX);
    bench.close(other, true);
    bench.stall(ms(1));
    bench.engine.core.close(id).unwrap();
    let told = bench.events(ms(1));
    assert!(
        matches!(told[..], [Event::Frame { .. }, Event::Closed { .. }]),
        "{told:?}"
    );
}

/// Our farewell met a socket that was closed, and its reset was told, although both sides had ended as they should.
#[test]
fn a_close_that_crosses_the_peers_is_a_clean_end() {
    for words in [&b""[..], b"words\n"] {
        let manner = Manner::plain();
        let mut bench = bench();
        let (id, mut other) = bench.talking(&manner);
        other.say(words);
        other.session.close();
        other.speak();
        bench.tell(&mut other, usize::MAX);
        bench.close(other, false);
        bench.stall(ms(1));
        bench.engine.core.close(id).unwrap();
        let mut told = bench.events(ms(1));
        if !words.is_empty() {
            assert!(matches!(told.remove(0), Event::Frame { .. }));
        }
        assert_eq!(end_of(&told), None);
    }
}

/// It had sent to a peer that has ended its half, which may still hear: that all of it was lost was told as a clean end.
#[test]
fn a_reset_that_destroyed_what_was_sent_behind_a_peers_farewell_is_told() {
    for is_sent_at_once in [false, true] {
        let manner = Manner::plain();
        let mut bench = Bench::new(Config {
            half_close: true,
            ..Config::default()
        });
        let (id, mut other) = bench.talking(&manner);
        other.session.close();
        other.speak();
        bench.tell(&mut other, usize::MAX);
        let told = bench.events(ms(1));
        assert!(matches!(told[..], [Event::HalfClosed { .. }]), "{told:?}");
        bench.engine.core.send(id, b"upload\n").unwrap();
        if !is_sent_at_once {
            assert_eq!(bench.events(ms(1)), []);
        }
        bench.close(other, true);
        bench.stall(ms(1));
        bench.engine.core.close(id).unwrap();
        let told = bench.events(ms(1));
        assert!(end_of(&told).is_some(), "{told:?}");
    }
}
