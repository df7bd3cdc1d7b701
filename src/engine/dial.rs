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
use std::net::{IpAddr, SocketAddr};

use super::core::Core;
use super::slot::Owner;
use crate::error::{Class, Error, Phase, Source};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::names::{Addresses, Asked, Outcome};
use crate::upstream::{no_address, split_target};

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
    /// Looks the host up, or takes it as the address it is. The target has been checked.
    pub(super) fn look_up(&mut self, index: u32, target: &str) {
        let Ok((host, port)) = split_target(target) else {
            return;
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.handle_resolved(index, Ok([SocketAddr::new(ip, port)].into()));
        }
        let slot = &mut self.slots[index as usize];
        let (waiter, until) = (slot.id.token(), slot.conn.poll_timeout());
        let (name, asked) = self.names.ask(self.now, target, waiter, until);
        slot.name = Some(name);
        match asked {
            Asked::Known(outcome) => return self.handle_resolved(index, outcome),
            Asked::Joined => {}
            Asked::Begin { job, in_place_of } => {
                in_place_of
                    .into_iter()
                    .for_each(|job| self.kernel.abandon(job));
                self.kernel.resolve(job, host, port);
            }
        }
        self.settle(index);
    }

    /// Takes the outcomes of lookups.
    pub(super) fn take_resolved(&mut self) {
        let mut resolved = std::mem::take(&mut self.resolved);
        while let Some((job, answer)) = self.kernel.poll_resolved() {
            self.names
                .handle_resolved(self.now, job, answer, &mut resolved);
        }
        for (waiter, outcome) in resolved.drain(..) {
            let index = waiter as u32;
            let slot = self.slots.get(index as usize);
            // Whose end is told has given up its lookup; one that was only just ended is not dialled either.
            if slot.is_some_and(|slot| slot.id.token() == waiter && slot.conn.is_resolving()) {
                self.handle_resolved(index, outcome);
            }
        }
        self.resolved = resolved;
    }

    /// A connection waits no longer for its name. Addresses that were good once may do.
    pub(super) fn give_up_lookup(&mut self, index: u32) -> Option<Addresses> {
        let slot = &self.slots[index as usize];
        let given_up = self.names.give_up(self.now, slot.name?, slot.id.token());
        given_up
            .abandoned
            .into_iter()
            .for_each(|job| self.kernel.abandon(job));
        given_up.addresses
    }

    pub(super) fn handle_resolved(&mut self, index: u32, outcome: Outcome) {
        let slot = &mut self.slots[index as usize];
        match outcome {
            Ok(addresses) => {
                slot.dial = Some(Box::new(Dial {
                    addresses: addresses.iter().copied().collect(),
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
        if let Some(name) = slot.name.filter(|_| error.class != Class::Resource) {
            self.names.doubt(name);
        }
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

    /// `take_error`, then `peer_addr`: an edge alone proves neither success nor failure.
    fn look(&self, socket: &K::Socket) -> Look {
        match self.kernel.take_error(socket) {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Look::Failed(Error::os(Phase::Connect, &error)),
        }
        match self.kernel.peer_addr(socket) {
            Ok(peer)
                if self
                    .kernel
                    .local_addr(socket)
                    .is_ok_and(|local| local == peer) =>
            {
                Look::Failed(Error::new(Phase::Connect, Source::SelfConnect))
            }
            Ok(peer) => Look::Connected(peer),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Look::Waiting,
            Err(error) => Look::Failed(Error::os(Phase::Connect, &error)),
        }
    }

    fn connected(&mut self, index: u32, peer: SocketAddr) {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        slot.conn.handle_connected(now);
        (slot.dial, slot.name) = (None, None);
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
