//! A breaker over a whole loop: who is refused, who is let through, and that nothing keeps it half open.

use std::time::Duration;

use super::{Bench, failed, ms};
use crate::config::{Breaker, Config, Rate, Reconnect, Timeouts};
use crate::error::{Error, Limit, Source};
use crate::event::{Event, RequestId, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::kernel::SimSocket;
use crate::time::Time;
use crate::upstream::{BreakerState, Upstream};

/// Before a lost connection is made again.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// A second's first byte; the breaker opens when a half of four have failed, for half a second at least.
fn config() -> Config {
    Config {
        timeouts: Timeouts {
            first_byte: Duration::from_secs(1),
            ..Timeouts::default()
        },
        reconnect: Reconnect {
            first_pause_max: PAUSE_MAX,
            pause_max: PAUSE_MAX,
            ..Reconnect::default()
        },
        breaker: Breaker {
            requests_min: 4,
            lease: Duration::from_secs(2),
            ..Breaker::default()
        },
        ..Config::default()
    }
}

fn asked(
    bench: &mut Bench,
    upstream: UpstreamId,
    tag: u64,
    after: Duration,
) -> Result<RequestId, Error> {
    let deadline = |now: Time, _: &_, _: &_| now.after(after);
    let core = &mut bench.engine.core;
    core.request(upstream, b"ping\n", tag, deadline)
}

/// Asked, and refused by the breaker; after how long a trial may be made.
fn refused(bench: &mut Bench, upstream: UpstreamId) -> Duration {
    let error = asked(bench, upstream, 99, ms(100)).unwrap_err();
    assert_eq!(error.sent, crate::error::Sent::No);
    match error.source {
        Source::BreakerOpen { retry_after } => retry_after,
        _ => panic!("{error}"),
    }
}

fn state(bench: &Bench, upstream: UpstreamId) -> BreakerState {
    let stats = bench.engine.core.upstream_stats(upstream);
    stats.unwrap().breaker
}

/// The next connection of the upstream.
fn accept(bench: &mut Bench) -> SimSocket {
    let until = bench.world.now().after(ms(500));
    loop {
        if let Ok((socket, ..)) = bench.peer.accept(&bench.listener) {
            return socket;
        }
        assert!(bench.world.now() < until, "nobody connects");
        bench.events(ms(1));
    }
}

/// A request that the peer answers.
fn served(bench: &mut Bench, upstream: UpstreamId, socket: &SimSocket, tag: u64) {
    asked(bench, upstream, tag, ms(100)).unwrap();
    bench.events(ms(1));
    bench.peer.read(socket, &mut [0; 64]).unwrap();
    bench.peer.write(socket, b"pong\n").unwrap();
    let told = bench.events(ms(1));
    assert!(matches!(told[..], [Event::Reply { .. }]), "{told:?}");
}

/// A request under which the connection is reset; the next connection.
fn lost(bench: &mut Bench, upstream: UpstreamId, socket: SimSocket, tag: u64) {
    asked(bench, upstream, tag, ms(500)).unwrap();
    bench.events(ms(1));
    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.peer.close(socket, true);
    let told = bench.events(ms(1));
    assert_eq!(told.iter().filter_map(failed).count(), 1, "{told:?}");
}

/// With one connection, which the peer has accepted. State is told.
fn begun(config: Config, depth: usize) -> (Bench, UpstreamId, SimSocket) {
    let mut bench = Bench::new(config);
    let upstream = Upstream::new(bench.at.to_string())
        .depth(depth)
        .connections(1..=1)
        .tell_state();
    let upstream = bench.engine.core.add(upstream).unwrap();
    let socket = accept(&mut bench);
    (bench, upstream, socket)
}

/// Two served and two lost, one after the other: it is open.
fn opened(config: Config) -> (Bench, UpstreamId, SimSocket) {
    let (mut bench, upstream, mut socket) = begun(config, 1);
    for tag in 0..2 {
        served(&mut bench, upstream, &socket, 2 * tag);
        assert_eq!(state(&bench, upstream), BreakerState::Closed);
        lost(&mut bench, upstream, socket, 2 * tag + 1);
        socket = accept(&mut bench);
        bench.events(ms(1));
    }
    assert_eq!(state(&bench, upstream), BreakerState::Open);
    (bench, upstream, socket)
}

/// Until a trial may be made.
fn wait_out(bench: &mut Bench, upstream: UpstreamId) {
    let retry_after = refused(bench, upstream);
    bench.events(retry_after);
}

#[test]
fn a_server_that_fails_half_is_left_alone_and_one_answer_brings_it_back() {
    let (mut bench, upstream, socket) = opened(config());
    let retry_after = refused(&mut bench, upstream);
    assert!(
        retry_after <= Duration::from_secs(1) && retry_after > ms(400),
        "{retry_after:?}"
    );
    wait_out(&mut bench, upstream);
    asked(&mut bench, upstream, 20, ms(500)).unwrap();
    assert_eq!(state(&bench, upstream), BreakerState::HalfOpen);
    refused(&mut bench, upstream);
    bench.events(ms(1));
    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.peer.write(&socket, b"pong\n").unwrap();
    assert_eq!(bench.events(ms(1)).len(), 1);
    assert_eq!(state(&bench, upstream), BreakerState::Closed);
    served(&mut bench, upstream, &socket, 21);
}

#[test]
fn the_program_is_told_once_that_it_is_open_and_once_that_it_is_closed() {
    let (mut bench, upstream, mut socket) = begun(config(), 1);
    let mut told = Vec::new();
    // All that is told of the breaker within this time.
    let mut pull = |bench: &mut Bench, time: Duration| {
        let until = bench.world.now().after(time);
        while bench.world.now() < until {
            bench.world.turn(&mut [&mut bench.engine]).unwrap();
            let events = std::iter::from_fn(|| bench.engine.next_event());
            told.extend(events.filter(|event| matches!(event.state_of(), Some((_, true)))));
            bench.world.rest(&[&mut bench.engine], until);
        }
    };
    for tag in 0..4 {
        asked(&mut bench, upstream, tag, ms(500)).unwrap();
        pull(&mut bench, ms(1));
        bench.peer.read(&socket, &mut [0; 64]).unwrap();
        bench.peer.close(socket, true);
        pull(&mut bench, PAUSE_MAX * 2);
        socket = bench.peer.accept(&bench.listener).unwrap().0;
    }
    let retry_after = refused(&mut bench, upstream);
    pull(&mut bench, retry_after);
    asked(&mut bench, upstream, 20, ms(500)).unwrap();
    pull(&mut bench, ms(1));
    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.peer.write(&socket, b"pong\n").unwrap();
    pull(&mut bench, ms(1));
    let (open, closed) = match told[..] {
        [
            Event::BreakerOpen { upstream: open, .. },
            Event::BreakerClosed { upstream: closed },
        ] => (open, closed),
        _ => panic!("{told:?}"),
    };
    assert_eq!((open, closed), (upstream, upstream));
}

/// Fault 35.
#[test]
fn a_trial_that_hangs_does_not_keep_it_half_open() {
    let mut config = config();
    config.timeouts.first_byte = Duration::from_secs(1_000);
    let lease = config.breaker.lease;
    let (mut bench, upstream, _hung) = opened(config);
    wait_out(&mut bench, upstream);
    // It ends by its own deadline, which says nothing of the server; its connection goes with it.
    asked(&mut bench, upstream, 20, ms(300)).unwrap();
    refused(&mut bench, upstream);
    let told = bench.events(ms(310));
    assert_eq!(told.iter().find_map(failed), Some((20, Source::Deadline)));
    assert_eq!(state(&bench, upstream), BreakerState::HalfOpen);
    // Longer than its lease: then another is tried beside it, and none beside that. The first is heard all the same.
    let socket = accept(&mut bench);
    bench.events(ms(1));
    asked(&mut bench, upstream, 21, 2 * lease).unwrap();
    bench.events(lease - ms(1));
    refused(&mut bench, upstream);
    bench.events(ms(2));
    asked(&mut bench, upstream, 22, ms(900)).unwrap();
    assert!(refused(&mut bench, upstream) > lease - ms(1));
    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.peer.write(&socket, b"pong\n").unwrap();
    bench.events(ms(1));
    assert_eq!(state(&bench, upstream), BreakerState::Closed);
}

/// The connection's own timeout is the peer's fault, and a trial's deadline is not.
#[test]
fn a_trial_whose_connection_times_out_opens_it_for_longer() {
    let (mut bench, upstream, _socket) = opened(config());
    wait_out(&mut bench, upstream);
    asked(&mut bench, upstream, 20, Duration::from_secs(5)).unwrap();
    let told = bench.events(ms(1_010));
    let timed_out = Source::Timeout(Duration::from_secs(1));
    assert_eq!(told.iter().find_map(failed), Some((20, timed_out)));
    assert_eq!(state(&bench, upstream), BreakerState::Open);
    assert!(refused(&mut bench, upstream) > ms(900), "U(0.5, 1) of 2 s");
}

#[test]
fn deadlines_that_pass_never_open_it() {
    let (mut bench, upstream, mut socket) = begun(config(), 1);
    for tag in 0..20 {
        asked(&mut bench, upstream, tag, ms(10)).unwrap();
        let told = bench.events(ms(20));
        assert_eq!(told.iter().find_map(failed), Some((tag, Source::Deadline)));
        socket = accept(&mut bench);
        bench.events(ms(1));
    }
    assert_eq!(state(&bench, upstream), BreakerState::Closed);
    served(&mut bench, upstream, &socket, 20);
}

#[test]
fn who_waits_when_it_opens_fails_at_once() {
    let (mut bench, upstream, socket) = begun(config(), 4);
    for tag in 0..7 {
        asked(&mut bench, upstream, tag, Duration::from_secs(9)).unwrap();
    }
    bench.events(ms(1));
    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.peer.close(socket, true);
    let told = bench.events(ms(1));
    let is_refused = |event: &&Event| {
        let failed = failed(event);
        matches!(failed, Some((_, Source::BreakerOpen { .. })))
    };
    assert_eq!(told.iter().filter(is_refused).count(), 3, "{told:?}");
    assert_eq!(told.iter().filter_map(failed).count(), 7, "{told:?}");
}

#[test]
fn a_request_beyond_the_rate_is_told_when_the_next_may_be_made() {
    let mut bench = Bench::new(Config::default());
    let rate = Rate {
        requests_per_second: 10,
        burst: 2,
    };
    let upstream = Upstream::new(bench.at.to_string()).depth(9).rate(rate);
    let upstream = bench.engine.core.add(upstream).unwrap();
    accept(&mut bench);
    for tag in 0..2 {
        asked(&mut bench, upstream, tag, ms(900)).unwrap();
    }
    let error = asked(&mut bench, upstream, 2, ms(900)).unwrap_err();
    let Source::Full {
        limit: Limit::RequestRate { retry_after },
    } = error.source
    else {
        panic!("{error}");
    };
    assert!(
        retry_after <= ms(100) && retry_after > ms(98),
        "{retry_after:?}"
    );
    bench.events(retry_after);
    asked(&mut bench, upstream, 2, ms(900)).unwrap();
    assert!(
        asked(&mut bench, upstream, 3, ms(900))
            .unwrap_err()
            .is_full()
    );
}

/// What was refused for another reason has not used up the rate.
#[test]
fn a_request_that_finds_no_room_costs_nothing_of_the_rate() {
    let mut config = Config::default();
    config.limits.waiting_requests_max = 0;
    let mut bench = Bench::new(config);
    let rate = Rate {
        requests_per_second: 10,
        burst: 1,
    };
    let upstream = Upstream::new(bench.at.to_string()).rate(rate);
    let upstream = bench.engine.core.add(upstream).unwrap();
    for tag in 0..5 {
        let error = asked(&mut bench, upstream, tag, ms(900)).unwrap_err();
        let limit = Limit::WaitingRequests;
        assert_eq!(error.source, Source::Full { limit });
    }
    accept(&mut bench);
    asked(&mut bench, upstream, 5, ms(900)).unwrap();
}

#[test]
fn no_more_are_in_flight_than_an_upstream_may_have_and_the_others_wait_their_turn() {
    let mut bench = Bench::new(Config::default());
    let upstream = Upstream::new(bench.at.to_string())
        .connections(3)
        .depth(4)
        .in_flight_max(5);
    let upstream = bench.engine.core.add(upstream).unwrap();
    let sockets: Vec<_> = (0..3).map(|_| accept(&mut bench)).collect();
    bench.events(ms(1));
    for tag in 0..20 {
        asked(&mut bench, upstream, tag, ms(900)).unwrap();
    }
    let mut replies = 0;
    while replies < 20 {
        let stats = bench.engine.core.upstream_stats(upstream).unwrap();
        assert_eq!(stats.in_flight, 5.min(20 - replies), "{stats:?}");
        bench.events(ms(1));
        for socket in &sockets {
            let mut asked = [0; 64];
            let n = bench.peer.read(socket, &mut asked).unwrap_or(0);
            bench.peer.write(socket, &b"pong\n".repeat(n / 5)).ok();
        }
        let told = bench.events(ms(1));
        assert!(!told.is_empty(), "they wait for ever");
        replies += told.len();
    }
}

/// TCP holds the peer back, nothing spins, and neither first byte nor write stall is laid at its door.
#[test]
fn frames_that_come_faster_than_they_may_are_left_in_the_socket() {
    let mut config = config();
    config.timeouts.first_byte = ms(30);
    config.timeouts.read_stall = ms(30);
    config.timeouts.write_stall = ms(30);
    let mut bench = Bench::new(config);
    let upstream = Upstream::new(bench.at.to_string())
        .depth(100)
        .framing(Framing::line())
        .frames_per_second(20);
    let upstream = bench.engine.core.add(upstream).unwrap();
    let socket = accept(&mut bench);
    for tag in 0..22 {
        asked(&mut bench, upstream, tag, Duration::from_secs(9)).unwrap();
    }
    bench.events(ms(1));
    bench.peer.read(&socket, &mut [0; 256]).unwrap();
    bench.peer.write(&socket, &b"pong\n".repeat(22)).unwrap();
    assert_eq!(bench.events(ms(10)).len(), 2, "a tenth of a second's worth");
    let turns = bench.world.rounds;
    for n in 0..20 {
        let told = bench.events(ms(50));
        assert!(matches!(told[..], [Event::Reply { .. }]), "{n}: {told:?}");
    }
    assert!(bench.world.rounds < turns + 200, "it spins");
}

/// Its own deadline is the program's word, and stands.
#[test]
fn a_request_whose_reply_is_held_back_ends_by_its_deadline() {
    let mut bench = Bench::new(Config::default());
    let upstream = Upstream::new(bench.at.to_string())
        .depth(4)
        .frames_per_second(1);
    let upstream = bench.engine.core.add(upstream).unwrap();
    let socket = accept(&mut bench);
    for tag in 0..2 {
        asked(&mut bench, upstream, tag, ms(300)).unwrap();
    }
    bench.events(ms(1));
    bench.peer.read(&socket, &mut [0; 64]).unwrap();
    bench.peer.write(&socket, b"pong\npong\n").unwrap();
    assert_eq!(bench.events(ms(10)).len(), 1);
    let told = bench.events(ms(300));
    assert_eq!(told.iter().find_map(failed), Some((1, Source::Deadline)));
}
