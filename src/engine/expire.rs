//! Expiry: what the wheel says is due, judged by those whom it concerns.
//!
//! A due entry is a lower bound, so its owner looks at all its deadlines and files the nearest anew. A connection that
//! still has something to read, or was cut by its quota, is not expired in this turn: a loop that was stalled must not
//! fail requests whose answers are already here. That holds for `Timeouts::read_first`, so that a peer that never falls
//! silent cannot put its end off for ever. What only the program holds back is not late at all.

use super::core::{Core, TimerOwner};
use super::slot::Owner;
use super::tick_of;
use crate::error::{Error, Phase, Sent, Source};
use crate::kernel::Kernel;
use crate::time::Time;
use crate::upstream::{InFlight, Which};

impl<K: Kernel> Core<K> {
    pub(super) fn expire(&mut self) {
        self.wheel.advance(self.now.tick_floor());
        while let Some((_, owner)) = self.wheel.pop_expired() {
            match owner {
                TimerOwner::Connection(index) => self.expire_connection(index),
                TimerOwner::Service(service) => self.expire_service(service),
                TimerOwner::Listener(listener) => self.listeners.resume(listener),
                TimerOwner::Lines(service) => self.expire_lines(service),
                TimerOwner::Drain => self.force_drain(),
            }
        }
        self.carry_out_outages();
    }

    fn expire_connection(&mut self, index: u32) {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        if let Some(until) = slot.paused_until {
            return self.expire_paused(index, until);
        }
        if slot.is_stalled && !slot.in_ready {
            return self.expire_held_back(index);
        }
        if slot.in_ready || slot.wants_read() {
            let since = *slot.overdue_since.get_or_insert(now);
            if now.since(since) < self.config.timeouts.read_first {
                return self.wheel.schedule(slot.timer, tick_of(now, now));
            }
        }
        if let Owner::Service { service, member } = slot.owner {
            self.expire_requests(index, service, member, Which::All);
            self.expire_rest(index);
        }
        let slot = &mut self.slots[index as usize];
        if slot.is_dialled() && slot.conn.poll_timeout() > now {
            return self.expire_attempts(index);
        }
        if slot.conn.is_resolving()
            && slot.conn.poll_timeout() <= now
            && let Some(addresses) = self.make_do(index)
        {
            return self.handle_resolved(index, Ok(addresses));
        }
        self.slots[index as usize].conn.handle_timeout(now);
        self.ask_for_life(index);
        self.settle(index);
    }

    /// A connection that is not read because the program lags comes up again when that has pulled. A program in a call
    /// cannot: then requests end by their deadlines.
    fn expire_held_back(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let owner = slot.owner;
        let (service, member) = match owner {
            Owner::Service { service, member } => (service, member),
            Owner::Program => return,
            // What it still says is for nobody: its end does not wait for the program.
            Owner::Parted { .. } => {
                slot.conn.handle_timeout(self.now);
                return self.settle(index);
            }
        };
        if !self.in_call {
            return;
        }
        self.expire_requests(index, service, member, Which::All);
        let slot = &self.slots[index as usize];
        // With its last request it may have been let go, and its member be another's by now.
        if slot.conn.is_closed() || slot.owner != owner {
            return self.settle(index);
        }
        let next = self.services[service as usize].next_deadline(member);
        if !next.is_never() {
            let timer = self.slots[index as usize].timer;
            self.wheel.schedule(timer, tick_of(next, self.now));
        }
    }

    /// A connection that is not read because frames come faster than they may: it is read again when the next may come.
    /// Until then only deadlines of requests pass.
    fn expire_paused(&mut self, index: u32, until: Time) {
        let slot = &mut self.slots[index as usize];
        if until <= self.now {
            slot.resume(self.now);
            return self.push_ready(index);
        }
        if let Owner::Service { service, member } = slot.owner {
            self.expire_requests(index, service, member, Which::All);
        }
        self.settle(index);
    }

    /// Fails the requests of a connection whose deadline has passed.
    pub(super) fn expire_requests(&mut self, index: u32, service: u32, member: u32, which: Which) {
        if self.services[service as usize].next_deadline(member) > self.now {
            return;
        }
        let mut expired = Vec::new();
        let progress = self.progress(index);
        self.services[service as usize].expire(self.now, member, which, progress, &mut expired);
        self.end_given_up(index, service, member, expired, Source::Deadline);
    }

    /// Tells the end of requests that were given up, and why. Unsent ones are taken back; after one that was sent the
    /// connection takes no new request, and ends when nobody waits on it any more.
    pub(super) fn end_given_up(
        &mut self,
        index: u32,
        service: u32,
        member: u32,
        given_up: Vec<(InFlight, Sent)>,
        why: Source,
    ) {
        let written = self.slots[index as usize].conn.written_bytes();
        let slot = &mut self.slots[index as usize];
        let unsent = given_up.iter().filter(|(_, sent)| *sent == Sent::No);
        slot.conn.withdraw(
            unsent.map(|(request, _)| request.range.clone()),
            &mut self.send_pool,
        );
        for (request, sent) in given_up {
            let whole = request.range.end <= written;
            let phase = if whole { Phase::Read } else { Phase::Write };
            let sent = sent.max(request.again.sent);
            let error = Error::new(phase, why).of_request(phase, sent);
            self.tell_failure(request.request, request.tag, error);
        }
        let it = &self.services[service as usize];
        let slot = &mut self.slots[index as usize];
        if it.is_forsaken(member) {
            slot.conn.abort(why);
        } else if !it.awaits(member) {
            slot.conn.handle_reply(self.now, false);
        }
        self.services[service as usize].handle_heard(self.now, member);
        self.retire_spent(index);
        self.heed_room(service);
    }

    fn expire_service(&mut self, service: u32) {
        let mut failed = self.take_failed();
        let random = self.kernel.random();
        self.services[service as usize].handle_timeout(self.now, random, &mut failed);
        self.end_failed(service, failed);
        self.tell_changes(service);
        self.connect_members(service);
    }
}
