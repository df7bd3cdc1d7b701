//! Scripts that run in both worlds from one source: over simulated kernels and over loopback.
//!
//! A script makes a client and a server on a [`Stage`], turns both until something holds, and gives
//! back what the two programs were told. In both worlds that must be the same; in the simulated one
//! also when calls are cut short, interrupted or led astray, for none of that may be seen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod echo;
mod endings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::faults::{FaultKind, Faults};
use super::kernel::SimKernel;
use super::random::Chance;
use super::world::World;
use crate::config::{Config, Timeouts};
use crate::conn::Profile;
use crate::engine::{Engine, ListenerId};
use crate::event::{ConnectionId, Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::net::{Net, SystemResolver};
use crate::time::Time;

/// Rounds after which a script has failed; a real one may wait for 2 ms.
const ROUNDS_MAX: u32 = 10_000;

/// How two engines are made and driven.
trait Stage {
    type Kernel: Kernel;

    fn engine(&mut self, config: Config) -> Engine<Self::Kernel>;
    /// One turn of each; waits a little where nothing happens.
    fn turn(&mut self, engines: [&mut Engine<Self::Kernel>; 2]);
    /// What was sent has arrived when this returns.
    fn settle(&mut self);
}

/// Loopback. What is sent there has arrived when the call returns.
struct Real;

impl Stage for Real {
    type Kernel = Net;

    fn engine(&mut self, config: Config) -> Engine<Net> {
        Engine::new(
            Net::new(Arc::new(SystemResolver), config.lookups).unwrap(),
            config,
        )
    }

    fn turn(&mut self, engines: [&mut Engine<Net>; 2]) {
        for engine in engines {
            engine.turn(Some(Duration::from_millis(1))).unwrap();
        }
    }

    fn settle(&mut self) {}
}

impl Stage for World {
    type Kernel = SimKernel;

    fn engine(&mut self, config: Config) -> Engine<SimKernel> {
        World::engine(self, config)
    }

    fn turn(&mut self, engines: [&mut Engine<SimKernel>; 2]) {
        let [client, server] = engines;
        let engines = &mut [client, server];
        World::turn(self, engines).unwrap();
        self.rest(engines, Time::NEVER);
    }

    fn settle(&mut self) {
        let until = self.now().after(Duration::from_millis(100));
        self.network.borrow_mut().advance(until);
    }
}

/// What a program was told.
#[derive(Debug, Default, PartialEq)]
struct Log {
    /// Of each raw connection, in the order in which they were first heard of.
    connections: Vec<Vec<String>>,
    /// By tag.
    requests: BTreeMap<u64, String>,
    /// Tags of the replies of each of an upstream's connections.
    replies: BTreeMap<ConnectionId, Vec<u64>>,
    numbers: BTreeMap<ConnectionId, usize>,
}

impl Log {
    fn note<K: Kernel>(&mut self, engine: &Engine<K>, event: &Event) {
        match event {
            Event::Connected { connection, .. } => self.say(*connection, "connected".into()),
            Event::Writable { connection } => self.say(*connection, "writable".into()),
            Event::HalfClosed { connection } => self.say(*connection, "half closed".into()),
            Event::Closed {
                connection,
                error,
                written,
            } => {
                self.say(*connection, format!("closed after {written}: {error:?}"));
            }
            Event::Frame { connection, frame }
            | Event::Push {
                connection, frame, ..
            } => {
                let bytes = engine.bytes(frame).expect("held until the next turn");
                self.say(*connection, format!("frame {}", bytes.escape_ascii()));
            }
            Event::Skipped { connection, bytes } => {
                self.say(*connection, format!("skipped {bytes}"));
            }
            Event::Reply { tag, frame, .. } => {
                let bytes = engine.bytes(frame).expect("held until the next turn");
                let told = self
                    .requests
                    .insert(*tag, format!("reply {}", bytes.escape_ascii()));
                assert_eq!(told, None, "request {tag} ended twice");
                self.replies
                    .entry(frame.connection())
                    .or_default()
                    .push(*tag);
            }
            Event::Failed { tag, error, .. } => {
                let told = self.requests.insert(*tag, format!("failed: {error:?}"));
                assert_eq!(told, None, "request {tag} ended twice");
            }
        }
    }

    fn say(&mut self, connection: ConnectionId, what: String) {
        let next = self.connections.len();
        let number = *self.numbers.entry(connection).or_insert(next);
        if number == next {
            self.connections.push(Vec::new());
        }
        self.connections[number].push(what);
    }

    /// Connections that have ended.
    fn closed(&self) -> usize {
        let is_closed = |told: &&Vec<String>| told.last().is_some_and(|t| t.starts_with("closed"));
        self.connections.iter().filter(is_closed).count()
    }
}

/// A client and a server, each with its log.
struct Script<S: Stage> {
    stage: S,
    client: Engine<S::Kernel>,
    server: Engine<S::Kernel>,
    client_log: Log,
    server_log: Log,
}

impl<S: Stage> Script<S> {
    fn new(mut stage: S) -> Self {
        let config = Config {
            half_close: false,
            ..Config::default()
        };
        let (client, server) = (stage.engine(config.clone()), stage.engine(config));
        Script {
            stage,
            client,
            server,
            client_log: Log::default(),
            server_log: Log::default(),
        }
    }

    /// A listener of the server.
    fn listen(&mut self, framing: Framing, half_close: bool) -> SocketAddr {
        self.listener(framing, half_close).1
    }

    fn listener(&mut self, framing: Framing, half_close: bool) -> (ListenerId, SocketAddr) {
        let profile = Profile {
            timeouts: Timeouts::default(),
            half_close,
            reads_pause_above_bytes: usize::MAX,
            send_queue_bytes_max: 1 << 20,
            read_bytes_max: u64::MAX,
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        self.server.core.listen(any, framing, profile).unwrap()
    }

    /// An address at which nobody listens any more.
    fn nobody(&mut self) -> SocketAddr {
        let (id, address) = self.listener(Framing::raw(), false);
        self.server.core.stop_listening(id);
        address
    }

    fn request(&mut self, upstream: UpstreamId, payload: &[u8], tag: u64) {
        let in_a_while = |now: Time, _: &_, _: &_| now.after(Duration::from_secs(60));
        self.client
            .core
            .request(upstream, payload, tag, in_a_while)
            .unwrap();
    }

    /// Turns both until something holds; the server's program acts on each of its events.
    fn until(
        &mut self,
        mut serve: impl FnMut(&mut Engine<S::Kernel>, &Event),
        mut holds: impl FnMut(&Self) -> bool,
    ) {
        for _ in 0..ROUNDS_MAX {
            if holds(self) {
                return;
            }
            self.stage.turn([&mut self.client, &mut self.server]);
            while let Some(event) = self.client.next_event() {
                self.client_log.note(&self.client, &event);
            }
            while let Some(event) = self.server.next_event() {
                self.server_log.note(&self.server, &event);
                serve(&mut self.server, &event);
            }
        }
        panic!(
            "it never came to that:\n{:#?}\n{:#?}",
            self.client_log, self.server_log
        );
    }
}

/// Sends back whatever comes, and ends what the peer has ended.
fn echo<K: Kernel>(engine: &mut Engine<K>, event: &Event) {
    match event {
        Event::Frame { connection, frame } => {
            let bytes = engine
                .bytes(frame)
                .expect("held until the next turn")
                .to_vec();
            engine.core.send(*connection, &bytes).unwrap();
        }
        Event::HalfClosed { connection } => engine.core.close(*connection).unwrap(),
        _ => {}
    }
}

/// Worlds in which nothing may come out differently.
fn worlds() -> impl Iterator<Item = World> {
    (0..20).map(|seed| {
        let odd = Chance(if seed == 0 { 0 } else { 300 });
        let mut faults = Faults::NONE;
        for kind in [
            FaultKind::Split,
            FaultKind::ShortWrite,
            FaultKind::Interrupt,
            FaultKind::Spurious,
            FaultKind::Stale,
        ] {
            faults = faults.with(kind, odd);
        }
        World::new(seed, faults)
    })
}

/// Runs a script over loopback and in many simulated worlds; the outcome of all of them.
macro_rules! in_both_worlds {
    ($script:ident) => {{
        let real = $script($crate::sim::scenarios::Real);
        for (seed, world) in $crate::sim::scenarios::worlds().enumerate() {
            assert_eq!(
                $script(world),
                real,
                "simulated with seed {seed}, and over loopback"
            );
        }
        real
    }};
}
use in_both_worlds;
