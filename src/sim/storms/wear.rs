//! A run that is hard on connections and on nothing else: they end in the midst of answers, behind them, and when they
//! are idle, while requests come at such a pace that some are just being written then.
//!
//! So requests are made again there by the dozen; in other weather most of them never leave.

use std::time::Duration;

use super::bounds::Bounds;
use super::options::{Options, Party, pick};
use crate::config::{Breaker, Limits, Reconnect, Retry};
use crate::sim::faults::FaultKind;
use crate::sim::random::{Chance, Random};

impl Options {
    pub(super) fn worn(mut self, random: &mut Random) -> Options {
        self.faults = self.faults.benign();
        for (kind, rare, frequent) in [
            (FaultKind::Cut, 0, 900),
            (FaultKind::CutResets, 0, 500),
            (FaultKind::ServerEnds, 50, 300),
            (FaultKind::ServerResets, 0, 700),
        ] {
            let often = Chance(random.within(rare..=frequent) as u32);
            self.faults = self.faults.with(kind, often);
        }
        self.requests = 200;
        self.deadline_nanos = 1_000_000_000..=3_000_000_000;
        let pause_millis = pick(random, &[1, 20, 300]) as u64;
        self.pause_nanos = 0..=pause_millis * 1_000_000;
        let client = &mut self.client;
        let usual = Limits::default();
        client.limits.waiting_requests_max = usual.waiting_requests_max;
        client.limits.waiting_bytes_max = usual.waiting_bytes_max;
        if random.happens(Chance(700)) {
            client.breaker = Breaker::off();
        }
        client.reconnect = Reconnect {
            first_pause_max: Duration::from_millis(1),
            pause_max: Duration::from_millis(20),
            ..client.reconnect
        };
        client.retry = Retry {
            burst_max: pick(random, &[5, 1_000]) as u32,
            attempts_max: pick(random, &[1, 2, 8]) as u8,
            ..Retry::default()
        };
        for party in &mut self.parties {
            party.wear(random, pause_millis);
        }
        self
    }
}

impl Party {
    fn wear(&mut self, random: &mut Random, pause_millis: u64) {
        self.name = None;
        self.bounds = Bounds {
            rate: None,
            ..self.bounds
        };
        // About when the next burst comes.
        let idle = random.within(1..=pause_millis * 1_000_000);
        self.manner.idle_nanos = random.happens(Chance(600)).then_some(idle);
    }
}
