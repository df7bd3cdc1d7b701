//! What must not be taken for something else: a late lookup for that of the slot's next connection, stale words for a
//! reply, a failed write for the end of what can be read, a busy peer for the only one, one's own stall for the peer's.

use std::time::Duration;

use super::{Bench, ms};
use crate::config::{Config, Peek, Retry};
use crate::error::{Error, Sent, Source};
use crate::event::Event;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::names::Lookup;
use crate::sim::world::STEP;

/// What was lost is told: nothing is made again.
fn with_peek(peek: Peek) -> Config {
    Config {
        peek,
        retry: Retry::off(),
        ..Config::default()
    }
}

type Replies = Vec<(u64, Vec<u8>)>;
type Failures = Vec<(u64, Error)>;

/// The tags of replies, with their payloads, and the errors of those that failed.
fn replies(bench: &Bench, events: &[Event]) -> (Replies, Failures) {
    let (mut replies, mut failures) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Reply { tag, frame, .. } => {
                let bytes = bench.engine.bytes(frame).unwrap_or(b"given up");
                replies.push((*tag, bytes.to_vec()));
            }
            Event::Failed { tag, error, .. } => failures.push((*tag, *error)),
            other => panic!("{other:?}"),
        }
    }
    (replies, failures)
}

/// getaddrinfo(3) cannot be cancelled: it answers when the connection that asked is long gone.
#[test]
fn a_lookup_that_comes_too_late_is_not_taken_for_that_of_the_next_connection() {
    let mut bench = Bench::new(Config::default());
    let port = bench.at.port();
    {
        let mut network = bench.world.network.borrow_mut();
        let nobody = [10, 9, 9, 9].into();
        network.name("late", ms(2_500), Lookup::Found(vec![nobody]));
        network.name("slow", ms(1_500), Lookup::Found(vec![bench.at.ip()]));
    }
    let connect = |bench: &mut Bench, name: &str| {
        let target = format!("{name}:{port}");
        let core = &mut bench.engine.core;
        core.connect(&target, &Framing::line()).unwrap()
    };
    let late = connect(&mut bench, "late");
    let told = bench.events(ms(2_100));
    assert!(matches!(told[..], [Event::Closed { .. }]), "{told:?}");
    // Its slot is given up.
    assert_eq!(bench.events(STEP), []);

    let slow = connect(&mut bench, "slow");
    assert_eq!(slow.index, late.index);
    let told = bench.events(ms(1_600));
    assert!(
        matches!(told[..], [Event::Connected { connection, peer }] if connection == slow && peer == bench.at),
        "{told:?}"
    );
}

/// They lie in the line when the first request is made: it is not written behind them.
#[test]
fn stale_words_are_not_taken_for_the_reply_of_a_request_behind_them() {
    let mut bench = Bench::new(with_peek(Peek::Always));
    let (upstream, socket) = bench.upstream(1);
    bench.peer.write(&socket, b"stale\n").unwrap();
    bench.stall(ms(1));
    bench.ask(upstream, 1, ms(900));
    let told = bench.events(ms(1));
    let (replies, failures) = replies(&bench, &told);
    assert_eq!(replies, []);
    assert!(
        matches!(
            failures[..],
            [(
                1,
                Error {
                    source: Source::Unsolicited,
                    sent: Sent::No,
                    ..
                }
            )]
        ),
        "{failures:?}"
    );
    let mut some = [0; 8];
    assert!(
        bench.peer.read(&socket, &mut some).is_ok_and(|n| n == 0),
        "nothing was written"
    );
}

/// It answers, and resets; the write that finds this out does not lose the answer.
#[test]
fn a_write_that_fails_does_not_end_what_can_still_be_read() {
    let mut bench = Bench::new(with_peek(Peek::Never));
    let (upstream, socket) = bench.upstream(2);
    bench.ask(upstream, 1, ms(900));
    assert_eq!(bench.events(ms(1)), []);
    bench.peer.read(&socket, &mut [0; 8]).unwrap();
    bench.peer.write(&socket, b"one\n").unwrap();
    bench.peer.close(socket, true);
    bench.stall(ms(1));
    bench.ask(upstream, 2, ms(900));
    bench.engine.turn(Some(Duration::ZERO)).unwrap();
    let told: Vec<Event> = std::iter::from_fn(|| bench.next_event()).collect();
    let (replies, failures) = replies(&bench, &told);
    assert_eq!(replies, [(1, b"one".to_vec())]);
    assert_eq!(told.len(), 2);
    assert!(
        matches!(failures[..], [(2, Error { sent: Sent::No, .. })]),
        "{failures:?}"
    );
}

/// What was said before is read turn by turn; nothing is written meanwhile, and the first error is the one told.
#[test]
fn after_a_failed_write_nothing_more_is_written_and_its_error_is_kept() {
    let mut config = with_peek(Peek::Never);
    (config.limits.turn_frames_max, config.half_close) = (1, true);
    let mut bench = Bench::new(config);
    let at = bench.at.to_string();
    let connection = bench.engine.core.connect(&at, &Framing::line()).unwrap();
    assert_eq!(bench.events(ms(1)).len(), 1);
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    bench.peer.write(&socket, b"one\ntwo\nthree\n").unwrap();
    bench.peer.close(socket, true);
    bench.stall(ms(1));
    bench.engine.core.send(connection, b"four\n").unwrap();
    let told = bench.events(ms(1));
    let errors = told.iter().filter_map(|event| match event {
        Event::Closed { error, .. } => error.map(|error| error.errno()),
        _ => None,
    });
    let errors: Vec<_> = errors.collect();
    assert_eq!((told.len(), errors), (4, vec![Some(libc::ECONNRESET)]));
}

/// Each gets as much of a turn as it may have, and not what it could.
#[test]
fn a_busy_peer_does_not_keep_the_turn_from_the_others() {
    let mut config = Config::default();
    config.limits.turn_frames_max = 3;
    let mut bench = Bench::new(config);
    let at = bench.at.to_string();
    let mut ends = Vec::new();
    for _ in 0..2 {
        bench.engine.core.connect(&at, &Framing::line()).unwrap();
        assert_eq!(bench.events(ms(1)).len(), 1);
        ends.push(bench.peer.accept(&bench.listener).unwrap().0);
    }
    for end in &ends {
        bench.peer.write(end, &b"x\n".repeat(10)).unwrap();
    }
    bench.stall(ms(1));
    let mut told = Vec::new();
    for _ in 0..4 {
        bench.engine.turn(Some(Duration::ZERO)).unwrap();
        let events = std::iter::from_fn(|| bench.next_event());
        told.push(
            events
                .map(|event| event.connection().unwrap().index)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(told[0].len(), 6);
    for turn in &mut told {
        turn.sort();
    }
    let thrice = vec![0, 0, 0, 1, 1, 1];
    assert_eq!(told, [thrice.clone(), thrice.clone(), thrice, vec![0, 1]]);
}

/// It has made room while the loop was away: that is seen before its stall is judged.
#[test]
fn a_loop_that_was_stalled_does_not_take_its_peer_for_stalled() {
    let config = Config::default();
    let stall = config.timeouts.write_stall;
    let mut bench = Bench::new(config);
    bench.world.network.borrow_mut().buffer_bytes = 16;
    let at = bench.at.to_string();
    let connection = bench.engine.core.connect(&at, &Framing::line()).unwrap();
    assert_eq!(bench.events(ms(1)).len(), 1);
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    bench.engine.core.send(connection, &[b'.'; 64]).unwrap();
    assert_eq!(bench.events(ms(1)), []);

    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.stall(stall);
    assert_eq!(bench.events(STEP), []);
    assert_eq!(bench.events(stall - ms(1)), [], "its time begins anew");
    let told = bench.events(ms(2));
    assert!(
        matches!(told[..], [Event::Closed { error: Some(Error { source: Source::Timeout(it), .. }), .. }] if it == stall),
        "{told:?}"
    );
}
