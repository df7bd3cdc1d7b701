//! One run: a client's program makes requests in bad weather, and every promise is checked as they
//! end. Then the weather clears, and everything must end, be served again, and be given back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::options::Options;
use super::peer::Peer;
use super::promises::{Asked, payload};
use crate::config::Timeouts;
use crate::conn::Profile;
use crate::event::{ConnectionId, UpstreamId};
use crate::frame::Framing;
use crate::sim::faults::FaultKind;
use crate::sim::random::{Chance, Random};
use crate::sim::weather::Weather;
use crate::sim::world::{SETTLED_AFTER, SimEngine, World};
use crate::time::Time;
use crate::upstream::Upstream;

const ROUNDS_MAX: u64 = 400_000;
/// In good weather, within which everything works again.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

pub(super) struct Run {
    pub(super) options: Options,
    pub(super) world: World,
    pub(super) random: Random,
    pub(super) client: SimEngine,
    pub(super) server: SimEngine,
    pub(super) peer: Peer,
    pub(super) upstream: UpstreamId,
    pub(super) asked: Vec<Asked>,
    pub(super) open: usize,
    /// The last tag answered on each connection.
    pub(super) last: BTreeMap<ConnectionId, u64>,
    pub(super) client_stalls_until: Time,
    pub(super) server_stalls_until: Time,
    /// Or never yet.
    pub(super) healed_at: Time,
}

/// What came of a run.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) trace: u64,
    pub(super) replies: usize,
    pub(super) failures: usize,
    pub(super) rounds: u64,
}

impl Run {
    pub(super) fn new(options: Options, weather: Weather) -> Run {
        let mut random = Random::new(!weather.seed());
        let mut world = World::under(weather);
        world.network.borrow_mut().buffer_bytes = options.buffer_bytes;
        let (mut client, mut server) = (
            world.engine(options.client.clone()),
            world.engine(options.server.clone()),
        );
        let profile = Profile {
            timeouts: Timeouts {
                idle: Duration::MAX,
                ..options.server.timeouts
            },
            half_close: random.happens(Chance(500)),
            reads_pause_above_bytes: if random.happens(Chance(500)) {
                usize::MAX
            } else {
                1_000
            },
            send_queue_bytes_max: 1 << 20,
            read_bytes_max: u64::MAX,
        };
        let any = server.core.kernel.address(0);
        let (_, at) = server.core.listen(any, Framing::line(), profile).unwrap();
        let upstream = Upstream::new(at.to_string())
            .connections(options.connections)
            .depth(options.depth);
        let upstream = client.core.add(upstream).unwrap();
        let peer = Peer::new(world.weather.clone());
        Run {
            options,
            world,
            random,
            client,
            server,
            peer,
            upstream,
            asked: Vec::new(),
            open: 0,
            last: BTreeMap::new(),
            client_stalls_until: Time::ZERO,
            server_stalls_until: Time::ZERO,
            healed_at: Time::NEVER,
        }
    }

    pub(super) fn finish(&mut self) -> Outcome {
        self.storm();
        self.heal();
        self.everything_ends();
        let failures = self
            .asked
            .iter()
            .filter(|a| matches!(a.ended, Some(Err(_))))
            .count();
        let replies = self.asked.len() - failures;
        if self.options.is_benign {
            assert_eq!(failures, 0, "nothing was in the way of these requests");
        }
        self.serves_again();
        self.rests();
        self.never_sent();
        let (trace, rounds) = (self.world.trace_hash(), self.world.rounds);
        Outcome {
            trace,
            replies,
            failures,
            rounds,
        }
    }

    // The phases.

    fn storm(&mut self) {
        let mut next_burst = self.world.now();
        while (self.asked.len() as u64) < self.options.requests {
            if self.world.now() >= next_burst {
                for _ in 0..self.random.within(self.options.burst.clone()) {
                    let nanos = self.random.within(self.options.deadline_nanos.clone());
                    self.ask(Duration::from_nanos(nanos));
                }
                let pause = self.random.within(self.options.pause_nanos.clone());
                next_burst = self.world.now().after(Duration::from_nanos(pause));
            }
            self.round(next_burst);
        }
    }

    fn heal(&mut self) {
        self.healed_at = self.world.now();
        self.world.network.borrow_mut().heal();
        (self.client_stalls_until, self.server_stalls_until) = (Time::ZERO, Time::ZERO);
    }

    fn everything_ends(&mut self) {
        let last = self
            .asked
            .iter()
            .map(|asked| asked.deadline)
            .max()
            .unwrap_or(Time::ZERO);
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
        let from = self.world.now();
        let mut answered = 0;
        while answered < 5 {
            let waited = self.world.now().since(from);
            assert!(
                waited < HEALED_WITHIN,
                "in good weather requests still fail"
            );
            self.ask(Duration::from_secs(5));
            while self.open > 0 {
                self.round(Time::NEVER);
            }
            let ended = self.asked.last().and_then(|asked| asked.ended);
            answered = if ended == Some(Ok(())) {
                answered + 1
            } else {
                0
            };
            self.pass(Duration::from_millis(100));
        }
    }

    /// When nothing is asked any more, everything is given back.
    fn rests(&mut self) {
        self.pass(self.options.late_max());
        let stats = self.client.core.upstream_stats(self.upstream).unwrap();
        assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
        assert_eq!(self.client.held_bytes(), (0, 0), "bytes are held");
        let timeouts = self.options.client.timeouts;
        self.pass(timeouts.idle * 2 + timeouts.connect + SETTLED_AFTER);
        // Slots are reaped at the start of a turn.
        self.round(self.world.now());
        assert_eq!(self.client.core.connections(), 0, "client: slots are left");
        assert_eq!(self.server.core.connections(), 0, "server: slots are left");
        assert_eq!(self.server.held_bytes(), (0, 0), "bytes are held");
        assert_eq!(
            self.client.core.kernel.descriptors(),
            0,
            "client: descriptors are left"
        );
        assert_eq!(
            self.server.core.kernel.descriptors(),
            0,
            "server: descriptors are left"
        );
    }

    fn pass(&mut self, time: Duration) {
        let until = self.world.now().after(time);
        while self.world.now() < until {
            self.round(until);
        }
    }

    // One round.

    fn ask(&mut self, after: Duration) {
        let tag = self.asked.len() as u64;
        let bytes = self.random.within(self.options.payload_bytes.clone()) as usize;
        let mut line = payload(tag, bytes);
        line.push(b'\n');
        let (at, deadline) = (self.world.now(), self.world.now().after(after));
        let made = self
            .client
            .core
            .request(self.upstream, &line, tag, |_, _, _| deadline);
        self.world
            .note(&format!("ask {tag} until {deadline:?}: {made:?}"));
        // A full queue is an answer too, and the request never was.
        let ended = made.err().map(|error| {
            assert!(error.is_full(), "{error}");
            Err(error)
        });
        self.open += usize::from(ended.is_none());
        self.asked.push(Asked {
            at,
            deadline,
            bytes,
            ended,
        });
    }

    /// A turn of each loop that is not stalled; then the clock moves, to `until` at most.
    fn round(&mut self, until: Time) {
        assert!(
            self.world.rounds < ROUNDS_MAX,
            "it spins: {ROUNDS_MAX} rounds"
        );
        let now = self.world.now();
        self.stall(now);
        let lags = self.world.weather.happens(FaultKind::ClientLags);
        let mut engines = Vec::new();
        let mut until = until;
        for (engine, stalls_until) in [
            (&mut self.client, self.client_stalls_until),
            (&mut self.server, self.server_stalls_until),
        ] {
            match stalls_until <= now {
                true => engines.push(engine),
                false => until = until.min(stalls_until),
            }
        }
        if let Err(error) = self.world.turn(&mut engines) {
            assert_eq!(error.errno(), Some(libc::ENOMEM), "{error}");
        }
        if !lags {
            while let Some(event) = self.client.next_event() {
                self.ended(&event);
            }
        }
        while let Some(event) = self.server.next_event() {
            self.peer.serve(&mut self.server, &event);
        }
        self.client.check();
        self.server.check();
        let mut engines = Vec::new();
        for (engine, stalls_until) in [
            (&mut self.client, self.client_stalls_until),
            (&mut self.server, self.server_stalls_until),
        ] {
            if stalls_until <= now {
                engines.push(engine);
            }
        }
        let more = self.world.rest(&engines, until);
        assert!(
            more || self.open == 0,
            "nothing will ever happen, and requests are open"
        );
    }

    fn stall(&mut self, now: Time) {
        for (kind, stalls_until) in [
            (FaultKind::ClientStalls, &mut self.client_stalls_until),
            (FaultKind::ServerStalls, &mut self.server_stalls_until),
        ] {
            if self.world.weather.happens(kind) {
                let nanos = self.options.stall_nanos.clone();
                let nanos = self.world.weather.within(kind, nanos);
                *stalls_until = now.after(Duration::from_nanos(nanos));
            }
        }
    }
}
