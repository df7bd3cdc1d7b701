//! What must hold between any two turns, for tests that look into the engine.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Engine;
use super::slot::Owner;
use crate::kernel::Kernel;

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

impl<K: Kernel> Engine<K> {
    /// Panics when an invariant of the loop is broken.
    pub(crate) fn check(&self) {
        let core = &self.core;
        for (index, slot) in &core.slots {
            let index = index as u32;
            assert_eq!(core.ready.contains(&index), slot.in_ready, "{}", slot.id);
            assert_eq!(core.pulled.contains(&index), slot.in_pulled, "{}", slot.id);
            assert_eq!(core.is_dirty(index), slot.in_dirty, "{}", slot.id);
            if slot.conn.is_closed() {
                // A flush that finds the peer gone leaves the end to the next pump.
                let is_carried_out = slot.in_ready || slot.socket.is_none();
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
            let mut deadline = slot.poll_timeout();
            if let Owner::Service { service, member } = slot.owner {
                deadline = deadline.min(core.services[service as usize].next_deadline(member));
            }
            if !deadline.is_never() && !slot.in_ready && !slot.is_stalled {
                let tick = core.wheel.deadline(slot.timer);
                let latest = deadline.tick_ceil().max(core.now.tick_floor() + 1);
                assert!(
                    tick.is_some_and(|tick| tick <= latest),
                    "{} files late",
                    slot.id
                );
            }
        }
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
        for service in &core.services {
            let could_serve = service.has_waiting() && service.choose().is_some();
            assert!(
                !could_serve,
                "a request waits although a connection can take it"
            );
        }
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
        let sockets = core.slots.iter().flat_map(|(_, slot)| {
            let attempts = slot.dial.iter().flat_map(|dial| dial.sockets());
            slot.socket.iter().chain(attempts).map(move |it| (slot, it))
        });
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
