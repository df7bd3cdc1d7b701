//! Listening sockets: accepting within a quota, and staying calm when descriptors run out.
//!
//! After EMFILE there may be no further edge for connections that already wait. So one of them is accepted with a spare
//! descriptor and dropped, and accepting pauses for a moment by timer, instead of spinning or falling silent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::core::{Core, TimerOwner};
use super::secure::Secure;
use super::slot::Owner;
use super::tick_of;
use crate::conn::{Conn, Profile};
use crate::errno;
use crate::error::{Error, Phase};
use crate::event::Event;
use crate::frame::Framing;
use crate::kernel::{INDEX_MAX, Kernel};
use crate::session::Sessions;
use crate::wheel::TimerKey;

/// Marks the index of a listener in a token.
const LISTENER: u32 = INDEX_MAX + 1;
const ACCEPTS_A_TURN_MAX: usize = 64;

/// Names a listener of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerId(u32);

#[derive(Debug)]
struct Listening<L> {
    /// `None` when it has been closed.
    listener: Option<L>,
    framing: Framing,
    profile: Arc<Profile>,
    /// What runs above TCP on what it accepts, if anything does.
    sessions: Option<Arc<dyn Sessions>>,
    timer: TimerKey,
    is_ready: bool,
    /// It found no descriptor, and has not accepted since: told once.
    is_out: bool,
}

#[derive(Debug)]
pub(super) struct Listeners<L> {
    list: Vec<Listening<L>>,
    /// Connections dropped because there were as many as there may be, or no descriptor.
    refused: u64,
}

impl<L> Default for Listeners<L> {
    fn default() -> Listeners<L> {
        Listeners {
            list: Vec::new(),
            refused: 0,
        }
    }
}

impl<L> Listeners<L> {
    /// All that ever listened.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Marks a listener ready; whether the token was a listener's.
    pub(super) fn mark(&mut self, token: u64) -> bool {
        let index = token as u32;
        if index & LISTENER == 0 {
            return false;
        }
        self.resume(index & !LISTENER);
        true
    }

    pub(super) fn resume(&mut self, index: u32) {
        if let Some(listening) = self.list.get_mut(index as usize) {
            listening.is_ready = listening.listener.is_some();
        }
    }

    pub(super) fn any_ready(&self) -> bool {
        self.list.iter().any(|listening| listening.is_ready)
    }
}

impl<K: Kernel> Core<K> {
    /// Listens, without a session on what it accepts.
    #[cfg(test)]
    pub(crate) fn listen(
        &mut self,
        at: SocketAddr,
        framing: Framing,
        profile: Profile,
    ) -> Result<(ListenerId, SocketAddr), Error> {
        self.listen_through(at, framing, profile, None)
    }

    /// Listens; accepted connections are framed like this, and told as `Connected` when they stand, with their sessions
    /// where there are any.
    pub(crate) fn listen_through(
        &mut self,
        at: SocketAddr,
        framing: Framing,
        profile: Profile,
        sessions: Option<Arc<dyn Sessions>>,
    ) -> Result<(ListenerId, SocketAddr), Error> {
        let index = self.listeners.list.len() as u32;
        let os = |error: io::Error| Error::os(Phase::Connect, &error);
        let listener = self
            .kernel
            .listen(at, u64::from(LISTENER | index))
            .map_err(os)?;
        let address = match self.kernel.listener_addr(&listener) {
            Ok(address) => address,
            Err(error) => {
                self.kernel.close_listener(listener);
                return Err(os(error));
            }
        };
        let timer = self.wheel.insert(TimerOwner::Listener(index));
        let (listener, profile) = (Some(listener), Arc::new(profile));
        self.listeners.list.push(Listening {
            listener,
            framing,
            profile,
            sessions,
            timer,
            is_ready: false,
            is_out: false,
        });
        Ok((ListenerId(index), address))
    }

    /// Stops listening; what was accepted stays.
    pub(crate) fn stop_listening(&mut self, id: ListenerId) {
        let listening = &mut self.listeners.list[id.0 as usize];
        listening.is_ready = false;
        if let Some(listener) = listening.listener.take() {
            self.wheel.clear(listening.timer);
            self.kernel.close_listener(listener);
        }
    }

    /// Connections refused so far, for want of room or of descriptors.
    pub(crate) fn refused(&self) -> u64 {
        self.listeners.refused
    }

    /// Whether the listener of this token goes on accepting without another edge.
    #[cfg(test)]
    pub(crate) fn accepts_again(&self, token: u64) -> bool {
        let index = token as u32 & !LISTENER;
        let listening = &self.listeners.list[index as usize];
        let is_filed = self.wheel.deadline(listening.timer).is_some();
        listening.is_ready || is_filed || self.wait_failed
    }

    /// Accepts on each listener that is ready.
    pub(super) fn accept_ready(&mut self) {
        for index in 0..self.listeners.list.len() {
            let mut accepts = 0;
            while self.listeners.list[index].is_ready && accepts < ACCEPTS_A_TURN_MAX {
                self.accept(index);
                accepts += 1;
            }
        }
    }

    fn accept(&mut self, index: usize) {
        let listening = &mut self.listeners.list[index];
        let Some(listener) = listening.listener.as_ref() else {
            return;
        };
        match self.kernel.accept(listener) {
            Ok((socket, peer)) => self.accepted(index, socket, peer),
            Err(error) => match error.raw_os_error() {
                _ if error.kind() == io::ErrorKind::WouldBlock => listening.is_ready = false,
                Some(errno::EMFILE | errno::ENFILE) => self.out_of_descriptors(index),
                // The connection was gone before it was taken (accept(2)): the next one.
                Some(errno::ECONNABORTED | errno::EINTR) => {}
                // Whatever it is, it may be the same a moment later: no spinning on it.
                _ => self.pause(index),
            },
        }
    }

    fn accepted(&mut self, index: usize, mut socket: K::Socket, peer: SocketAddr) {
        let listening = &mut self.listeners.list[index];
        listening.is_out = false;
        let (now, profile) = (self.now, listening.profile.clone());
        let decoder = listening
            .framing
            .decoder(self.config.limits.frame_bytes_max);
        let secure = listening.sessions.as_ref().map(|it| Secure::new(it, ""));
        let conn = || match secure {
            Some(_) => Conn::accepted_to_handshake(now, profile, decoder),
            None => Conn::accepted(now, profile, decoder),
        };
        let Ok(slot_index) = self.open(Owner::Program, conn) else {
            self.listeners.refused += 1;
            return self.kernel.close(socket, false);
        };
        let connection = self.slots[slot_index as usize].id;
        let registered = self
            .kernel
            .register(&mut socket, &self.config.socket, connection.token());
        let slot = &mut self.slots[slot_index as usize];
        slot.install(socket);
        slot.peer = Some(peer);
        slot.writable = true;
        slot.is_accepted = true;
        slot.secure = secure;
        let is_secure = slot.secure.is_some();
        if !is_secure {
            self.tell(slot_index, Event::Connected { connection, peer });
        }
        match registered {
            Ok(()) if is_secure => return self.begin_session(slot_index),
            Ok(()) => {}
            Err(error) => {
                let conn = &mut self.slots[slot_index as usize].conn;
                conn.handle_connect_failed(error.into_error());
            }
        }
        self.settle(slot_index);
    }

    fn out_of_descriptors(&mut self, index: usize) {
        let Some(listener) = self.listeners.list[index].listener.as_ref() else {
            return;
        };
        match self.kernel.shed(listener) {
            Ok(true) => {
                self.listeners.refused += 1;
                if !std::mem::replace(&mut self.listeners.list[index].is_out, true) {
                    log::warn!("out of descriptors: connections are refused until there are some");
                }
                self.pause(index);
            }
            Ok(false) => self.listeners.list[index].is_ready = false,
            Err(_) => self.pause(index),
        }
    }

    /// Accepting goes on by timer: the kernel does not tell again of what already waits.
    fn pause(&mut self, index: usize) {
        let listening = &mut self.listeners.list[index];
        listening.is_ready = false;
        self.wheel.schedule(
            listening.timer,
            tick_of(self.now.after(self.config.timeouts.accept_pause), self.now),
        );
    }
}
