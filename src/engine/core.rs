//! All of the loop but the received bytes: slots, lists, timers, events, upstreams.
//!
//! `settle` is the one place that acts for a connection: whatever happened to it, afterwards its events are told, its
//! bytes are on the way to the flush list, its end is carried out and its timer is filed. Lists hold indices, and a
//! slot is on each at most once; slots are only reaped at the start of a turn, so an index stays good within it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::listen::Listeners;
use super::remote::{Mailbox, Remote};
use super::slot::{Owner, Slot};
use super::tick_of;
use crate::buffer::Pool;
use crate::config::{Config, Timeouts};
use crate::conn::{Conn, ConnEvent, Profile};
use crate::error::{Error, Limit, Phase, Source};
use crate::event::{ConnectionId, Event};
use crate::kernel::{Kernel, Readiness};
use crate::time::Time;
use crate::upstream::{Failed, Progress, Service};
use crate::wheel::{TimerKey, Wheel};

/// Bytes of a new send queue.
const SEND_BYTES: usize = 4 << 10;

/// Whose deadline a timer keeps.
#[derive(Clone, Copy, Debug)]
pub(super) enum TimerOwner {
    Connection(u32),
    Service(u32),
    Listener(u32),
}

#[derive(Debug)]
pub(crate) struct Core<K: Kernel> {
    pub(crate) kernel: K,
    pub(crate) config: Config,
    pub(super) slots: Slab<Slot<K::Socket>>,
    /// The generation of each index's present or next connection.
    generations: Vec<u32>,
    pub(super) listeners: Listeners<K::Listener>,
    pub(super) services: Vec<Service>,
    pub(super) service_timers: Vec<TimerKey>,
    /// Bytes written and received by the connections of each that have ended.
    pub(super) service_bytes: Vec<(u64, u64)>,
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
    pub(super) send_pool: Pool,
    pub(super) now: Time,
    pub(super) requests_made: u64,
    failed: Vec<Failed>,
    pub(super) remote: Remote,
}

impl<K: Kernel> Core<K> {
    pub(super) fn new(kernel: K, config: Config) -> Core<K> {
        let now = kernel.now();
        let remote = Remote::new(config.limits.submissions_max);
        Core {
            wheel: Wheel::new(now.tick_floor()),
            profile: Arc::new(profile(&config, config.timeouts, config.half_close)),
            send_pool: Pool::new(SEND_BYTES, config.limits.pool_bytes_max),
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
            now,
            requests_made: 0,
            failed: Vec::new(),
            remote,
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
        entry.insert(Slot::new(id, conn(), owner, timer));
        Ok(index)
    }

    /// Gives a slot's index up for reuse, under another generation.
    pub(super) fn reap(&mut self, index: u32) {
        let mut slot = self.slots.remove(index as usize);
        slot.conn.release(&mut self.send_pool);
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
        if !self.ready.is_empty() || !self.dirty.is_empty() || self.listeners.any_ready() {
            return Some(Duration::ZERO);
        }
        let tick = self.wheel.next_tick()?;
        Some(Time::from_tick(tick).since(self.kernel.now()))
    }

    // Acting for a connection.

    /// Does what a connection wants after something happened to it.
    pub(super) fn settle(&mut self, index: u32) {
        loop {
            let slot = &mut self.slots[index as usize];
            let connection = slot.id;
            match slot.conn.poll_event() {
                Some(ConnEvent::Writable) => match slot.owner {
                    Owner::Program => self.tell(index, Event::Writable { connection }),
                    Owner::Service { service, .. } => self.serve_waiting(service),
                },
                Some(ConnEvent::HalfClosed) => self.tell(index, Event::HalfClosed { connection }),
                Some(ConnEvent::Closed(error)) => return self.finish(index, error),
                None => break,
            }
        }
        let slot = &self.slots[index as usize];
        if slot.conn.is_closed() {
            return;
        }
        if slot.writable && (!slot.conn.poll_transmit().is_empty() || slot.conn.poll_shutdown()) {
            self.push_dirty(index);
        }
        let slot = &self.slots[index as usize];
        if slot.readable && !slot.is_stalled && slot.conn.wants_read() {
            self.push_ready(index);
        }
        self.file(index);
    }

    /// Files the nearest deadline of a connection and its requests.
    pub(super) fn file(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let mut deadline = slot.conn.poll_timeout();
        if let Owner::Service { service, member } = slot.owner {
            deadline = deadline.min(self.services[service as usize].next_deadline(member));
        }
        match deadline.is_never() {
            true => self.wheel.clear(slot.timer),
            false => self.wheel.schedule(slot.timer, tick_of(deadline, self.now)),
        }
    }

    /// Files an upstream's nearest deadline.
    pub(super) fn file_service(&mut self, service: u32) {
        let (timer, deadline) = (
            self.service_timers[service as usize],
            self.services[service as usize].poll_timeout(),
        );
        match deadline.is_never() {
            true => self.wheel.clear(timer),
            false => self.wheel.schedule(timer, tick_of(deadline, self.now)),
        }
    }

    /// Queues an event of a connection; raw ones only reach the program that owns it.
    pub(super) fn tell(&mut self, index: u32, event: Event) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(
            slot.owner == Owner::Program,
            "an upstream's connection speaks through its requests"
        );
        slot.unpulled += 1;
        self.events.push_back(event);
    }

    /// Carries out the end of a connection: the socket goes, its owner is told once.
    fn finish(&mut self, index: u32, error: Option<Error>) {
        let slot = &mut self.slots[index as usize];
        let written = slot.conn.written_bytes();
        log::debug!("{} closed after {written} bytes out: {error:?}", slot.id);
        if let Some(socket) = slot.socket.take() {
            self.kernel
                .close(socket, error.is_some_and(|error| resets(&error)));
        }
        self.wheel.clear(slot.timer);
        let connection = slot.id;
        match slot.owner {
            Owner::Program => self.tell(
                index,
                Event::Closed {
                    connection,
                    error,
                    written,
                },
            ),
            Owner::Service { service, member } => {
                let progress = self.progress(index);
                let received = self.slots[index as usize].conn.received_bytes();
                let bytes = &mut self.service_bytes[service as usize];
                *bytes = (bytes.0 + written, bytes.1 + received);
                let error = error.unwrap_or(Error::new(Phase::Drain, Source::Closed));
                let (now, random) = (self.now, self.kernel.random());
                let mut failed = std::mem::take(&mut self.failed);
                self.services[service as usize].handle_closed(
                    now,
                    member,
                    random,
                    progress,
                    error,
                    &mut failed,
                );
                self.tell_failed(failed);
                self.connect_members(service);
                self.push_pulled(index);
            }
        }
    }

    /// Tells the failures of requests; keeps the list for the next time.
    pub(super) fn tell_failed(&mut self, mut failed: Vec<Failed>) {
        for (request, tag, error) in failed.drain(..) {
            self.tell_failure(request, tag, error);
        }
        self.failed = failed;
    }

    /// An empty list for failures.
    pub(super) fn take_failed(&mut self) -> Vec<Failed> {
        std::mem::take(&mut self.failed)
    }

    /// How far the stream of a connection has come.
    pub(super) fn progress(&self, index: u32) -> Progress {
        let conn = &self.slots[index as usize].conn;
        Progress {
            written: conn.written_bytes(),
            reply_begun: conn.partial() > 0,
        }
    }
}

/// Whether the peer should get a RST: it was given up, not agreed with. Ending what is idle gives nothing up.
fn resets(error: &Error) -> bool {
    match error.source {
        Source::Timeout(_) => error.phase != Phase::Idle,
        Source::Deadline | Source::Closed => true,
        _ => false,
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
