//! What is lost on its way, and what the kernels make of it: holes in a path, sending again, probes,
//! and the time after which a kernel gives a connection up.
//!
//! A hole is of one direction of one connection: what goes into it never arrives, acknowledgements
//! included. Bytes and FINs are sent again, with doubling pauses, and what comes behind them waits: TCP
//! gives nothing out of order. A RST is sent once. Timers run only where something is in doubt; a probe
//! that would be answered is not made.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::endpoint::{Endpoint, EndpointKey, State};
use super::faults::FaultKind;
use super::network::{Delivery, Network};
use crate::time::Time;

/// Before the first sending again, on a fast path (TCP_RTO_MIN), and at most (TCP_RTO_MAX).
const RESEND_MIN: Duration = Duration::from_millis(200);
const RESEND_MAX: Duration = Duration::from_secs(120);
/// Sendings again before a kernel gives up, where TCP_USER_TIMEOUT does not say (tcp_retries2).
const RESENDS_MAX: u32 = 15;
/// How long a drawn hole lasts: from less than a first sending again.
const HOLE_NANOS: std::ops::RangeInclusive<u64> = 50_000_000..=6_000_000_000;

/// Why a connection was given up: nothing came back, or a router had said why (sk_err_soft).
const GIVEN_UP: [i32; 4] = [
    libc::ETIMEDOUT,
    libc::ETIMEDOUT,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
];

/// From one address to another nothing arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    until: Time,
    /// What is told where a kernel gives up.
    errno: i32,
}

/// What is sent until it is acknowledged.
#[derive(Debug)]
pub(super) enum Segment {
    Data(Vec<u8>),
    Fin,
}

/// What an end knows of the way to its peer.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// Went into a hole, or waits behind what did.
    lost: VecDeque<Segment>,
    /// Since when something of ours is in doubt: the timer of sending again runs.
    doubted_since: Option<Time>,
    resends: u32,
    /// What we have received and our peer has not been told of.
    pub(super) bytes_owed: usize,
    pub(super) fin_owed: bool,
    keepalive_runs: bool,
    probes: u32,
    /// Since when the peer's window is shut and something waits for it.
    shut_since: Option<Time>,
    shut_timer_runs: bool,
}

impl Network {
    /// A hole in one direction of a connection.
    pub(crate) fn dig(&mut self, from: SocketAddr, to: SocketAddr, until: Time, errno: i32) {
        self.holes.insert((from, to), Hole { until, errno });
        let of = |end: &Endpoint| [(from, to), (to, from)].contains(&(end.local, end.remote));
        let ends = self.ends.iter().filter(|(_, end)| of(end));
        let ends: Vec<EndpointKey> = ends.map(|(key, _)| *key).collect();
        for key in ends {
            self.doubt(key);
        }
    }

    /// Whether what is sent now arrives.
    pub(super) fn is_open(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let hole = self.holes.get(&(from, to));
        hole.is_none_or(|hole| hole.until <= self.now)
    }

    /// All holes close; what was lost is sent again when its time comes.
    pub(crate) fn fill_holes(&mut self) {
        self.holes.clear();
    }

    /// What was lost is sent again now.
    pub(super) fn resend_all(&mut self) {
        let doubted = |end: &Endpoint| end.path.doubted_since.is_some();
        let ends = self.ends.iter().filter(|(_, end)| doubted(end));
        let ends: Vec<EndpointKey> = ends.map(|(key, _)| *key).collect();
        for of in ends {
            self.schedule(self.now, Delivery::Resend { of });
        }
    }

    /// A hole may open in front of a segment, and in the way back, for a while or until it is healed.
    fn draw_hole(&mut self, key: EndpointKey) {
        let stays = self.weather.happens(FaultKind::HoleStays);
        let kind = match self.weather.happens(FaultKind::Hole) {
            _ if stays => FaultKind::HoleStays,
            true => FaultKind::Hole,
            false => return,
        };
        let Some(end) = self.ends.get(&key) else {
            return;
        };
        let (local, remote) = (end.local, end.remote);
        let nanos = self.weather.within(kind, HOLE_NANOS);
        let until = match stays {
            true => Time::NEVER,
            false => self.now.after(Duration::from_nanos(nanos)),
        };
        let errno = GIVEN_UP[self.weather.within(kind, 0..=3) as usize];
        let directions = [
            vec![(local, remote)],
            vec![(remote, local)],
            vec![(local, remote), (remote, local)],
        ];
        for (from, to) in &directions[self.weather.within(kind, 0..=2) as usize] {
            self.dig(*from, *to, until, errno);
        }
    }

    // Sending, and sending again.

    /// Sends what must arrive.
    pub(super) fn send_segment(&mut self, key: EndpointKey, segment: Segment) {
        self.draw_hole(key);
        let Some(end) = self.ends.get(&key) else {
            return;
        };
        let (is_first, way) = (end.path.lost.is_empty(), (end.local, end.remote));
        if is_first && self.is_open(way.0, way.1) {
            return self.send_over(key, segment);
        }
        if let Some(end) = self.ends.get_mut(&key) {
            end.path.lost.push_back(segment);
        }
        self.await_acknowledgement(key);
    }

    fn send_over(&mut self, from: EndpointKey, segment: Segment) {
        self.tell_owed(from);
        let Some(to) = self.ends.get(&from).and_then(|end| end.peer) else {
            return;
        };
        let delivery = match segment {
            Segment::Data(bytes) => Delivery::Data { to, from, bytes },
            Segment::Fin => Delivery::Fin { to, from },
        };
        self.send(from, delivery);
    }

    /// What `receiver` has got is told to its peer, with all it was not told of before.
    pub(super) fn acknowledge(&mut self, receiver: EndpointKey, bytes: usize, fin: bool) {
        let Some(end) = self.ends.get_mut(&receiver) else {
            return;
        };
        end.path.bytes_owed += bytes;
        end.path.fin_owed |= fin;
        let (way, sender) = ((end.local, end.remote), end.peer);
        let Some(sender) = sender.filter(|key| self.ends.contains_key(key)) else {
            return;
        };
        if !self.is_open(way.0, way.1) {
            return self.await_acknowledgement(sender);
        }
        let (mut bytes, mut fin) = (0, false);
        // The room it makes is known at once, what TCP_INFO says of it in its turn.
        let fastest = Duration::from_nanos(*self.latency_nanos.start());
        let mut told_at = self.now.after(fastest);
        if let Some(end) = self.ends.get_mut(&receiver) {
            bytes = std::mem::take(&mut end.path.bytes_owed);
            fin = std::mem::take(&mut end.path.fin_owed);
            told_at = told_at.max(end.last_arrival);
        }
        if let Some(end) = self.ends.get_mut(&sender) {
            end.heard_at = self.now;
            end.fin_acked |= fin && end.fin_sent;
            let makes_room = end.handle_acked(bytes);
            end.handle_told(self.now, told_at);
            if makes_room {
                self.wake(sender);
            }
        }
        self.watch_window(sender);
    }

    pub(super) fn await_acknowledgement(&mut self, key: EndpointKey) {
        let now = self.now;
        let end = self.ends.get_mut(&key);
        let Some(end) = end.filter(|end| end.path.doubted_since.is_none()) else {
            return;
        };
        (end.path.doubted_since, end.path.resends) = (Some(now), 0);
        let at = end.next_resend(now, now);
        self.schedule(at, Delivery::Resend { of: key });
    }

    /// The timer of sending again.
    pub(super) fn resend(&mut self, key: EndpointKey) {
        let end = self.ends.get(&key);
        let Some(end) = end.filter(|end| end.state == State::Established) else {
            return;
        };
        let Some(since) = end.path.doubted_since else {
            return;
        };
        let peer = end.peer.filter(|peer| self.ends.contains_key(peer));
        let owes = |peer: &EndpointKey| {
            self.ends[peer].path.bytes_owed > 0 || self.ends[peer].path.fin_owed
        };
        let is_open = self.is_open(end.local, end.remote);
        let is_back_open = self.is_open(end.remote, end.local);
        let is_told = end.path.lost.is_empty() && peer.is_some_and(|peer| !owes(&peer));
        if is_open {
            self.send_lost(key);
        }
        if is_told || is_open && is_back_open {
            if let Some(end) = self.ends.get_mut(&key) {
                end.path.doubted_since = None;
            }
            return match peer {
                Some(peer) => self.acknowledge(peer, 0, false),
                None => self.send(key, Delivery::Rst { to: key }),
            };
        }
        let now = self.now;
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        end.path.resends += 1;
        let gives_up = match end.user_timeout {
            Some(timeout) => now >= since.after(timeout),
            None => end.path.resends > RESENDS_MAX,
        };
        if gives_up {
            return self.give_up(key);
        }
        let at = end.next_resend(now, since);
        self.schedule(at, Delivery::Resend { of: key });
    }

    fn send_lost(&mut self, key: EndpointKey) {
        while let Some(end) = self.ends.get_mut(&key) {
            let Some(segment) = end.path.lost.pop_front() else {
                return;
            };
            self.send_over(key, segment);
        }
    }

    // Silence.

    /// It is kept alive from now on; its peer may have gone before that, without a word.
    pub(super) fn doubt_who_is_gone(&mut self, key: EndpointKey) {
        let end = self.ends.get(&key);
        let is_alone = end.is_some_and(|end| {
            let ways = [(end.local, end.remote), (end.remote, end.local)];
            let has_peer = end.peer.is_some_and(|peer| self.ends.contains_key(&peer));
            !has_peer || ways.iter().any(|way| self.holes.contains_key(way))
        });
        if is_alone {
            self.doubt(key);
        }
    }

    /// Something may never come from the peer: the keepalive timer is worth its while.
    fn doubt(&mut self, key: EndpointKey) {
        let now = self.now;
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        let Some(keepalive) = end.keepalive.filter(|_| !end.path.keepalive_runs) else {
            return;
        };
        (end.path.keepalive_runs, end.path.probes) = (true, 0);
        let at = end.heard_at.after(keepalive.idle).max(now);
        self.schedule(at, Delivery::Keepalive { of: key });
    }

    /// The keepalive timer (tcp_keepalive_timer): it waits while anything of ours is on its way, and
    /// TCP_USER_TIMEOUT, where set, decides instead of the number of probes.
    pub(super) fn keepalive(&mut self, key: EndpointKey) {
        let end = self.ends.get_mut(&key);
        let Some(end) = end.filter(|end| end.state == State::Established && !end.is_orphan) else {
            return;
        };
        let Some(keepalive) = end.keepalive else {
            return;
        };
        let quiet = self.now.since(end.heard_at);
        if end.queued() > 0 || quiet < keepalive.idle {
            let waits = match end.queued() {
                0 => keepalive.idle - quiet,
                _ => keepalive.idle,
            };
            let at = self.now.after(waits);
            return self.schedule(at, Delivery::Keepalive { of: key });
        }
        let probes = end.path.probes;
        let (local, remote, peer) = (end.local, end.remote, end.peer);
        let gives_up = match end.user_timeout {
            Some(timeout) => probes > 0 && quiet >= timeout,
            None => probes >= keepalive.count,
        };
        if gives_up {
            if self.is_open(local, remote) {
                self.reset_peer(key);
            }
            return self.give_up(key);
        }
        if self.is_open(local, remote) && self.is_open(remote, local) {
            return self.probe_is_answered(key, peer);
        }
        if let Some(end) = self.ends.get_mut(&key) {
            end.path.probes += 1;
        }
        let at = self.now.after(keepalive.interval);
        self.schedule(at, Delivery::Keepalive { of: key });
    }

    fn probe_is_answered(&mut self, key: EndpointKey, peer: Option<EndpointKey>) {
        let peer = peer.and_then(|peer| self.ends.get(&peer));
        if peer.is_none_or(|peer| peer.state != State::Established) {
            return self.send(key, Delivery::Rst { to: key });
        }
        if let Some(end) = self.ends.get_mut(&key) {
            end.heard_at = self.now;
            end.path.keepalive_runs = false;
        }
    }

    /// Notes whether bytes wait for a window that is shut. A kernel waits for ever, but for
    /// TCP_USER_TIMEOUT (tcp_probe_timer).
    pub(super) fn watch_window(&mut self, key: EndpointKey) {
        let end = self.ends.get(&key);
        let Some(end) = end.filter(|end| end.state == State::Established) else {
            return;
        };
        let peer = end.peer.and_then(|peer| self.ends.get(&peer));
        let waits = !end.unsent.is_empty() && end.in_flight == 0;
        let is_shut = waits && peer.is_some_and(|peer| peer.window() == 0);
        let now = self.now;
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        if !is_shut {
            end.path.shut_since = None;
            return;
        }
        let since = *end.path.shut_since.get_or_insert(now);
        let timeout = end.user_timeout.filter(|_| !end.path.shut_timer_runs);
        if let Some(timeout) = timeout {
            end.path.shut_timer_runs = true;
            self.schedule(since.after(timeout), Delivery::WindowTimeout { of: key });
        }
    }

    pub(super) fn window_timeout(&mut self, key: EndpointKey) {
        let now = self.now;
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        end.path.shut_timer_runs = false;
        let Some((since, timeout)) = end.path.shut_since.zip(end.user_timeout) else {
            return;
        };
        match now >= since.after(timeout) {
            true => self.give_up(key),
            false => self.watch_window(key),
        }
    }

    /// A kernel gives a connection up; its peer is told nothing (tcp_write_err).
    fn give_up(&mut self, key: EndpointKey) {
        let Some(end) = self.ends.get(&key) else {
            return;
        };
        let ways = [(end.local, end.remote), (end.remote, end.local)];
        let hole = ways.iter().find_map(|way| self.holes.get(way));
        let errno = hole.map_or(libc::ETIMEDOUT, |hole| hole.errno);
        self.fail(key, errno);
    }
}

impl Endpoint {
    /// When what is in doubt is sent again, or given up.
    fn next_resend(&self, now: Time, since: Time) -> Time {
        let pause = RESEND_MIN * 2_u32.saturating_pow(self.path.resends);
        let at = now.after(pause.min(RESEND_MAX));
        let last = self.user_timeout.map(|timeout| since.after(timeout));
        last.map_or(at, |last| at.min(last))
    }
}
