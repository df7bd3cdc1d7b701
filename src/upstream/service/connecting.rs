//! Which members of an upstream are to connect, and when.
//!
//! Nothing here begins a connect: the engine asks `poll_connect` until there is nothing to do, and comes back at
//! `poll_timeout`.

use super::{Member, Service, State};
use crate::time::Time;

impl Service {
    /// A member that should connect now.
    pub(crate) fn poll_connect(&mut self, now: Time) -> Option<u32> {
        if !self.is_draining && (self.warmed as usize) < self.options.first() {
            self.warmed += 1;
            return Some(self.warmed - 1);
        }
        let due = |member: &Member| matches!(member.state, State::Absent { until } if until <= now);
        let found = self.wanted().iter().position(due);
        found.map(|member| member as u32)
    }

    /// When to call `handle_timeout` and `poll_connect` again.
    pub(crate) fn poll_timeout(&self) -> Time {
        let mut next = self.waiting.next_deadline();
        for member in self.wanted() {
            if let State::Absent { until } = member.state {
                next = next.min(until);
            }
        }
        next
    }

    /// When the first of the waiting gives up, at the earliest.
    pub(crate) fn next_wait_end(&self) -> Time {
        self.waiting.next_deadline()
    }

    /// Whether a member is to stand whether requests need it or not.
    pub(crate) fn is_warm(&self, member: u32) -> bool {
        (member as usize) < self.options.connections.warm
    }

    /// Members that are to have a connection: the warm ones, and any when nobody can take what is asked.
    fn wanted(&self) -> &[Member] {
        let asking = self.waiting.len().max(usize::from(self.turned_away));
        // Where as many are in flight as may be, another connection could take nothing.
        let may_take = self.stats.in_flight < self.in_flight_max();
        match asking > self.stats.connecting && self.balance.least().is_none() && may_take {
            _ if self.is_draining => &[],
            _ if self.members.len() == self.stats.open + self.stats.connecting => &[],
            true => &self.members,
            false => &self.members[..self.options.connections.warm],
        }
    }
}
