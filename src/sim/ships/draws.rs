//! What a seed draws: the weather, and how the shipper is told to ship.

use std::time::Duration;

use crate::ship::{Ack, OnUncertain, ShipConfig, Wire};
use crate::sim::faults::{FaultKind, Faults};
use crate::sim::random::{Chance, Random};

pub(super) fn weather(random: &mut Random) -> Faults {
    let mut faults = Faults::drawn(random);
    // A FIN in front of unread bytes is what no Linux sends; the sinks close by themselves.
    for kind in [
        FaultKind::Cut,
        FaultKind::CutResets,
        FaultKind::CutResetsAfterFin,
    ] {
        faults = faults.with(kind, Chance(0));
    }
    if random.happens(Chance(500)) {
        for kind in [
            FaultKind::Hole,
            FaultKind::HoleStays,
            FaultKind::Mute,
            FaultKind::ShutWindow,
        ] {
            faults = faults.with(kind, Chance(0));
        }
    }
    faults
}

pub(super) fn options(random: &mut Random, buffer_bytes: u64) -> ShipConfig {
    let ms = |random: &mut Random, choices: [u64; 3]| {
        Duration::from_millis(choices[random.within(0..=2) as usize])
    };
    let ack = [
        Ack::None,
        Ack::Peek,
        Ack::Kernel,
        Ack::Commit,
        Ack::Commit,
        Ack::Commit,
        Ack::Relp,
    ][random.within(0..=6) as usize];
    let wire = match (ack, random.within(0..=1)) {
        (Ack::Relp, _) => Wire::Relp,
        (_, 0) => Wire::Octet,
        _ => Wire::Lf { escapes: false },
    };
    let mut config = ShipConfig {
        ack,
        wire,
        on_uncertain: match random.within(0..=2) {
            0 => OnUncertain::Report,
            _ => OnUncertain::Resend,
        },
        line_bytes_max: Some(200),
        receive_bytes_max: buffer_bytes,
        journal_bytes_max: buffer_bytes as usize + random.within(1_000..=20_000) as usize,
        journal_lines_max: random.within(20..=2_000) as usize,
        commit_bytes: random.within(100..=5_000),
        commit_after: ms(random, [2, 50, 1_000]),
        commit_timeout: ms(random, [500, 5_000, 30_000]),
        ordered: random.within(0..=3) == 0,
        witness: random.within(0..=3) > 0,
        witness_grace: Duration::from_millis([2, 10, 50][random.within(0..=2) as usize]),
        window: random.within(1..=9) as usize,
        ..ShipConfig::default()
    };
    config.client.limits.send_queue_bytes_max = random.within(300..=10_000) as usize;
    config.client.limits.events_max = random.within(50..=500) as usize;
    config
}
