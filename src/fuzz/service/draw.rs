//! What an input makes of an upstream and its limits.

use super::model::Model;
use super::replies::Heartbeats;
use super::{Run, micros};
use crate::config::{Breaker, Config, Limits, Reconnect, Timeouts};
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
        let depth = 1 + input.below(5);
        let limits = Limits {
            waiting_requests_max: 1 + input.below(6),
            waiting_bytes_max: 1 + input.below(64),
            ..Limits::default()
        };
        let timeouts = Timeouts {
            wait: micros(1 + input.below(256) * 4),
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
        let upstream = match is_range {
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
            breaker: Breaker::off(),
            ..Config::default()
        };
        let (heartbeats, upstream) = Heartbeats::draw(input, upstream);
        let model = Model::new(&upstream, limits, timeouts.wait, reconnect);
        Run {
            service: Service::new(upstream, &config),
            model,
            heartbeats,
            now: Time::ZERO,
            requests: 0,
        }
    }
}
