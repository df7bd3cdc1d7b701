//! The drain: nothing new is begun, what is under way is finished, and what is left at the deadline is reset.
//!
//! ```text
//!   drain ──► raw connections: close     ──┐
//!         ──► an upstream's: serve, close ─┼──► all have ended, or the deadline: reset ──► Drained, once and last
//!         ──► who waits in vain: fails    ──┘
//! ```
//! Which of an upstream's connections has nothing left to do, its own machine says. Nothing here waits: each step is
//! taken when something has happened to a connection or an upstream. Never: a second drain, or a way back.

use std::time::Duration;

use super::core::{Core, TimerOwner};
use super::lines::micros;
use super::slot::Owner;
use super::tick_of;
use crate::error::{Error, Phase, Source};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::time::Time;
use crate::wheel::TimerKey;

/// What is known of a drain.
#[derive(Debug)]
pub(super) struct Drain {
    until: Time,
    /// Since when the loop has known that its time is over.
    over_since: Option<Time>,
    timer: TimerKey,
    /// Connections whose end is not carried out yet.
    left: usize,
    /// What was told of those last, and whether that is still to be pulled.
    told: usize,
    is_unpulled: bool,
    forced: usize,
    is_over: bool,
}

impl Drain {
    /// A connection's end was carried out.
    pub(super) fn handle_ended(&mut self) {
        debug_assert!(self.left > 0, "more ends than connections");
        self.left -= 1;
    }

    /// What is to be told now.
    fn poll_event(&mut self) -> Option<Event> {
        let (left, forced) = (self.left, self.forced);
        match left {
            _ if self.is_over => None,
            0 => {
                self.is_over = true;
                Some(Event::Drained { forced })
            }
            _ if self.is_unpulled || left == self.told => None,
            _ => {
                (self.told, self.is_unpulled) = (left, true);
                Some(Event::Draining { left })
            }
        }
    }
}

/// What is refused, since nothing new is begun.
fn refusal() -> Error {
    Error::new(Phase::Drain, Source::ShuttingDown)
}

impl<K: Kernel> Core<K> {
    /// Begins the drain, or gives the one under way less time.
    pub(crate) fn drain(&mut self, deadline: impl FnOnce(Time, Duration, &K) -> Time) {
        let now = self.kernel.now();
        self.now = now;
        let until = deadline(now, self.config.timeouts.drain, &self.kernel);
        if let Some(drain) = &mut self.drain {
            if until < drain.until && !drain.is_over {
                drain.until = until;
                self.wheel.schedule(drain.timer, tick_of(until, now));
            }
            return;
        }
        // What other threads have put in by now was asked for before. Refused first: what came in between the two would
        // be taken by nobody where the drain is over at once.
        self.remote.mailbox.refuse(refusal());
        self.take_submissions();
        let timer = self.wheel.insert(TimerOwner::Drain);
        self.wheel.schedule(timer, tick_of(until, now));
        let slots = self.slots.iter();
        let left = slots.filter(|(_, slot)| !slot.conn.is_end_told()).count();
        self.drain = Some(Box::new(Drain {
            until,
            over_since: None,
            timer,
            left,
            told: 0,
            is_unpulled: false,
            forced: 0,
            is_over: false,
        }));
        self.services.iter_mut().for_each(|service| service.drain());
        for service in 0..self.services.len() {
            self.file_service(service as u32);
        }
        for index in self.indices() {
            if !self.slots[index as usize].conn.is_end_told() {
                self.settle(index);
            }
        }
        let timeout = until.since(now);
        log::info!(connections = left, timeout_us = micros(timeout); "draining {left} connections, for {timeout:?} at most");
        if self.drain.as_ref().is_some_and(|drain| drain.left > 0) {
            self.tell_drain();
        }
    }

    /// Nothing new is begun once the client is being drained.
    pub(super) fn admits_work(&self) -> Result<(), Error> {
        match self.drain {
            None => Ok(()),
            Some(_) => Err(refusal()),
        }
    }

    /// Of an upstream that is being drained: who waits in vain fails, and when nobody waits any more its connections
    /// are looked at.
    pub(super) fn drain_service(&mut self, service: u32) {
        if self.drain.is_none() {
            return;
        }
        let mut failed = self.take_failed();
        self.services[service as usize].fail_unserved(&mut failed);
        self.tell_failed(failed);
        let connections = self.services[service as usize].poll_all_served();
        let connections: Vec<u32> = connections.into_iter().flatten().collect();
        for index in connections {
            // Settled in its turn, so that a thousand ends do not nest.
            self.push_ready(index);
        }
    }

    /// In a drain, ends a connection that has nothing left to do: in peace where it stands, at once where it does not.
    pub(super) fn wind_up(&mut self, index: u32) {
        if self.drain.is_none() {
            return;
        }
        let slot = &mut self.slots[index as usize];
        let is_done = match slot.owner {
            Owner::Program | Owner::Parted { .. } => true,
            Owner::Service { service, member } => {
                self.services[service as usize].is_done_with(member)
            }
        };
        if !is_done || !slot.conn.can_send() {
            return;
        }
        match slot.conn.is_connecting() {
            true => slot.conn.abort(Source::ShuttingDown),
            false => slot.conn.close(),
        }
        if let Owner::Service { service, member } = slot.owner {
            self.services[service as usize].handle_ending(member);
        }
    }

    /// The drain's time is over. As with other deadlines, what lies here unread is read first, also when the loop learns
    /// of it late.
    pub(super) fn force_drain(&mut self) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        let since = *drain.over_since.get_or_insert(self.now);
        let (timer, late) = (drain.timer, self.now.since(since));
        let mut failed = self.take_failed();
        for service in &mut self.services {
            service.fail_waiting(&mut failed);
        }
        self.tell_failed(failed);
        for index in self.indices() {
            let slot = &mut self.slots[index as usize];
            if slot.conn.is_closed() {
                continue;
            }
            let is_to_read = slot.in_ready || slot.wants_read();
            if is_to_read && late < self.config.timeouts.read_first {
                self.wheel.schedule(timer, tick_of(self.now, self.now));
                continue;
            }
            slot.conn.abort(Source::ShuttingDown);
            if let Some(drain) = &mut self.drain {
                drain.forced += 1;
            }
            self.settle(index);
        }
    }

    /// Tells how far the drain has come.
    pub(super) fn tell_drain(&mut self) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        if let Some(event) = drain.poll_event() {
            if drain.is_over {
                let forced = drain.forced;
                log::info!(forced; "drained; {forced} connections were reset");
                self.wheel.clear(drain.timer);
            }
            self.events.push_back(event);
        }
    }

    /// The program has pulled how far the drain had come.
    pub(super) fn drain_pulled(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.is_unpulled = false;
        }
        self.tell_drain();
    }

    /// Whether the end of the drain is still to be told.
    pub(super) fn is_to_tell_drain(&self) -> bool {
        let drain = self.drain.as_ref();
        drain.is_some_and(|drain| drain.left == 0 && !drain.is_over)
    }

    /// Those of all slots, whatever is done to them meanwhile: none is given up within a turn.
    fn indices(&self) -> Vec<u32> {
        self.slots.iter().map(|(index, _)| index as u32).collect()
    }
}
