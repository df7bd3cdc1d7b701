//! What an input makes of an upstream: its connections, its bounds, its timeouts.
//!
//! Small figures, so that each bound is met often; and no breaker, whose doings have a model of their own.

use std::time::Duration;

use super::model::Model;
use super::replies::Heartbeats;
use super::{RETRY, Run, micros};
use crate::config::{Breaker, Config, Limits, Pool, Reconnect, Timeouts};
use crate::frame::Framing;
use crate::fuzz::input::Input;
use crate::time::Time;
use crate::upstream::{Service, Upstream};

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
        let config = Config {
            timeouts,
            limits,
            reconnect,
            pool,
            breaker: Breaker::off(),
            retry: RETRY,
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
            now: Time::ZERO,
            requests: 0,
        }
    }
}
