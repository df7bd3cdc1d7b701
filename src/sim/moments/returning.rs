//! Coming back, and growing: how many connections a client makes, and when, after its server was away, and when more is
//! asked than its connections can take.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Bench, failed, ms};
use crate::config::{Breaker, Config, Reconnect};
use crate::event::{Event, UpstreamId};
use crate::kernel::Kernel;
use crate::sim::kernel::SimSocket;
use crate::sim::names::Lookup;
use crate::sim::world::{SimEngine, World};
use crate::time::Time;
use crate::upstream::{Upstream, UpstreamStats};

fn stats(bench: &Bench, upstream: UpstreamId) -> UpstreamStats {
    bench.engine.core.upstream_stats(upstream).unwrap()
}

/// Takes what has been connected.
fn accept(bench: &mut Bench) -> Vec<SimSocket> {
    let accepted = std::iter::from_fn(|| bench.peer.accept(&bench.listener).ok());
    accepted.map(|(socket, _)| socket).collect()
}

/// An upstream with so many warm connections, all of which stand, and the peer's ends.
fn warm(bench: &mut Bench, connections: usize) -> (UpstreamId, Vec<SimSocket>) {
    let upstream = Upstream::new(bench.at.to_string()).connections(connections..=connections);
    let upstream = bench.engine.core.add(upstream.tell_state()).unwrap();
    bench.peer.set_backlog_max(bench.at, connections);
    bench.events(ms(10));
    assert_eq!(stats(bench, upstream).open, connections);
    (upstream, accept(bench))
}

/// The server goes with all its connections, and is back so much later.
fn leaves(bench: &mut Bench, sockets: Vec<SimSocket>, back_after: Duration) -> Time {
    let back = bench.world.now().after(back_after);
    bench.world.network.borrow_mut().send_away(bench.at, back);
    for socket in sockets {
        bench.peer.close(socket, true);
    }
    back
}

/// All of them were made again at once, as soon as each had waited for its own pause.
#[test]
fn three_hundred_connections_of_one_client_come_back_in_steps() {
    let mut bench = Bench::new(Config::default());
    let (upstream, sockets) = warm(&mut bench, 300);
    bench.events(Duration::from_secs(12));
    leaves(&mut bench, sockets, Duration::from_secs(60));
    bench.events(Duration::from_secs(60));
    let before = stats(&bench, upstream);
    assert!(before.connect_failures < 60, "one at a time: {before:?}");

    let mut slots: BTreeMap<u64, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    while kept.len() < 300 {
        bench.events(ms(1));
        let accepted = accept(&mut bench);
        let millis = bench.world.now().since(Time::ZERO).as_millis() as u64;
        *slots.entry(millis / 50).or_default() += accepted.len();
        kept.extend(accepted);
        let since = bench.world.now().since(Time::ZERO);
        assert!(since < Duration::from_secs(100), "{} are back", kept.len());
    }
    let most = slots.values().max().unwrap();
    println!("at most {most} of 300 in 50 ms");
    assert!(*most <= 30, "{slots:?}");
    assert_eq!(stats(&bench, upstream).open, 300);
}

/// Fifty requests on five idle connections, a connect takes 150 ms and the work 2 ms: fifty connections were begun, and
/// came long after all had been served.
#[test]
fn a_spike_on_idle_connections_is_served_by_them_and_few_others_are_begun() {
    let mut config = Config::default();
    config.lookups.fresh_for = Duration::ZERO;
    let mut bench = Bench::new(config);
    let target = format!("slow:{}", bench.at.port());
    let found = Lookup::Found(vec![bench.at.ip()]);
    bench
        .world
        .network
        .borrow_mut()
        .name("slow", ms(150), found);
    let upstream = Upstream::new(target).connections(5..=50);
    let upstream = bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(200)), []);
    let sockets = accept(&mut bench);
    let before = stats(&bench, upstream);
    assert_eq!((before.open, sockets.len()), (5, 5));

    let asked_at = bench.world.now();
    (0..50).for_each(|tag| bench.ask(upstream, tag, ms(900)));
    let mut answers: VecDeque<(Time, usize)> = VecDeque::new();
    let mut replies = 0;
    while replies < 50 {
        let told = bench.events(Duration::from_micros(50));
        assert!(told.iter().all(|it| matches!(it, Event::Reply { .. })));
        replies += told.len();
        let now = bench.world.now();
        for (nth, socket) in sockets.iter().enumerate() {
            let mut request = [0; 5];
            if bench.peer.read(socket, &mut request).is_ok() {
                answers.push_back((now.after(ms(2)), nth));
            }
        }
        while let Some((_, nth)) = answers.pop_front_if(|(due, _)| *due <= now) {
            bench.peer.write(&sockets[nth], b"pong\n").unwrap();
        }
        assert!(now.since(asked_at) < ms(100), "{replies} replies");
    }
    let took = bench.world.now().since(asked_at);
    let begun = stats(&bench, upstream).connecting;
    println!("done in {took:?}, with {begun} connects begun");
    assert!(took <= ms(30), "{took:?}");
    assert!(begun <= 8, "{begun} connects");
}

#[test]
fn no_more_connections_are_made_at_a_time_than_may_be_and_upstreams_take_turns() {
    let mut config = Config::default();
    config.limits.connecting_max = 2;
    let mut bench = Bench::new(config);
    let slow: Vec<String> = (0..4).map(|n| format!("slow{n}")).collect();
    for name in &slow {
        let found = Lookup::Found(vec![bench.at.ip()]);
        let mut network = bench.world.network.borrow_mut();
        network.name(name, ms(10), found);
    }
    let port = bench.at.port();
    let upstreams: Vec<UpstreamId> = slow
        .iter()
        .map(|name| {
            let upstream = Upstream::new(format!("{name}:{port}")).connections(3);
            bench.engine.core.add(upstream).unwrap()
        })
        .collect();
    let rounds = bench.world.rounds;
    let open = |bench: &Bench| upstreams.iter().map(|it| stats(bench, *it).open).collect();
    let connecting = |bench: &Bench| {
        let connecting = upstreams.iter().map(|it| stats(bench, *it).connecting);
        connecting.sum::<usize>()
    };
    assert_eq!(connecting(&bench), 2);
    assert_eq!(bench.events(ms(9)), []);
    assert!(bench.world.rounds - rounds < 20, "it spins");
    let seen: Vec<usize> = open(&bench);
    assert_eq!(seen, [0, 0, 0, 0]);
    // The name of the first is known by now; it was the first to be turned away, too. Then two others have theirs.
    assert_eq!(bench.events(ms(5)), []);
    let seen: Vec<usize> = open(&bench);
    assert_eq!((seen, connecting(&bench)), (vec![3, 0, 0, 0], 2));
    assert_eq!(stats(&bench, upstreams[3]).connecting, 0);
    // The last is not passed over for the third connection of another.
    assert_eq!(bench.events(ms(10)), []);
    assert!(stats(&bench, upstreams[3]).connecting > 0);
    assert_eq!(bench.events(ms(100)), []);
    let seen: Vec<usize> = open(&bench);
    assert_eq!(seen, [3, 3, 3, 3]);
}

/// Connections of the program itself are begun at once, and count.
#[test]
fn the_programs_own_connections_are_not_held_back_by_others() {
    let mut config = Config::default();
    config.limits.connecting_max = 1;
    let mut bench = Bench::new(config);
    let hole = std::net::SocketAddr::new([10, 9, 9, 9].into(), bench.at.port());
    bench.world.network.borrow_mut().black_hole(hole);
    let framing = crate::frame::Framing::line();
    let core = &mut bench.engine.core;
    let raw: Vec<_> = (0..3)
        .map(|_| core.connect(&hole.to_string(), &framing).unwrap())
        .collect();
    let upstream = Upstream::new(bench.at.to_string());
    let upstream = bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(100)), []);
    assert_eq!(stats(&bench, upstream).connecting, 0);
    for connection in raw {
        bench.engine.core.abort(connection).unwrap();
    }
    assert_eq!(bench.events(ms(1)).len(), 3);
    assert_eq!(stats(&bench, upstream).open, 1);
}

#[test]
fn a_retry_that_is_asked_for_is_made_at_once() {
    let mut bench = Bench::new(Config::default());
    let (upstream, sockets) = warm(&mut bench, 3);
    let back = leaves(&mut bench, sockets, Duration::from_secs(60));
    let now = bench.world.now();
    bench.events(back.since(now));
    let before = stats(&bench, upstream);
    assert_eq!(before.open, 0);
    bench.engine.core.retry_now(upstream).unwrap();
    assert_eq!(stats(&bench, upstream).connecting, 1, "one trial");
    bench.events(ms(1));
    assert_eq!(stats(&bench, upstream).open, 1);
    let unknown = UpstreamId(7);
    assert!(bench.engine.core.retry_now(unknown).is_err());
}

/// The release that follows a loss began after the pause, whatever the program said.
#[test]
fn a_retry_that_is_asked_for_while_others_stand_is_made_at_once() {
    let config = Config {
        reconnect: Reconnect {
            first_pause_max: Duration::from_secs(50),
            pause_max: Duration::from_secs(50),
            ..Reconnect::default()
        },
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    let (upstream, mut sockets) = warm(&mut bench, 6);
    for socket in sockets.drain(..4) {
        bench.peer.close(socket, true);
    }
    bench.events(ms(1));
    let after = stats(&bench, upstream);
    assert_eq!((after.open, after.connecting), (2, 0), "a pause");
    bench.engine.core.retry_now(upstream).unwrap();
    assert_eq!(stats(&bench, upstream).connecting, 1);
    bench.events(ms(1));
    assert_eq!(stats(&bench, upstream).open, 3, "the others in their time");
    bench.events(ms(300));
    assert_eq!(stats(&bench, upstream).open, 6);
}

/// What is told of its state.
fn states(bench: &mut Bench, time: Duration) -> Vec<&'static str> {
    let until = bench.world.now().after(time);
    let mut told = Vec::new();
    while bench.world.now() < until {
        bench.world.turn(&mut [&mut bench.engine]).unwrap();
        while let Some(event) = bench.engine.next_event() {
            match event {
                Event::Up { .. } => told.push("up"),
                Event::Down { .. } => told.push("down"),
                _ => panic!("{event:?}"),
            }
        }
        bench.engine.check();
        bench.world.rest(&[&mut bench.engine], until);
    }
    told
}

#[test]
fn it_is_told_once_that_an_upstream_is_down_and_once_that_it_is_up() {
    let mut bench = Bench::new(Config {
        breaker: Breaker::off(),
        ..Config::default()
    });
    let upstream = Upstream::new(bench.at.to_string()).connections(3..=3);
    let upstream = bench.engine.core.add(upstream.tell_state()).unwrap();
    assert_eq!(states(&mut bench, ms(10)), ["up"]);
    let sockets = accept(&mut bench);
    leaves(&mut bench, sockets, Duration::from_secs(5));
    assert_eq!(states(&mut bench, Duration::from_secs(5)), ["down"]);
    assert!(stats(&bench, upstream).connect_failures > 3);
    assert_eq!(states(&mut bench, Duration::from_secs(20)), ["up"]);
    assert_eq!(stats(&bench, upstream).open, 3);
    // One of them is lost: the others stand.
    let socket = accept(&mut bench).remove(0);
    bench.peer.close(socket, true);
    assert_eq!(states(&mut bench, Duration::from_secs(20)), [""; 0]);
}

#[test]
fn who_waits_when_it_goes_down_fails_with_the_attempt_and_later_ones_wait_for_the_trial() {
    let mut bench = Bench::new(Config::default());
    let (upstream, sockets) = warm(&mut bench, 2);
    leaves(&mut bench, sockets, ms(700));
    bench.events(ms(1));
    bench.ask(upstream, 1, ms(900));
    let told = bench.events(ms(690));
    let refused = crate::error::Source::Os(libc::ECONNREFUSED);
    assert_eq!(
        told.iter().map(failed).collect::<Vec<_>>(),
        [Some((1, refused))]
    );
    bench.events(ms(20));
    bench.engine.core.retry_now(upstream).unwrap();
    bench.ask(upstream, 2, ms(900));
    bench.events(ms(1));
    let socket = accept(&mut bench).remove(0);
    assert_eq!(bench.peer.read(&socket, &mut [0; 8]).unwrap(), 5);
}

/// A hundred whole engines, not machines alone.
#[test]
fn a_hundred_clients_come_back_spread_in_time() {
    const CLIENTS: usize = 100;
    let mut bench = Bench::new(Config::default());
    let world: &mut World = &mut bench.world;
    let mut engines: Vec<SimEngine> = (0..CLIENTS)
        .map(|_| world.engine(Config::default()))
        .collect();
    let target = bench.at.to_string();
    for engine in &mut engines {
        let upstream = Upstream::new(target.clone()).connections(1..=1);
        engine.core.add(upstream).unwrap();
    }
    let mut turn = |bench: &mut Bench, until: Time| {
        let mut all: Vec<&mut SimEngine> = engines.iter_mut().collect();
        bench.world.turn(&mut all).unwrap();
        bench.world.rest(&all, until);
    };
    let mut sockets = Vec::new();
    while sockets.len() < CLIENTS {
        let soon = bench.world.now().after(ms(1));
        turn(&mut bench, soon);
        sockets.extend(accept(&mut bench));
    }
    let back = leaves(&mut bench, sockets, Duration::from_secs(60));
    while bench.world.now() < back {
        turn(&mut bench, back);
    }
    let mut slots: BTreeMap<u128, usize> = BTreeMap::new();
    let mut returned = Vec::new();
    while returned.len() < CLIENTS {
        let slot = bench.world.now().since(back).as_millis() / 100;
        let next = back.after(ms(100) * (slot as u32 + 1));
        turn(&mut bench, next);
        let accepted = accept(&mut bench);
        *slots.entry(slot).or_default() += accepted.len();
        returned.extend(accepted);
        assert!(slot < 150, "{} are back", returned.len());
    }
    let most = slots.values().max().unwrap();
    println!("at most {most} of {CLIENTS} in 100 ms");
    assert!(*most <= 10, "{slots:?}");
}
