//! A client that ends (fault 37): idle, busy, within a frame, in a pause, while it connects or looks a name up, and
//! twice. Whatever it was at, nothing new is begun, each request and connection ends once, and `Drained` comes last.

mod connecting;

use std::sync::mpsc::channel;
use std::time::Duration;

use super::{Bench, ms};
use crate::config::Config;
use crate::engine::Submission;
use crate::error::{Class, Error, Phase, Sent, Source};
use crate::event::{ConnectionId, Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::kernel::SimSocket;
use crate::upstream::Upstream;

const LONG: Duration = Duration::from_secs(30);

fn drain(bench: &mut Bench, after: Duration) {
    bench.engine.core.drain(|now, _, _| now.after(after));
    bench.engine.check();
}

/// What came before the end, which is told last and once; how many were ended by force.
fn before_the_end(bench: &mut Bench, time: Duration) -> (Vec<Event>, usize) {
    let mut told = bench.events(time);
    let Some(Event::Drained { forced }) = told.pop() else {
        panic!("it has not ended: {told:?}")
    };
    told.retain(|event| !matches!(event, Event::Draining { .. }));
    let is_end = |event: &Event| matches!(event, Event::Drained { .. });
    assert!(!told.iter().any(is_end), "twice: {told:?}");
    assert_eq!(bench.events(LONG * 2), [], "after the end");
    assert_eq!(bench.engine.core.next_timeout(), None, "it rests");
    assert_eq!(bench.engine.core.connections(), 0);
    assert_eq!(bench.engine.core.kernel.descriptors(), 0);
    (told, forced)
}

/// Requests that failed so: by tag, and whether they may have been sent.
fn failed_so(told: &[Event], source: Source) -> Vec<(u64, Sent)> {
    let of = |event: &Event| match event {
        Event::Failed { tag, error, .. } if error.source == source => Some((*tag, error.sent)),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

fn replied(told: &[Event]) -> Vec<u64> {
    let of = |event: &Event| match event {
        Event::Reply { tag, .. } => Some(*tag),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

fn ends_of(told: &[Event], wanted: ConnectionId) -> Vec<Option<Error>> {
    let of = |event: &Event| match event {
        Event::Closed {
            connection, error, ..
        } if *connection == wanted => Some(*error),
        _ => None,
    };
    told.iter().filter_map(of).collect()
}

/// What the peer read, up to the client's FIN; `Err` when there was none.
fn read_to_end(bench: &mut Bench, socket: &SimSocket) -> Result<Vec<u8>, Vec<u8>> {
    let (mut read, mut some) = (Vec::new(), [0; 64]);
    loop {
        match bench.peer.read(socket, &mut some) {
            Ok(0) => return Ok(read),
            Ok(n) => read.extend(&some[..n]),
            Err(_) => return Err(read),
        }
    }
}

fn is_refused<T: std::fmt::Debug>(made: Result<T, Error>) {
    let error = made.unwrap_err();
    assert_eq!(error.source, Source::ShuttingDown);
    assert_eq!((error.class, error.sent), (Class::Local, Sent::No));
}

fn ask_late(bench: &mut Bench, upstream: UpstreamId) {
    let core = &mut bench.engine.core;
    is_refused(core.request(upstream, b"ping\n", 9, |now, _, _| now.after(LONG)));
    is_refused(core.connect("127.0.0.1:1", &Framing::line()));
    is_refused(core.add(Upstream::new("127.0.0.1:1")));
    is_refused(core.mailbox().put(Submission {
        upstream,
        payload: b"ping\n".to_vec(),
        deadline: None,
        terms: 9.into(),
        reply_to: None,
    }));
}

#[test]
fn one_that_has_nothing_ends_in_the_next_turn() {
    let mut bench = Bench::new(Config::default());
    drain(&mut bench, LONG);
    assert_eq!(bench.engine.core.next_timeout(), Some(Duration::ZERO));
    bench.engine.turn(None).unwrap();
    let told = bench.engine.next_event();
    assert_eq!(told, Some(Event::Drained { forced: 0 }));
}

#[test]
fn idle_connections_end_in_peace_and_nothing_new_is_begun() {
    let mut bench = Bench::new(Config::default());
    let upstream = Upstream::new(bench.at.to_string()).connections(3..=5);
    let upstream = bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(1)), []);
    let sockets = [0, 1, 2].map(|_| bench.peer.accept(&bench.listener).unwrap().0);
    drain(&mut bench, LONG);
    ask_late(&mut bench, upstream);
    let told = bench.events(ms(1));
    assert_eq!(told, [Event::Draining { left: 3 }]);
    for socket in sockets {
        assert_eq!(read_to_end(&mut bench, &socket), Ok(vec![]));
        bench.peer.close(socket, false);
    }
    assert_eq!(before_the_end(&mut bench, ms(1)), (vec![], 0));
    ask_late(&mut bench, upstream);
}

#[test]
fn what_is_under_way_and_who_waits_are_answered_and_then_the_connection_ends() {
    let mut bench = Bench::new(Config::default());
    let (upstream, socket) = bench.upstream(1);
    bench.ask(upstream, 1, LONG);
    bench.ask(upstream, 2, LONG);
    assert_eq!(bench.events(ms(1)), []);
    drain(&mut bench, LONG);
    for tag in [1, 2] {
        assert_eq!(read_to_end(&mut bench, &socket), Err(b"ping\n".to_vec()));
        // In two parts: between them it is within a frame.
        bench.peer.write(&socket, b"po").unwrap();
        let told = bench.events(ms(100));
        assert!(replied(&told).is_empty(), "{told:?}");
        bench.peer.write(&socket, b"ng\n").unwrap();
        assert_eq!(replied(&bench.events(ms(1))), [tag]);
    }
    assert_eq!(read_to_end(&mut bench, &socket), Ok(vec![]));
    bench.peer.close(socket, false);
    assert_eq!(before_the_end(&mut bench, ms(1)), (vec![], 0));
}

#[test]
fn what_is_left_at_the_deadline_is_reset_and_fails_once_with_what_was_sent_of_it() {
    let mut config = Config::default();
    config.timeouts.first_byte = LONG;
    config.timeouts.read_stall = LONG;
    let mut bench = Bench::new(config);
    bench.world.network.borrow_mut().buffer_bytes = 7;
    let (upstream, socket) = bench.upstream(4);
    let raw = bench.at.to_string();
    let raw = bench.engine.core.connect(&raw, &Framing::line()).unwrap();
    bench.events(ms(1));
    let (deaf, _) = bench.peer.accept(&bench.listener).unwrap();
    // The first's reply has begun, of the third some was sent, of the fourth nothing; the fifth waits.
    for tag in 1..=5 {
        bench.ask(upstream, tag, LONG);
    }
    bench.engine.core.send(raw, &[b'.'; 100]).unwrap();
    bench.events(ms(1));
    bench.peer.write(&socket, b"po").unwrap();
    drain(&mut bench, ms(500));
    let early = bench.events(ms(499));
    assert_eq!(early, [Event::Draining { left: 2 }]);
    let (told, forced) = before_the_end(&mut bench, ms(2));
    let failed = failed_so(&told, Source::ShuttingDown);
    let mut sent = failed.clone();
    sent.sort_unstable_by_key(|(tag, _)| *tag);
    let (yes, maybe, no) = (Sent::Yes, Sent::Maybe, Sent::No);
    let expected = [(1, yes), (2, maybe), (3, maybe), (4, no), (5, no)];
    assert_eq!(sent, expected, "{told:?}");
    let ended = ends_of(&told, raw);
    let [Some(error)] = ended[..] else {
        panic!("{told:?}")
    };
    assert_eq!(error.source, Source::ShuttingDown);
    assert_eq!((error.phase, error.sent), (Phase::Drain, maybe));
    assert_eq!(forced, 2);
    for socket in [socket, deaf] {
        read_to_end(&mut bench, &socket).unwrap_err();
        let write = bench.peer.write(&socket, b"x");
        assert!(write.is_err(), "no reset came");
    }
}

#[test]
fn a_reply_that_is_here_at_the_deadline_is_told() {
    let mut bench = Bench::new(Config::default());
    let (upstream, socket) = bench.upstream(1);
    bench.ask(upstream, 1, LONG);
    bench.events(ms(1));
    drain(&mut bench, ms(500));
    bench.events(ms(400));
    bench.peer.write(&socket, b"pong\n").unwrap();
    bench.stall(ms(200));
    bench.peer.close(socket, false);
    let (told, _) = before_the_end(&mut bench, ms(2));
    assert_eq!(replied(&told), [1]);
}

#[test]
fn a_second_drain_may_only_bring_the_deadline_forward() {
    for (second, ends_within) in [(ms(50), ms(60)), (LONG, ms(501))] {
        let mut bench = Bench::new(Config::default());
        let (upstream, _socket) = bench.upstream(1);
        bench.ask(upstream, 1, LONG);
        bench.events(ms(1));
        drain(&mut bench, ms(500));
        drain(&mut bench, second);
        let (told, forced) = before_the_end(&mut bench, ends_within);
        let failed = failed_so(&told, Source::ShuttingDown);
        assert_eq!(failed, [(1, Sent::Maybe)]);
        assert_eq!(forced, 1);
        drain(&mut bench, ms(1));
        assert_eq!(bench.events(ms(10)), []);
    }
}

#[test]
fn requests_of_other_threads_that_came_before_are_answered_and_later_ones_refused() {
    let mut bench = Bench::new(Config::default());
    let (upstream, socket) = bench.upstream(1);
    let (reply_to, outcomes) = channel();
    let put = |bench: &Bench| {
        bench.engine.core.mailbox().put(Submission {
            upstream,
            payload: b"ping\n".to_vec(),
            deadline: None,
            terms: 7.into(),
            reply_to: Some(reply_to.clone()),
        })
    };
    put(&bench).unwrap();
    drain(&mut bench, LONG);
    is_refused(put(&bench));
    bench.events(ms(1));
    bench.peer.write(&socket, b"pong\n").unwrap();
    bench.peer.close(socket, false);
    let (told, forced) = before_the_end(&mut bench, ms(1));
    assert_eq!((told, forced), (vec![], 0));
    let outcome = outcomes.try_recv().unwrap();
    assert_eq!(outcome.result, Ok(b"pong".to_vec()));
    assert!(outcomes.try_recv().is_err());
}

#[test]
fn what_is_queued_on_a_raw_connection_leaves_and_what_its_peer_still_says_is_told() {
    let mut bench = Bench::new(Config::default());
    bench.world.network.borrow_mut().buffer_bytes = 8;
    let raw = bench.at.to_string();
    let raw = bench.engine.core.connect(&raw, &Framing::line()).unwrap();
    bench.events(ms(1));
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    bench.engine.core.send(raw, &[b'.'; 40]).unwrap();
    drain(&mut bench, LONG);
    let mut read = Vec::new();
    for _ in 0..10 {
        let (Ok(more) | Err(more)) = read_to_end(&mut bench, &socket);
        read.extend(more);
        bench.events(ms(1));
    }
    assert_eq!(read, [b'.'; 40]);
    assert_eq!(read_to_end(&mut bench, &socket), Ok(vec![]), "no FIN came");
    bench.peer.write(&socket, b"bye\n").unwrap();
    bench.peer.close(socket, false);
    let (told, forced) = before_the_end(&mut bench, ms(1));
    assert!(
        matches!(
            told[..],
            [
                Event::Frame { .. },
                Event::Closed {
                    error: None,
                    written: 40,
                    ..
                }
            ]
        ),
        "{told:?}"
    );
    assert_eq!(forced, 0);
}

#[test]
fn a_peer_that_does_not_end_its_half_is_waited_for_as_long_as_a_fin_may_linger() {
    let mut bench = Bench::new(Config::default());
    let (_, _socket) = bench.upstream(1);
    let began = bench.world.now();
    drain(&mut bench, LONG);
    let mut told = Vec::new();
    while !matches!(told.last(), Some(Event::Drained { .. })) {
        told.extend(bench.events(ms(1)));
    }
    let took = bench.world.now().since(began);
    let linger = Config::default().timeouts.linger;
    assert!(took >= linger && took < linger + ms(5), "{took:?}");
}

/// One event of how far it has come waits at a time, and says how far it has come by then.
#[test]
fn how_far_it_has_come_is_told_once_however_slowly_the_program_pulls() {
    let mut bench = Bench::new(Config::default());
    let upstream = Upstream::new(bench.at.to_string()).connections(4);
    bench.engine.core.add(upstream).unwrap();
    bench.events(ms(1));
    let accept = |_| bench.peer.accept(&bench.listener).unwrap().0;
    let sockets: Vec<SimSocket> = [0; 4].map(accept).into();
    bench.engine.core.drain(|now, _, _| now.after(LONG));
    for (nth, socket) in sockets.into_iter().enumerate() {
        bench.peer.close(socket, false);
        for _ in 0..5 {
            bench.stall(ms(1));
            bench.engine.turn(Some(Duration::ZERO)).unwrap();
        }
        let waiting = bench.engine.core.events.iter();
        let draining = waiting.filter(|event| matches!(event, Event::Draining { .. }));
        assert_eq!(draining.count(), 1, "after {nth}");
        if nth == 1 {
            assert_eq!(bench.next_event(), Some(Event::Draining { left: 4 }));
        }
    }
    assert_eq!(bench.next_event(), Some(Event::Draining { left: 2 }));
    assert_eq!(bench.next_event(), Some(Event::Drained { forced: 0 }));
    assert_eq!(bench.next_event(), None);
}

/// What the program has not pulled holds its connection's end back for a while; who waits for it need not.
#[test]
fn who_waits_fails_at_the_deadline_although_a_connection_is_still_to_be_read() {
    let mut config = Config::default();
    config.limits.unpulled_bytes_max = 1;
    let mut bench = Bench::new(config);
    let (upstream, socket) = bench.upstream(2);
    for tag in 1..=4 {
        bench.ask(upstream, tag, LONG);
    }
    bench.events(ms(1));
    drain(&mut bench, ms(50));
    bench.events(ms(1));
    bench.peer.write(&socket, b"one\n").unwrap();
    for _ in 0..10 {
        bench.stall(ms(1));
        bench.engine.turn(Some(Duration::ZERO)).unwrap();
    }
    bench.peer.write(&socket, b"two\n").unwrap();
    bench.stall(ms(60));
    for _ in 0..3 {
        bench.engine.turn(Some(Duration::ZERO)).unwrap();
    }
    let waits: Vec<Event> = bench.engine.core.events.iter().copied().collect();
    let failed = failed_so(&waits, Source::ShuttingDown);
    assert_eq!(failed, [(4, Sent::No)], "{waits:?}");
    let (told, forced) = before_the_end(&mut bench, ms(1_000));
    assert_eq!(replied(&told), [1, 2]);
    assert_eq!(failed_so(&told, Source::ShuttingDown).len(), 2);
    assert_eq!(forced, 1);
}
