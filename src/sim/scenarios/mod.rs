//! Scripts that run in both worlds from one source: over simulated kernels and over loopback.
//!
//! A script makes a client and a server on a [`Stage`], turns both until something holds, and gives
//! back what the two programs were told. In both worlds that must be the same; in the simulated one
//! also when calls are cut short, interrupted or led astray, for none of that may be seen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod deadlines;
mod drawn;
mod echo;
mod endings;
mod ends;
mod flow;
mod hand;
pub(super) mod log;
mod matching;
pub(super) mod stage;

use std::net::SocketAddr;
use std::time::Duration;

use super::failing::BuiltOn;
use super::faults::{FaultKind, Faults};
use super::random::Chance;
use super::world::World;
use crate::config::{Config, Timeouts};
use crate::conn::Profile;
use crate::engine::{Engine, ListenerId};
use crate::error::Error;
use crate::event::{Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::time::Time;
use log::Log;
use stage::Stage;

/// Rounds after which a script has failed; a real one may wait for 2 ms.
const ROUNDS_MAX: u32 = 10_000;
/// A deadline that does not pass.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// A client and a server, each with its log.
pub(super) struct Script<S: Stage, K: BuiltOn<S::Base> = <S as Stage>::Base> {
    pub(super) stage: S,
    pub(super) client: Engine<K>,
    pub(super) server: Engine<K>,
    pub(super) client_log: Log,
    pub(super) server_log: Log,
    /// What turns of either came back with.
    pub(super) turn_errors: [Vec<Error>; 2],
}

impl<S: Stage> Script<S> {
    fn new(stage: S) -> Self {
        Script::with(stage, Config::default(), |kernel| kernel)
    }
}

impl<S: Stage, K: BuiltOn<S::Base>> Script<S, K> {
    /// The kernels of both are built on those of the stage.
    pub(super) fn with(mut stage: S, config: Config, build: impl Fn(S::Base) -> K) -> Self {
        let mut engine = || Engine::new(build(stage.kernel()), config.clone());
        let (client, server) = (engine(), engine());
        Script {
            stage,
            client,
            server,
            client_log: Log::default(),
            server_log: Log::default(),
            turn_errors: Default::default(),
        }
    }

    /// A listener of the server.
    pub(super) fn listen(&mut self, framing: Framing, half_close: bool) -> SocketAddr {
        self.listener(framing, half_close).1
    }

    pub(super) fn listener(
        &mut self,
        framing: Framing,
        half_close: bool,
    ) -> (ListenerId, SocketAddr) {
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
    pub(super) fn nobody(&mut self) -> SocketAddr {
        let (id, address) = self.listener(Framing::raw(), false);
        self.server.core.stop_listening(id);
        address
    }

    pub(super) fn request(&mut self, upstream: UpstreamId, payload: &[u8], tag: u64) {
        let in_a_while = |now: Time, _: &_, _: &_| now.after(Duration::from_secs(60));
        self.client
            .core
            .request(upstream, payload, tag, in_a_while)
            .unwrap();
    }

    /// Turns both until something holds; the server's program acts on each of its events.
    pub(super) fn until(
        &mut self,
        mut serve: impl FnMut(&mut Engine<K>, &Event),
        mut holds: impl FnMut(&Self) -> bool,
    ) {
        for _ in 0..ROUNDS_MAX {
            if holds(self) {
                return;
            }
            self.round(&mut serve);
        }
        panic!(
            "it never came to that:\n{:#?}\n{:#?}",
            self.client_log, self.server_log
        );
    }

    /// One turn of both; what they tell is noted, and the server's program acts on it.
    pub(super) fn round(&mut self, mut serve: impl FnMut(&mut Engine<K>, &Event)) {
        let outcomes = self.stage.turn([&mut self.client, &mut self.server]);
        for (outcome, errors) in outcomes.into_iter().zip(&mut self.turn_errors) {
            assert!(K::FAILS || outcome.is_ok(), "{outcome:?}");
            errors.extend(outcome.err());
        }
        while let Some(event) = self.client.next_event() {
            self.client_log.note(&self.client, &event);
        }
        while let Some(event) = self.server.next_event() {
            self.server_log.note(&self.server, &event);
            serve(&mut self.server, &event);
        }
        self.client.check();
        self.server.check();
    }
}

/// Nothing is ever late, however slow the machine is.
pub(super) fn patient() -> Config {
    let timeouts = Timeouts {
        resolve: AN_HOUR,
        connect: AN_HOUR,
        connect_address: AN_HOUR,
        first_byte: AN_HOUR,
        read_stall: AN_HOUR,
        write_stall: AN_HOUR,
        request: AN_HOUR,
        wait: AN_HOUR,
        idle: AN_HOUR,
        linger: AN_HOUR,
        ..Timeouts::default()
    };
    Config {
        timeouts,
        ..Config::default()
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

/// What is sent has arrived when the call returns.
pub(super) fn like_loopback() -> Faults {
    let mut faults = Faults::NONE;
    faults.latency_nanos = 0..=0;
    faults
}

/// Runs a script over loopback and in many simulated worlds; the outcome of all of them.
macro_rules! in_both_worlds {
    ($script:ident) => {{
        let real = $script($crate::sim::scenarios::stage::Real::default());
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

/// The same for a script whose peer is driven call by call, and makes each call once.
macro_rules! on_loopback_and_like_it {
    ($script:ident) => {{
        let real = $script($crate::sim::scenarios::stage::Real::default());
        let world = World::new(0, $crate::sim::scenarios::like_loopback());
        assert_eq!($script(world), real, "simulated, and over loopback");
        real
    }};
}
use on_loopback_and_like_it;
