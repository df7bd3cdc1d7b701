//! What a seed expands to.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::{Config, Limits, Peek, Timeouts};
use crate::sim::faults::{FaultKind, Faults};
use crate::sim::random::{Chance, Random};
use crate::sim::world::STEP;

/// Everything that distinguishes one run from another.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) faults: Faults,
    /// Bytes of the kernels' buffers.
    pub(super) buffer_bytes: usize,
    pub(super) connections: usize,
    pub(super) depth: usize,
    pub(super) requests: u64,
    pub(super) payload_bytes: RangeInclusive<u64>,
    pub(super) deadline_nanos: RangeInclusive<u64>,
    /// Between bursts of requests.
    pub(super) pause_nanos: RangeInclusive<u64>,
    pub(super) burst: RangeInclusive<u64>,
    pub(super) client: Config,
    pub(super) server: Config,
    /// How long a loop is not turned that stalls.
    pub(super) stall_nanos: RangeInclusive<u64>,
    /// Nothing in this run may keep a request from being answered.
    pub(super) is_benign: bool,
}

impl Options {
    pub(super) fn drawn(random: &mut Random) -> Options {
        let is_benign = random.happens(Chance(300));
        let mut faults = Faults::drawn(random);
        if is_benign {
            faults = faults.benign();
        }
        let slowest = *faults.latency_nanos.end();
        let long = 600_000_000_000;
        let deadline_nanos = match random.within(0..=2) {
            _ if is_benign => long..=long,
            0 => 1..=slowest * 8,
            1 => slowest * 3..=slowest * 300,
            _ => 1_000_000_000..=3_000_000_000,
        };
        let buffer_bytes = pick(random, &[16, 300, 4_096, 65_536]);
        let payload_bytes = 10..=pick(random, &[10, 100, 2_000]) as u64;
        // A timeout is at least as long as a request takes when nothing goes wrong.
        let trips = 8 + 4 * payload_bytes.end() / buffer_bytes as u64;
        let timeout_min = Duration::from_nanos(slowest * trips);
        Options {
            faults,
            buffer_bytes,
            connections: random.within(1..=4) as usize,
            depth: random.within(1..=8) as usize,
            requests: random.within(20..=100),
            payload_bytes,
            deadline_nanos,
            pause_nanos: 0..=slowest * random.within(0..=4),
            burst: 1..=random.within(1..=10),
            client: config(random, is_benign, timeout_min),
            server: config(random, true, timeout_min),
            stall_nanos: 1..=slowest * 20,
            is_benign,
        }
    }

    /// How late an end may be told: a tick, and the steps until it is seen. A loop that does little
    /// in a turn needs more turns for what lies before it.
    pub(super) fn late_max(&self) -> Duration {
        match self.client.limits == Limits::default() {
            true => Duration::from_nanos(65_536) + 3 * STEP,
            false => Duration::from_millis(20),
        }
    }

    /// Whether the client's loop turns and its program pulls whenever there is something to do.
    pub(super) fn is_prompt(&self) -> bool {
        [FaultKind::ClientStalls, FaultKind::ClientLags]
            .iter()
            .all(|kind| self.faults.chance(*kind) == Chance(0))
    }
}

fn config(random: &mut Random, is_patient: bool, timeout_min: Duration) -> Config {
    let mut config = Config::default();
    if random.happens(Chance(400)) {
        config.limits.read_bytes = pick(random, &[64, 200, 16 << 10]);
        config.limits.turn_bytes_max = pick(random, &[1, 100, 64 << 10]);
        config.limits.turn_frames_max = pick(random, &[1, 3, 256]);
        config.limits.events_max = pick(random, &[1, 5, 16_384]);
        config.limits.unpulled_bytes_max = pick(random, &[1, 1_000, 256 << 10]);
        config.limits.pool_bytes_max = pick(random, &[0, 8 << 20]);
    }
    config.peek = match random.within(0..=2) {
        0 => Peek::Always,
        1 => Peek::Idle(Duration::from_millis(random.within(0..=50))),
        _ => Peek::Never,
    };
    config.timeouts = match is_patient {
        true => patient(),
        false if random.happens(Chance(300)) => hasty(random, timeout_min),
        false => Timeouts::default(),
    };
    config
}

/// Nothing but the end of the run ends a connection.
fn patient() -> Timeouts {
    let long = Duration::from_secs(600);
    Timeouts {
        connect: long,
        connect_address: long,
        first_byte: long,
        read_stall: long,
        write_stall: long,
        wait: long,
        ..Timeouts::default()
    }
}

fn hasty(random: &mut Random, min: Duration) -> Timeouts {
    let mut drawn = || min + Duration::from_nanos(random.within(0..=300_000_000));
    Timeouts {
        connect: drawn(),
        first_byte: drawn(),
        read_stall: drawn(),
        write_stall: drawn(),
        wait: drawn(),
        idle: drawn(),
        ..Timeouts::default()
    }
}

fn pick(random: &mut Random, choices: &[usize]) -> usize {
    choices[random.within(0..=choices.len() as u64 - 1) as usize]
}
