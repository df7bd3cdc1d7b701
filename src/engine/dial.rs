//! Connecting: the lookup, the race of the addresses, and the look at what became of an attempt.
//!
//! ```text
//!   look_up ──► handle_resolved ──► try_addresses ──edge──► check_connect ──► connected
//!                                    ▲  ▲                     │
//!                 expire_attempts ───┘  └──── next address ───┘
//! ```
//! All attempts of a connection share its token: an edge says that one of them is to be looked at. A failure is never
//! carried out here: the connection goes to the ready list and is settled when its turn comes, so that a thousand
//! attempts that fail at once do not nest.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::core::Core;
use super::slot::Owner;
use crate::conn::{Race, Rules};
use crate::error::{Class, Error, Phase, Source};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::names::{Addresses, Asked, Outcome};
use crate::upstream::{no_address, split_target};

/// The attempts of one connection.
#[derive(Debug)]
pub(super) struct Dial<S> {
    pub(super) race: Race,
    sockets: Vec<(SocketAddr, S)>,
}

impl<S> Dial<S> {
    #[cfg(test)]
    pub(super) fn sockets(&self) -> impl Iterator<Item = &S> {
        self.sockets.iter().map(|(_, socket)| socket)
    }

    /// Whoever else was asked to connect need not: those that have are reset.
    pub(super) fn give_up<K: Kernel<Socket = S>>(self, kernel: &mut K) {
        for (_, socket) in self.sockets {
            kernel.close(socket, true);
        }
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
        self.slots[index as usize].is_connecting = true;
        self.connecting += 1;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.handle_resolved(index, Ok([SocketAddr::new(ip, port)].into()));
        }
        let slot = &mut self.slots[index as usize];
        let (name, asked) = self.names.ask(self.now, target, slot.id.token());
        slot.name = Some(name);
        match asked {
            Asked::Known(outcome) => return self.handle_resolved(index, outcome),
            Asked::Joined => {}
            Asked::Begin { job, in_place_of } => {
                self.abandon(in_place_of);
                self.kernel.resolve(job, host, port);
            }
        }
        self.settle(index);
    }

    /// Takes the outcomes of lookups.
    pub(super) fn take_resolved(&mut self) {
        let mut resolved = std::mem::take(&mut self.resolved);
        while let Some((job, answer)) = self.kernel.poll_resolved() {
            let (now, told) = (self.now, &mut resolved);
            let abandoned = self.names.handle_resolved(now, job, answer, told);
            self.abandon(abandoned);
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

    /// A connection's lookup has taken as long as it may. Addresses that were good once may do.
    pub(super) fn make_do(&mut self, index: u32) -> Option<Addresses> {
        let addresses = self
            .names
            .make_do(self.now, self.slots[index as usize].name?)?;
        self.give_up_lookup(index);
        Some(addresses)
    }

    /// A connection waits no longer for its name.
    fn give_up_lookup(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let Some(name) = slot.name else {
            return;
        };
        let given_up = self.names.give_up(self.now, name, slot.id.token());
        self.abandon(given_up.abandoned);
        let target = self.names.target(name).map(split_target);
        if let (Some(job), Some(Ok((host, port)))) = (given_up.begun, target) {
            self.kernel.resolve(job, host, port);
        }
    }

    fn abandon(&mut self, job: Option<u64>) {
        if let Some(job) = job
            && self.kernel.abandon(job)
        {
            self.names.handle_dropped(job);
        }
    }

    pub(super) fn handle_resolved(&mut self, index: u32, outcome: Outcome) {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        match outcome {
            Ok(addresses) => {
                let favourite = slot.name.and_then(|name| self.names.favourite(now, name));
                let rules = Rules::new(slot.conn.timeouts(), &self.config.limits);
                slot.dial = Some(Box::new(Dial {
                    race: Race::new(now, &addresses, favourite, rules),
                    sockets: Vec::new(),
                }));
                slot.conn.handle_connecting();
                self.try_addresses(index);
            }
            Err(why) => {
                slot.conn
                    .handle_connect_failed(Error::new(Phase::Resolve, Source::Resolve(why)));
                let (owner, name) = (slot.owner, slot.name);
                self.write_lookup(owner, name, why);
                self.push_ready(index);
            }
        }
    }

    /// Begins the attempts whose time has come.
    fn try_addresses(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let token = slot.id.token();
        let Some(dial) = slot.dial.as_mut() else {
            return;
        };
        let mut wanting = None;
        while let Some(address) = dial.race.poll_attempt(self.now) {
            slot.peer = Some(address);
            match self.kernel.connect(address, &self.config.socket, token) {
                Ok(socket) => dial.sockets.push((address, socket)),
                Err(refused) => {
                    let error = refused.into_error();
                    wanting = wanting.or(Some(error));
                    dial.race.handle_failed(self.now, address, error);
                }
            }
        }
        let lost = dial.race.lost();
        if let Some(error) = &wanting {
            self.write_want(error);
        }
        let Some(last_error) = lost else {
            return self.file(index);
        };
        let error = last_error.unwrap_or_else(no_address);
        self.slots[index as usize].conn.handle_connect_failed(error);
        self.push_ready(index);
    }

    /// A connection has ended. One that never stood waits for its name no longer; and where it was the addresses that
    /// failed it, by silence too, they may no longer be the name's.
    pub(super) fn leave_name(&mut self, index: u32, error: Option<Error>) {
        self.give_up_lookup(index);
        let name = self.slots[index as usize].name.take();
        let blames_addresses = |error: &Error| {
            let is_other = matches!(error.class, Class::Resource | Class::Local);
            matches!(error.phase, Phase::Connect | Phase::Handshake) && !is_other
        };
        if let Some(name) = name.filter(|_| error.as_ref().is_some_and(blames_addresses)) {
            self.names.doubt(name);
        }
    }

    /// Gives up the attempts that have used up their time, and goes on with the next.
    pub(super) fn expire_attempts(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if let Some(dial) = slot.dial.as_mut() {
            while let Some((address, error)) = dial.race.overdue(self.now) {
                dial.race.handle_failed(self.now, address, error);
                let attempt = dial.sockets.iter().position(|(of, _)| *of == address);
                if let Some((_, socket)) = attempt.map(|at| dial.sockets.swap_remove(at)) {
                    self.kernel.close(socket, true);
                }
            }
        }
        self.try_addresses(index);
    }

    /// An edge came while connecting: has one of the attempts won, or failed?
    pub(super) fn check_connect(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.writable && !slot.read_closed {
            return;
        }
        let Some(mut dial) = slot.dial.take() else {
            return;
        };
        let mut at = 0;
        while let Some((address, socket)) = dial.sockets.get(at) {
            match look(&self.kernel, socket) {
                Look::Waiting => at += 1,
                Look::Connected(peer) => {
                    let (address, socket) = dial.sockets.swap_remove(at);
                    return self.connected(index, socket, peer, (address, dial));
                }
                Look::Failed(error) => {
                    dial.race.handle_failed(self.now, *address, error);
                    let (_, socket) = dial.sockets.swap_remove(at);
                    self.kernel.close(socket, true);
                }
            }
        }
        // Each edge is of one attempt, and was looked at.
        let slot = &mut self.slots[index as usize];
        (slot.readable, slot.writable, slot.read_closed) = (false, false, false);
        slot.dial = Some(dial);
        self.try_addresses(index);
    }

    /// One of the attempts has won. Where a session is to run on it the others are kept in mind.
    fn connected(
        &mut self,
        index: u32,
        socket: K::Socket,
        peer: SocketAddr,
        (address, mut dial): (SocketAddr, Box<Dial<K::Socket>>),
    ) {
        for (_, socket) in dial.sockets.drain(..) {
            self.kernel.close(socket, true);
        }
        let slot = &mut self.slots[index as usize];
        // An edge may have been another attempt's: a read finds out, a FIN is asked for.
        slot.read_closed = slot.read_closed && self.kernel.peer_has_shut(&socket);
        slot.writable = true;
        slot.socket = Some(socket);
        slot.peer = Some(peer);
        if slot.secure.is_none() {
            return self.stands(index);
        }
        dial.race.handle_won(address);
        slot.dial = Some(dial);
        self.begin_session(index);
    }

    /// The handshake with one address has failed: the next is tried.
    pub(super) fn try_next_address(&mut self, index: u32, error: Error) {
        let slot = &mut self.slots[index as usize];
        if let Some(socket) = slot.socket.take() {
            self.kernel.close(socket, true);
        }
        slot.forget_session(&mut self.send_pool);
        (slot.readable, slot.writable, slot.read_closed) = (false, false, false);
        if let (Some(dial), Some(peer)) = (slot.dial.as_mut(), slot.peer) {
            dial.race.handle_failed(self.now, peer, error);
        }
        log::debug!("{} goes on with the next address: {error}", slot.id);
        self.try_addresses(index);
    }

    /// A connection stands, and its session where there is one: its owner has it.
    pub(super) fn stands(&mut self, index: u32) {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        let Some(peer) = slot.peer else {
            return;
        };
        self.connecting -= usize::from(std::mem::take(&mut slot.is_connecting));
        slot.conn.handle_connected(now);
        slot.dial = None;
        if let Some(name) = slot.name.take() {
            self.names.handle_connected(now, name, peer);
        }
        let (connection, owner, is_accepted) = (slot.id, slot.owner, slot.is_accepted);
        if is_accepted {
            return self.tell(index, Event::Connected { connection, peer });
        }
        log::debug!("{connection} to {peer} stands");
        self.note_connected(index);
        match owner {
            Owner::Program => {
                self.slots[index as usize].ends.is_asked_for = true;
                self.tell(index, Event::Connected { connection, peer });
            }
            Owner::Service { service, member } => {
                let random = self.kernel.random();
                self.services[service as usize].handle_standing(now, member, random);
                self.services[service as usize].handle_connected(now, member);
                self.tell_changes(service);
                // Its target may have been left alone meanwhile.
                self.retire_spent(index);
                self.serve_waiting(service);
                // Where one stands, more may be made at a time.
                self.connect_members(service);
            }
            // One that is being made is not let go.
            Owner::Parted { .. } => {}
        }
    }
}

/// `peer_addr`, then `take_error`: an edge alone proves neither success nor failure. In this order, for SO_ERROR also
/// tells what ICMP said of a connection that stands, which is not its end.
fn look<K: Kernel>(kernel: &K, socket: &K::Socket) -> Look {
    let not_connected = match kernel.peer_addr(socket) {
        Ok(peer) if kernel.local_addr(socket).is_ok_and(|local| local == peer) => {
            return Look::Failed(Error::new(Phase::Connect, Source::SelfConnect));
        }
        Ok(peer) => return Look::Connected(peer),
        Err(error) => error,
    };
    match kernel.take_error(socket) {
        Ok(Some(error)) | Err(error) => Look::Failed(Error::os(Phase::Connect, &error)),
        Ok(None) if not_connected.kind() == io::ErrorKind::NotConnected => Look::Waiting,
        Ok(None) => Look::Failed(Error::os(Phase::Connect, &not_connected)),
    }
}
