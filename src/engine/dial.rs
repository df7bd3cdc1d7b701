//! Connecting: the lookup, one address after the other, and the look at what became of an attempt.
//!
//! ```text
//!   look_up ──► handle_resolved ──► dial_next ──edge──► check_connect ──► connected
//!                                    ▲     │                 │
//!                                    └─────┴── next address ─┘
//! ```
//! A failure is never carried out here: the connection goes to the ready list and is settled when its turn comes, so
//! that a thousand attempts that fail at once do not nest.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::core::Core;
use super::slot::Owner;
use crate::error::{Class, Error, Phase, ResolveError, Source};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::upstream::no_address;

/// What is still to be tried for one connection.
#[derive(Debug)]
pub(super) struct Dial {
    addresses: VecDeque<SocketAddr>,
    last_error: Option<Error>,
}

impl Dial {
    pub(super) fn has_next(&self) -> bool {
        !self.addresses.is_empty()
    }
}

/// What a look at a connecting socket found.
enum Look {
    Waiting,
    Connected(SocketAddr),
    Failed(Error),
}

impl<K: Kernel> Core<K> {
    /// Takes the outcomes of lookups.
    pub(super) fn take_resolved(&mut self) {
        while let Some((job, outcome)) = self.kernel.poll_resolved() {
            let index = job as u32;
            let slot = self.slots.get(index as usize);
            // The connection may have given up, and its slot may be another's by now.
            if slot.is_some_and(|slot| slot.id.token() == job && slot.conn.is_resolving()) {
                self.handle_resolved(index, outcome);
            }
        }
    }

    pub(super) fn handle_resolved(
        &mut self,
        index: u32,
        outcome: Result<Vec<SocketAddr>, ResolveError>,
    ) {
        let slot = &mut self.slots[index as usize];
        match outcome {
            Ok(addresses) => {
                slot.dial = Some(Box::new(Dial {
                    addresses: addresses.into(),
                    last_error: None,
                }));
                self.dial_next(index);
            }
            Err(why) => {
                slot.conn
                    .handle_connect_failed(Error::new(Phase::Resolve, Source::Resolve(why)));
                self.push_ready(index);
            }
        }
    }

    /// Tries the next address.
    pub(super) fn dial_next(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let token = slot.id.token();
        let Some(dial) = slot.dial.as_mut() else {
            return;
        };
        while let Some(address) = dial.addresses.pop_front() {
            slot.peer = Some(address);
            match self.kernel.connect(address, &self.config.socket, token) {
                Ok(socket) => {
                    slot.conn
                        .handle_connecting(self.now, dial.addresses.is_empty());
                    slot.install(socket);
                    return self.file(index);
                }
                Err(error) => {
                    let error = error.into_error();
                    dial.last_error = Some(error);
                    if error.class == Class::Resource {
                        break;
                    }
                }
            }
        }
        let error = dial.last_error.unwrap_or_else(no_address);
        slot.conn.handle_connect_failed(error);
        self.push_ready(index);
    }

    /// An edge came while connecting: has it, or has it failed?
    pub(super) fn check_connect(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let Some(socket) = slot
            .socket
            .as_ref()
            .filter(|_| slot.writable || slot.read_closed)
        else {
            return;
        };
        match self.look(socket) {
            Look::Waiting => {}
            Look::Connected(peer) => self.connected(index, peer),
            Look::Failed(error) => self.attempt_failed(index, error),
        }
    }

    /// `peer_addr`, then `take_error`: an edge alone proves neither success nor failure. In this order, for SO_ERROR also
    /// tells what ICMP said of a connection that stands, which is not its end.
    fn look(&self, socket: &K::Socket) -> Look {
        let not_connected = match self.kernel.peer_addr(socket) {
            Ok(peer)
                if self
                    .kernel
                    .local_addr(socket)
                    .is_ok_and(|local| local == peer) =>
            {
                return Look::Failed(Error::new(Phase::Connect, Source::SelfConnect));
            }
            Ok(peer) => return Look::Connected(peer),
            Err(error) => error,
        };
        match self.kernel.take_error(socket) {
            Ok(Some(error)) | Err(error) => Look::Failed(Error::os(Phase::Connect, &error)),
            Ok(None) if not_connected.kind() == io::ErrorKind::NotConnected => Look::Waiting,
            Ok(None) => Look::Failed(Error::os(Phase::Connect, &not_connected)),
        }
    }

    fn connected(&mut self, index: u32, peer: SocketAddr) {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        slot.conn.handle_connected(now);
        slot.dial = None;
        slot.peer = Some(peer);
        slot.writable = true;
        let connection = slot.id;
        log::debug!("{connection} to {peer} stands");
        match slot.owner {
            Owner::Program => self.tell(index, Event::Connected { connection, peer }),
            Owner::Service { service, member } => {
                self.services[service as usize].handle_connected(now, member);
                self.serve_waiting(service);
            }
        }
    }

    /// One address is done with; the next one is tried, or the connection fails.
    pub(super) fn attempt_failed(&mut self, index: u32, error: Error) {
        let slot = &mut self.slots[index as usize];
        if let Some(socket) = slot.socket.take() {
            self.kernel.close(socket, true);
        }
        if let Some(dial) = slot.dial.as_mut() {
            dial.last_error = Some(error);
        }
        self.dial_next(index);
    }
}
