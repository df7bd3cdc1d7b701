//! One end of a simulated TCP connection, as the kernel that owns it sees it.
//!
//! The order of checks in `read`, `write` and `readiness` is that of Linux 6.18's tcp_recvmsg,
//! tcp_sendmsg and tcp_poll, and `handle_reset` chooses the error as tcp_reset does; what follows
//! from them is pinned on the real kernel by `tests/kernel_facts`. Never: the other end, latency, or
//! the clock, which are the network's.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::loss::Path;
use crate::kernel::{Readiness, TcpInfo};
use crate::socket_options::{Keepalive, SocketOptions};
use crate::time::Time;

/// Names an end in its network; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EndpointKey(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Our SYN is out.
    Connecting,
    /// It stands; either half may have ended.
    Established,
    /// Refused, reset, or ended by both sides.
    Dead,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: usize,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The other end, which may be gone.
    pub(super) peer: Option<EndpointKey>,
    pub(super) state: State,
    /// The token it is registered under.
    pub(super) token: Option<u64>,
    /// It is on its host's ready list: something has happened since it was last told of.
    pub(super) has_edge: bool,
    /// The program has closed it; the kernel still sends what it took.
    pub(super) is_orphan: bool,
    /// What has been received and not read.
    pub(super) received: VecDeque<u8>,
    pub(super) received_bytes_max: usize,
    pub(super) fin_received: bool,
    /// What waits for the peer's window.
    pub(super) unsent: VecDeque<u8>,
    /// Bytes between this kernel and the peer's.
    pub(super) in_flight: usize,
    pub(super) send_bytes_max: usize,
    /// Our half is ended: by the program's shutdown or close.
    pub(super) is_shut: bool,
    pub(super) fin_sent: bool,
    pub(super) fin_acked: bool,
    /// A writer met a full buffer and is owed an edge (SOCK_NOSPACE).
    pub(super) owes_room: bool,
    /// The pending error, told once.
    pub(super) error: Option<i32>,
    /// What it was, also when it has been told.
    pub(super) died_of: Option<i32>,
    /// An ICMP has come while it was connecting; POLLERR stays, also when the error was asked for.
    pub(super) has_soft_error: bool,
    /// When the last thing sent arrives: what is sent later arrives no earlier.
    pub(super) last_arrival: Time,
    /// When something last came from the peer; while connecting, when that began.
    pub(super) heard_at: Time,
    pub(super) sent_bytes: u64,
    /// Our SYN was acknowledged, and counts as one byte. An accepting end counts none.
    pub(super) syn_acked: bool,
    pub(super) acked_bytes: u64,
    /// What of that is known here: the last that has arrived, and those on their way, each with its time, the bytes, and
    /// whether our FIN is in it.
    heard: VecDeque<(Time, u64, bool)>,
    pub(super) received_bytes: u64,
    pub(super) user_timeout: Option<Duration>,
    pub(super) keepalive: Option<Keepalive>,
    /// What it knows of the way to its peer.
    pub(super) path: Path,
    /// A fault: after so many bytes to the peer this end vanishes.
    pub(super) cut: Option<Cut>,
    /// A fault: its window is shut.
    pub(super) is_mute: bool,
}

/// The end of a connection at a byte of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) after_bytes: u64,
    /// With a RST, instead of a FIN.
    pub(crate) resets: bool,
    /// With a FIN, and a RST right behind it.
    pub(crate) resets_after_fin: bool,
}

/// What can be said of bytes that were asked for.
pub(super) enum Look {
    Nothing,
    Data,
    Fin,
    Failed(io::Error),
}

impl Endpoint {
    pub(super) fn new(
        host: usize,
        local: SocketAddr,
        remote: SocketAddr,
        bytes_max: usize,
    ) -> Self {
        Endpoint {
            host,
            local,
            remote,
            peer: None,
            state: State::Connecting,
            token: None,
            has_edge: false,
            is_orphan: false,
            received: VecDeque::new(),
            received_bytes_max: bytes_max,
            fin_received: false,
            unsent: VecDeque::new(),
            in_flight: 0,
            send_bytes_max: bytes_max,
            is_shut: false,
            fin_sent: false,
            fin_acked: false,
            owes_room: false,
            error: None,
            died_of: None,
            has_soft_error: false,
            last_arrival: Time::ZERO,
            heard_at: Time::ZERO,
            sent_bytes: 0,
            syn_acked: false,
            acked_bytes: 0,
            heard: VecDeque::new(),
            received_bytes: 0,
            user_timeout: None,
            keepalive: None,
            path: Path::default(),
            cut: None,
            is_mute: false,
        }
    }

    /// The options that this kernel minds.
    pub(super) fn set(&mut self, options: &SocketOptions) {
        self.user_timeout = options.user_timeout;
        self.keepalive = options.keepalive;
    }

    /// As recv(2). A short read proves it empty, but for a FIN or an error behind the data.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.look() {
            Look::Nothing => Err(would_block()),
            Look::Fin => Ok(0),
            Look::Failed(error) => Err(error),
            Look::Data => {
                let n = into.len().min(self.received.len());
                for (to, byte) in into.iter_mut().zip(self.received.drain(..n)) {
                    *to = byte;
                }
                Ok(n)
            }
        }
    }

    /// As recv(2) with MSG_PEEK. Data comes before everything; once a FIN was received an error is
    /// left to others (SOCK_DONE).
    pub(super) fn look(&mut self) -> Look {
        if !self.received.is_empty() {
            return Look::Data;
        }
        if self.fin_received {
            return Look::Fin;
        }
        match self.error.take() {
            Some(errno) => Look::Failed(io::Error::from_raw_os_error(errno)),
            None if self.state == State::Dead => Look::Fin,
            None => Look::Nothing,
        }
    }

    /// As send(2) with MSG_NOSIGNAL, taking at most `bytes_max`.
    pub(super) fn write(&mut self, from: &[u8], bytes_max: usize) -> io::Result<usize> {
        if self.error.is_some() || self.is_shut || self.state == State::Dead {
            let errno = self.error.take().unwrap_or(libc::EPIPE);
            return Err(io::Error::from_raw_os_error(errno));
        }
        if self.state == State::Connecting {
            return Err(would_block());
        }
        let n = from.len().min(self.room()).min(bytes_max);
        if n < from.len() {
            self.owes_room = true;
        }
        if n == 0 && !from.is_empty() {
            return Err(would_block());
        }
        self.unsent.extend(&from[..n]);
        Ok(n)
    }

    /// What epoll would say of it now (tcp_poll), as mio reads it.
    pub(super) fn readiness(&mut self, token: u64) -> Readiness {
        let has_error = self.error.is_some();
        if self.state == State::Connecting {
            return Readiness {
                token,
                readable: false,
                writable: self.has_soft_error,
                read_closed: self.has_soft_error,
            };
        }
        let is_dead = self.state == State::Dead;
        let has_room = self.is_shut || is_dead || self.is_writable();
        if !has_room {
            self.owes_room = true;
        }
        Readiness {
            token,
            readable: !self.received.is_empty() || self.fin_received || is_dead,
            writable: has_room || has_error,
            read_closed: self.fin_received || is_dead || has_error,
        }
    }

    /// A RST arrived (tcp_reset). What was received before it stays readable.
    pub(super) fn handle_reset(&mut self) {
        let errno = match self.state {
            State::Dead => return,
            State::Connecting => libc::ECONNREFUSED,
            State::Established if self.fin_received && !self.is_shut => libc::EPIPE,
            State::Established => libc::ECONNRESET,
        };
        self.die(errno);
    }

    /// It is over, and an error is pending.
    pub(super) fn die(&mut self, errno: i32) {
        self.error = Some(errno);
        self.died_of = Some(errno);
        self.state = State::Dead;
        self.unsent.clear();
        self.path = Path::default();
    }

    /// The peer's kernel took `n` bytes; whether a waiting writer is to be told of the room.
    pub(super) fn handle_acked(&mut self, n: usize) -> bool {
        self.in_flight -= n;
        self.acked_bytes += n as u64;
        self.makes_room()
    }

    /// The word of what was acknowledged by now arrives then.
    pub(super) fn handle_told(&mut self, now: Time, at: Time) {
        while self.heard.get(1).is_some_and(|(at, ..)| *at <= now) {
            self.heard.pop_front();
        }
        self.heard.push_back((at, self.acked_bytes, self.fin_acked));
    }

    /// What TCP_INFO says.
    pub(super) fn info(&self, now: Time, rtt_nanos: u64) -> TcpInfo {
        let known = self.heard.iter().rev().find(|(at, ..)| *at <= now);
        let (bytes, fin) = known.map_or((0, false), |(_, bytes, fin)| (*bytes, *fin));
        let rtt = Duration::from_nanos(rtt_nanos);
        TcpInfo {
            rtt,
            rtt_min: rtt,
            bytes_acked: u64::from(self.syn_acked) + bytes + u64::from(fin),
            bytes_received: self.received_bytes + u64::from(self.fin_received),
            fin_received: self.fin_received && self.state == State::Established,
            ..TcpInfo::default()
        }
    }

    /// Whether a waiting writer is to be told that there is room (sk_stream_write_space).
    pub(super) fn makes_room(&mut self) -> bool {
        self.is_writable() && std::mem::take(&mut self.owes_room)
    }

    /// Both halves have ended and the peer knows: nothing is left but to be read.
    pub(super) fn has_ended(&self) -> bool {
        self.fin_received && self.fin_acked
    }

    /// Bytes the peer may have between its kernel and our program. Where nobody is left to hold the
    /// window shut, what is sent meets a RST.
    pub(super) fn window(&self) -> usize {
        if self.is_orphan || self.state == State::Dead {
            return usize::MAX;
        }
        match self.is_mute {
            true => 0,
            false => self.received_bytes_max.saturating_sub(self.received.len()),
        }
    }

    /// Bytes the send buffer holds.
    pub(super) fn queued(&self) -> usize {
        self.unsent.len() + self.in_flight
    }

    fn room(&self) -> usize {
        self.send_bytes_max - self.queued().min(self.send_bytes_max)
    }

    /// A third of the buffer is free (sk_stream_is_writeable).
    pub(super) fn is_writable(&self) -> bool {
        self.room() >= self.queued() / 2 && self.room() > 0
    }
}

pub(super) fn would_block() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}
