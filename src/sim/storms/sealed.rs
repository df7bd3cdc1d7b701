//! Sessions on the lines of a run: drawn by a generator of their own, so that every other seed has the run that it had
//! before there were any.
//!
//! What is on those lines is overheard by each kernel's tap, which has for all other promises what the program said. Here
//! are what the sessions of a seed are like, and that nobody is told of a connection before its handshake is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::host::Host;
use super::options::{Options, Party, pick};
use super::run::Run;
use crate::event::UpstreamId;
use crate::session::Sessions;
use crate::sim::faults::FaultKind;
use crate::sim::random::{Chance, Random};
use crate::sim::session::{Book, FakeSessions, Habits, Page, Side};
use crate::sim::tap::Stream;
use crate::sim::world::SimEngine;

/// Nothing that a handshake takes.
const LONG: Duration = Duration::from_secs(600);
/// What one byte of the program takes on the line, where each has a record of its own.
const RECORD_BYTES: u64 = 8;

/// On which lines there are sessions, and what they are like.
#[derive(Clone, Debug)]
pub(super) struct Sealing {
    /// By party; and those of the raw connections.
    parties: Vec<bool>,
    streams: bool,
    clients: Habits,
    servers: Habits,
    seed: u64,
}

impl Options {
    /// Drawn last of all.
    pub(super) fn sealed(mut self, seed: u64) -> Options {
        let mut random = Random::new(seed.rotate_left(24) ^ 0x5ea1);
        if !random.happens(Chance(400)) {
            return self;
        }
        let random = &mut random;
        let is_benign = self.is_benign;
        let habits = |random: &mut Random| {
            let mut rarely = |choices| match is_benign {
                true => Chance(0),
                false => Chance(pick(random, choices) as u32),
            };
            let (refuses, breaks) = (rarely(&[0, 0, 100]), rarely(&[0, 0, 100]));
            let forgets_to_close = rarely(&[0, 0, 300]);
            let drawn = Habits::drawn(random);
            Habits {
                flight_bytes: 0..=(*drawn.flight_bytes.end()).min(60),
                refuses,
                breaks,
                forgets_to_close,
                ..drawn
            }
        };
        // The bundled server waits for a handshake for 3 s, and here it accepts who hears of it as late as that.
        let is_late = is_benign && self.faults.chance(FaultKind::SlowConnect) != Chance(0);
        let may_be = |it: &Party| !is_late || it.bundled.is_none();
        let parties = self.parties.iter();
        let parties = parties
            .map(|it| random.happens(Chance(700)) && may_be(it))
            .collect();
        self.sealing = Some(Sealing {
            parties,
            streams: random.happens(Chance(700)),
            clients: habits(random),
            servers: habits(random),
            seed: random.next(),
        });
        // So small a buffer takes a handshake longer than anybody waits.
        self.buffer_bytes = self.buffer_bytes.max(300);
        self.take_longer(random);
        self
    }

    /// Timeouts that are met leave room for flights, and for what is around the program's bytes.
    fn take_longer(&mut self, random: &mut Random) {
        let slowest = *self.faults.latency_nanos.end();
        let line_bytes = RECORD_BYTES * self.payload_bytes.end() * 4;
        let trips = 40 + line_bytes / self.buffer_bytes as u64;
        let longer = Duration::from_nanos(slowest * trips);
        let drawn = Duration::from_nanos(random.within(0..=300_000_000));
        let timeouts = &mut self.client.timeouts;
        timeouts.handshake = match self.is_benign {
            true => LONG,
            false => longer + drawn,
        };
        for timeout in [
            &mut timeouts.connect,
            &mut timeouts.first_byte,
            &mut timeouts.read_stall,
            &mut timeouts.write_stall,
            &mut timeouts.wait,
            &mut timeouts.idle,
            &mut timeouts.linger,
        ] {
            *timeout += longer;
        }
        // A client that falls silent is not waited for until the end of all.
        self.server.timeouts.handshake = match self.is_benign {
            true => LONG,
            false => longer + Duration::from_secs(3),
        };
        for party in &mut self.parties {
            if let Some(heartbeat) = &mut party.heartbeat {
                heartbeat.timeout += longer;
            }
        }
    }
}

/// Begins the sessions of a run.
pub(super) struct Sealer {
    parties: Vec<bool>,
    streams: bool,
    book: Book,
    clients: Arc<FakeSessions>,
    servers: Arc<FakeSessions>,
}

impl Sealer {
    pub(super) fn new(sealing: &Sealing) -> Sealer {
        let book = Book::default();
        let of = |side, habits: &Habits| {
            Arc::new(FakeSessions::new(side, habits.clone(), sealing.seed, &book))
        };
        Sealer {
            parties: sealing.parties.clone(),
            streams: sealing.streams,
            clients: of(Side::Client, &sealing.clients),
            servers: of(Side::Server, &sealing.servers),
            book,
        }
    }

    /// Whether there are sessions on the lines of a party, or on the raw ones.
    pub(super) fn seals(&self, party: Option<usize>) -> bool {
        party.map_or(self.streams, |party| self.parties[party])
    }

    pub(super) fn clients(&self) -> Arc<dyn Sessions> {
        self.clients.clone()
    }

    pub(super) fn servers(&self) -> Arc<dyn Sessions> {
        self.servers.clone()
    }

    /// The taps of these kernels know that there are sessions on the lines between them.
    pub(super) fn overhear(&self, client: &mut SimEngine, servers: &mut [Host]) {
        let ports: Vec<u16> = servers.iter().map(|it| it.address.port()).collect();
        let engines = servers.iter_mut().map(Host::engine_mut);
        for engine in engines.chain([client]) {
            if let Some(tap) = &mut engine.core.kernel.tap {
                tap.book = self.book.clone();
                tap.sealed_ports.extend(&ports);
            }
        }
    }

    /// Sessions of clients so far: those whose handshake was over, and those that broke, or were refused.
    pub(super) fn counts(&self) -> (usize, usize) {
        let stood = |it: &Page| it.is_client && it.over_at.is_some();
        let failed = |it: &Page| it.is_client && it.has_failed;
        (self.book.count(stood), self.book.count(failed))
    }

    /// Nobody is unwell any more.
    pub(super) fn heal(&self) {
        self.clients.heal();
        self.servers.heal();
    }
}

/// Whether its handshake is over, where it has one.
pub(super) fn is_over(stream: &Stream) -> bool {
    let is_over = stream.page(|page| page.over_at.is_some());
    !stream.is_sealed() || is_over == Some(true)
}

impl Run {
    /// An upstream is told to be up: one of its connections has a session that stands, if any has.
    pub(super) fn has_shaken_hands(&self, upstream: UpstreamId) {
        let party = self.upstreams.iter().position(|it| *it == upstream);
        let party = party.expect("an upstream of this client");
        let Some(tap) = self.client.core.kernel.tap.as_ref().filter(|_| {
            let sealer = self.sealer.as_ref();
            sealer.is_some_and(|it| it.seals(Some(party)))
        }) else {
            return;
        };
        let ports: BTreeSet<u16> = self
            .hosts_of(party)
            .map(|it| self.hosts[it].address.port())
            .collect();
        let mut streams = tap
            .streams
            .values()
            .filter(|it| ports.contains(&it.remote.port()));
        assert!(streams.any(is_over), "it is up before a handshake is over");
    }
}
