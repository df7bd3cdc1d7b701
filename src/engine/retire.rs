//! Letting connections of an upstream go between requests.
//!
//! Which, and when, the upstream's own machine says. A connection that was let go belongs to nobody: what its peer still
//! says is dropped, and the upstream is told only that it has ended.

use std::collections::BTreeMap;

use super::core::Core;
use super::slot::{Owner, Slot};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::time::Time;
use crate::upstream::Service;

/// Targets whose peer was found to be gone in this turn, and since when who has heard of it nothing is gone with it.
#[derive(Debug, Default)]
pub(super) struct Outages {
    found: BTreeMap<(u32, usize), Time>,
    /// How often the members of an upstream were looked through for one.
    #[cfg(test)]
    pub(super) walks: u64,
}

impl Outages {
    fn put(&mut self, service: u32, target: usize, since: Time) {
        let known = self.found.entry((service, target)).or_insert(since);
        *known = since.max(*known);
    }

    fn take(&mut self) -> Option<(u32, usize, Time)> {
        let ((service, target), since) = self.found.pop_first()?;
        Some((service, target, since))
    }

    /// Whether some of an upstream's connections may still be let go.
    pub(super) fn has(&self, service: u32) -> bool {
        let of_service = (service, 0)..=(service, usize::MAX);
        !self.found.is_empty() && self.found.range(of_service).next().is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

impl<K: Kernel> Core<K> {
    /// The next instant at which something of a connection may be due: of itself, of its requests, or its rest's end.
    pub(super) fn deadline_of(&self, slot: &Slot<K::Socket>) -> Time {
        let own = slot.poll_timeout();
        match slot.owner {
            Owner::Service { service, member } => {
                let it = &self.services[service as usize];
                // While it is not read for its frames' sake only deadlines of requests pass.
                let rest_end = match slot.paused_until {
                    None => it.retires_at(member),
                    Some(_) => Time::NEVER,
                };
                own.min(it.next_deadline(member)).min(rest_end)
            }
            Owner::Program | Owner::Parted { .. } => own,
        }
    }

    /// A member's connection may have rested, or lived, as long as it may.
    pub(super) fn expire_rest(&mut self, index: u32) {
        if let Owner::Service { service, member } = self.slots[index as usize].owner {
            let it = &mut self.services[service as usize];
            it.handle_due(self.now, member);
            // Who waited for room on it is served by another that has room, or waits for one that is made.
            if it.has_waiting() {
                self.connect_members(service);
                self.serve_waiting(service);
            }
            self.retire_spent(index);
        }
    }

    /// Lets a member's connection go that is of no further use.
    pub(super) fn retire_spent(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if let Owner::Service { service, member } = slot.owner
            && !slot.conn.is_closed()
            && self.services[service as usize].is_spent(member)
        {
            self.retire(index, service, member);
        }
    }

    /// Lets a connection go that has no request. Its owner is to be settled afterwards.
    fn retire(&mut self, index: u32, service: u32, member: u32) {
        let has_room = self.slots.len() < self.config.limits.connections_max;
        let slot = &mut self.slots[index as usize];
        slot.owner = Owner::Parted { service };
        let lingers = self.services[service as usize].handle_retired(member);
        match lingers && has_room {
            true => slot.conn.leave(),
            false => slot.conn.part(),
        }
        self.connect_members(service);
    }

    /// A connection that was let go has ended.
    pub(super) fn parted(&mut self, index: u32, service: u32) {
        self.services[service as usize].handle_parted();
        self.push_pulled(index);
    }

    /// A member's connection has ended, or was never made. Where that says that the peer is gone, those that rest and
    /// have heard nothing for as long are gone with it: a request would find that out only after `Timeouts::first_byte`
    /// (5 s), and another connection tells it at once. Thousands may end in one turn, so those that rest are looked
    /// through once for all of them, by `carry_out_outages`; until then nobody is served on them.
    pub(super) fn heed_outage(
        &mut self,
        service: u32,
        lost: u32,
        error: &Error,
        quiet_since: Time,
    ) {
        if self.services[service as usize].poll_shorter_rests() {
            self.file_resting(service);
        }
        if let Some(target) = self.services[service as usize].poll_ejected() {
            self.outages.put(service, target, Time::NEVER);
        }
        if Service::is_outage(error) {
            let target = self.services[service as usize].target_of(lost);
            self.outages.put(service, target, quiet_since);
        }
    }

    /// Lets those go that the outages of this turn are to let go, and serves who waited for that.
    pub(super) fn carry_out_outages(&mut self) {
        while let Some((service, target, since)) = self.outages.take() {
            self.retire_resting(service, target, since);
            if !self.outages.has(service) && self.services[service as usize].has_waiting() {
                self.connect_members(service);
                self.serve_waiting(service);
            }
        }
    }

    /// Lets the connections to a target go that rest and have heard nothing since.
    fn retire_resting(&mut self, service: u32, target: usize, since: Time) {
        #[cfg(test)]
        {
            self.outages.walks += 1;
        }
        for member in 0..self.services[service as usize].members() {
            let it = &self.services[service as usize];
            let Some(index) = it
                .resting(member)
                .filter(|_| it.target_of(member) == target)
            else {
                continue;
            };
            let conn = &self.slots[index as usize].conn;
            if conn.received_at() < since && !conn.is_closed() {
                self.retire(index, service, member);
                self.settle(index);
            }
        }
    }

    /// Files the rests of an upstream's connections anew, for they end sooner.
    fn file_resting(&mut self, service: u32) {
        for member in 0..self.services[service as usize].members() {
            if let Some(index) = self.services[service as usize].resting(member) {
                self.file(index);
            }
        }
    }
}
