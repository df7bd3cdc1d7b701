//! Connections that are let go between requests: how the engine does that, and what the model says of it.
//!
//! What the service has learned of its peers' patience the model does not know: a rest may end sooner than the settings
//! say, within the bounds of learning, and never later.

use std::time::Duration;

use super::Run;
use super::model::{Line, Model, State};
use crate::error::Error;
use crate::time::Time;

impl Run {
    /// A time of this member's may have come.
    pub(super) fn rest(&mut self, member: usize) {
        let is_due = self.service.retires_at(member as u32) <= self.now;
        self.service.handle_due(self.now, member as u32);
        if is_due {
            let last_error = self.service.stats().last_error;
            self.model.rest_ends(self.now, member, last_error);
        }
        self.retire_spent(member);
        assert!(
            self.service.retires_at(member as u32) > self.now,
            "it would spin"
        );
    }

    pub(super) fn retire_spent(&mut self, member: usize) {
        let is_spent = self.model.is_spent(member);
        assert_eq!(self.service.is_spent(member as u32), is_spent);
        if is_spent {
            let lingers = self.service.handle_retired(member as u32);
            assert!(lingers, "the one before has ended");
            self.model.retired(member);
            self.heartbeats.lost(member);
            self.service.handle_parted();
            self.connect_members();
        }
    }
}

impl Model {
    /// A request is put on a member's connection.
    pub(super) fn works(&mut self, now: Time, member: usize) {
        self.lines[member].rests_since = now;
        self.lines[member].is_over |= self.one_request;
        self.heed_room();
    }

    /// The latest at which a member's rest ends, or its lifetime; it may be sooner.
    pub(super) fn rests_until_at_most(&self, member: usize) -> Time {
        let line = &self.lines[member];
        let State::Open { since, .. } = line.state else {
            return Time::NEVER;
        };
        if line.is_over {
            return Time::NEVER;
        }
        let rests = line.pipeline.is_empty() && member >= self.warm;
        let idle = if rests { self.idle } else { Duration::MAX };
        let lifetime_end = since.after(self.pool.lifetime);
        lifetime_end.min(line.rests_since.after(idle))
    }

    /// The service says that a member's time has come.
    pub(super) fn rest_ends(&mut self, now: Time, member: usize, last_error: Option<Error>) {
        let line = &mut self.lines[member];
        let State::Open { since, .. } = line.state else {
            panic!("it does not stand");
        };
        let jitter = self.pool.lifetime_jitter_percent;
        let lifetime_min = (self.pool.lifetime / 100).saturating_mul(100 - jitter);
        line.is_over = true;
        if now < since.after(lifetime_min) {
            assert!(line.pipeline.is_empty(), "it works");
            let rest_min = match self.pool.idle_learning {
                true => self.pool.idle_learned_min,
                false => self.idle,
            };
            assert!(now >= line.rests_since.after(rest_min), "too early");
        }
        if line.pipeline.is_empty() {
            // The limit is what it has learned; near the end of a lifetime it may have been either.
            self.stats.last_error = last_error;
        }
    }

    pub(super) fn is_spent(&self, member: usize) -> bool {
        let line = &self.lines[member];
        matches!(line.state, State::Open { .. }) && line.is_over && line.pipeline.is_empty()
    }

    /// A member's connection is let go: another may be made at once.
    pub(super) fn retired(&mut self, member: usize) {
        self.lines[member] = Line::new(State::Absent);
        self.stats.losses += 1;
        self.stats.retired += 1;
    }
}
