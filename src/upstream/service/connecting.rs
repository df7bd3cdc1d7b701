//! Which members of an upstream are to connect, and when.
//!
//! A member is wanted, or it is not; when wanted ones may be begun, and how many at a time, `outage.rs` says. Nothing
//! here begins a connect: the engine asks `poll_connect` until there is nothing to do, and comes back at `poll_timeout`.
//! Neither looks at each member: those without a connection stand in two lists.

use super::Service;
use crate::config::{Config, Reconnect};
use crate::time::Time;
use crate::upstream::Upstream;
use crate::upstream::outage::Outage;

/// When connections of an upstream may be begun. Where each serves one request, those that stand say nothing of how
/// many are needed.
pub(super) fn outage(options: &Upstream, config: &Config) -> Outage {
    let rules = options.reconnect.unwrap_or(config.reconnect);
    let growth_min = match options.one_request {
        true => usize::MAX,
        false => rules.growth_min,
    };
    let rules = Reconnect {
        growth_min,
        ..rules
    };
    Outage::new(rules, options.connections.max)
}

/// Members without a connection: the warm ones, and the others. The last in a list is the next to connect.
#[derive(Debug)]
pub(super) struct Absent {
    warm: Vec<u32>,
    others: Vec<u32>,
}

impl Absent {
    /// All, of so many that are kept warm and so many that there may be.
    pub(super) fn all(warm: usize, max: usize) -> Absent {
        Absent {
            warm: (0..warm as u32).rev().collect(),
            others: (warm as u32..max as u32).rev().collect(),
        }
    }

    pub(super) fn put(&mut self, member: u32, is_warm: bool) {
        match is_warm {
            true => self.warm.push(member),
            false => self.others.push(member),
        }
    }

    /// Takes the next one.
    pub(super) fn take(&mut self, member: u32) {
        let taken = self.warm.pop().or_else(|| self.others.pop());
        debug_assert_eq!(taken, Some(member), "another one was told to connect");
    }

    fn next(&self) -> Option<u32> {
        self.warm.last().or(self.others.last()).copied()
    }

    #[cfg(test)]
    pub(super) fn members(&self) -> impl Iterator<Item = u32> {
        self.warm.iter().chain(&self.others).copied()
    }
}

impl Service {
    /// The member that should connect now. It must be told (`handle_connecting`) before the next is asked for.
    pub(crate) fn poll_connect(&mut self, now: Time) -> Option<u32> {
        let member = self.absent.next()?;
        if self.next_connect() > now {
            return None;
        }
        self.outage.handle_begun(now);
        Some(member)
    }

    /// When to call `handle_timeout` and `poll_connect` again.
    pub(crate) fn poll_timeout(&self) -> Time {
        self.waiting.next_deadline().min(self.next_connect())
    }

    /// When the first of the waiting gives up, at the earliest.
    pub(crate) fn next_wait_end(&self) -> Time {
        self.waiting.next_deadline()
    }

    /// When the next connection is to be begun; never, where something must happen before.
    pub(crate) fn next_connect(&self) -> Time {
        let is_first = self.firsts_left > 0;
        match is_first || self.is_any_wanted() {
            _ if self.is_draining => Time::NEVER,
            true => {
                let (open, connecting) = (self.stats.open, self.stats.connecting);
                self.outage.next(open, connecting, is_first)
            }
            false => Time::NEVER,
        }
    }

    /// Whether a member is to stand whether requests need it or not.
    pub(crate) fn is_warm(&self, member: u32) -> bool {
        (member as usize) < self.options.connections.warm
    }

    /// The program wants no pause: a connection is made now, if none stands also for nobody.
    pub(crate) fn retry_now(&mut self, now: Time) {
        self.outage.forget_pause(now);
        self.is_asked_for |= self.stats.open == 0;
    }

    /// Whether a connection is wanted though nobody waits.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.is_asked_for
    }

    /// Warm ones are wanted always, and any when nobody can take what is asked.
    fn is_any_wanted(&self) -> bool {
        if !self.absent.warm.is_empty() {
            return true;
        }
        let asking = self.waiting.len().max(usize::from(self.is_asked_for));
        // Where as many are in flight as may be, another connection could take nothing.
        let may_take = self.stats.in_flight < self.in_flight_max();
        may_take
            && !self.absent.others.is_empty()
            && asking > self.stats.connecting
            && self.balance.least().is_none()
    }
}
