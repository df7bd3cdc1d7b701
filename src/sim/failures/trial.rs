//! A client's and a server's program on kernels that may fail: neither takes anything for granted,
//! and both note all they are told.
//!
//! What a program asks for is answered here with "as far as it goes": a connection that ended early is
//! not sent on, and a step is over when everything that was asked for has ended.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::{Breaker, Config, Lookups, Reconnect, Timeouts};
use crate::conn::Profile;
use crate::engine::{Engine, ListenerId};
use crate::error::{Error, Source};
use crate::event::{ConnectionId, Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::failing::{Failing, Failure};
use crate::sim::scenarios::stage::Stage;
use crate::sim::scenarios::{Script, patient};
use crate::upstream::Upstream;

/// Rounds that one step may take. A loop that spins through a pause takes more.
const ROUNDS_MAX: u32 = 10_000;

/// Whose kernel fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Two programs at work.
pub(super) struct Trial<S: Stage> {
    pub(super) script: Script<S, Failing<S::Base>>,
    pub(super) side: Side,
    pub(super) listener: Option<(ListenerId, SocketAddr)>,
    pub(super) upstream: Option<UpstreamId>,
    /// Raw connections and requests of the client that were begun.
    pub(super) connections: usize,
    pub(super) requests: u64,
    /// Lines that the server's program has read.
    pub(super) seen: BTreeSet<Vec<u8>>,
    /// What commands of the failing side came back with, and what its upstream said last.
    pub(super) refused: Vec<Error>,
    pub(super) rounds: u32,
}

impl<S: Stage> Trial<S> {
    pub(super) fn new(stage: S, side: Side) -> Trial<S> {
        let config = Config {
            timeouts: Timeouts {
                accept_pause: S::PAUSE,
                ..patient().timeouts
            },
            reconnect: Reconnect {
                first_pause_max: S::PAUSE,
                pause_max: S::PAUSE,
                ..Reconnect::default()
            },
            // What is asked is to meet the failing calls, not to be refused for those before it.
            breaker: Breaker::off(),
            // Each connect is a lookup of its own: one that fails once answers once.
            lookups: Lookups {
                fresh_for: Duration::ZERO,
                negative_for: Duration::ZERO,
                stale_for: Duration::ZERO,
                ..Lookups::default()
            },
            ..Config::default()
        };
        Trial {
            script: Script::with(stage, config, Failing::new),
            side,
            listener: None,
            upstream: None,
            connections: 0,
            requests: 0,
            seen: BTreeSet::new(),
            refused: Vec::new(),
            rounds: 0,
        }
    }

    /// The kernel that fails.
    pub(super) fn kernel(&mut self) -> &mut Failing<S::Base> {
        match self.side {
            Side::Client => &mut self.script.client.core.kernel,
            Side::Server => &mut self.script.server.core.kernel,
        }
    }

    pub(super) fn set_failures(&mut self, failures: Vec<Failure>) {
        self.kernel().set_failures(failures);
    }

    // What the programs do.

    /// The server listens, if it has not come to that yet; whether it does now.
    pub(super) fn listens(&mut self) -> bool {
        if self.listener.is_some() {
            return true;
        }
        let profile = Profile {
            timeouts: patient().timeouts,
            half_close: true,
            reads_pause_above_bytes: usize::MAX,
            send_queue_bytes_max: 1 << 20,
            read_bytes_max: u64::MAX,
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listened = self
            .script
            .server
            .core
            .listen(any, Framing::line(), profile);
        self.refused.extend(listened.err());
        self.listener = listened.ok();
        self.listener.is_some()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.expect("it listens").1
    }

    pub(super) fn connect(&mut self) -> ConnectionId {
        let at = self.address().to_string();
        self.connections += 1;
        self.script
            .client
            .core
            .connect(&at, &Framing::line())
            .unwrap()
    }

    /// A name for the server that has another address before the server's own.
    pub(super) fn named(&mut self, name: &str) -> String {
        let (at, dead) = (self.address(), self.dead());
        self.script.stage.name(name, &[dead, at.ip()]);
        format!("{name}:{}", at.port())
    }

    /// An address at which nobody listens.
    pub(super) fn dead(&self) -> IpAddr {
        let IpAddr::V4(ip) = self.address().ip() else {
            panic!("both worlds speak IPv4");
        };
        IpAddr::from((u32::from(ip) + 1).to_be_bytes())
    }

    /// Sends on a connection, unless it has ended.
    pub(super) fn send(&mut self, connection: ConnectionId, bytes: &[u8]) {
        _ = self.script.client.core.send(connection, bytes);
    }

    /// Asks what the kernel knows of a connection, unless it has ended.
    pub(super) fn look(&mut self, connection: ConnectionId) {
        let info = self.script.client.core.info(connection);
        let refused = info.err().filter(|error| error.source != Source::NotOpen);
        self.refused.extend(refused);
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        _ = self.script.client.core.close(connection);
    }

    pub(super) fn add(&mut self, upstream: Upstream) {
        let added = self.script.client.core.add(upstream);
        self.upstream = Some(added.unwrap());
    }

    /// Makes a request of so many bytes.
    pub(super) fn ask(&mut self, bytes: usize) {
        let payload = line(self.requests, bytes);
        let upstream = self.upstream.expect("it was added");
        self.script.request(upstream, &payload, self.requests);
        self.requests += 1;
    }

    /// The server ends all its connections.
    pub(super) fn server_aborts(&mut self) {
        for connection in self.script.server.core.open_connections() {
            _ = self.script.server.core.abort(connection);
        }
    }

    // Turning.

    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..ROUNDS_MAX {
            if holds(self) {
                return;
            }
            self.round();
        }
        panic!(
            "it never came to that: {what}\n{:#?}\n{:#?}",
            self.script.client_log, self.script.server_log
        );
    }

    pub(super) fn round(&mut self) {
        self.rounds += 1;
        let seen = &mut self.seen;
        self.script
            .round(|engine, event| serve(engine, event, seen));
        let stats = self
            .upstream
            .and_then(|upstream| self.script.client.core.upstream_stats(upstream));
        if self.side == Side::Client {
            let last = stats.and_then(|stats| stats.last_error);
            let is_new = last != self.refused.last().copied();
            self.refused.extend(last.filter(|_| is_new));
        }
    }

    /// Everything that was asked for has ended.
    pub(super) fn until_all_ended(&mut self) {
        self.until("all requests have ended", |it| {
            it.script.client_log.requests.len() as u64 == it.requests
        });
    }

    pub(super) fn until_closed(&mut self) {
        self.until("all connections have ended", |it| {
            it.script.client_log.closed() == it.connections
        });
    }

    /// The connection has had so many frames, or has ended.
    pub(super) fn until_answered(&mut self, connection: ConnectionId, frames: usize) {
        self.until("it is answered", |it| {
            let log = &it.script.client_log;
            let told = log.numbers.get(&connection).map(|n| &log.connections[*n]);
            told.is_some_and(|told| {
                let frames_told = told.iter().filter(|what| what.starts_with("frame"));
                let is_over = told.last().is_some_and(|last| last.starts_with("closed"));
                frames_told.count() >= frames || is_over
            })
        });
    }

    /// So much time.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.script.client.core.kernel.now().after(time);
        while self.script.client.core.kernel.now() < until {
            self.round();
        }
    }
}

/// A request's line: its number, and padding.
pub(super) fn line(number: u64, bytes: usize) -> Vec<u8> {
    let mut line = format!("request {number:04}").into_bytes();
    line.resize(line.len().max(bytes), b'.');
    line.push(b'\n');
    line
}

/// Returns lines; `end` and `abort` are done as told. A connection may have ended meanwhile.
fn serve<K: Kernel>(engine: &mut Engine<K>, event: &Event, seen: &mut BTreeSet<Vec<u8>>) {
    match event {
        Event::Frame { connection, frame } => {
            let mut line = engine.bytes(frame).unwrap().to_vec();
            seen.insert(line.clone());
            _ = match line.as_slice() {
                b"end" => engine.core.close(*connection),
                b"abort" => engine.core.abort(*connection),
                _ => {
                    line.push(b'\n');
                    engine.core.send(*connection, &line)
                }
            };
        }
        Event::HalfClosed { connection } => _ = engine.core.close(*connection),
        _ => {}
    }
}
