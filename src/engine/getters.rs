//! What the loop says of itself to the program: figures and lists, which change nothing.

use std::net::SocketAddr;

use super::core::Core;
use super::slot::{Owner, Slot};
use crate::error::{Error, Phase, Source};
use crate::event::{ConnectionId, UpstreamId};
use crate::kernel::{Kernel, Peeked, TcpInfo};
use crate::stats::TargetStats;
use crate::upstream::{Service, UpstreamStats};

impl<K: Kernel> Core<K> {
    pub(crate) fn upstream_stats(&self, upstream: UpstreamId) -> Option<UpstreamStats> {
        self.services.get(upstream.0 as usize).map(Service::stats)
    }

    /// How each target of an upstream stands; none, of one that there is not.
    pub(crate) fn targets_of(&self, upstream: UpstreamId) -> impl Iterator<Item = TargetStats<'_>> {
        let (now, it) = (self.kernel.now(), self.services.get(upstream.0 as usize));
        let targets = it.into_iter().flat_map(move |it| it.targets(now));
        targets.map(|it| TargetStats {
            target: it.target,
            open: it.open,
            connecting: it.connecting,
            in_flight: it.in_flight,
            ejected_until: it.ejected_until.map(|until| self.kernel.instant(until)),
        })
    }

    /// Bytes queued on a connection.
    pub(crate) fn queued(&self, id: ConnectionId) -> Option<usize> {
        self.slot(id).map(|slot| slot.conn.queued())
    }

    /// Bytes handed to the kernel and bytes received in a connection's life.
    pub(crate) fn transferred(&self, id: ConnectionId) -> Option<(u64, u64)> {
        self.slot(id)
            .map(|slot| (slot.conn.written_bytes(), slot.conn.received_bytes()))
    }

    /// The same of all connections an upstream has had.
    pub(crate) fn transferred_of(&self, upstream: UpstreamId) -> Option<(u64, u64)> {
        let ended = *self.service_bytes.get(upstream.0 as usize)?;
        let of = |slot: &Slot<K::Socket>| match slot.owner {
            Owner::Service { service, .. } | Owner::Parted { service } => {
                service == upstream.0 && !slot.conn.is_closed()
            }
            Owner::Program => false,
        };
        let slots = self.slots.iter().map(|(_, slot)| slot);
        Some(slots.filter(|slot| of(slot)).fold(ended, |bytes, slot| {
            let (written, received) = (slot.conn.written_bytes(), slot.conn.received_bytes());
            (bytes.0 + written, bytes.1 + received)
        }))
    }

    /// Of the bytes written on a connection, those that left with all that the peer needs to read them.
    pub(crate) fn left(&self, id: ConnectionId) -> Option<u64> {
        self.slot(id).map(Slot::left_bytes)
    }

    /// Of those, what the peer's TCP has acknowledged, where that is known. It costs a system call.
    pub(crate) fn acked(&self, id: ConnectionId) -> Option<u64> {
        let slot = self.slot(id)?;
        let info = self.kernel.info(slot.socket.as_ref()?).ok()?;
        slot.acked(&info)
    }

    pub(crate) fn info(&self, id: ConnectionId) -> Result<TcpInfo, Error> {
        let socket = self.slot(id).and_then(|slot| slot.socket.as_ref());
        let socket = socket.ok_or(Error::new(Phase::Idle, Source::NotOpen))?;
        self.kernel
            .info(socket)
            .map_err(|error| Error::os(Phase::Idle, &error))
    }

    /// The connections of an upstream that stand.
    pub(crate) fn connections_of(
        &self,
        upstream: UpstreamId,
    ) -> impl Iterator<Item = ConnectionId> {
        let of = move |slot: &Slot<K::Socket>| match slot.owner {
            Owner::Service { service, .. } => {
                service == upstream.0 && slot.conn.can_send() && !slot.conn.is_connecting()
            }
            Owner::Program | Owner::Parted { .. } => false,
        };
        self.slots
            .iter()
            .filter(move |(_, slot)| of(slot))
            .map(|(_, slot)| slot.id)
    }

    pub(crate) fn peer_addr(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.slot(id)?.peer
    }

    /// Raw connections that have not ended.
    pub(crate) fn open_connections(&self) -> Vec<ConnectionId> {
        let slots = self.slots.iter().map(|(_, slot)| slot);
        slots
            .filter(|slot| !slot.conn.is_closed())
            .map(|slot| slot.id)
            .collect()
    }

    /// Raw connections on which nothing is under way. A look at the line tells what the loop was not told yet.
    pub(crate) fn quiet_connections(&mut self) -> Vec<ConnectionId> {
        let mut quiet = Vec::new();
        for (_, slot) in &mut self.slots {
            let seems = slot.conn.is_quiet() && !slot.readable && !slot.in_ready;
            let Some(socket) = slot.socket.as_ref().filter(|_| seems) else {
                continue;
            };
            match self.kernel.peek(socket) {
                Peeked::Nothing | Peeked::Fin => quiet.push(slot.id),
                Peeked::Data => {}
                // Told once: it is kept for the edge that comes.
                Peeked::Failed(error) => slot.conn.handle_error(Source::of(&error)),
            }
        }
        quiet
    }

    pub(crate) fn connections(&self) -> usize {
        self.slots.len()
    }
}
