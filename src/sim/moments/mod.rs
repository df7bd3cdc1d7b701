//! Single moments that were once got wrong, or easily could be: an engine against a peer that is
//! driven call by call.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod again;
mod breaker;
mod connecting;
mod drained;
mod draining;
mod fallback;
mod heartbeats;
mod links;
mod names;
mod no_longer_wanted;
mod parting;
mod returning;
mod sessions;
mod stalls;
mod storage;
mod taken_for_another;
mod targets;
mod waiting;

use std::net::SocketAddr;
use std::time::Duration;

use super::faults::Faults;
use super::kernel::{SimKernel, SimListener, SimSocket};
use super::weather::Weather;
use super::world::{STEP, SimEngine, World};
use crate::config::{Config, Timeouts};
use crate::conn::Profile;
use crate::error::Source;
use crate::event::{Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::socket_options::SocketOptions;
use crate::time::Time;
use crate::upstream::Upstream;

const TICK: Duration = Duration::from_nanos(65_536);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An engine, and a kernel in the hand.
struct Bench {
    world: World,
    engine: SimEngine,
    peer: SimKernel,
    listener: SimListener,
    at: SocketAddr,
}

impl Bench {
    fn new(config: Config) -> Bench {
        Bench::under(config, &[])
    }

    /// In a weather in which exactly these faults happen.
    fn under(config: Config, faults: &[&str]) -> Bench {
        let faults: Vec<_> = faults.iter().map(|text| text.parse().unwrap()).collect();
        Bench::in_weather(config, Weather::fixed(1, Faults::NONE, &faults))
    }

    fn in_weather(config: Config, weather: Weather) -> Bench {
        let mut world = World::under(weather);
        let engine = world.engine(config);
        let mut peer = SimKernel::new(&world.network);
        let listener = peer.listen(peer.address(0), 0).unwrap();
        let at = peer.listener_addr(&listener).unwrap();
        Bench {
            world,
            engine,
            peer,
            listener,
            at,
        }
    }

    fn upstream(&mut self, depth: usize) -> (UpstreamId, SimSocket) {
        self.standing(Upstream::new(self.at.to_string()).depth(depth))
    }

    /// An upstream of one connection that stands, and its other end.
    fn standing(&mut self, upstream: Upstream) -> (UpstreamId, SimSocket) {
        let upstream = self.engine.core.add(upstream).unwrap();
        assert_eq!(self.events(ms(1)), []);
        (upstream, self.peer.accept(&self.listener).unwrap().0)
    }

    /// The engine listens; a peer is not read while more than so much is queued for it.
    fn listen(&mut self, reads_pause_above_bytes: usize) -> SocketAddr {
        let profile = Profile {
            timeouts: Timeouts::default(),
            half_close: false,
            reads_pause_above_bytes,
            send_queue_bytes_max: 1 << 20,
            read_bytes_max: u64::MAX,
        };
        let any = self.engine.core.kernel.address(0);
        self.engine
            .core
            .listen(any, Framing::line(), profile)
            .unwrap()
            .1
    }

    fn ask(&mut self, upstream: UpstreamId, tag: u64, after: Duration) {
        let deadline = |now: Time, _: &_, _: &_| now.after(after);
        self.engine
            .core
            .request(upstream, b"ping\n", tag, deadline)
            .unwrap();
    }

    /// The next event but what is told of an upstream's state.
    fn next_event(&mut self) -> Option<Event> {
        std::iter::from_fn(|| self.engine.next_event()).find(|event| event.state_of().is_none())
    }

    /// Turns the engine for so long; what it told.
    fn events(&mut self, time: Duration) -> Vec<Event> {
        let until = self.world.now().after(time);
        let mut events = Vec::new();
        while self.world.now() < until {
            self.world.turn(&mut [&mut self.engine]).unwrap();
            events.extend(std::iter::from_fn(|| self.next_event()));
            self.engine.check();
            self.world.rest(&[&mut self.engine], until);
        }
        events
    }

    /// Time passes, and the engine is not turned.
    fn stall(&mut self, time: Duration) {
        let until = self.world.now().after(time);
        self.world.network.borrow_mut().advance(until);
    }
}

fn failed(event: &Event) -> Option<(u64, Source)> {
    match event {
        Event::Failed { tag, error, .. } => Some((*tag, error.source)),
        _ => None,
    }
}

/// It was held back by what was queued for it, so its end was never read, and the loop spun until
/// the write stall.
#[test]
fn the_end_of_a_peer_is_read_however_much_is_queued_for_it() {
    let mut bench = Bench::new(Config::default());
    let at = bench.listen(1_000);
    let socket = bench
        .peer
        .connect(at, &SocketOptions::default(), 1)
        .unwrap();
    let told = bench.events(ms(1));
    let Event::Connected { connection, .. } = told[0] else {
        panic!("{told:?}")
    };
    bench
        .engine
        .core
        .send(connection, &[b'.'; 500_000])
        .unwrap();
    assert_eq!(bench.events(ms(1)), []);

    bench.peer.close(socket, true);
    let rounds = bench.world.rounds;
    let told = bench.events(ms(1));
    assert!(
        matches!(told[..], [Event::Closed { error: Some(_), .. }]),
        "{told:?}"
    );
    assert!(bench.world.rounds - rounds < 10, "it spins");
}

/// Its place stayed free, and the request that waited for one waited until its own end.
#[test]
fn a_request_that_was_never_sent_leaves_its_place_to_one_that_waits() {
    let mut bench = Bench::new(Config::default());
    bench.world.network.borrow_mut().buffer_bytes = 2;
    let (upstream, socket) = bench.upstream(2);
    for (tag, after) in [(1, ms(900)), (2, ms(10)), (3, ms(900))] {
        bench.ask(upstream, tag, after);
    }
    let waiting = |bench: &Bench| bench.engine.core.upstream_stats(upstream).unwrap().waiting;
    assert_eq!((bench.events(ms(9)), waiting(&bench)), (vec![], 1));
    let told = bench.events(ms(2));
    assert_eq!(
        told.iter().map(failed).collect::<Vec<_>>(),
        [Some((2, Source::Deadline))]
    );
    assert_eq!(waiting(&bench), 0);

    // The one that was taken back is not sent, the other is.
    let mut got: Vec<u8> = Vec::new();
    while got.len() < 10 {
        let mut some = [0; 8];
        if let Ok(n) = bench.peer.read(&socket, &mut some) {
            got.extend(&some[..n]);
        }
        assert_eq!(bench.events(ms(1)), []);
    }
    assert_eq!(got, b"ping\nping\n");
}

/// Each read filed the overdue deadline a tick later, before it could come up.
#[test]
fn a_deadline_comes_although_bytes_of_the_reply_come_in_each_turn() {
    let mut bench = Bench::new(Config::default());
    let (upstream, socket) = bench.upstream(1);
    let asked_at = bench.world.now();
    bench.ask(upstream, 1, ms(5));
    assert_eq!(bench.events(ms(1)), []);
    let mut told = Vec::new();
    while told.is_empty() && bench.world.now().since(asked_at) < ms(10) {
        bench.peer.write(&socket, b".").unwrap();
        bench.stall(TICK);
        told = bench.events(STEP);
    }
    assert_eq!(
        told.iter().map(failed).collect::<Vec<_>>(),
        [Some((1, Source::Deadline))]
    );
    let took = bench.world.now().since(asked_at);
    assert!(took >= ms(5) && took < ms(5) + 3 * TICK, "{took:?}");
}

/// Several ends in one tick: each filed the deadline of the waiting a tick later.
#[test]
fn a_waiting_request_ends_in_time_although_connections_end_in_each_tick() {
    let mut bench = Bench::new(Config::default());
    let upstream = Upstream::new(bench.at.to_string()).connections(40);
    let upstream = bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(1)), []);
    let asked_at = bench.world.now();
    for tag in 0..40 {
        bench.ask(upstream, tag, ms(5) + TICK * tag as u32);
    }
    bench.ask(upstream, 99, ms(5) + TICK);
    let mut told = Vec::new();
    while !told.iter().filter_map(failed).any(|(tag, _)| tag == 99) {
        told.extend(bench.events(TICK / 4));
    }
    let took = bench.world.now().since(asked_at);
    assert!(took < ms(5) + 3 * TICK, "{took:?}");
}

/// Its replies lie in the kernel; they are read before anything expires.
#[test]
fn a_loop_that_was_stalled_does_not_fail_requests_whose_replies_are_here() {
    let mut bench = Bench::new(Config::default());
    let (upstream, socket) = bench.upstream(2);
    bench.ask(upstream, 1, ms(5));
    bench.ask(upstream, 2, ms(5));
    assert_eq!(bench.events(ms(1)), []);
    bench.peer.write(&socket, b"one\ntwo\n").unwrap();
    bench.stall(Duration::from_secs(4));
    let told = bench.events(STEP);
    assert!(
        told.len() == 2
            && told
                .iter()
                .all(|event| matches!(event, Event::Reply { .. }))
    );
}

/// The reply is here and the program is slow; then comes one that nobody asked for.
#[test]
fn an_unsolicited_reply_ends_the_connection_and_takes_nothing_from_the_one_before_it() {
    let mut bench = Bench::new(Config::default());
    let (upstream, socket) = bench.upstream(2);
    bench.ask(upstream, 1, ms(900));
    bench.ask(upstream, 2, ms(900));
    assert_eq!(bench.events(ms(1)), []);
    bench.peer.write(&socket, b"one\ntwo\nthree\n").unwrap();
    for _ in 0..3 {
        bench.stall(ms(1));
        bench.engine.turn(Some(Duration::ZERO)).unwrap();
    }
    for expected in [b"one", b"two"] {
        let event = bench.next_event();
        let Some(Event::Reply { frame, .. }) = event else {
            panic!("{event:?}")
        };
        assert_eq!(bench.engine.bytes(&frame), Some(&expected[..]));
    }
    assert_eq!(bench.events(ms(1)), []);
    let stats = bench.engine.core.upstream_stats(upstream).unwrap();
    assert_eq!(
        stats.last_error.map(|error| error.source),
        Some(Source::Unsolicited)
    );
}
