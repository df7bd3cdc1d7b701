//! Connections with a session above TCP: its handshake, and what the loop knows of it.
//!
//! ```text
//!   the TCP connection stands ──► begin_session ──► flights both ways ──► stands
//! ```
//! Reading and writing are as without one, but for what lies between the line and the program ([`Secured`]). Always:
//! nothing of the program's is sealed before the connection stands, and its owner is told nothing before.

mod reading;
mod writing;

pub(super) use reading::Seen;

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::slot::{Owner, Slot};
use crate::buffer::Pool;
use crate::error::{Error, Phase, Source};
use crate::event::ConnectionId;
use crate::kernel::{Kernel, TcpInfo};
use crate::session::{Secured, Sessions, TlsInfo};
use crate::time::Time;

/// Bytes of the line that are read at a time: a whole record of TLS and more (RFC 8446 §5.2).
pub(super) const LINE_BYTES: usize = 32 << 10;

/// The session of one connection.
#[derive(Debug)]
pub(super) struct Secure {
    sessions: Arc<dyn Sessions>,
    /// With whom, as its target names it.
    host: Box<str>,
    /// Since the TCP connection stands.
    secured: Option<Secured>,
    began: Time,
    /// The end of the handshake, by a clock of its own: the turn's was read before the certificate was verified, which
    /// is most of a handshake's work.
    over: Option<Time>,
}

impl Secure {
    pub(super) fn new(sessions: &Arc<dyn Sessions>, host: &str) -> Box<Secure> {
        Box::new(Secure {
            sessions: sessions.clone(),
            host: host.into(),
            secured: None,
            began: Time::NEVER,
            over: None,
        })
    }
}

impl<S> Slot<S> {
    /// How long the handshake took, once it is over.
    pub(super) fn handshake(&self) -> Option<Duration> {
        let secure = self.secure.as_ref()?;
        Some(secure.over?.since(secure.began))
    }

    /// When a connection that stands now, by the turn's clock, came to stand.
    pub(super) fn stood(&self, now: Time) -> Time {
        let over = self.secure.as_ref().and_then(|it| it.over);
        over.unwrap_or(now)
    }

    pub(super) fn secured(&self) -> Option<&Secured> {
        self.secure.as_ref()?.secured.as_ref()
    }

    pub(super) fn secured_mut(&mut self) -> Option<&mut Secured> {
        self.secure.as_mut()?.secured.as_mut()
    }

    /// The session is given up, and another may be begun.
    pub(super) fn forget_session(&mut self, pool: &mut Pool) {
        let secured = self.secure.as_mut().and_then(|it| it.secured.take());
        if let Some(mut secured) = secured {
            secured.release(pool);
        }
    }

    /// Whether anything is to be written, were there room. What nothing is sealed of any more only waits for the end.
    pub(super) fn wants_write(&self) -> bool {
        let may_leave = !self.conn.poll_transmit().is_empty();
        let waits = match self.secured() {
            Some(secured) => !secured.pending().is_empty() || may_leave && secured.may_seal(),
            None => may_leave,
        };
        waits || self.conn.poll_shutdown()
    }

    /// A look found the line lost. What an earlier one has brought in is told first, as what lies in a line would be.
    pub(super) fn handle_lost(&mut self, source: Source) {
        match self.secured().is_some_and(Secured::holds) {
            true => self.conn.handle_write_error(source),
            false => self.conn.handle_error(source),
        }
    }

    /// Bytes handed to the kernel, of whatever kind.
    pub(super) fn line_written(&self) -> u64 {
        let secured = self.secured();
        secured.map_or(self.conn.written_bytes(), Secured::line_written)
    }

    /// Bytes received, of whatever kind.
    pub(super) fn line_received(&self) -> u64 {
        let secured = self.secured();
        secured.map_or(self.conn.received_bytes(), Secured::line_received)
    }

    /// Of the program's bytes, those that the peer's TCP has acknowledged; `None` where that is not known.
    pub(super) fn acked(&self, info: &TcpInfo) -> Option<u64> {
        let acked = info.acked_of(self.line_written())?;
        match self.secured() {
            Some(secured) => secured.within(acked),
            None => Some(acked),
        }
    }

    /// Of the program's bytes, those that were handed to the kernel with all that the peer needs to read them.
    pub(super) fn left_bytes(&self) -> u64 {
        let secured = self.secured();
        let within = secured.and_then(|it| it.within(it.line_written()));
        within.unwrap_or(self.conn.written_bytes())
    }
}

impl<K: Kernel> Core<K> {
    /// The TCP connection stands: its session begins, with what it has to say first.
    pub(super) fn begin_session(&mut self, index: u32) {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        let is_asked = slot.owner == Owner::Program && !slot.is_accepted;
        let Some(secure) = slot.secure.as_mut() else {
            return;
        };
        secure.began = now;
        match secure.sessions.begin(&secure.host) {
            Ok(session) => {
                secure.secured = Some(Secured::new(session, is_asked, &mut self.send_pool));
                let has_next = slot.dial.as_ref().is_some_and(|it| it.race.has_more());
                slot.conn.handle_handshaking(now, has_next);
                self.send_flight(index);
            }
            Err(source) => {
                let error = Error::new(Phase::Handshake, source);
                slot.conn.handle_connect_failed(error);
                self.push_ready(index);
            }
        }
        self.settle(index);
    }

    /// Whatever a handshake has to say leaves when it is made, not with the turn's flush: the peer works on it while the
    /// flights of other connections are made. Why it has failed is said when it ends.
    fn send_flight(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let has_flight = |it: &Secured| !it.is_ending() && !it.pending().is_empty();
        if slot.writable && slot.conn.is_handshaking() && slot.secured().is_some_and(has_flight) {
            self.transmit_secured(index);
        }
    }

    /// The session's state may have changed: when its handshake is over the connection stands.
    fn heed_handshake(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let is_over = slot.secured().is_some_and(|it| !it.is_handshaking());
        // Where the last flight cannot leave, the peer does not know that it is over.
        if !is_over || !slot.conn.is_handshaking() || slot.conn.is_broken() {
            return;
        }
        if let Some(secure) = slot.secure.as_mut() {
            secure.over = Some(self.kernel.now());
        }
        self.stands(index);
    }

    /// What is known of a connection's session.
    #[cfg_attr(
        not(feature = "_tls"),
        allow(dead_code, reason = "asked for with TLS alone")
    )]
    pub(crate) fn tls_info(&self, id: ConnectionId) -> Option<TlsInfo> {
        let slot = self.slot(id)?;
        let info = slot.secured()?.info();
        Some(TlsInfo {
            handshake: slot.handshake(),
            ..info
        })
    }
}
