//! What a program may ask of the loop. Nothing here touches received bytes, so all of it is possible while they are
//! borrowed, and nothing here performs I/O: bytes leave in the next flush.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, TimerOwner, profile};
use super::slot::{Owner, Slot};
use crate::config::Timeouts;
use crate::conn::Conn;
use crate::error::{Error, Limit, Phase, Source};
use crate::event::{ConnectionId, RequestId, UpstreamId};
use crate::frame::Framing;
use crate::kernel::{Kernel, Peeked, TcpInfo};
use crate::time::Time;
use crate::upstream::{InFlight, Service, Upstream, UpstreamStats, split_target};

/// What a request asks for, beside its bytes.
#[derive(Clone, Copy)]
struct Asked {
    request: RequestId,
    tag: u64,
    deadline: Time,
}

impl<K: Kernel> Core<K> {
    // Raw connections.

    /// Starts to connect to `host:port`.
    pub(crate) fn connect(
        &mut self,
        target: &str,
        framing: &Framing,
    ) -> Result<ConnectionId, Error> {
        split_target(target)?;
        self.check(framing)?;
        self.now = self.kernel.now();
        let (now, profile) = (self.now, self.profile.clone());
        let decoder = framing.decoder(self.config.limits.frame_bytes_max);
        let index = self.open(Owner::Program, || Conn::resolving(now, profile, decoder))?;
        self.look_up(index, target);
        Ok(self.slots[index as usize].id)
    }

    /// Queues bytes on an open or connecting connection, all or none.
    pub(crate) fn send(&mut self, id: ConnectionId, payload: &[u8]) -> Result<(), Error> {
        self.check_size(payload)?;
        let now = self.now;
        let slot = self
            .slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.id == id && slot.conn.can_send());
        let slot = slot.ok_or(Error::new(Phase::Write, Source::NotOpen))?;
        let was_empty = slot.conn.queued() == 0;
        // A stall is counted from when the queue was last empty: that needs the time, later payloads do not.
        let now = if was_empty { self.kernel.now() } else { now };
        if slot.conn.send(now, payload, &mut self.send_pool).is_none() {
            slot.conn.refused();
            return Err(Error::full(Limit::SendQueueBytes));
        }
        if was_empty {
            self.now = now;
            self.settle(id.index);
        }
        Ok(())
    }

    /// What can never be queued is no matter of waiting for room.
    fn check_size(&self, payload: &[u8]) -> Result<(), Error> {
        let why = "more bytes than limits.send_queue_bytes_max can never be queued; raise it, or send them in parts";
        match payload.len() > self.config.limits.send_queue_bytes_max {
            true => Err(Error::new(Phase::Write, Source::Invalid(why))),
            false => Ok(()),
        }
    }

    /// Sends what is queued, ends our half, waits for the peer's end; then `Closed` is told.
    pub(crate) fn close(&mut self, id: ConnectionId) -> Result<(), Error> {
        self.command(id, |conn| conn.close())
    }

    /// Ends at once: the peer gets a reset, `Closed` is told.
    pub(crate) fn abort(&mut self, id: ConnectionId) -> Result<(), Error> {
        self.command(id, |conn| conn.abort(Source::Closed))
    }

    /// Asks for one `Writable` when at most half of the queue's bound is queued.
    pub(crate) fn notify_writable(&mut self, id: ConnectionId) -> Result<(), Error> {
        self.command(id, |conn| conn.notify_writable())
    }

    fn command(&mut self, id: ConnectionId, act: impl FnOnce(&mut Conn)) -> Result<(), Error> {
        let slot = self
            .slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.id == id && !slot.conn.is_closed());
        let slot = slot.ok_or(Error::new(Phase::Drain, Source::NotOpen))?;
        act(&mut slot.conn);
        self.now = self.kernel.now();
        self.settle(id.index);
        Ok(())
    }

    fn check(&self, framing: &Framing) -> Result<(), Error> {
        match framing.flaw(self.config.limits.frame_bytes_max) {
            Some(flaw) => Err(Error::new(Phase::Connect, Source::Invalid(flaw))),
            None => Ok(()),
        }
    }

    // Upstreams.

    /// Adds a managed service and starts to connect its members.
    pub(crate) fn add(&mut self, upstream: Upstream) -> Result<UpstreamId, Error> {
        upstream.validate()?;
        self.check(&upstream.framing)?;
        let free = self.config.limits.connections_max
            - self.slots.len().min(self.config.limits.connections_max);
        if upstream.connections.first > free {
            return Err(Error::new(
                Phase::Connect,
                Source::Full {
                    limit: Limit::Connections,
                },
            ));
        }
        let service = self.services.len() as u32;
        let timeouts = upstream.timeouts.unwrap_or(self.config.timeouts);
        let warm = Timeouts {
            idle: Duration::MAX,
            ..timeouts
        };
        let profiles = [timeouts, warm].map(|it| Arc::new(profile(&self.config, it, false)));
        self.service_profiles.push(profiles);
        self.services.push(Service::new(
            upstream,
            timeouts,
            &self.config.limits,
            self.config.reconnect,
        ));
        self.service_timers
            .push(self.wheel.insert(TimerOwner::Service(service)));
        self.service_bytes.push((0, 0));
        self.now = self.kernel.now();
        self.connect_members(service);
        Ok(UpstreamId(service))
    }

    /// Makes a request: on the open connection with the fewest in flight, or it waits for one.
    pub(crate) fn request(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        tag: u64,
        deadline: impl FnOnce(Time, &Service, &K) -> Time,
    ) -> Result<RequestId, Error> {
        if payload.is_empty() {
            let why = "a request of 0 bytes; no reply could be told to answer it";
            return Err(Error::new(Phase::Write, Source::Invalid(why)));
        }
        self.check_size(payload)?;
        let now = self.kernel.now();
        self.now = now;
        let it = self
            .services
            .get_mut(upstream.0 as usize)
            .ok_or_else(|| Error::new(Phase::Write, Source::NotOpen))?;
        it.admit(tag)?;
        let request = RequestId(self.requests_made + 1);
        let asked = Asked {
            request,
            tag,
            deadline: deadline(now, it, &self.kernel),
        };
        if asked.deadline <= now {
            return Err(Error::new(Phase::Write, Source::Deadline));
        }
        let chosen = if it.has_waiting() { None } else { it.choose() };
        match chosen {
            Some((member, index)) => {
                let slot = &mut self.slots[index as usize];
                // Behind others that wait for the same flush it changes nothing but the nearest deadline.
                let changes = !slot.in_dirty || asked.deadline < it.next_deadline(member);
                let range = slot.conn.send(now, payload, &mut self.send_pool);
                let range = range.ok_or_else(|| Error::full(Limit::SendQueueBytes))?;
                entrust(slot, it, member, now, asked, range);
                if changes {
                    self.settle(index);
                }
            }
            None => {
                let waits = it.wait(now, request, tag, asked.deadline, payload);
                self.connect_members(upstream.0);
                waits?;
            }
        }
        self.requests_made += 1;
        Ok(request)
    }

    /// Puts waiting requests on connections that can take them.
    pub(super) fn serve_waiting(&mut self, service: u32) {
        let now = self.now;
        loop {
            let it = &mut self.services[service as usize];
            let Some((member, index)) = it.choose() else {
                break;
            };
            let Some((waiter, payload)) = it.waiter() else {
                break;
            };
            let slot = &mut self.slots[index as usize];
            let Some(range) = slot.conn.send(now, payload, &mut self.send_pool) else {
                // Their turn comes when its queue has drained.
                slot.conn.refused();
                break;
            };
            let asked = Asked {
                request: waiter.request,
                tag: waiter.tag,
                deadline: waiter.deadline,
            };
            it.waiter_served();
            entrust(slot, it, member, now, asked, range);
            self.settle(index);
        }
        self.file_service(service);
    }

    /// Starts the connections an upstream wants now.
    pub(super) fn connect_members(&mut self, service: u32) {
        while let Some(member) = self.services[service as usize].poll_connect(self.now) {
            let it = &mut self.services[service as usize];
            let (now, profile) = (
                self.now,
                self.service_profiles[service as usize][usize::from(it.is_warm(member))].clone(),
            );
            let decoder = it
                .options
                .framing
                .decoder(self.config.limits.frame_bytes_max);
            let target = it.options.target.clone();
            let owner = Owner::Service { service, member };
            let Ok(index) = self.open(owner, || Conn::resolving(now, profile, decoder)) else {
                self.lacks_slots = true;
                break;
            };
            self.services[service as usize].handle_connecting(member, index);
            self.look_up(index, &target);
        }
        self.file_service(service);
    }

    /// Starts the connections for which there was no slot, now that there is.
    pub(super) fn use_freed_slots(&mut self) {
        if self.lacks_slots && self.slots.len() < self.config.limits.connections_max {
            self.lacks_slots = false;
            self.now = self.kernel.now();
            for service in 0..self.services.len() {
                self.connect_members(service as u32);
            }
        }
    }

    // Getters.

    pub(crate) fn upstream_stats(&self, upstream: UpstreamId) -> Option<UpstreamStats> {
        self.services.get(upstream.0 as usize).map(Service::stats)
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
            Owner::Service { service, .. } => service == upstream.0 && !slot.conn.is_closed(),
            Owner::Program => false,
        };
        let slots = self.slots.iter().map(|(_, slot)| slot);
        Some(slots.filter(|slot| of(slot)).fold(ended, |bytes, slot| {
            let (written, received) = (slot.conn.written_bytes(), slot.conn.received_bytes());
            (bytes.0 + written, bytes.1 + received)
        }))
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
            Owner::Program => false,
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

/// A request's bytes are queued at `range` of a member's connection: its reply is awaited there from now on.
fn entrust<S>(
    slot: &mut Slot<S>,
    service: &mut Service,
    member: u32,
    now: Time,
    asked: Asked,
    range: Range<u64>,
) {
    slot.conn.await_reply(now);
    let Asked {
        request,
        tag,
        deadline,
    } = asked;
    service.assign(
        member,
        InFlight {
            request,
            tag,
            deadline,
            range,
            is_tombstone: false,
        },
    );
}
