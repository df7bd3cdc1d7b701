//! What goes between kernels: SYN, data, FIN and RST, and what each does where it arrives.
//!
//! Acknowledgements and window updates take no time; everything else takes a latency, in order per
//! direction. The connecting side's SYN is tried again after a second, doubling, as Linux does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::endpoint::{Cut, Endpoint, EndpointKey, State, would_block};
use super::faults::FaultKind;
use super::network::{Delivery, Network};

const SYN_TRIES_MAX: u32 = 6;

impl Network {
    // What a program does.

    pub(super) fn connect(&mut self, host: usize, to: SocketAddr) -> io::Result<EndpointKey> {
        self.take_descriptor(host)?;
        let local = SocketAddr::new(self.hosts[host].address, self.next_port());
        let key = self.open(Endpoint::new(host, local, to, self.buffer_bytes));
        self.send(
            key,
            Delivery::Syn {
                from: key,
                tries: 0,
            },
        );
        Ok(key)
    }

    pub(super) fn accept(&mut self, host: usize, at: SocketAddr) -> io::Result<EndpointKey> {
        let waits = self
            .listeners
            .get(&at)
            .is_some_and(|listener| !listener.backlog.is_empty());
        if !waits {
            return Err(would_block());
        }
        self.take_descriptor(host)?;
        let listener = self.listeners.get_mut(&at);
        listener
            .and_then(|listener| listener.backlog.pop_front())
            .ok_or_else(would_block)
    }

    /// Ends our half: a FIN follows the last byte.
    pub(super) fn shut_down(&mut self, key: EndpointKey) -> io::Result<()> {
        let Some(end) = self
            .ends
            .get_mut(&key)
            .filter(|end| end.state == State::Established)
        else {
            return Err(io::Error::from_raw_os_error(libc::ENOTCONN));
        };
        end.is_shut = true;
        // inet_shutdown wakes whoever polls.
        self.wake(key);
        self.transmit(key);
        Ok(())
    }

    /// Closes: with a RST when asked for or when something was left unread, otherwise with a FIN
    /// behind the last byte, which the kernel still sends.
    pub(super) fn close(&mut self, key: EndpointKey, reset: bool) {
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        let (host, token) = (end.host, end.token.take());
        end.is_orphan = true;
        self.hosts[host].descriptors -= 1;
        if let Some(token) = token {
            self.retire(host, token);
        }
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        match end.state {
            State::Connecting | State::Dead => self.drop_end(key),
            State::Established if reset || !end.received.is_empty() => {
                self.reset_peer(key);
                self.drop_end(key);
            }
            State::Established => {
                end.is_shut = true;
                let peer = end.peer;
                self.transmit(key);
                if let Some(peer) = peer {
                    self.transmit(peer);
                }
            }
        }
    }

    /// Reads for the program; the window opens.
    pub(super) fn read(&mut self, key: EndpointKey, into: &mut [u8]) -> io::Result<usize> {
        let end = self.ends.get_mut(&key).ok_or_else(closed)?;
        let outcome = end.read(into);
        if let (Ok(1..), Some(peer)) = (&outcome, end.peer) {
            self.transmit(peer);
        }
        outcome
    }

    /// Writes for the program.
    pub(super) fn write(&mut self, key: EndpointKey, from: &[u8]) -> io::Result<usize> {
        let is_short = !from.is_empty() && self.weather.happens(FaultKind::ShortWrite);
        let bytes_max = match is_short {
            true => {
                let last = from.len() as u64 - 1;
                self.weather.within(FaultKind::ShortWrite, 0..=last) as usize
            }
            false => usize::MAX,
        };
        let end = self.ends.get_mut(&key).ok_or_else(closed)?;
        let outcome = end.write(from, bytes_max);
        let owes_room = end.owes_room;
        self.transmit(key);
        if is_short && owes_room {
            let at = self.now.after(self.latency());
            self.schedule(at, Delivery::Room { of: key });
        }
        outcome
    }

    // What leaves.

    /// Sends as much as the peer's window takes, and the FIN behind the last byte.
    pub(super) fn transmit(&mut self, key: EndpointKey) {
        while let Some(bytes) = self.next_segment(key) {
            let Some(end) = self.ends.get_mut(&key) else {
                return;
            };
            end.in_flight += bytes.len();
            end.sent_bytes += bytes.len() as u64;
            if let Some(to) = end.peer {
                self.send(
                    key,
                    Delivery::Data {
                        to,
                        from: key,
                        bytes,
                    },
                );
            }
        }
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        let Some(to) = end.peer.filter(|_| end.state == State::Established) else {
            return;
        };
        if let Some(cut) = end.cut.filter(|cut| cut.after_bytes == end.sent_bytes) {
            match cut.resets {
                true => self.send(key, Delivery::Rst { to }),
                false => self.send(key, Delivery::Fin { to, from: key }),
            }
            return self.reset(key);
        }
        if end.is_shut && end.unsent.is_empty() && !end.fin_sent {
            end.fin_sent = true;
            self.send(key, Delivery::Fin { to, from: key });
        }
    }

    fn next_segment(&mut self, key: EndpointKey) -> Option<Vec<u8>> {
        let end = self
            .ends
            .get(&key)
            .filter(|end| end.state == State::Established)?;
        let peer = end.peer.and_then(|peer| self.ends.get(&peer));
        let window = peer.map_or(usize::MAX, |peer| {
            peer.window().saturating_sub(end.in_flight)
        });
        let until_cut = end
            .cut
            .map_or(u64::MAX, |cut| cut.after_bytes - end.sent_bytes);
        let n = end
            .unsent
            .len()
            .min(window)
            .min(usize::try_from(until_cut).unwrap_or(usize::MAX));
        if n == 0 {
            return None;
        }
        let n = match self.weather.happens(FaultKind::Split) {
            true => self.weather.within(FaultKind::Split, 1..=n as u64) as usize,
            false => n,
        };
        Some(self.ends.get_mut(&key)?.unsent.drain(..n).collect())
    }

    fn reset_peer(&mut self, key: EndpointKey) {
        if let Some(to) = self.ends.get(&key).and_then(|end| end.peer) {
            self.send(key, Delivery::Rst { to });
        }
    }

    // What arrives.

    pub(super) fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Syn { from, tries } => self.syn(from, tries),
            Delivery::SynAck { to, from } => self.syn_ack(to, from),
            Delivery::Data { to, from, bytes } => self.data(to, from, bytes),
            Delivery::Fin { to, from } => self.fin(to, from),
            Delivery::Rst { to } => self.reset(to),
            Delivery::Room { of } => {
                if self.ends.get_mut(&of).is_some_and(Endpoint::makes_room) {
                    self.wake(of);
                }
            }
            Delivery::Name { host, resolved } => {
                self.hosts[host].resolved.push_back(resolved);
                self.hosts[host].is_woken = true;
            }
        }
    }

    fn syn(&mut self, from: EndpointKey, tries: u32) {
        let Some(client) = self.ends.get(&from) else {
            return;
        };
        let (to, client_addr) = (client.remote, client.local);
        let listener = self.listeners.get(&to);
        let is_full = listener.is_some_and(|l| l.backlog.len() >= l.backlog_max);
        if self.is_black_hole(to) || is_full || self.weather.happens(FaultKind::LoseSyn) {
            if tries < SYN_TRIES_MAX {
                let at = self.now.after(Duration::from_secs(1 << tries));
                self.schedule(
                    at,
                    Delivery::Syn {
                        from,
                        tries: tries + 1,
                    },
                );
            }
            return;
        }
        let refused = self.weather.happens(FaultKind::Refuse);
        let Some(host) = listener.map(|l| l.host).filter(|_| !refused) else {
            return self.send(from, Delivery::Rst { to: from });
        };
        let mut server = Endpoint::new(host, to, client_addr, self.buffer_bytes);
        server.state = State::Established;
        server.peer = Some(from);
        server.cut = self.draw_cut();
        server.is_mute = self.weather.happens(FaultKind::Mute);
        let key = self.open(server);
        if let Some(listener) = self.listeners.get_mut(&to) {
            listener.backlog.push_back(key);
        }
        self.wake_listener(to);
        self.send(
            key,
            Delivery::SynAck {
                to: from,
                from: key,
            },
        );
        // A connection may be cut before its first byte.
        self.transmit(key);
    }

    /// The end that a new connection is born with.
    fn draw_cut(&self) -> Option<Cut> {
        let within = self.weather.faults().cut_within_bytes;
        self.weather.happens(FaultKind::Cut).then(|| Cut {
            after_bytes: self.weather.within(FaultKind::Cut, 0..=within),
            resets: self.weather.happens(FaultKind::CutResets),
        })
    }

    fn syn_ack(&mut self, to: EndpointKey, from: EndpointKey) {
        match self.ends.get_mut(&to) {
            Some(client) => {
                client.state = State::Established;
                client.peer = Some(from);
                self.wake(to);
            }
            // The client gave up meanwhile.
            None => self.send(from, Delivery::Rst { to: from }),
        }
    }

    fn data(&mut self, to: EndpointKey, from: EndpointKey, bytes: Vec<u8>) {
        let takes = |end: &&mut Endpoint| end.state == State::Established && !end.is_orphan;
        match self.ends.get_mut(&to).filter(takes) {
            Some(end) => {
                end.received_bytes += bytes.len() as u64;
                end.received.extend(&bytes);
                self.wake(to);
                if self
                    .ends
                    .get_mut(&from)
                    .is_some_and(|end| end.handle_acked(bytes.len()))
                {
                    self.wake(from);
                }
            }
            None => {
                // Nobody reads this any more.
                self.send(to, Delivery::Rst { to: from });
                self.drop_end(to);
            }
        }
    }

    fn fin(&mut self, to: EndpointKey, from: EndpointKey) {
        let Some(end) = self
            .ends
            .get_mut(&to)
            .filter(|end| end.state == State::Established)
        else {
            return self.send(to, Delivery::Rst { to: from });
        };
        end.fin_received = true;
        self.wake(to);
        if let Some(sender) = self.ends.get_mut(&from) {
            sender.fin_acked = sender.fin_sent;
        }
        for key in [to, from] {
            self.bury(key);
        }
    }

    /// A RST arrives at an end.
    fn reset(&mut self, key: EndpointKey) {
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        end.handle_reset();
        let peer = end.peer;
        self.wake(key);
        self.bury(key);
        if let Some(peer) = peer {
            self.transmit(peer);
        }
    }

    /// What both sides have ended is dead, and gone when its program has closed it.
    fn bury(&mut self, key: EndpointKey) {
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        if end.has_ended() && end.state == State::Established {
            end.state = State::Dead;
            self.wake(key);
        }
        if self
            .ends
            .get(&key)
            .is_some_and(|end| end.is_orphan && end.state == State::Dead)
        {
            self.drop_end(key);
        }
    }

    // Ends.

    fn open(&mut self, end: Endpoint) -> EndpointKey {
        let key = EndpointKey(self.made);
        self.made += 1;
        self.ends.insert(key, end);
        key
    }

    /// Forgets an end that its program has closed.
    fn drop_end(&mut self, key: EndpointKey) {
        if self.ends.get(&key).is_some_and(|end| end.is_orphan) {
            self.ends.remove(&key);
        }
    }
}

fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}
