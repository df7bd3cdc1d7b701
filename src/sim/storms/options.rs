//! What a seed expands to: the weather, what the client is made of, and what its peers are like.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::bounds::Bounds;
use super::dialect::{Dialect, PAYLOAD_BYTES_MIN};
use super::sealed::Sealing;
use super::settings;
use super::tape::Tape;
use super::ways::Ways;
use crate::config::{Config, Heartbeat, Limits};
use crate::server::ServerConfig;
use crate::sim::faults::{FaultKind, Faults};
use crate::sim::random::{Chance, Random};
use crate::sim::world::STEP;

/// Everything that distinguishes one run from another.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) faults: Faults,
    /// Bytes of the kernels' buffers.
    pub(super) buffer_bytes: usize,
    pub(super) parties: Vec<Party>,
    /// Raw connections, one after the other and beside each other.
    pub(super) streams: Streams,
    /// Of all upstreams.
    pub(super) requests: u64,
    pub(super) payload_bytes: RangeInclusive<u64>,
    pub(super) deadline_nanos: RangeInclusive<u64>,
    /// Between bursts of requests.
    pub(super) pause_nanos: RangeInclusive<u64>,
    pub(super) burst: RangeInclusive<u64>,
    /// Nothing is asked at the end of the storm.
    pub(super) lull: Duration,
    /// For each request: it comes through the mailbox, as from another thread.
    pub(super) by_mailbox: Chance,
    /// For each round: a request is taken back.
    pub(super) cancels: Chance,
    pub(super) client: Config,
    pub(super) server: Config,
    /// How long a loop is not turned that stalls.
    pub(super) stall_nanos: RangeInclusive<u64>,
    /// Nothing in this run may keep a request from being answered.
    pub(super) is_benign: bool,
    /// The program ends in the midst of the storm, by a drain that may take so long.
    pub(super) drained_after: Option<Duration>,
    /// Sessions run on some lines.
    pub(super) sealing: Option<Sealing>,
}

/// An upstream of the client, and its server.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) dialect: Dialect,
    pub(super) connections: RangeInclusive<usize>,
    /// The least of the connections are kept warm.
    pub(super) is_warm: bool,
    pub(super) depth: usize,
    /// Each connection serves one request.
    pub(super) one_request: bool,
    /// Over all connections; `None`: what they carry.
    pub(super) in_flight_max: Option<usize>,
    /// `None`: it is reached by its address.
    pub(super) name: Option<Name>,
    /// Bytes of a frame, where longer replies are skipped.
    pub(super) skips_above_bytes: Option<usize>,
    pub(super) manner: Manner,
    /// The bundled server, instead of a scripted one.
    pub(super) bundled: Option<ServerConfig>,
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) bounds: Bounds,
    pub(super) ways: Ways,
}

/// How a scripted server goes about its work.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) delay_nanos: RangeInclusive<u64>,
    /// An answer leaves in up to so many parts.
    pub(super) parts_max: u64,
    /// For each answer: a push goes before it, where there are pushes.
    pub(super) pushes: Chance,
    pub(super) half_close: bool,
    /// A connection ends so long after its last answer.
    pub(super) idle_nanos: Option<u64>,
    /// Heartbeats get no answer.
    pub(super) ignores_heartbeats: bool,
    pub(super) reads_pause_above_bytes: usize,
}

/// What a name comes to.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) after: Duration,
    /// Addresses before the right one at which nobody listens, and at which nobody answers at all.
    pub(super) refusing: usize,
    pub(super) silent: usize,
}

/// The raw connections of the program.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) count: u64,
    /// Each is made to a name, of so many that lead there; by its address where there are none.
    pub(super) names: u64,
    pub(super) tape: Tape,
    /// Bytes that the peer says on each.
    pub(super) bytes: usize,
    /// What the program sends at a time.
    pub(super) send_bytes: RangeInclusive<u64>,
    pub(super) manner: Manner,
}

/// How long requests are given: hardly a trip, some, or seconds; where nothing goes wrong, longer than anything takes.
fn deadlines(random: &mut Random, is_benign: bool, slowest: u64) -> RangeInclusive<u64> {
    let long = 600_000_000_000;
    match random.within(0..=2) {
        _ if is_benign => long..=long,
        0 => 1..=slowest * 8,
        1 => slowest * 3..=slowest * 300,
        _ => 1_000_000_000..=3_000_000_000,
    }
}

impl Options {
    pub(super) fn drawn(random: &mut Random) -> Options {
        let is_benign = random.happens(Chance(300));
        let mut faults = Faults::drawn(random);
        if is_benign {
            faults = faults.benign();
        }
        let slowest = *faults.latency_nanos.end();
        let deadline_nanos = deadlines(random, is_benign, slowest);
        let buffer_bytes = pick(random, &[16, 300, 4_096, 65_536]);
        let payload_bytes = PAYLOAD_BYTES_MIN..=pick(random, &[10, 100, 2_000]) as u64;
        // A timeout is at least as long as a request takes when nothing goes wrong.
        let trips = 40 + 4 * payload_bytes.end() / buffer_bytes as u64;
        let timeout_min = Duration::from_nanos(slowest * trips);
        let parties = 1 + pick(random, &[0, 0, 0, 1, 2]);
        let payload_max = *payload_bytes.end() as usize;
        let parties: Vec<Party> = (0..parties)
            .map(|_| Party::drawn(random, is_benign, slowest, payload_max))
            .collect();
        let streams = Streams::drawn(random, slowest);
        let made_at_once = parties.iter().map(Party::made_at_once).sum::<usize>();
        let connections_min = made_at_once + 1;
        let ends_idle = parties.iter().any(Party::ends_idle);
        let mut options = Options {
            client: settings::client(
                random,
                is_benign,
                timeout_min,
                payload_max,
                connections_min,
                ends_idle,
                parties.iter().any(|party| party.warm() > 0),
            ),
            server: settings::server(random),
            faults,
            buffer_bytes,
            parties,
            streams,
            requests: random.within(10..=random_max(payload_max)),
            payload_bytes,
            deadline_nanos,
            pause_nanos: 0..=slowest * random.within(0..=4),
            burst: 1..=random.within(1..=10),
            lull: Duration::from_secs(pick(random, &[0, 0, 2]) as u64),
            by_mailbox: Chance(pick(random, &[0, 0, 300]) as u32),
            // Some are longer than any timeout.
            stall_nanos: 1..=slowest * pick(random, &[20, 20, 400]) as u64,
            cancels: Chance(match is_benign {
                true => 0,
                false => pick(random, &[0, 50, 300]) as u32,
            }),
            is_benign,
            drained_after: random.happens(Chance(150)).then(|| {
                let millis = pick(random, &[0, 1, 30, 300, 30_000]);
                Duration::from_millis(millis as u64)
            }),
            sealing: None,
        };
        for party in &mut options.parties {
            party.watch(random, is_benign, Duration::from_nanos(40 * slowest));
            party.bounds = Bounds::drawn(random, is_benign);
        }
        let options = match !is_benign && random.happens(Chance(350)) {
            true => options.worn(random),
            false => options,
        };
        options.with_ways(random)
    }

    /// How late an end may be told: a tick, and the steps until it is seen. A loop that does little
    /// in a turn needs more turns for what lies before it.
    pub(super) fn late_max(&self) -> Duration {
        match self.does_all() {
            true => Duration::from_nanos(65_536) + 3 * STEP,
            false => Duration::from_millis(20),
        }
    }

    /// Whether the client's loop does in a turn whatever there is to do.
    pub(super) fn does_all(&self) -> bool {
        let usual = Limits::default();
        let limits = &self.client.limits;
        limits.turn_bytes_max == usual.turn_bytes_max
            && limits.turn_frames_max == usual.turn_frames_max
            && limits.events_max == usual.events_max
            && limits.unpulled_bytes_max == usual.unpulled_bytes_max
    }

    /// Whether the client's loop turns and its program pulls whenever there is something to do.
    pub(super) fn is_prompt(&self) -> bool {
        [FaultKind::ClientStalls, FaultKind::ClientLags]
            .iter()
            .all(|kind| self.faults.chance(*kind) == Chance(0))
    }
}

/// Fewer of the larger ones.
fn random_max(payload_max: usize) -> u64 {
    if payload_max > 1_000 { 60 } else { 100 }
}

impl Party {
    fn drawn(random: &mut Random, is_benign: bool, slowest: u64, payload_max: usize) -> Party {
        use Dialect::{ById, Len32, Line, Resp, Resp3, Shout};
        let dialects = [Line, Line, Shout, Resp, Resp3, Len32, ById, ById];
        let dialect = dialects[random.within(0..=7) as usize];
        let skips = dialect.can_skip() && random.happens(Chance(300));
        let least = random.within(0..=3) as usize;
        let is_warm = random.happens(Chance(400));
        let fixed = least.max(1);
        let one_request = random.happens(Chance(150));
        let is_warm = is_warm && !one_request;
        let depth = random.within(1..=8) as usize;
        Party {
            dialect,
            connections: match is_warm {
                true => least..=fixed + random.within(0..=2) as usize,
                false => fixed..=fixed,
            },
            is_warm,
            depth: if one_request { 1 } else { depth },
            one_request,
            in_flight_max: random
                .happens(Chance(200))
                .then(|| random.within(1..=6) as usize),
            name: random
                .happens(Chance(400))
                .then(|| Name::drawn(random, is_benign)),
            skips_above_bytes: skips.then_some(payload_max / 2 + 20),
            manner: Manner::drawn(random, slowest),
            bundled: (dialect == Shout).then(|| {
                settings::bundled(
                    random,
                    is_benign,
                    Duration::from_nanos(40 * slowest),
                    payload_max,
                )
            }),
            heartbeat: None,
            bounds: Bounds::default(),
            ways: Ways::default(),
        }
    }

    /// Some upstreams have a heartbeat, and some of their servers do not answer it.
    fn watch(&mut self, random: &mut Random, is_benign: bool, timeout_min: Duration) {
        if random.happens(Chance(300)) {
            self.heartbeat = Some(settings::heartbeat(
                random,
                is_benign,
                timeout_min,
                self.dialect,
            ));
            self.manner.ignores_heartbeats = !is_benign && random.happens(Chance(300));
        }
    }

    /// Requests that must be answered one after the other before all is well again.
    pub(super) fn answers_wanted(&self) -> u64 {
        match &self.bundled {
            None => 5,
            // It ends what is idle, at whatever moment that is, and whom it has no room for: there may be
            // who has gone and was not noticed yet.
            Some(server) => u64::from(server.connections_max >= 100),
        }
    }

    /// Whether what is idle ends, by its server or for having served, sooner than a program that asks now and then asks
    /// again.
    fn ends_idle(&self) -> bool {
        let server = self.bundled.as_ref();
        self.one_request
            || server.is_some_and(|server| server.idle_timeout < Duration::from_secs(1))
    }

    /// Connections that are made when it is added.
    pub(super) fn made_at_once(&self) -> usize {
        match self.one_request {
            true => 0,
            false => *self.connections.start(),
        }
    }

    /// Connections that stand also when nothing is asked.
    pub(super) fn warm(&self) -> usize {
        if self.is_warm {
            *self.connections.start()
        } else {
            0
        }
    }
}

impl Manner {
    fn drawn(random: &mut Random, slowest: u64) -> Manner {
        Manner {
            delay_nanos: 0..=slowest * pick(random, &[0, 0, 2, 6]) as u64,
            parts_max: pick(random, &[1, 1, 4]) as u64,
            pushes: Chance(pick(random, &[0, 100, 500]) as u32),
            half_close: random.happens(Chance(500)),
            idle_nanos: None,
            ignores_heartbeats: false,
            reads_pause_above_bytes: pick(random, &[1_000, usize::MAX]),
        }
    }
}

impl Name {
    fn drawn(random: &mut Random, is_benign: bool) -> Name {
        let late = pick(random, &[0, 1, 500, 3_000]) as u64;
        Name {
            after: Duration::from_millis(if is_benign { late.min(1) } else { late }),
            refusing: random.within(0..=2) as usize,
            silent: match is_benign {
                true => 0,
                false => pick(random, &[0, 0, 1]),
            },
        }
    }
}

impl Streams {
    fn drawn(random: &mut Random, slowest: u64) -> Streams {
        Streams {
            count: pick(random, &[0, 0, 2, 8]) as u64,
            names: pick(random, &[0, 0, 1, 3]) as u64,
            tape: [Tape::Raw, Tape::Line, Tape::Len32][random.within(0..=2) as usize],
            bytes: pick(random, &[0, 100, 3_000]),
            send_bytes: 1..=pick(random, &[20, 1_000]) as u64,
            manner: Manner::drawn(random, slowest),
        }
    }
}

pub(super) fn pick(random: &mut Random, choices: &[usize]) -> usize {
    choices[random.within(0..=choices.len() as u64 - 1) as usize]
}
