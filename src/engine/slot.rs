//! A slot: one connection with its socket, its timer and what the loop remembers of it.
//!
//! Readiness is sticky: an edge sets it, only a call that would block (or a short read, where that proves as much)
//! clears it. A slot is reaped when its connection is closed and every event of it was pulled.

use std::net::SocketAddr;

use super::dial::Dial;
use super::parting::Ends;
use super::secure::Secure;
use crate::conn::Conn;
use crate::event::ConnectionId;
use crate::names::NameKey;
use crate::session::Secured;
use crate::time::Time;
use crate::upstream::Bucket;
use crate::wheel::TimerKey;

/// Whom a connection works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The program itself: it gets frames.
    Program,
    /// A member of an upstream: requests get replies.
    Service { service: u32, member: u32 },
    /// An upstream that has let it go: it only ends.
    Parted { service: u32 },
}

#[derive(Debug)]
pub(super) struct Slot<S> {
    pub(super) id: ConnectionId,
    pub(super) socket: Option<S>,
    pub(super) conn: Conn,
    pub(super) owner: Owner,
    pub(super) timer: TimerKey,
    /// It is being made, and counted as such.
    pub(super) is_connecting: bool,
    /// When it was begun.
    pub(super) began: Time,
    /// While connecting: what is still to be tried.
    pub(super) dial: Option<Box<Dial<S>>>,
    /// The name it connects by, until it stands.
    pub(super) name: Option<NameKey>,
    pub(super) peer: Option<SocketAddr>,
    /// Its peer has made it.
    pub(super) is_accepted: bool,
    /// What runs above TCP on it, if anything does.
    pub(super) secure: Option<Box<Secure>>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer has shut its half: latched from an edge or a look. Its FIN may still lie behind data.
    pub(super) read_closed: bool,
    /// Not read because the program lags; resumed when it has pulled.
    pub(super) is_stalled: bool,
    pub(super) ends: Ends,
    /// How often frames may come, where that is bounded; and until when it is not read because they came faster.
    pub(super) frames: Option<Bucket>,
    pub(super) paused_until: Option<Time>,
    /// Since when something is due that waits for what is to be read.
    pub(super) overdue_since: Option<Time>,
    pub(super) in_ready: bool,
    pub(super) in_dirty: bool,
    pub(super) in_pulled: bool,
    /// Events of it that wait to be pulled.
    pub(super) unpulled: u32,
}

impl<S> Slot<S> {
    pub(super) fn new(
        id: ConnectionId,
        conn: Conn,
        owner: Owner,
        timer: TimerKey,
        began: Time,
    ) -> Slot<S> {
        Slot {
            id,
            socket: None,
            conn,
            owner,
            timer,
            is_connecting: false,
            began,
            dial: None,
            name: None,
            peer: None,
            is_accepted: false,
            secure: None,
            readable: false,
            writable: false,
            read_closed: false,
            is_stalled: false,
            ends: Ends::default(),
            frames: None,
            paused_until: None,
            overdue_since: None,
            in_ready: false,
            in_dirty: false,
            in_pulled: false,
            unpulled: 0,
        }
    }

    pub(super) fn is_reapable(&self) -> bool {
        self.conn.is_closed() && self.socket.is_none() && self.unpulled == 0
    }

    /// Whether it should be read now.
    pub(super) fn wants_read(&self) -> bool {
        let is_gone = self.read_closed && !self.conn.sends_to_half_closed();
        let is_read = self.readable && self.paused_until.is_none();
        is_read && (self.conn.wants_read() || is_gone && self.conn.wants_end())
    }

    /// Whether the next frame has to wait; it is not read until then.
    pub(super) fn holds_back(&mut self, now: Time) -> bool {
        let next = self.frames.as_ref().map(Bucket::next);
        match next.filter(|next| *next > now) {
            None => self.resume(now),
            until => self.paused_until = until,
        }
        self.paused_until.is_some()
    }

    /// It is read again.
    pub(super) fn resume(&mut self, now: Time) {
        if self.paused_until.take().is_some() {
            self.conn.handle_resumed(now);
        }
    }

    /// The next instant at which a timeout of the connection may pass, or another address is to be tried. While it is
    /// not read, the peer is not to blame for anything.
    pub(super) fn poll_timeout(&self) -> Time {
        if let Some(until) = self.paused_until.filter(|_| !self.conn.is_closed()) {
            return until;
        }
        let dial = self.dial.as_ref().filter(|_| self.is_dialled());
        let dial = dial.map(|dial| dial.race.poll_timeout());
        self.conn.poll_timeout().min(dial.unwrap_or(Time::NEVER))
    }

    /// Its addresses are being tried; while one of them shakes hands the others wait.
    pub(super) fn is_dialled(&self) -> bool {
        self.dial.is_some() && !self.conn.is_handshaking()
    }

    /// Whether the end of what its peer says is known: by an edge or a look, to the connection or to its session.
    pub(super) fn is_ending(&self) -> bool {
        let is_sessions = self.secured().is_some_and(Secured::is_ending);
        self.read_closed || self.conn.is_ending() || is_sessions
    }

    /// The upstream's member whose connection it is, where its end is known already: what would be asked on it would
    /// only fail with it.
    pub(super) fn ending_member(&self) -> Option<(u32, u32)> {
        let stands = !self.conn.is_connecting() && !self.conn.is_closed();
        match self.owner {
            Owner::Service { service, member } if stands && self.is_ending() => {
                Some((service, member))
            }
            _ => None,
        }
    }

    /// A new socket is in the slot: nothing is known of it.
    pub(super) fn install(&mut self, socket: S) {
        (self.readable, self.writable, self.read_closed) = (false, false, false);
        self.socket = Some(socket);
    }
}
