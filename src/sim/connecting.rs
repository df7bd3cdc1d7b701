//! How connections begin: SYNs, listeners and their backlogs, and what keeps one from being made.
//!
//! A SYN is sent again as Linux does it; the measured errors, and what epoll says with them, are of
//! Linux 6.18. The accepting side's end stands from the SYN on: it may be read from and written to
//! before the SYN-ACK has arrived.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::endpoint::{Cut, Endpoint, EndpointKey, State, would_block};
use super::faults::FaultKind;
use super::network::{Delivery, Network};
use crate::socket_options::SocketOptions;
use crate::time::Time;

/// Seconds from a SYN to the next: tcp_syn_linear_timeouts times one, then doubling for
/// tcp_syn_retries; behind the last comes ETIMEDOUT (ip-sysctl).
const SYN_PAUSES_S: [u64; 11] = [1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 64];
/// How much later than usual a SYN-ACK is that is late.
const LATE_NANOS: std::ops::RangeInclusive<u64> = 1_000_000..=4_000_000_000;
/// How long a listener is away.
const AWAY_NANOS: std::ops::RangeInclusive<u64> = 1_000_000..=10_000_000_000;

/// What keeps a host from connecting, and when it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// connect(2) fails: no route, no port, not allowed.
    AtOnce(i32),
    /// A router's ICMP, or that nobody answered to an ARP: the connect fails.
    Later(i32),
    /// An ICMP that comes while the socket is in the hands of a call: an error, and the socket goes
    /// on connecting until the next one (tcp_v4_err, sk_err_soft).
    Softly(i32),
}

const UNREACHABLE: [Unreachable; 7] = [
    Unreachable::AtOnce(libc::ENETUNREACH),
    Unreachable::AtOnce(libc::EADDRNOTAVAIL),
    Unreachable::AtOnce(libc::EPERM),
    Unreachable::Later(libc::EHOSTUNREACH),
    Unreachable::Later(libc::ENETUNREACH),
    Unreachable::Later(libc::ETIMEDOUT),
    Unreachable::Softly(libc::EHOSTUNREACH),
];

impl Network {
    // What a test arranges.

    /// SYNs to this address are lost for ever.
    pub(crate) fn black_hole(&mut self, address: SocketAddr) {
        self.black_holes.push(address);
    }

    /// Connects to this address fail.
    pub(crate) fn cut_off(&mut self, address: SocketAddr, unreachable: Unreachable) {
        self.unreachable.insert(address, unreachable);
    }

    /// A listener goes, with all that it has not accepted, and comes back.
    pub(crate) fn send_away(&mut self, at: SocketAddr, until: Time) {
        let Some(listener) = self.listeners.get_mut(&at) else {
            return;
        };
        listener.away_until = until;
        let (host, backlog) = (listener.host, std::mem::take(&mut listener.backlog));
        self.drop_backlog(host, backlog);
    }

    /// Nobody accepts these any more.
    pub(super) fn drop_backlog(
        &mut self,
        host: usize,
        backlog: impl IntoIterator<Item = EndpointKey>,
    ) {
        for key in backlog {
            // A close gives a descriptor back, which these never had.
            self.hosts[host].descriptors += 1;
            self.close(key, true);
        }
    }

    // What a program does.

    pub(super) fn connect(
        &mut self,
        host: usize,
        to: SocketAddr,
        options: &SocketOptions,
    ) -> io::Result<EndpointKey> {
        self.take_descriptor(host)?;
        let unreachable = self.draw_unreachable(to);
        if let Some(Unreachable::AtOnce(errno)) = unreachable {
            self.hosts[host].descriptors -= 1;
            return Err(io::Error::from_raw_os_error(errno));
        }
        let local = SocketAddr::new(self.hosts[host].address, self.next_port());
        let mut end = Endpoint::new(host, local, to, self.buffer_bytes);
        end.set(options);
        end.heard_at = self.now;
        let from = self.open(end);
        let is_lost = self.weather.happens(FaultKind::LoseEverySyn);
        match unreachable {
            Some(Unreachable::Later(errno)) => self.send(from, Delivery::Fails { of: from, errno }),
            Some(Unreachable::Softly(errno)) => {
                self.send(from, Delivery::SoftError { of: from, errno });
            }
            _ if is_lost => self.schedule_syn(
                from,
                Duration::from_secs(SYN_PAUSES_S.iter().sum()),
                SYN_PAUSES_S.len(),
            ),
            _ => self.send(from, Delivery::Syn { from, tries: 0 }),
        }
        Ok(from)
    }

    /// As accept4(2): without a descriptor it does not look whether anything waits.
    pub(super) fn accept(&mut self, host: usize, at: SocketAddr) -> io::Result<EndpointKey> {
        self.take_descriptor(host)?;
        let listener = self.listeners.get_mut(&at);
        let key = listener.and_then(|listener| listener.backlog.pop_front());
        if key.is_none() {
            self.hosts[host].descriptors -= 1;
        }
        key.ok_or_else(would_block)
    }

    fn draw_unreachable(&mut self, to: SocketAddr) -> Option<Unreachable> {
        let arranged = self.unreachable.get(&to).copied();
        let drawn = self.weather.happens(FaultKind::Unreachable);
        let last = UNREACHABLE.len() as u64 - 1;
        let which = |kind| self.weather.within(kind, 0..=last) as usize;
        arranged.or_else(|| drawn.then(|| UNREACHABLE[which(FaultKind::Unreachable)]))
    }

    // What arrives.

    pub(super) fn syn(&mut self, from: EndpointKey, tries: usize) {
        let Some(client) = self.ends.get(&from) else {
            return;
        };
        if client.state != State::Connecting {
            return;
        }
        if tries >= SYN_PAUSES_S.len() {
            return self.fail(from, libc::ETIMEDOUT);
        }
        let (to, client_addr) = (client.remote, client.local);
        if self.weather.happens(FaultKind::ListenerLeaves) {
            let nanos = self.weather.within(FaultKind::ListenerLeaves, AWAY_NANOS);
            self.send_away(to, self.now.after(Duration::from_nanos(nanos)));
        }
        let listener = self.listeners.get(&to);
        let listener = listener.filter(|listener| listener.away_until <= self.now);
        let is_full = listener.is_some_and(|l| l.backlog.len() >= l.backlog_max);
        let is_lost = self.weather.happens(FaultKind::LoseSyn);
        if self.is_silent(to) || is_full || is_lost {
            return self.send_syn_again(from, tries);
        }
        let refused = self.weather.happens(FaultKind::Refuse);
        let Some(host) = listener.map(|l| l.host).filter(|_| !refused) else {
            return self.send(from, Delivery::Rst { to: from });
        };
        let mut server = Endpoint::new(host, to, client_addr, self.buffer_bytes);
        server.state = State::Established;
        server.peer = Some(from);
        server.heard_at = self.now;
        server.cut = self.draw_cut();
        server.is_mute = self.weather.happens(FaultKind::Mute);
        if self.weather.happens(FaultKind::SlowConnect) {
            let nanos = self.weather.within(FaultKind::SlowConnect, LATE_NANOS);
            server.last_arrival = self.now.after(Duration::from_nanos(nanos));
        }
        let key = self.open(server);
        if let Some(listener) = self.listeners.get_mut(&to) {
            listener.backlog.push_back(key);
        }
        self.wake_listener(to);
        let (to, from) = (from, key);
        self.send(key, Delivery::SynAck { to, from });
        // A connection may be cut before its first byte.
        self.transmit(key);
    }

    fn send_syn_again(&mut self, from: EndpointKey, tries: usize) {
        let pause = SYN_PAUSES_S.get(tries).copied().unwrap_or_default();
        self.schedule_syn(from, Duration::from_secs(pause), tries + 1);
    }

    /// The next SYN, unless TCP_USER_TIMEOUT ends the connect before (measured to the tick).
    fn schedule_syn(&mut self, from: EndpointKey, pause: Duration, tries: usize) {
        let Some(end) = self.ends.get(&from) else {
            return;
        };
        let last = end.user_timeout.map(|timeout| end.heard_at.after(timeout));
        let at = self.now.after(pause);
        match last.filter(|last| *last <= at) {
            Some(last) => self.schedule(
                last,
                Delivery::Fails {
                    of: from,
                    errno: libc::ETIMEDOUT,
                },
            ),
            None => self.schedule(at, Delivery::Syn { from, tries }),
        }
    }

    /// The end that a new connection is born with.
    fn draw_cut(&self) -> Option<Cut> {
        let within = self.weather.faults().cut_within_bytes;
        self.weather.happens(FaultKind::Cut).then(|| Cut {
            after_bytes: self.weather.within(FaultKind::Cut, 0..=within),
            resets: self.weather.happens(FaultKind::CutResets),
            resets_after_fin: self.weather.happens(FaultKind::CutResetsAfterFin),
        })
    }

    pub(super) fn syn_ack(&mut self, to: EndpointKey, from: EndpointKey) {
        let now = self.now;
        match self.ends.get_mut(&to) {
            Some(client) if client.state == State::Connecting => {
                client.state = State::Established;
                client.syn_acked = true;
                client.peer = Some(from);
                client.heard_at = now;
                self.wake(to);
            }
            // The client gave up meanwhile.
            _ => self.send(from, Delivery::Rst { to: from }),
        }
    }

    /// A connect that is still under way fails.
    pub(super) fn connect_fails(&mut self, key: EndpointKey, errno: i32) {
        let end = self.ends.get(&key);
        if end.is_some_and(|end| end.state == State::Connecting) {
            self.fail(key, errno);
        }
    }

    pub(super) fn soft_error(&mut self, key: EndpointKey, errno: i32) {
        let end = self.ends.get_mut(&key);
        if let Some(end) = end.filter(|end| end.state == State::Connecting) {
            (end.error, end.has_soft_error) = (Some(errno), true);
            self.wake(key);
            // The next SYN meets the same router, and no call.
            let at = self.now.after(Duration::from_secs(SYN_PAUSES_S[0]));
            self.schedule(at, Delivery::Fails { of: key, errno });
        }
    }
}
