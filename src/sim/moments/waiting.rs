//! Requests that wait are served by whoever can take them, whatever it was that they waited for.

use std::time::Duration;

use super::{Bench, failed, ms};
use crate::config::{Config, Peek, Retry};
use crate::event::{Event, UpstreamId};
use crate::kernel::Kernel;
use crate::sim::kernel::SimSocket;
use crate::sim::world::STEP;
use crate::time::Time;
use crate::upstream::Upstream;

fn waiting(bench: &Bench, upstream: UpstreamId) -> usize {
    bench.engine.core.upstream_stats(upstream).unwrap().waiting
}

/// Time passes, in which the peer reads whatever comes on a connection and answers nothing.
fn only_read(bench: &mut Bench, socket: &SimSocket) {
    let mut buffer = [0; 64];
    for _ in 0..50 {
        bench.events(ms(1));
        while bench.peer.read(socket, &mut buffer).is_ok() {}
    }
}

/// It waited for the queue of one connection to drain; that was lost, and it went on waiting until a
/// reply came on the other, which had had room all the time.
#[test]
fn who_waits_for_room_is_served_elsewhere_when_that_connection_is_lost() {
    for lost in 0..2 {
        let mut config = Config::default();
        config.limits.send_queue_bytes_max = 11;
        let mut bench = Bench::new(config);
        bench.world.network.borrow_mut().buffer_bytes = 4;
        let upstream = Upstream::new(bench.at.to_string()).connections(2).depth(8);
        let upstream = bench.engine.core.add(upstream).unwrap();
        for tag in 0..8 {
            bench.ask(upstream, tag, ms(500));
        }
        assert_eq!(bench.events(ms(1)), []);
        let accept = |_| bench.peer.accept(&bench.listener).unwrap().0;
        let mut sockets: Vec<SimSocket> = [0, 1].map(accept).into();
        assert!(
            waiting(&bench, upstream) > 0,
            "not all fit into queues and kernels"
        );
        let (lost, kept) = (sockets.remove(lost), sockets.remove(0));
        only_read(&mut bench, &kept);
        bench.peer.close(lost, true);
        only_read(&mut bench, &kept);
        assert_eq!(waiting(&bench, upstream), 0, "the other has room");
    }
}

/// The same, where that connection's lifetime ended: it is let go only when it has been answered.
#[test]
fn who_waits_for_room_is_served_elsewhere_when_that_connections_lifetime_ends() {
    let is_served = |kept: usize| {
        let mut config = Config::default();
        config.limits.send_queue_bytes_max = 11;
        config.pool.lifetime = ms(200);
        config.pool.lifetime_jitter_percent = 90;
        let mut bench = Bench::new(config);
        bench.world.network.borrow_mut().buffer_bytes = 4;
        let upstream = Upstream::new(bench.at.to_string()).connections(2).depth(8);
        let upstream = bench.engine.core.add(upstream).unwrap();
        for tag in 0..8 {
            bench.ask(upstream, tag, ms(900));
        }
        bench.events(ms(1));
        let accept = |_| bench.peer.accept(&bench.listener).unwrap().0;
        let sockets: Vec<SimSocket> = [0, 1].map(accept).into();
        let waited = waiting(&bench, upstream);
        (0..6).for_each(|_| only_read(&mut bench, &sockets[kept]));
        waited > 0 && waiting(&bench, upstream) == 0
    };
    // Which of the two lives longer is drawn.
    assert!((0..2).any(is_served), "the other has room");
}

/// The next request was put on it all the same, and failed with it.
#[test]
fn a_connection_whose_end_was_found_by_a_flush_takes_no_new_request() {
    for (peek, resets) in [
        (Peek::Never, true),
        (Peek::Always, true),
        (Peek::Always, false),
    ] {
        let config = Config {
            peek,
            retry: Retry::off(),
            ..Config::default()
        };
        let mut bench = Bench::new(config);
        let (upstream, socket) = bench.upstream(4);
        bench.ask(upstream, 1, ms(900));
        assert_eq!(bench.events(ms(1)), []);
        bench.peer.read(&socket, &mut [0; 8]).unwrap();
        bench.peer.write(&socket, b"one\n").unwrap();
        bench.peer.close(socket, resets);
        bench.stall(ms(1));
        bench.ask(upstream, 2, ms(900));
        bench.engine.core.flush();
        bench.ask(upstream, 3, ms(900));
        assert_eq!(waiting(&bench, upstream), 1, "{peek:?}, {resets}");

        let told = bench.events(ms(300));
        let failures: Vec<u64> = told.iter().filter_map(failed).map(|it| it.0).collect();
        assert_eq!((told.len(), failures), (2, vec![2]), "{told:?}");
        let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
        assert_eq!(bench.peer.read(&socket, &mut [0; 8]).unwrap(), 5);
    }
}

/// Its last replies are handed on turn by turn, and what was asked meanwhile failed with it.
#[test]
fn a_connection_whose_end_was_told_before_its_last_replies_takes_no_new_request() {
    let mut config = Config::default();
    config.limits.turn_frames_max = 1;
    let mut bench = Bench::new(config);
    let (upstream, socket) = bench.upstream(4);
    bench.ask(upstream, 1, ms(900));
    bench.ask(upstream, 2, ms(900));
    assert_eq!(bench.events(ms(1)), []);
    bench.peer.read(&socket, &mut [0; 16]).unwrap();
    bench.peer.write(&socket, b"one\ntwo\n").unwrap();
    bench.peer.close(socket, false);
    bench.stall(ms(1));
    bench.engine.turn(Some(Duration::ZERO)).unwrap();
    assert!(matches!(
        bench.next_event(),
        Some(Event::Reply { tag: 1, .. })
    ));
    bench.ask(upstream, 3, ms(900));
    assert_eq!(waiting(&bench, upstream), 1);

    let told = bench.events(ms(300));
    assert!(
        matches!(told[..], [Event::Reply { tag: 2, .. }]),
        "{told:?}"
    );
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    assert_eq!(bench.peer.read(&socket, &mut [0; 8]).unwrap(), 5);
}

/// Its peer had gone, so nothing was written; the end could not be read before the next frame might come, and the loop
/// looked again and again until then.
#[test]
fn a_request_on_a_connection_that_is_held_back_and_has_ended_does_not_spin() {
    let mut bench = Bench::new(Config::default());
    let upstream = Upstream::new(bench.at.to_string());
    let upstream = upstream.depth(100).frames_per_second(20);
    let (upstream, socket) = bench.standing(upstream);
    for tag in 0..4 {
        bench.ask(upstream, tag, ms(900));
    }
    assert_eq!(bench.events(ms(1)), []);
    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.peer.write(&socket, &b"pong\n".repeat(4)).unwrap();
    assert_eq!(bench.events(ms(1)).len(), 2, "a tenth of a second's worth");
    bench.ask(upstream, 4, ms(900));
    bench.peer.shutdown(&socket).unwrap();
    bench.stall(ms(1));
    let turns = bench.world.rounds;
    assert_eq!(bench.events(ms(40)), []);
    assert!(bench.world.rounds < turns + 20, "it spins");
}

/// As many were in flight as may be when it was refused, so no connection was made for the next ones; and none was when
/// there was room again.
#[test]
fn who_was_refused_has_a_connection_made_as_soon_as_another_request_may_be_in_flight() {
    let mut config = Config::default();
    config.limits.waiting_requests_max = 0;
    config.pool.lifetime = ms(5);
    let mut bench = Bench::new(config);
    let upstream = Upstream::new(bench.at.to_string()).connections(1..=2);
    let (upstream, socket) = bench.standing(upstream.depth(3).in_flight_max(2));
    bench.ask(upstream, 1, ms(900));
    bench.ask(upstream, 2, ms(900));
    // It takes no further request.
    assert_eq!(bench.events(ms(10)), []);
    let core = &mut bench.engine.core;
    let refused = core.request(upstream, b"ping\n", 3, |now, _, _| now.after(ms(900)));
    assert!(refused.is_err_and(|error| error.is_full()));
    bench.peer.write(&socket, b"one\n").unwrap();
    assert_eq!(bench.events(ms(1)).len(), 1);
    let stats = bench.engine.core.upstream_stats(upstream).unwrap();
    assert_eq!((stats.open, stats.in_flight), (2, 1));
}

/// The one before it had been taken back, and of that the flush was still to come: nothing was filed for the bytes that
/// were there now, and that the peer took none of them was found when something else was due.
#[test]
fn a_write_is_known_to_stall_in_time_although_the_request_before_it_was_taken_back() {
    let mut config = Config::default();
    config.timeouts.write_stall = ms(50);
    let mut bench = Bench::new(config);
    let (upstream, _socket) = bench.upstream(3);
    bench.ask(upstream, 1, ms(300));
    assert_eq!(bench.events(ms(1)), []);
    let core = &mut bench.engine.core;
    let until = |now: Time, _: &_, _: &_| now.after(ms(900));
    let second = core.request(upstream, b"ping\n", 2, until).unwrap();
    assert!(core.cancel(second));
    bench.ask(upstream, 3, ms(900));
    bench.engine.check();
    assert_eq!(bench.events(STEP).len(), 1, "the second was taken back");
}
