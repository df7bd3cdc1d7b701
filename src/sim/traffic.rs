//! What goes between kernels: SYN, data, FIN and RST, and what each does where it arrives.
//!
//! Acknowledgements and window updates take no time, but for what TCP_INFO says of them; everything
//! else takes a latency, in order per direction. The connecting side's SYN is tried again after a
//! second, doubling, as Linux does.

use std::io;
use std::time::Duration;

use super::endpoint::{Endpoint, EndpointKey, State};
use super::faults::FaultKind;
use super::loss::Segment;
use super::network::{Delivery, Network};

/// How long a window is shut that opens again.
const SHUT_NANOS: std::ops::RangeInclusive<u64> = 10_000..=2_000_000_000;

impl Network {
    // What a program does.

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
        self.moved += *outcome.as_ref().unwrap_or(&0) as u64;
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
        self.moved += *outcome.as_ref().unwrap_or(&0) as u64;
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
            self.send_segment(key, Segment::Data(bytes));
        }
        self.watch_window(key);
        let Some(end) = self.ends.get(&key) else {
            return;
        };
        let Some(to) = end.peer.filter(|_| end.state == State::Established) else {
            return;
        };
        if let Some(cut) = end.cut.filter(|cut| cut.after_bytes == end.sent_bytes) {
            if !cut.resets && self.is_open(end.local, end.remote) {
                self.tell_owed(key);
                self.send(key, Delivery::Fin { to, from: key });
            }
            if cut.resets || cut.resets_after_fin {
                self.reset_peer(key);
            }
            return self.reset(key);
        }
        if end.is_shut && end.unsent.is_empty() && !end.fin_sent {
            if let Some(end) = self.ends.get_mut(&key) {
                end.fin_sent = true;
            }
            self.send_segment(key, Segment::Fin);
        }
    }

    /// Each segment says what was received before it, also what the peer could not be told of.
    pub(super) fn tell_owed(&mut self, key: EndpointKey) {
        let end = self.ends.get(&key);
        if end.is_some_and(|end| end.path.bytes_owed > 0 || end.path.fin_owed) {
            self.acknowledge(key, 0, false);
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

    /// A RST is sent once; a hole swallows it.
    pub(super) fn reset_peer(&mut self, key: EndpointKey) {
        let Some(end) = self.ends.get(&key) else {
            return;
        };
        if let Some(to) = end.peer.filter(|_| self.is_open(end.local, end.remote)) {
            self.send(key, Delivery::Rst { to });
        }
    }

    /// What `from` sent to `to` meets nobody.
    fn refuse_segment(&mut self, to: EndpointKey, from: EndpointKey) {
        let sender = self.ends.get(&from);
        if sender.is_some_and(|end| self.is_open(end.remote, end.local)) {
            self.send(to, Delivery::Rst { to: from });
        } else {
            // It is sent again, and finds nobody again.
            self.await_acknowledgement(from);
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
            Delivery::Fails { of, errno } => self.connect_fails(of, errno),
            Delivery::SoftError { of, errno } => self.soft_error(of, errno),
            Delivery::Window { of } => self.open_window(of),
            Delivery::Resend { of } => self.resend(of),
            Delivery::Keepalive { of } => self.keepalive(of),
            Delivery::WindowTimeout { of } => self.window_timeout(of),
            Delivery::Room { of } => {
                if self.ends.get_mut(&of).is_some_and(Endpoint::makes_room) {
                    self.wake(of);
                }
            }
            Delivery::Name { host, resolved } => self.looked_up(host, resolved),
        }
    }

    fn data(&mut self, to: EndpointKey, from: EndpointKey, bytes: Vec<u8>) {
        let now = self.now;
        let takes = |end: &&mut Endpoint| end.state == State::Established && !end.is_orphan;
        match self.ends.get_mut(&to).filter(takes) {
            Some(end) => {
                end.received_bytes += bytes.len() as u64;
                end.received.extend(&bytes);
                end.heard_at = now;
                self.wake(to);
                self.draw_shut_window(to);
                self.acknowledge(to, bytes.len(), false);
            }
            None => {
                // Nobody reads this any more.
                self.refuse_segment(to, from);
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
            return self.refuse_segment(to, from);
        };
        end.fin_received = true;
        self.wake(to);
        self.acknowledge(to, 0, true);
        for key in [to, from] {
            self.bury(key);
        }
    }

    /// A window may shut behind what it has just taken.
    fn draw_shut_window(&mut self, of: EndpointKey) {
        if !self.weather.happens(FaultKind::ShutWindow) {
            return;
        }
        let nanos = self.weather.within(FaultKind::ShutWindow, SHUT_NANOS);
        let end = self.ends.get_mut(&of);
        if let Some(end) = end.filter(|end| !end.is_mute) {
            end.is_mute = true;
            let at = self.now.after(Duration::from_nanos(nanos));
            self.schedule(at, Delivery::Window { of });
        }
    }

    /// A window that was shut opens, and its peer is told.
    pub(super) fn open_window(&mut self, of: EndpointKey) {
        let Some(end) = self.ends.get_mut(&of) else {
            return;
        };
        end.is_mute = false;
        if let Some(peer) = end.peer {
            self.transmit(peer);
        }
    }

    /// A kernel ends an end of its own, with an error.
    pub(super) fn fail(&mut self, key: EndpointKey, errno: i32) {
        let end = self.ends.get_mut(&key);
        if let Some(end) = end.filter(|end| end.state != State::Dead) {
            end.die(errno);
            self.wake(key);
            self.bury(key);
        }
    }

    /// A RST arrives at an end.
    pub(super) fn reset(&mut self, key: EndpointKey) {
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
    pub(super) fn bury(&mut self, key: EndpointKey) {
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

    pub(super) fn open(&mut self, end: Endpoint) -> EndpointKey {
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
