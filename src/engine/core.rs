//! All of the loop but the received bytes: slots, lists, timers, events, upstreams.
//!
//! Lists hold indices, and a slot is on each at most once; slots are only reaped at the start of a turn, so an index
//! stays good within it. What is done on a connection's behalf is in `settle`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::counts::Counts;
use super::drain::Drain;
use super::lines::Lines;
use super::listen::Listeners;
use super::members::Turns;
use super::remote::{Mailbox, Remote};
use super::retire::Outages;
use super::slot::{Owner, Slot};
use super::watch::Watch;
use crate::buffer::Pool;
use crate::config::{Config, Timeouts};
use crate::conn::{Conn, Profile};
use crate::error::{Error, Limit, Phase, Source};
use crate::event::{ConnectionId, Event};
use crate::kernel::{Kernel, Readiness};
use crate::names::{Names, Outcome};
use crate::time::Time;
use crate::upstream::{Failed, Service};
use crate::wheel::{TimerKey, Wheel};

/// Bytes of a new send queue.
const SEND_BYTES: usize = 4 << 10;

/// Whose deadline a timer keeps.
#[derive(Clone, Copy, Debug)]
pub(super) enum TimerOwner {
    Connection(u32),
    Service(u32),
    Listener(u32),
    /// Lines of the log that are held back: of an upstream, or of the loop itself.
    Lines(Option<u32>),
    Drain,
}

#[derive(Debug)]
pub(crate) struct Core<K: Kernel> {
    pub(crate) kernel: K,
    pub(crate) config: Config,
    pub(super) slots: Slab<Slot<K::Socket>>,
    /// The generation of each index's present or next connection.
    pub(super) generations: Vec<u32>,
    pub(super) listeners: Listeners<K::Listener>,
    pub(super) services: Vec<Service>,
    pub(super) service_timers: Vec<TimerKey>,
    /// Bytes written and received by the connections of each that have ended.
    pub(super) service_bytes: Vec<(u64, u64)>,
    /// Of each upstream's connections.
    pub(super) service_profiles: Vec<Arc<Profile>>,
    pub(super) profile: Arc<Profile>,
    pub(super) wheel: Wheel<TimerOwner>,
    pub(crate) events: VecDeque<Event>,
    pub(super) ready: Vec<u32>,
    pub(super) ready_spare: Vec<u32>,
    dirty: Vec<u32>,
    dirty_spare: Vec<u32>,
    pub(super) pulled: Vec<u32>,
    pub(super) readiness: Vec<Readiness>,
    /// The last wait failed: what it had found by then is still to be looked at, and it may have taken a wake.
    pub(super) wait_failed: bool,
    pub(super) send_pool: Pool,
    /// Where bytes of a line with a session are read to.
    pub(super) line: Vec<u8>,
    pub(super) now: Time,
    pub(super) requests_made: u64,
    pub(super) failed: Vec<Failed>,
    pub(super) names: Names,
    /// Whose lookup has ended, and how.
    pub(super) resolved: Vec<(u64, Outcome)>,
    pub(super) remote: Remote,
    /// The program waits in a call: it cannot pull.
    pub(super) in_call: bool,
    /// Connections being made, the program's own among them.
    pub(super) connecting: usize,
    pub(super) turns: Turns,
    pub(super) counts: Counts,
    /// What is written to the log of each upstream, and of the loop itself.
    pub(super) service_lines: Vec<Lines>,
    pub(super) lines: Lines,
    pub(super) watch: Watch,
    pub(super) outages: Outages,
    /// Once it is being drained, for good.
    pub(super) drain: Option<Box<Drain>>,
}

impl<K: Kernel> Core<K> {
    pub(super) fn new(kernel: K, config: Config) -> Core<K> {
        let now = kernel.now();
        let remote = Remote::new(config.limits.submissions_max);
        Core {
            wheel: Wheel::new(now.tick_floor()),
            profile: Arc::new(profile(&config, config.timeouts, config.half_close)),
            names: Names::new(config.lookups, config.timeouts.resolve),
            send_pool: Pool::new(SEND_BYTES, config.limits.pool_bytes_max),
            line: Vec::new(),
            kernel,
            config,
            slots: Slab::new(),
            generations: Vec::new(),
            listeners: Listeners::default(),
            services: Vec::new(),
            service_timers: Vec::new(),
            service_bytes: Vec::new(),
            service_profiles: Vec::new(),
            events: VecDeque::new(),
            ready: Vec::new(),
            ready_spare: Vec::new(),
            dirty: Vec::new(),
            dirty_spare: Vec::new(),
            pulled: Vec::new(),
            readiness: Vec::new(),
            wait_failed: false,
            now,
            requests_made: 0,
            failed: Vec::new(),
            resolved: Vec::new(),
            remote,
            in_call: false,
            connecting: 0,
            turns: Turns::default(),
            counts: Counts::default(),
            service_lines: Vec::new(),
            lines: Lines::default(),
            watch: Watch::default(),
            outages: Outages::default(),
            drain: None,
        }
    }

    // Slots.

    /// A new slot for a connection; refused when there are as many as there may be.
    pub(super) fn open(&mut self, owner: Owner, conn: impl FnOnce() -> Conn) -> Result<u32, Error> {
        if self.slots.len() >= self.config.limits.connections_max {
            return Err(Error::new(
                Phase::Connect,
                Source::Full {
                    limit: Limit::Connections,
                },
            ));
        }
        let entry = self.slots.vacant_entry();
        let index = entry.key() as u32;
        if index as usize == self.generations.len() {
            self.generations.push(0);
        }
        let id = ConnectionId {
            generation: self.generations[index as usize],
            index,
        };
        let timer = self.wheel.insert(TimerOwner::Connection(index));
        entry.insert(Slot::new(id, conn(), owner, timer, self.now));
        Ok(index)
    }

    /// Gives a slot's index up for reuse, under another generation.
    pub(super) fn reap(&mut self, index: u32) {
        let mut slot = self.slots.remove(index as usize);
        slot.conn.release(&mut self.send_pool);
        if let Some(secured) = slot.secured_mut() {
            secured.release(&mut self.send_pool);
        }
        self.wheel.remove(slot.timer);
        let generation = &mut self.generations[index as usize];
        *generation = generation.wrapping_add(1);
    }

    /// The slot of a connection that has not been reaped.
    pub(super) fn slot(&self, id: ConnectionId) -> Option<&Slot<K::Socket>> {
        self.slots
            .get(id.index as usize)
            .filter(|slot| slot.id == id)
    }

    /// An event of it was pulled.
    pub(super) fn pulled(&mut self, id: ConnectionId) {
        if let Some(slot) = self.slots.get_mut(id.index as usize) {
            debug_assert!(slot.id == id, "reaped with an event to pull");
            slot.unpulled -= 1;
            // Ready already, not only after the release: a loop around this one asks now how long it may sleep.
            if std::mem::take(&mut slot.is_stalled) {
                self.push_ready(id.index);
            }
            self.push_pulled(id.index);
        }
    }

    /// Where other threads put requests.
    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        self.remote.mailbox.clone()
    }

    // Lists.

    pub(super) fn push_ready(&mut self, index: u32) {
        push(
            &mut self.ready,
            index,
            &mut self.slots[index as usize].in_ready,
        );
    }

    pub(super) fn push_dirty(&mut self, index: u32) {
        push(
            &mut self.dirty,
            index,
            &mut self.slots[index as usize].in_dirty,
        );
    }

    pub(super) fn push_pulled(&mut self, index: u32) {
        push(
            &mut self.pulled,
            index,
            &mut self.slots[index as usize].in_pulled,
        );
    }

    /// Steals the flush list; give it back with [`Core::return_dirty`].
    pub(super) fn steal_dirty(&mut self) -> Vec<u32> {
        std::mem::replace(&mut self.dirty, std::mem::take(&mut self.dirty_spare))
    }

    pub(super) fn return_dirty(&mut self, list: Vec<u32>) {
        self.dirty_spare = list;
    }

    #[cfg(test)]
    pub(super) fn is_dirty(&self, index: u32) -> bool {
        self.dirty.contains(&index)
    }

    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Sticky readiness of each event; a stale generation is dropped.
    pub(super) fn mark(&mut self) {
        let mut readiness = std::mem::take(&mut self.readiness);
        for event in readiness.drain(..) {
            let (index, generation) = (event.token as u32, (event.token >> 32) as u32);
            if self.listeners.mark(event.token) {
                continue;
            }
            let Some(slot) = self.slots.get_mut(index as usize) else {
                continue;
            };
            if slot.id.generation != generation {
                continue;
            }
            slot.readable |= event.readable || event.read_closed;
            slot.writable |= event.writable;
            slot.read_closed |= event.read_closed;
            if let Some((service, member)) = slot.ending_member() {
                self.services[service as usize].handle_ending(member);
            }
            self.push_ready(index);
        }
        self.readiness = readiness;
    }

    /// How long a loop around this one may wait: not at all while there is anything to do or to pull.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        match self.events.is_empty() {
            true => self.next_work(),
            false => Some(Duration::ZERO),
        }
    }

    /// How long there is nothing to do.
    pub(super) fn next_work(&self) -> Option<Duration> {
        let has_more = !self.ready.is_empty() || !self.dirty.is_empty() || !self.outages.is_empty();
        if has_more || self.listeners.any_ready() || self.wait_failed || self.has_turn() {
            return Some(Duration::ZERO);
        }
        // What was pulled may give up the slot that somebody waits for.
        let may_free = !self.turns.is_empty() && !self.pulled.is_empty();
        if may_free || self.is_to_tell_drain() {
            return Some(Duration::ZERO);
        }
        let tick = self.wheel.next_tick()?;
        Some(Time::from_tick(tick).since(self.kernel.now()))
    }
}

fn push(list: &mut Vec<u32>, index: u32, is_in: &mut bool) {
    if !std::mem::replace(is_in, true) {
        list.push(index);
    }
}

/// The profile of connections with these timeouts.
pub(super) fn profile(config: &Config, timeouts: Timeouts, half_close: bool) -> Profile {
    Profile {
        timeouts,
        half_close,
        reads_pause_above_bytes: usize::MAX,
        send_queue_bytes_max: config.limits.send_queue_bytes_max,
        read_bytes_max: u64::MAX,
    }
}
