//! What a program may ask of the loop for its raw connections. Nothing here touches received bytes, so all of it is
//! possible while they are borrowed, and nothing here performs I/O: bytes leave in the next flush.

use std::sync::Arc;

use super::core::Core;
use super::secure::Secure;
use super::slot::Owner;
use crate::conn::Conn;
use crate::error::{Error, Limit, Phase, Source};
use crate::event::ConnectionId;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::session::Sessions;
use crate::upstream::split_target;

impl<K: Kernel> Core<K> {
    /// Starts to connect to `host:port`.
    pub(crate) fn connect(
        &mut self,
        target: &str,
        framing: &Framing,
    ) -> Result<ConnectionId, Error> {
        self.connect_through(target, framing, None)
    }

    /// The same, with a session above TCP.
    pub(crate) fn connect_through(
        &mut self,
        target: &str,
        framing: &Framing,
        sessions: Option<&Arc<dyn Sessions>>,
    ) -> Result<ConnectionId, Error> {
        self.admits_work()?;
        check_target(target, sessions)?;
        self.check(framing)?;
        self.now = self.kernel.now();
        let (now, profile) = (self.now, self.profile.clone());
        let decoder = framing.decoder(self.config.limits.frame_bytes_max);
        let index = self.open(Owner::Program, || Conn::resolving(now, profile, decoder))?;
        self.secure(index, target, sessions);
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
    pub(super) fn check_size(&self, payload: &[u8]) -> Result<(), Error> {
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

    /// Acknowledges at once what was received, which the kernel may hold back for some 40 ms.
    pub(crate) fn acknowledge(&self, id: ConnectionId) {
        let slot = self.slots.get(id.index as usize);
        let slot = slot.filter(|slot| slot.id == id);
        if let Some(socket) = slot.and_then(|slot| slot.socket.as_ref()) {
            self.kernel.acknowledge(socket);
        }
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

    /// A new connection is to have a session, if there are any.
    pub(super) fn secure(
        &mut self,
        index: u32,
        target: &str,
        sessions: Option<&Arc<dyn Sessions>>,
    ) {
        let slot = &mut self.slots[index as usize];
        slot.secure = match (sessions, split_target(target)) {
            (Some(sessions), Ok((host, _))) => Some(Secure::new(sessions, host)),
            _ => None,
        };
    }

    pub(super) fn check(&self, framing: &Framing) -> Result<(), Error> {
        match framing.flaw(self.config.limits.frame_bytes_max) {
            Some(flaw) => Err(Error::new(Phase::Connect, Source::Invalid(flaw))),
            None => Ok(()),
        }
    }
}

/// A target that can be, also of a session.
pub(crate) fn check_target(
    target: &str,
    sessions: Option<&Arc<dyn Sessions>>,
) -> Result<(), Error> {
    let (host, _) = split_target(target)?;
    let checked = sessions.map_or(Ok(()), |it| it.check(host));
    checked.map_err(|source| Error::new(Phase::Handshake, source))
}
