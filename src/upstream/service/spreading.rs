//! Which of an upstream's targets a member connects to: of those that are not left alone, the one with the fewest
//! connections.
//!
//! A target that comes back gets its share as connections are made anew. Of a single target nothing is counted.
//! Always: a connection to a target that is left alone takes no new request, whenever it was made.

use super::{Service, State};
use crate::config::Pool;
use crate::error::{Class, Error};
use crate::time::Time;
use crate::upstream::ejection::{Ejection, Rules};
use crate::upstream::{Targeted, Upstream};

pub(super) fn ejection(options: &Upstream, pool: &Pool) -> Ejection {
    let rules = Rules {
        failures: pool.ejection_failures,
        first_max: pool.ejection_first_max,
        longest: pool.ejection_max,
    };
    Ejection::new(1 + options.others.len(), rules)
}

impl Service {
    // What happened.

    /// A member's connection stands: its target is no longer on trial. One that was begun before its target was left
    /// alone is of no use.
    pub(super) fn heed_target_stands(&mut self, now: Time, member: u32) {
        let it = &mut self.members[member as usize];
        it.misses = 0;
        if self.options.others.is_empty() {
            return;
        }
        self.ejection.handle_timeout(now);
        self.ejection.handle_connected(it.target);
        it.rest.is_over |= self.ejection.ejected_until(it.target).is_some();
        self.stats.ejected = self.ejection.ejected();
    }

    /// A reply came on a member's connection.
    pub(super) fn heed_target_answered(&mut self, member: u32) {
        if !self.options.others.is_empty() {
            self.ejection
                .handle_success(self.members[member as usize].target);
        }
    }

    /// Whether a member's connection is lost with requests. Those that are made again were lost all the same.
    pub(super) fn has_lost_requests(&mut self, member: u32) -> bool {
        let it = &mut self.members[member as usize];
        std::mem::take(&mut it.lost_sent) || it.pipeline.len() > 0
    }

    /// A member's connection was lost with requests, or was never made: `None`, or what it says of its target.
    pub(super) fn heed_target_lost(&mut self, now: Time, member: u32, random: u64, error: &Error) {
        let target = self.members[member as usize].target;
        match error.class {
            _ if self.options.others.is_empty() => {}
            Class::Resource | Class::Local => self.ejection.handle_unjudged(target),
            _ => {
                if self.ejection.handle_failure(now, target, random) {
                    self.ejected = Some(target);
                    self.ask_no_more(target);
                }
            }
        }
        self.stats.ejected = self.ejection.ejected();
    }

    /// The connections to a target take no further request. What is in flight there may still be answered.
    fn ask_no_more(&mut self, target: usize) {
        for member in 0..self.members() {
            let it = &mut self.members[member as usize];
            if it.target == target && matches!(it.state, State::Open { .. }) {
                it.rest.is_over = true;
                self.place(member);
            }
        }
    }

    /// A member's connect failed: whether another target is tried at once, before there is a pause.
    pub(super) fn tries_another(&mut self, member: u32) -> bool {
        let targets = 1 + self.options.others.len();
        let it = &mut self.members[member as usize];
        it.misses += 1;
        !it.misses.is_multiple_of(targets)
    }

    // What is wanted.

    /// The target that a member is to connect to, at `host:port`.
    pub(crate) fn aim(&mut self, now: Time, member: u32) -> &str {
        if self.options.others.is_empty() {
            return &self.options.target;
        }
        self.ejection.handle_timeout(now);
        self.stats.ejected = self.ejection.ejected();
        let before = self.members[member as usize].target;
        let targets = 1 + self.options.others.len();
        let connections = |target: usize| {
            let others = self.members.iter().enumerate();
            let others = others.filter(|(n, it)| *n != member as usize && it.target == target);
            others
                .filter(|(_, it)| !matches!(it.state, State::Absent))
                .count()
        };
        let admitted = (0..targets).filter(|target| self.ejection.admits(*target));
        let behind = |target: &usize| (target + targets - before) % targets;
        // Who has just failed at one goes to the next; others, among equals, to the one that they had.
        let chosen = match self.members[member as usize].misses.is_multiple_of(targets) {
            true => admitted.min_by_key(|it| (connections(*it), behind(it))),
            false => admitted.filter(|it| *it != before).min_by_key(behind),
        };
        let target = chosen.unwrap_or(before);
        self.members[member as usize].target = target;
        self.ejection.handle_begun(target);
        self.target_at(target)
    }

    /// A target whose resting connections are to be let go, since it has just been ejected.
    pub(crate) fn poll_ejected(&mut self) -> Option<usize> {
        self.ejected.take()
    }

    // Getters.

    /// The target that a member is connected to, by its place among all.
    pub(crate) fn target_of(&self, member: u32) -> usize {
        self.members[member as usize].target
    }

    /// How each target stands.
    pub(crate) fn targets(&self, now: Time) -> impl Iterator<Item = Targeted<'_>> {
        (0..1 + self.options.others.len()).map(move |target| {
            let until = self.ejection.ejected_until(target);
            let mut stats = Targeted {
                target: self.target_at(target),
                open: 0,
                connecting: 0,
                in_flight: 0,
                ejected_until: until.filter(|until| *until > now),
            };
            for member in self.members.iter().filter(|it| it.target == target) {
                match member.state {
                    State::Absent => {}
                    State::Connecting => stats.connecting += 1,
                    State::Open { .. } => {
                        stats.open += 1;
                        stats.in_flight += member.pipeline.len();
                    }
                }
            }
            stats
        })
    }

    fn target_at(&self, target: usize) -> &str {
        match target.checked_sub(1) {
            None => &self.options.target,
            Some(other) => &self.options.others[other],
        }
    }
}
