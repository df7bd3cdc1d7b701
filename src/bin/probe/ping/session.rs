//! One target's probes, one after the other, as a state machine without sockets.
//!
//! ```text
//!   Waiting{due} ──start_connecting──► Connecting ──connected, asked──► Awaiting
//!        ▲   └──────start_on (reuse)──────────────────────asked──────────►│
//!        └──────────answer, lost, fail, expire: one Probe, once───────────┘
//! ```
//!
//! A kept connection that was lost or refused is tried for again after a pause; a probe that is due before fails at
//! once (`start_away`), as the last did.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taut::{Class, ConnectionId, Error, Phase, Sent, Source, TcpInfo, TlsInfo};

use super::Asked;
use super::away::Away;
use crate::report::Failure;
use crate::target::Target;

#[derive(Clone, Copy, Debug)]
enum Stage {
    Waiting {
        due: Instant,
    },
    Connecting {
        deadline: Instant,
    },
    Awaiting {
        deadline: Instant,
        asked: Instant,
        received_before: u64,
    },
    Done,
}

/// How one probe went; what it did not come to is `None`.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) seq: u64,
    pub(super) started: Instant,
    pub(super) dns: Option<Duration>,
    pub(super) connect: Option<Duration>,
    /// The TLS handshake, where this probe made one.
    pub(super) tls: Option<Duration>,
    /// From the write of the request.
    pub(super) first_byte: Option<Duration>,
    /// From the start to the whole reply; on a kept connection from the write.
    pub(super) total: Option<Duration>,
    pub(super) addr: Option<SocketAddr>,
    pub(super) tcp: Option<TcpInfo>,
    /// Of its connection, also of a handshake that failed.
    pub(super) tls_info: Option<Arc<TlsInfo>>,
    pub(super) failure: Option<Failure>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) target: Target,
    pub(super) connection: Option<ConnectionId>,
    connects: u64,
    peer: Option<SocketAddr>,
    tls_info: Option<Arc<TlsInfo>>,
    stage: Stage,
    /// The probe under way.
    probe: Probe,
    left: Option<u64>,
    /// The connection is kept for the next probe.
    reuse: bool,
    /// What is kept is not there.
    away: Option<Away>,
}

impl Session {
    pub(super) fn new(target: Target, count: Option<u64>, reuse: bool, now: Instant) -> Session {
        Session {
            target,
            connection: None,
            connects: 0,
            peer: None,
            tls_info: None,
            stage: Stage::Waiting { due: now },
            probe: Probe::new(0, now),
            left: count,
            reuse,
            away: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Whether a probe is under way.
    pub(super) fn is_probing(&self) -> bool {
        matches!(
            self.stage,
            Stage::Connecting { .. } | Stage::Awaiting { .. }
        )
    }

    pub(super) fn is_awaiting(&self) -> bool {
        matches!(self.stage, Stage::Awaiting { .. })
    }

    /// Connections made after the first one, where one is kept.
    pub(super) fn reconnects(&self) -> u64 {
        if self.reuse {
            self.connects.saturating_sub(1)
        } else {
            0
        }
    }

    /// When the present probe, or the last one, was started.
    pub(super) fn started(&self) -> Instant {
        self.probe.started
    }

    /// When the next probe is due, or the present one ends.
    pub(super) fn next_instant(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waiting { due } => Some(due),
            Stage::Connecting { deadline } | Stage::Awaiting { deadline, .. } => Some(deadline),
            Stage::Done => None,
        }
    }

    pub(super) fn start_connecting(&mut self, now: Instant, asked: &Asked) {
        self.probe = Probe::new(self.probe.seq + 1, now);
        self.stage = Stage::Connecting {
            deadline: now + asked.timeout,
        };
    }

    /// What is kept is not there, and may not be tried for yet: the probe has failed as the last did.
    pub(super) fn start_away(&mut self, now: Instant, asked: &Asked) -> Option<Probe> {
        let away = self.away.as_ref().filter(|away| now < away.until)?;
        let failure = away.failure.clone();
        self.probe = Probe::new(self.probe.seq + 1, now);
        Some(self.end_failed(failure, now, asked))
    }

    /// On the connection that is kept, which has received so much.
    pub(super) fn start_on(&mut self, now: Instant, received: u64, asked: &Asked) {
        self.probe = Probe {
            addr: self.peer,
            tls_info: self.tls_info.clone(),
            ..Probe::new(self.probe.seq + 1, now)
        };
        let deadline = now + asked.timeout;
        self.stage = Stage::Awaiting {
            deadline,
            asked: now,
            received_before: received,
        };
    }

    /// The connection stands, with what is known of its TLS.
    pub(super) fn connected(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        dns: Option<Duration>,
        tls_info: Option<TlsInfo>,
    ) {
        self.looked_up(dns);
        self.probe.tls = tls_info.as_ref().and_then(|info| info.handshake);
        self.shaken_hands(tls_info);
        let before = dns.unwrap_or_default() + self.probe.tls.unwrap_or_default();
        let elapsed = now - self.probe.started;
        self.probe.connect = Some(elapsed.saturating_sub(before));
        self.probe.addr = Some(peer);
        self.peer = Some(peer);
        self.connects += 1;
        if let Stage::Connecting { deadline } = self.stage {
            self.stage = Stage::Awaiting {
                deadline,
                asked: now,
                received_before: 0,
            };
        }
    }

    /// This much is known of a handshake, also of one that did not end.
    pub(super) fn shaken_hands(&mut self, tls_info: Option<TlsInfo>) {
        if matches!(self.stage, Stage::Connecting { .. }) {
            self.tls_info = tls_info.map(Arc::new);
            self.probe.tls_info.clone_from(&self.tls_info);
        }
    }

    /// The lookup took so long, if it has ended.
    pub(super) fn looked_up(&mut self, took: Option<Duration>) {
        if matches!(self.stage, Stage::Connecting { .. }) {
            self.probe.dns = took;
        }
    }

    /// The request goes out now.
    pub(super) fn asked(&mut self, now: Instant) {
        if let Stage::Awaiting { asked, .. } = &mut self.stage {
            *asked = now;
        }
    }

    /// The connection has received so much.
    pub(super) fn received(&mut self, bytes: u64) {
        if let Stage::Awaiting {
            asked,
            received_before,
            ..
        } = self.stage
            && bytes > received_before
            && self.probe.first_byte.is_none()
        {
            self.probe.first_byte = Some(asked.elapsed());
        }
    }

    pub(super) fn answer(
        &mut self,
        now: Instant,
        reply: &[u8],
        tcp: Option<TcpInfo>,
        ask: &Asked,
    ) -> Probe {
        let from = match self.stage {
            Stage::Awaiting { asked, .. } if self.reuse => asked,
            _ => self.probe.started,
        };
        self.probe.total = Some(now - from);
        self.probe.tcp = tcp;
        if ask
            .expect
            .as_ref()
            .is_some_and(|expect| !expect.matches(reply))
        {
            self.probe.failure = Some(Failure::mismatch());
        } else {
            self.away = None;
        }
        self.end(now, ask)
    }

    /// Its connection has ended, or was never made.
    pub(super) fn lost(
        &mut self,
        error: Option<Error>,
        now: Instant,
        random: u64,
        ask: &Asked,
    ) -> Probe {
        let error = error.unwrap_or(self.error(Class::Transient, Source::Eof));
        // A raw connection knows no requests: what ended it while a reply was awaited ended the read of it, or the
        // write where not a byte had left.
        let phase = match (error.phase, error.sent, self.stage) {
            (Phase::Idle, Sent::No, Stage::Awaiting { .. }) => Phase::Write,
            (Phase::Idle, _, Stage::Awaiting { .. }) => Phase::Read,
            (phase, ..) => phase,
        };
        let sent = match self.probe.first_byte {
            Some(_) => Sent::Yes,
            None => error.sent,
        };
        let error = Error {
            phase,
            sent,
            ..error
        };
        self.go_away(error.into(), now, random);
        self.end_failed(error.into(), now, ask)
    }

    /// Its deadline has passed; the lookup took so long, if it has ended.
    pub(super) fn expire(
        &mut self,
        dns: Option<Duration>,
        now: Instant,
        random: u64,
        ask: &Asked,
    ) -> Probe {
        self.looked_up(dns);
        let error = self.error(Class::Local, Source::Deadline);
        self.fail(error.into(), now, random, ask)
    }

    /// It cannot go on. Where no connection stands, none was made.
    pub(super) fn fail(
        &mut self,
        failure: Failure,
        now: Instant,
        random: u64,
        ask: &Asked,
    ) -> Probe {
        if matches!(self.stage, Stage::Connecting { .. }) {
            self.go_away(failure.clone(), now, random);
        }
        self.end_failed(failure, now, ask)
    }

    fn go_away(&mut self, failure: Failure, now: Instant, random: u64) {
        if self.reuse {
            self.away = Some(Away::after(self.away.take(), now, failure, random));
        }
    }

    fn end_failed(&mut self, failure: Failure, now: Instant, ask: &Asked) -> Probe {
        self.probe.failure = Some(failure);
        self.end(now, ask)
    }

    fn error(&self, class: Class, source: Source) -> Error {
        let (phase, sent) = match (self.stage, self.probe.first_byte) {
            (Stage::Awaiting { .. }, Some(_)) => (Phase::Read, Sent::Yes),
            (Stage::Awaiting { .. }, None) => (Phase::Read, Sent::Maybe),
            _ if self.probe.tls_info.is_some() => (Phase::Handshake, Sent::No),
            _ if self.probe.dns.is_none() => (Phase::Resolve, Sent::No),
            _ => (Phase::Connect, Sent::No),
        };
        Error {
            class,
            phase,
            sent,
            source,
        }
    }

    /// The next probe is an interval after the start of this one, or now when that is past. Without an interval none is
    /// due while it could only fail: they would do so without end.
    fn end(&mut self, now: Instant, ask: &Asked) -> Probe {
        self.left = self.left.map(|left| left - 1);
        let soonest = match &self.away {
            Some(away) if ask.interval.is_zero() => now.max(away.until),
            _ => now,
        };
        self.stage = match self.left {
            Some(0) => Stage::Done,
            _ => Stage::Waiting {
                due: (self.probe.started + ask.interval).max(soonest),
            },
        };
        self.probe.clone()
    }
}

impl Probe {
    fn new(seq: u64, started: Instant) -> Probe {
        Probe {
            seq,
            started,
            dns: None,
            connect: None,
            tls: None,
            first_byte: None,
            total: None,
            addr: None,
            tcp: None,
            tls_info: None,
            failure: None,
        }
    }
}

#[cfg(test)]
mod tests;
