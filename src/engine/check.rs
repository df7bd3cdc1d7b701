//! What must hold between any two turns, for tests that look into the engine.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Engine;
use super::secure::LINE_BYTES;
use super::slot::{Owner, Slot};
use crate::buffer::ReceiveBuffer;
use crate::event::Event;
use crate::kernel::Kernel;
use crate::session::Secured;
use crate::time::Time;

/// A connection that has a socket.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) local: Option<SocketAddr>,
    /// It does not stand, or no longer.
    pub(crate) is_reset: bool,
    pub(crate) peer_has_shut: bool,
    /// Our FIN is out.
    pub(crate) has_shut: bool,
    /// Bytes handed to the kernel, and received by it, the peer's FIN counted as one.
    pub(crate) written: u64,
    pub(crate) received: u64,
}

/// A header of 10 digits and what ends it, before and behind the longest payload.
const AROUND_BYTES_MAX: usize = 32;

/// A connection, what it takes its peer for, and which edges it waits for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) token: u64,
    /// Its peer has shut its half, as far as it was told.
    pub(crate) is_read_closed: bool,
    pub(crate) to_read: bool,
    pub(crate) to_write: bool,
}

impl<S> Slot<S> {
    /// Its own, or those of the attempts at it.
    fn sockets(&self) -> impl Iterator<Item = &S> {
        let attempts = self.dial.iter().flat_map(|dial| dial.sockets());
        self.socket.iter().chain(attempts)
    }
}

impl<K: Kernel> Engine<K> {
    /// Panics when an invariant of the loop is broken.
    pub(crate) fn check(&self) {
        let core = &self.core;
        for (index, slot) in &core.slots {
            let index = index as u32;
            // The list may still name who had the slot before.
            let is_listed = core.ready.contains(&index);
            assert!(is_listed || !slot.in_ready, "{} is not listed", slot.id);
            assert_eq!(core.pulled.contains(&index), slot.in_pulled, "{}", slot.id);
            assert_eq!(core.is_dirty(index), slot.in_dirty, "{}", slot.id);
            if slot.conn.is_closed() {
                // A flush that finds the peer gone leaves the end to the next pump.
                let is_carried_out = slot.in_ready || slot.sockets().next().is_none();
                assert!(is_carried_out, "{} keeps its socket", slot.id);
                let is_reaped = slot.in_ready || slot.in_pulled || slot.unpulled > 0;
                assert!(is_reaped, "{} is never reaped", slot.id);
                continue;
            }
            if slot.wants_read() {
                let is_pulled_from = slot.unpulled > 0 || slot.in_pulled;
                let comes_up = slot.in_ready || slot.is_stalled && is_pulled_from;
                assert!(comes_up, "{} is not read any more", slot.id);
            }
            let deadline = core.deadline_of(slot);
            let tick = core.wheel.deadline(slot.timer);
            if deadline.is_never() && !slot.in_ready {
                assert_eq!(tick, None, "{} has a timer for nothing", slot.id);
            }
            if !deadline.is_never() && !slot.in_ready && !slot.is_stalled {
                let latest = deadline.tick_ceil().max(core.now.tick_floor() + 1);
                assert!(
                    tick.is_some_and(|tick| tick <= latest),
                    "{} files late",
                    slot.id
                );
            }
        }
        assert!(core.outages.is_empty(), "heeded in the turn that found it");
        self.check_names();
        self.check_services();
        self.check_events();
        self.check_bounds();
        self.check_counts();
    }

    /// How often the members of an upstream were looked through for those that rest.
    pub(crate) fn outage_walks(&self) -> u64 {
        self.core.outages.walks
    }

    /// What was asked has been answered, has failed, or is under way.
    fn check_counts(&self) {
        let stats = self.stats();
        let under_way = self.core.services.iter().map(|service| service.under_way());
        let ended = stats.replies + stats.failures.total();
        let under_way = under_way.sum::<usize>() as u64;
        assert_eq!(stats.requests, ended + under_way, "requests: {stats:?}");
        assert!(stats.in_flight.now <= stats.in_flight.max, "{stats:?}");
        assert!(
            stats.pooled_bytes.now <= stats.pooled_bytes.max,
            "{stats:?}"
        );
    }

    /// Who waits for a name is who resolves one.
    fn check_names(&self) {
        let core = &self.core;
        let waiting = core.names.check().map(|(waiter, _)| waiter);
        let resolving = core.slots.iter().filter(|(_, slot)| {
            // One whose lookup has failed is ended by the next pump.
            slot.conn.is_resolving() && slot.name.is_some()
        });
        let resolving = resolving.map(|(_, slot)| slot.id.token());
        assert_eq!(
            waiting.collect::<BTreeSet<_>>(),
            resolving.collect::<BTreeSet<_>>(),
            "who waits for a name"
        );
    }

    /// Who waits has a reason to, and every figure of a service is what it counts.
    fn check_services(&self) {
        let core = &self.core;
        let slots = core.slots.iter().map(|(_, slot)| slot);
        for (number, service) in core.services.iter().enumerate() {
            service.check();
            self.check_connects(number as u32);
            let is_let_go = |slot: &&Slot<K::Socket>| {
                let is_its =
                    matches!(slot.owner, Owner::Parted { service } if service == number as u32);
                is_its && !slot.conn.is_closed()
            };
            let lingering = slots.clone().filter(is_let_go).count();
            assert_eq!(service.stats().lingering, lingering, "connections let go");
            let Some((_, index)) = service.choose() else {
                continue;
            };
            let slot = &core.slots[index as usize];
            assert!(!slot.is_ending(), "{} ends, and takes requests", slot.id);
            if !service.has_waiting() {
                continue;
            }
            // Its queue was too full, and it is served when that has drained to half.
            let is_to_drain = slot.conn.is_to_tell_writable() && slot.conn.queued() > 0;
            assert!(
                is_to_drain,
                "a request waits although a connection can take it"
            );
        }
        let owners = core.slots.len() + core.services.len() + core.listeners.len();
        let lines = core.service_lines.iter().chain([&core.lines]);
        let owners = owners + lines.filter(|it| it.is_filed()).count();
        let owners = owners + usize::from(core.drain.is_some());
        assert_eq!(core.wheel.len(), owners, "entries in the wheel");
    }

    /// What is due is begun, waits for its turn, or has a timer.
    fn check_connects(&self, service: u32) {
        let core = &self.core;
        let deadline = core.services[service as usize].poll_timeout();
        let tick = core.wheel.deadline(core.service_timers[service as usize]);
        let latest = deadline.tick_ceil().max(core.now.tick_floor() + 1);
        assert!(
            deadline.is_never() || core.turns.has(service) || tick.is_some_and(|it| it <= latest),
            "upstream {service} files late"
        );
    }

    /// Each event that waits is counted with its connection, and the bytes of its frame are there.
    fn check_events(&self) {
        let core = &self.core;
        let mut unpulled = vec![(0, 0); core.generations.len()];
        let mut frames = 0;
        for event in &core.events {
            let Some(connection) = event.connection() else {
                continue;
            };
            let counts = &mut unpulled[connection.index as usize];
            counts.0 += 1;
            if let Event::Frame { frame, .. }
            | Event::Reply { frame, .. }
            | Event::Push { frame, .. } = event
            {
                counts.1 += 1;
                frames += 1;
                assert!(self.bytes(frame).is_some(), "{frame:?} is not held");
            }
        }
        assert!(
            frames <= core.config.limits.events_max,
            "{frames} frames wait"
        );
        for (index, slot) in &core.slots {
            let (events, frames) = unpulled[index];
            assert_eq!(slot.unpulled, events, "{}: events to pull", slot.id);
            let pinned = self
                .inbox
                .looked_at(index as u32)
                .map_or(0, ReceiveBuffer::unpulled);
            assert_eq!(pinned, frames, "{}: frames to pull", slot.id);
        }
    }

    /// Nothing holds more than it may.
    fn check_bounds(&self) {
        let limits = &self.core.config.limits;
        assert!(
            self.core.slots.len() <= limits.connections_max,
            "too many slots"
        );
        let slots = self.core.slots.iter().map(|(_, slot)| slot);
        let connecting = slots.clone().filter(|slot| slot.is_connecting);
        assert_eq!(connecting.clone().count(), self.core.connecting);
        let managed = connecting.filter(|slot| slot.owner != Owner::Program);
        let managed = managed.count();
        assert!(managed <= limits.connecting_max, "{managed} are being made");
        // What is read in a turn, in reads that begin below the bound.
        let turn = limits.turn_bytes_max.max(limits.read_bytes) + limits.read_bytes;
        let frame = limits.frame_bytes_max + AROUND_BYTES_MAX;
        let held_max = limits.unpulled_bytes_max.max(frame) + turn;
        for (index, slot) in &self.core.slots {
            let held = self
                .inbox
                .looked_at(index as u32)
                .map_or(0, ReceiveBuffer::held);
            // What a look has brought in, or a read.
            let line = slot.secured().map_or(0, |_| LINE_BYTES);
            let held_max = held_max + line;
            assert!(held <= held_max, "{} holds {held} of {held_max}", slot.id);
            let looked = slot.secured().map_or(0, Secured::held_bytes);
            assert!(looked <= line, "{}: a look holds {looked}", slot.id);
            let queued = slot.conn.queued();
            let queued_max = slot.conn.queued_max();
            assert!(queued <= queued_max, "{}: {queued} queued", slot.id);
        }
    }

    /// Connections that wait for the kernel to say something; none while what it said is still to be looked at.
    pub(crate) fn waiting_for_edges(&self) -> impl Iterator<Item = Waiting> {
        let slots = self.core.slots.iter().map(|(_, slot)| slot);
        let slots = slots.filter(|_| !self.core.wait_failed);
        let with_sockets = slots.filter(|slot| slot.sockets().next().is_some());
        with_sockets.map(|slot| {
            let is_gone = slot.read_closed && !slot.conn.sends_to_half_closed();
            let reads = slot.conn.wants_read() || is_gone && slot.conn.wants_end();
            let is_being_made = slot.conn.is_connecting() && !slot.conn.is_handshaking();
            Waiting {
                token: slot.id.token(),
                is_read_closed: slot.read_closed,
                to_read: !slot.in_ready && !slot.readable && reads,
                to_write: !slot.in_ready && !slot.writable && (slot.wants_write() || is_being_made),
            }
        })
    }

    /// The upstream of the connection of this token; `None` within for one of the program's own.
    pub(crate) fn upstream_of(&self, token: u64) -> Option<Option<usize>> {
        let slot = self.core.slots.get(token as u32 as usize)?;
        (slot.id.token() == token).then_some(match slot.owner {
            Owner::Service { service, .. } | Owner::Parted { service } => Some(service as usize),
            Owner::Program => None,
        })
    }

    /// Connections of upstreams: their tokens, whose they are, and the target that each leads to.
    pub(crate) fn aims(&self) -> impl Iterator<Item = (u64, usize, usize)> {
        let slots = self.core.slots.iter().map(|(_, slot)| slot);
        slots.filter_map(|slot| match slot.owner {
            Owner::Service { service, member } => {
                let it = &self.core.services[service as usize];
                Some((slot.id.token(), service as usize, it.target_of(member)))
            }
            Owner::Program | Owner::Parted { .. } => None,
        })
    }

    /// Targets of upstreams that are left alone, and until when.
    pub(crate) fn left_alone(&self) -> impl Iterator<Item = (usize, usize, Time)> {
        let services = self.core.services.iter().enumerate();
        services.flat_map(|(number, it)| {
            let targets = it.left_alone();
            targets.map(move |(target, until)| (number, target, until))
        })
    }

    /// Sockets of connections, and of attempts at them.
    pub(crate) fn sockets(&self) -> usize {
        let slots = self.core.slots.iter().map(|(_, slot)| slot);
        slots.flat_map(|slot| slot.sockets()).count()
    }

    /// The generation of each slot.
    pub(crate) fn generations(&self) -> &[u32] {
        &self.core.generations
    }

    /// Storage that connections have borrowed, for what comes in and goes out.
    pub(crate) fn borrowed_bytes(&self) -> usize {
        let slots = self.core.slots.iter();
        let of = |index: usize| self.inbox.looked_at(index as u32);
        let buffers = slots.clone().filter_map(|(index, _)| of(index));
        let received: usize = buffers.map(ReceiveBuffer::capacity).sum();
        let sealed = slots.clone().filter_map(|(_, slot)| slot.secured());
        let sealed: usize = sealed.map(Secured::storage_bytes).sum();
        let queues = slots.map(|(_, slot)| slot.conn.queue_capacity());
        received + sealed + queues.sum::<usize>()
    }

    /// The lookups that connections wait for.
    pub(crate) fn lookups_awaited(&self) -> BTreeSet<u64> {
        self.core.names.check().map(|(_, job)| job).collect()
    }

    /// Received bytes in buffers, and bytes queued for sending.
    pub(crate) fn held_bytes(&self) -> (usize, usize) {
        let queued = self.core.slots.iter().map(|(_, slot)| slot.conn.queued());
        (self.inbox.held_bytes(), queued.sum())
    }

    /// What the kernel and the loop know of each connection that has a socket, and of each attempt at one.
    pub(crate) fn standing(&mut self) -> Vec<Standing> {
        let core = &mut self.core;
        let mut standing = Vec::new();
        let slots = core.slots.iter().map(|(_, slot)| slot);
        let sockets = slots.flat_map(|slot| slot.sockets().map(move |socket| (slot, socket)));
        for (slot, socket) in sockets {
            let is_draining = !slot.conn.can_send() && !slot.conn.is_closed();
            let has_left = slot.conn.queued() == 0 && !slot.conn.is_broken();
            let info = core.kernel.info(socket).unwrap_or_default();
            standing.push(Standing {
                local: core.kernel.local_addr(socket).ok(),
                is_reset: core.kernel.peer_addr(socket).is_err(),
                peer_has_shut: core.kernel.peer_has_shut(socket),
                has_shut: is_draining && has_left && !slot.conn.poll_shutdown(),
                written: slot.conn.written_bytes(),
                received: info.bytes_received,
            });
        }
        standing
    }
}
