//! One run: a client's program makes requests and connections in bad weather, and every promise is
//! checked as they end. Then the weather clears, and everything must end, be served again, and be
//! given back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::guests::{name_of, name_of_stream, named, upstream};
use super::host::Host;
use super::options::Options;
use super::peer::{Peer, Role};
use super::promises::Asked;
use super::sealed::Sealer;
use super::streams::Stream;
use super::wire::Wire;
use crate::engine::Outcome as Answer;
use crate::event::{ConnectionId, Frame, UpstreamId};
use crate::sim::names::Lookup;
use crate::sim::random::Random;
use crate::sim::tap::Tap;
use crate::sim::weather::Weather;
use crate::sim::world::{SimEngine, World};
use crate::time::Time;

/// In good weather, within which everything works again.
pub(super) const HEALED_WITHIN: Duration = Duration::from_secs(60);

pub(super) struct Run {
    pub(super) options: Options,
    pub(super) world: World,
    pub(super) random: Random,
    /// What the program wants that no host has to do with.
    pub(super) whims: Random,
    pub(super) client: SimEngine,
    /// Of each party, its first server; after them that of the raw connections, and then the other servers.
    pub(super) hosts: Vec<Host>,
    /// Of each of those: its party.
    pub(super) others: Vec<usize>,
    /// Of each party.
    pub(super) upstreams: Vec<UpstreamId>,
    /// By tag.
    pub(super) asked: Vec<Asked>,
    /// Requests that have not ended.
    pub(super) open: usize,
    pub(super) wire: Wire,
    /// Of each connection: its last reply's place, and its pushes so far.
    pub(super) answered: BTreeMap<ConnectionId, u64>,
    pub(super) pushes: BTreeMap<ConnectionId, Vec<u64>>,
    /// As far as the program was told.
    pub(super) open_breakers: BTreeSet<UpstreamId>,
    /// Of each upstream, what was told last: that it is up, or down.
    pub(super) up: BTreeMap<UpstreamId, bool>,
    pub(super) streams: BTreeMap<ConnectionId, Stream>,
    pub(super) streams_made: u64,
    /// What was pulled in this turn, and the bytes it must have until the next.
    pub(super) held: Vec<(Frame, Vec<u8>)>,
    /// Where requests of other threads are answered.
    pub(super) answers: (Sender<Answer>, Receiver<Answer>),
    pub(super) generations: Vec<u32>,
    /// Targets that were left alone, so far.
    pub(super) ejections: u64,
    /// Those that are, by their upstream and place: since when.
    pub(super) alone_since: BTreeMap<(usize, usize), Time>,
    pub(super) client_stalls_until: Time,
    /// When the client was turned, so far.
    pub(super) turned_at: Vec<Time>,
    /// Or never yet.
    pub(super) healed_at: Time,
    /// When its drain is to be over, or never.
    pub(super) drained_at: Time,
    /// The client has ended, and says nothing more.
    pub(super) is_drained: bool,
    /// Rounds in a row in which nothing moved, not even the clock.
    pub(super) idle_rounds: u64,
    /// Begins the sessions that run on some lines.
    pub(super) sealer: Option<Sealer>,
}

/// What came of a run.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) trace: u64,
    pub(super) replies: usize,
    pub(super) failures: usize,
    pub(super) rounds: u64,
    pub(super) retries: u64,
    pub(super) cancels: usize,
    pub(super) handed_over: u64,
    pub(super) ejections: u64,
    pub(super) heartbeats: u64,
    pub(super) heartbeats_missed: u64,
    /// Sessions that stood, and those that failed.
    pub(super) sessions: (usize, usize),
}

impl Run {
    pub(super) fn new(options: Options, weather: Weather) -> Run {
        let mut random = Random::new(!weather.seed());
        let whims = Random::new(weather.seed().rotate_left(32) ^ 0x5eed);
        let mut world = World::under(weather);
        world.network.borrow_mut().buffer_bytes = options.buffer_bytes;
        let mut client = world.engine(options.client.clone());
        client.core.kernel.tap = Some(Tap::default());
        let sealer = options.sealing.as_ref().map(Sealer::new);
        let (mut hosts, mut others) = (Vec::new(), Vec::new());
        let mut upstreams = Vec::new();
        for (number, party) in options.parties.iter().enumerate() {
            let lines = sealer.as_ref().filter(|it| it.seals(Some(number)));
            let sessions = lines.map(Sealer::servers);
            let mut servers =
                Host::all_of_party(&mut world, &options, party, &mut random, &sessions);
            if let Some(sealer) = lines {
                sealer.overhear(&mut client, &mut servers);
            }
            let host = servers.remove(0);
            let target = match &party.name {
                None => host.address.to_string(),
                Some(name) => named(&world, number, name, &host),
            };
            let sessions = lines.map(Sealer::clients);
            let upstream = upstream(party, target, &servers, &upstreams, sessions);
            upstreams.push(client.core.add(upstream).unwrap());
            hosts.push(host);
            others.extend(servers.into_iter().map(|it| (number, it)));
        }
        let (tape, bytes) = (options.streams.tape, options.streams.bytes);
        let role = Role::Plays { tape, bytes };
        let (manner, weather) = (options.streams.manner.clone(), world.weather.clone());
        let peer = Peer::new(role, manner, weather, random.fork());
        let lines = sealer.as_ref().filter(|it| it.seals(None));
        let sessions = lines.map(Sealer::servers);
        let mut host = Host::scripted(&mut world, &options.server, peer, sessions);
        if let Some(sealer) = lines {
            sealer.overhear(&mut client, std::slice::from_mut(&mut host));
        }
        hosts.push(host);
        for number in 0..options.streams.names {
            let found = Lookup::Found(vec![hosts[upstreams.len()].address.ip()]);
            let name = name_of_stream(number);
            let mut network = world.network.borrow_mut();
            network.name(&name, Duration::ZERO, found);
        }
        let (others, servers): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        hosts.extend(servers);
        Run {
            options,
            world,
            random,
            whims,
            client,
            hosts,
            others,
            upstreams,
            asked: Vec::new(),
            open: 0,
            wire: Wire::default(),
            answered: BTreeMap::new(),
            pushes: BTreeMap::new(),
            open_breakers: BTreeSet::new(),
            up: BTreeMap::new(),
            streams: BTreeMap::new(),
            streams_made: 0,
            held: Vec::new(),
            answers: channel(),
            generations: Vec::new(),
            ejections: 0,
            alone_since: BTreeMap::new(),
            client_stalls_until: Time::ZERO,
            turned_at: Vec::new(),
            healed_at: Time::NEVER,
            drained_at: Time::NEVER,
            is_drained: false,
            idle_rounds: 0,
            sealer,
        }
    }

    pub(super) fn finish(&mut self) -> Outcome {
        self.storm();
        if let Some(after) = self.options.drained_after {
            self.ends_by_a_drain(after);
            return self.outcome();
        }
        self.heal();
        self.everything_ends();
        let (replies, failures) = self.count();
        if self.options.is_benign {
            assert_eq!(failures, 0, "nothing was in the way of these requests");
        }
        self.serves_again();
        self.rests();
        self.drains();
        self.kept_its_word();
        Outcome {
            replies,
            failures,
            ..self.outcome()
        }
    }

    fn outcome(&self) -> Outcome {
        let (replies, failures) = self.count();
        let (heartbeats, heartbeats_missed) = self.heartbeats();
        Outcome {
            heartbeats,
            heartbeats_missed,
            sessions: self.sealer.as_ref().map(Sealer::counts).unwrap_or_default(),
            trace: self.world.trace_hash(),
            replies,
            failures,
            rounds: self.world.rounds,
            retries: self.retries(),
            handed_over: self.all_handed_over(),
            ejections: self.ejections,
            cancels: self.asked.iter().filter(|it| it.is_cancelled).count(),
        }
    }

    // The phases.

    fn storm(&mut self) {
        let mut next_burst = self.world.now();
        while (self.asked.len() as u64) < self.options.requests {
            if self.world.now() >= next_burst {
                for _ in 0..self.random.within(self.options.burst.clone()) {
                    let nanos = self.random.within(self.options.deadline_nanos.clone());
                    let party = self.random.within(0..=self.upstreams.len() as u64 - 1) as usize;
                    let bytes = self.random.within(self.options.payload_bytes.clone()) as usize;
                    self.ask(party, bytes, Duration::from_nanos(nanos));
                }
                self.open_stream();
                let pause = self.random.within(self.options.pause_nanos.clone());
                next_burst = self.world.now().after(Duration::from_nanos(pause));
            }
            self.cancel_some();
            self.round(next_burst);
        }
        self.pass(self.options.lull);
    }

    fn heal(&mut self) {
        let now = self.world.now();
        self.healed_at = now;
        self.world.network.borrow_mut().heal();
        self.client_stalls_until = Time::ZERO;
        if let Some(sealer) = &self.sealer {
            sealer.heal();
        }
        for (number, host) in self.hosts.iter_mut().enumerate() {
            host.heal(now);
            let found = Lookup::Found(vec![host.address.ip()]);
            let mut network = self.world.network.borrow_mut();
            network.name(&name_of(number), Duration::ZERO, found);
        }
    }

    fn everything_ends(&mut self) {
        self.end_streams();
        let deadlines = self.asked.iter().map(|asked| asked.deadline);
        let last = deadlines.max().unwrap_or(Time::ZERO);
        let last = last.max(self.world.now()).after(self.options.late_max());
        while self.open > 0 {
            assert!(
                self.world.now() <= last,
                "{} requests have not ended",
                self.open
            );
            self.round(Time::NEVER);
        }
    }

    /// In good weather requests are answered again, after a while: all connections may be in a pause.
    fn serves_again(&mut self) {
        for party in 0..self.upstreams.len() {
            let from = self.world.now();
            let wanted = self.options.parties[party].answers_wanted();
            let mut answered = 0;
            while answered < wanted {
                let waited = self.world.now().since(from);
                assert!(
                    waited < HEALED_WITHIN,
                    "in good weather requests still fail"
                );
                let bytes = *self.options.payload_bytes.start() as usize;
                self.ask(party, bytes, Duration::from_secs(5));
                while self.open > 0 {
                    // No further: when it has ended, the next thing to happen may be minutes away.
                    let soon = self.world.now().after(Duration::from_millis(100));
                    self.round(soon);
                }
                let ended = self.asked.last().and_then(|asked| asked.ended);
                answered = match ended == Some(Ok(())) && self.served_itself() {
                    true => answered + 1,
                    false => 0,
                };
                self.pass(Duration::from_millis(100));
            }
        }
    }

    /// A bundled server that is to end does so with all it had, in good weather by itself: also when it has just read
    /// what it answers.
    fn drains(&mut self) {
        for party in 0..self.upstreams.len() {
            if self.options.parties[party].bundled.is_some() {
                let bytes = *self.options.payload_bytes.start() as usize;
                self.ask(party, bytes, Duration::from_secs(5));
            }
        }
        let rounds = self.random.within(0..=12);
        for _ in 0..rounds {
            let soon = self.world.now().after(Duration::from_millis(100));
            self.round(soon);
        }
        for host in &mut self.hosts {
            host.drain();
        }
        let until = self.world.now().after(Duration::from_secs(15));
        while self.open > 0 || !self.hosts.iter().all(Host::is_drained) {
            assert!(self.world.now() < until, "a server does not end");
            let next = self.world.now().after(Duration::from_millis(100));
            self.round(next);
        }
        for host in self.hosts.iter().filter(|host| host.peer().is_none()) {
            assert_eq!(host.engine().core.kernel.descriptors(), 0, "it has ended");
            assert_eq!(host.forced(), 0, "it was ended by force");
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.world.now().after(time);
        while self.world.now() < until {
            self.round(until);
        }
    }

    /// Heartbeats sent, and missed, by all upstreams so far.
    pub(super) fn heartbeats(&self) -> (u64, u64) {
        let core = &self.client.core;
        let stats = self
            .upstreams
            .iter()
            .filter_map(|it| core.upstream_stats(*it));
        stats.fold((0, 0), |(sent, missed), it| {
            (sent + it.heartbeats, missed + it.heartbeats_missed)
        })
    }

    pub(super) fn is_healed(&self) -> bool {
        !self.healed_at.is_never()
    }
}
