//! What an input makes of an upstream: its connections, its bounds, its timeouts.
//!
//! Small figures, so that each bound is met often.

use std::time::Duration;

use super::model::Model;
use super::refusals;
use super::replies::Heartbeats;
use super::{RETRY, Run, micros};
use crate::config::{Config, Limits, Pool, Reconnect, Retry, Timeouts};
use crate::frame::Framing;
use crate::fuzz::input::Input;
use crate::time::Time;
use crate::upstream::{Circuit, Service, Upstream};

impl Run {
    pub(super) fn draw(input: &mut Input) -> Run {
        let connections = 1 + input.below(4);
        let warm = input.below(connections + 1);
        let is_range = input.flag();
        let has_ids = input.flag();
        let one_request = input.below(4) == 0;
        let depth = if one_request { 1 } else { 1 + input.below(5) };
        let limits = Limits {
            waiting_requests_max: 1 + input.below(6),
            waiting_bytes_max: 1 + input.below(64),
            ..Limits::default()
        };
        let timeouts = Timeouts {
            wait: micros(1 + input.below(256) * 4),
            idle: input.one_of(&[micros(300), micros(5_000)]),
            ..Timeouts::default()
        };
        let reconnect = Reconnect {
            first_pause_max: micros(100),
            pause_max: micros(1_000),
            stable_uptime: micros(2_000),
            release_step: micros(input.below(3) * 100),
            release_max: 1 + input.below(4) as u32,
            growth_min: 1 + input.below(2),
        };
        let upstream = Upstream::new("peer:1").depth(depth);
        let pool = Pool {
            idle_learning: input.flag(),
            idle_learned_min: micros(50),
            lifetime: input.one_of(&[micros(1_000), Duration::MAX]),
            ..Pool::default()
        };
        let upstream = match is_range && !one_request {
            true => upstream.connections(warm..=connections),
            false => upstream.connections(connections),
        };
        let upstream = match has_ids {
            // The ids of replies are drawn, not read.
            true => upstream
                .framing(Framing::line().reply_id(|_| None))
                .matched_by_id(),
            false => upstream,
        };
        // One at a time: what both make of a loss is told by the storms.
        let breaker = refusals::draw(input);
        let config = Config {
            timeouts,
            limits,
            reconnect,
            pool,
            breaker,
            retry: if breaker.is_on { Retry::off() } else { RETRY },
            ..Config::default()
        };
        let upstream = match one_request {
            true => upstream.one_request_per_connection(),
            false => upstream,
        };
        let (heartbeats, upstream) = Heartbeats::draw(input, upstream);
        let model = Model::new(&upstream, &config);
        Run {
            service: Service::new(upstream, &config),
            model,
            heartbeats,
            circuit: Circuit::new(config.breaker),
            now: Time::ZERO,
            requests: 0,
        }
    }
}
