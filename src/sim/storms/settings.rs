//! The settings of a run's loops: limits, timeouts and policies, as a seed draws them.

use std::time::Duration;

use super::dialect::{Dialect, HEARTBEAT, HEARTBEAT_LINE};
use super::options::pick;
use crate::config::{Breaker, Config, Expect, Heartbeat, Peek, Pool, Retry, Timeouts};
use crate::server::ServerConfig;
use crate::sim::random::{Chance, Random};

/// Bytes that stand around a payload at most, and what a rude peer's frames have beyond it.
const AROUND_BYTES: usize = 64;

/// Nothing is longer than this.
const LONG: Duration = Duration::from_secs(600);

/// Of the client: small limits, and timeouts that are met. `ends_idle`: a server ends what is idle
/// before the client's program asks again.
pub(super) fn client(
    random: &mut Random,
    is_benign: bool,
    timeout_min: Duration,
    payload_max: usize,
    connections_min: usize,
    ends_idle: bool,
    has_warm: bool,
) -> Config {
    let mut config = config(random);
    config.limits.frame_bytes_max = payload_max.max(1_000) + AROUND_BYTES;
    config.half_close = random.happens(Chance(300));
    config.breaker = breaker(random);
    config.retry = retry(random);
    let is_hasty = !is_benign && random.happens(Chance(300));
    if is_benign {
        config.timeouts = patient();
    } else if is_hasty {
        config.timeouts = hasty(random, timeout_min);
    }
    if random.happens(Chance(400)) {
        // All addresses of a name at a time, or nearly.
        let micros = pick(random, &[1, 100, 10_000]) as u64;
        config.timeouts.connect_next = Duration::from_micros(micros);
    }
    config.pool = pool(random, has_warm);
    if is_benign {
        return config;
    }
    // Who ends what has served nobody yet looks like one who serves nobody, and is left in peace for as long as may be:
    // who waits less than that hardly meets a connection.
    if is_hasty && ends_idle {
        config.reconnect.pause_max = Duration::from_secs(1);
    }
    // Where connections end at once when idle and nobody may wait, nothing is ever served.
    let ends_soon = ends_idle || config.pool.lifetime <= Duration::from_secs(1);
    let (none, nothing) = if is_hasty || ends_soon {
        (1, payload_max + 1)
    } else {
        (0, 0)
    };
    if random.happens(Chance(300)) {
        let limits = &mut config.limits;
        limits.connections_max = connections_min + pick(random, &[0, 1, 4]);
        limits.send_queue_bytes_max = payload_max + 1 + pick(random, &[0, 100, 4_000]);
        limits.waiting_requests_max = pick(random, &[none, 1, 10]);
        limits.waiting_bytes_max = pick(random, &[nothing, payload_max + 1, 4_000]);
        limits.submissions_max = pick(random, &[1, 5]);
    }
    config
}

/// None, or one that in good weather is closed again before the program gives up hope.
fn breaker(random: &mut Random) -> Breaker {
    let millis = |random: &mut Random, choices| Duration::from_millis(pick(random, choices) as u64);
    let usual = Breaker {
        pause_max: Duration::from_secs(4),
        ..Breaker::default()
    };
    match random.within(0..=2) {
        0 => Breaker::off(),
        1 => usual,
        _ => Breaker {
            window: millis(random, &[10, 1_000]),
            requests_min: pick(random, &[1, 3]) as u32,
            connect_failures: pick(random, &[1, 3]) as u32,
            protocol_errors: pick(random, &[1, 2]) as u32,
            first_pause_max: millis(random, &[1, 30]),
            pause_max: millis(random, &[100, 2_000]),
            lease: millis(random, &[1, 100]),
            ..usual
        },
    }
}

/// None, the usual one, or one that is soon spent or never.
fn retry(random: &mut Random) -> Retry {
    match random.within(0..=4) {
        0 => Retry::off(),
        1 | 2 => Retry::default(),
        _ => Retry {
            percent: pick(random, &[0, 20, 100]) as u32,
            per_second: pick(random, &[0, 3]) as u32,
            burst_max: pick(random, &[1, 5, 1_000]) as u32,
            attempts_max: pick(random, &[1, 2, 8]) as u8,
            kept_bytes_max: pick(random, &[0, 200, 8 << 20]),
        },
    }
}

/// Of a scripted server: it waits for whatever is to come.
pub(super) fn server(random: &mut Random) -> Config {
    let mut config = config(random);
    config.timeouts = patient();
    config
}

/// Of the bundled server.
pub(super) fn bundled(
    random: &mut Random,
    is_benign: bool,
    timeout_min: Duration,
    payload_max: usize,
) -> ServerConfig {
    let line_bytes_max = payload_max + AROUND_BYTES;
    if is_benign {
        return ServerConfig {
            idle_timeout: LONG,
            write_stall_timeout: LONG,
            line_bytes_max,
            ..ServerConfig::default()
        };
    }
    let idle = Duration::from_millis(pick(random, &[10, 300, 30_000]) as u64);
    let few = pick(random, &[1, 3, 100]);
    ServerConfig {
        idle_timeout: timeout_min.max(idle),
        line_bytes_max: pick(
            random,
            &[line_bytes_max, line_bytes_max, 20 + payload_max / 2],
        ),
        read_limit_bytes: random.happens(Chance(200)).then_some(5_000),
        connections_max: few,
        drain_timeout: Duration::from_secs(3),
        ..ServerConfig::default()
    }
}

/// Connections that live long, or hardly longer than a few requests.
fn pool(random: &mut Random, has_warm: bool) -> Pool {
    // Warm ones are made again for as long as a run rests.
    let lifetime_min = if has_warm { 1_000 } else { 5 };
    let millis = pick(random, &[lifetime_min, 10_000, 1_800_000, 1_800_000]) as u64;
    Pool {
        idle_learning: random.happens(Chance(700)),
        idle_learned_min: Duration::from_millis(pick(random, &[20, 100]) as u64),
        lifetime: Duration::from_millis(millis),
        lifetime_jitter_percent: pick(random, &[0, 10, 100]) as u32,
        ..Pool::default()
    }
}

/// Of an upstream: its answer is the right one of its dialect, and may take longer than a peer that is well takes.
pub(super) fn heartbeat(
    random: &mut Random,
    is_benign: bool,
    timeout_min: Duration,
    dialect: Dialect,
) -> Heartbeat {
    let line = [HEARTBEAT_LINE, b"\n"].concat();
    let after = Duration::from_millis(pick(random, &[100, 100, 2_000, 15_000]) as u64);
    let timeout = timeout_min + Duration::from_millis(random.within(50..=500));
    Heartbeat {
        after,
        timeout: if is_benign { LONG } else { timeout },
        id: (dialect == Dialect::ById).then_some(HEARTBEAT),
        ..Heartbeat::new(line, Expect::exactly(dialect.heartbeat().payload))
    }
}

fn config(random: &mut Random) -> Config {
    let mut config = Config::default();
    if random.happens(Chance(400)) {
        config.limits.read_bytes = pick(random, &[64, 200, 16 << 10]);
        config.limits.turn_bytes_max = pick(random, &[1, 100, 64 << 10]);
        config.limits.turn_frames_max = pick(random, &[1, 3, 256]);
        config.limits.events_max = pick(random, &[1, 5, 16_384]);
        config.limits.unpulled_bytes_max = pick(random, &[1, 1_000, 256 << 10]);
        config.limits.pool_bytes_max = pick(random, &[0, 8 << 20]);
    }
    if random.happens(Chance(400)) {
        let millis =
            |random: &mut Random| Duration::from_millis(pick(random, &[0, 100, 30_000]) as u64);
        config.lookups.fresh_for = millis(random);
        config.lookups.stale_for = millis(random);
        config.lookups.names_max = pick(random, &[0, 1, 2]);
    }
    if random.happens(Chance(300)) {
        config.limits.connecting_max = pick(random, &[1, 2, 5]);
        config.reconnect.growth_min = pick(random, &[1, 2, 4]);
        config.reconnect.release_max = pick(random, &[1, 2, 8]) as u32;
        config.reconnect.release_step = Duration::from_millis(pick(random, &[0, 5, 100]) as u64);
    }
    config.peek = match random.within(0..=2) {
        0 => Peek::Always,
        1 => Peek::Idle(Duration::from_millis(random.within(0..=50))),
        _ => Peek::Never,
    };
    config
}

/// Nothing but the end of the run ends a connection.
fn patient() -> Timeouts {
    Timeouts {
        resolve: LONG,
        connect: LONG,
        connect_address: LONG,
        first_byte: LONG,
        read_stall: LONG,
        write_stall: LONG,
        wait: LONG,
        ..Timeouts::default()
    }
}

fn hasty(random: &mut Random, min: Duration) -> Timeouts {
    let mut drawn = || min + Duration::from_nanos(random.within(0..=300_000_000));
    Timeouts {
        resolve: drawn(),
        connect: drawn(),
        connect_address: drawn(),
        first_byte: drawn(),
        read_stall: drawn(),
        write_stall: drawn(),
        wait: drawn(),
        idle: drawn(),
        linger: drawn(),
        ..Timeouts::default()
    }
}
