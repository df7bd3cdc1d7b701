//! What happened to a connection and what it told, and what that must add up to.
//!
//! Plain lists and plain sums: bytes out are those that were queued, in order; frames are those that the codec finds in
//! all that came; the end is told once, behind every frame before it, with the first error; no timeout is early.

use std::ops::Range;
use std::sync::Arc;

use super::cutter::Cutter;
use super::timeouts;
use crate::buffer::ReceiveBuffer;
use crate::conn::{Conn, ConnEvent, Cut, Profile};
use crate::error::{Error, Phase, Sent, Source};
use crate::fuzz::feed;
use crate::time::Time;

pub(super) struct Ledger {
    profile: Arc<Profile>,
    /// How far its life has come: resolving, connecting, open, draining, closed.
    stage: std::cell::Cell<u8>,
    /// Bytes queued and not written, and the ranges of the payloads they are of.
    pending: Vec<u8>,
    payloads: Vec<Range<u64>>,
    written: u64,
    is_broken: bool,
    /// Queued when a write failed.
    abandoned_bytes: u64,
    received: Vec<u8>,
    cuts: Vec<Told>,
    /// Frames that are not pulled, and those that are and not yet released.
    unpulled: Vec<Told>,
    pulled: Vec<Told>,
    pub(super) asks_writable: bool,
    is_half_closed: bool,
    pub(super) closed: Option<Option<Error>>,
    errno: Option<i32>,
    made_at: Time,
    tried_at: Time,
    received_at: Time,
    wrote_at: Time,
    active_at: Time,
    shut_at: Time,
}

/// A cut as it was told, with its bytes.
#[derive(Clone)]
struct Told {
    cut: Cut,
    payload: Vec<u8>,
}

impl Ledger {
    pub(super) fn new(now: Time, profile: Arc<Profile>) -> Ledger {
        Ledger {
            profile,
            stage: std::cell::Cell::new(0),
            pending: Vec::new(),
            payloads: Vec::new(),
            written: 0,
            is_broken: false,
            abandoned_bytes: 0,
            received: Vec::new(),
            cuts: Vec::new(),
            unpulled: Vec::new(),
            pulled: Vec::new(),
            asks_writable: false,
            is_half_closed: false,
            closed: None,
            errno: None,
            made_at: now,
            tried_at: now,
            received_at: now,
            wrote_at: now,
            active_at: now,
            shut_at: Time::NEVER,
        }
    }

    pub(super) fn connecting(&mut self, now: Time) {
        self.tried_at = now;
    }

    pub(super) fn connected(&mut self, now: Time) {
        (self.received_at, self.wrote_at, self.active_at) = (now, now, now);
    }

    pub(super) fn received(&mut self, now: Time, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        (self.received_at, self.active_at) = (now, now);
    }

    pub(super) fn acted(&mut self, now: Time) {
        self.active_at = now;
    }

    /// The kernel reported an error: the first one counts.
    pub(super) fn failed(&mut self, errno: i32) {
        self.errno.get_or_insert(errno);
    }

    pub(super) fn broke(&mut self) {
        self.is_broken = true;
        self.abandoned_bytes += self.pending.len() as u64;
        self.pending.clear();
        self.payloads.clear();
    }

    pub(super) fn shut(&mut self, now: Time) {
        self.shut_at = now;
    }

    /// All of the payload was queued, or none. What is queued behind a failed write is gone at once.
    pub(super) fn sent(&mut self, now: Time, payload: &[u8], range: Option<Range<u64>>) {
        let fits = self.pending.len() + payload.len() <= super::SEND_QUEUE_BYTES_MAX;
        let start = self.written + self.abandoned_bytes + self.pending.len() as u64;
        let expected = fits.then(|| start..start + payload.len() as u64);
        assert_eq!(range, expected);
        if self.pending.is_empty() {
            self.wrote_at = now;
        }
        if let Some(range) = range {
            self.active_at = now;
            if !self.is_broken {
                self.pending.extend_from_slice(payload);
                self.payloads.push(range);
            }
        }
    }

    pub(super) fn written(&mut self, now: Time, n: usize) {
        self.pending.drain(..n);
        self.written += n as u64;
        (self.wrote_at, self.active_at) = (now, now);
    }

    /// Takes the last payload back, if not a byte of it was written.
    pub(super) fn withdrawn(&mut self) -> Option<Range<u64>> {
        let written = self.written;
        let range = self.payloads.pop_if(|range| range.start >= written)?;
        if !self.is_broken {
            let left = self.pending.len() - (range.end - range.start) as usize;
            self.pending.truncate(left);
        }
        Some(range)
    }

    pub(super) fn cut(&mut self, cut: Cut, buffer: &ReceiveBuffer) {
        assert!(self.closed.is_none(), "a frame behind the end");
        let payload = match cut {
            Cut::Frame { offset, len } | Cut::Push { offset, len } => buffer
                .bytes(offset, len as usize)
                .expect("held until it is pulled")
                .to_vec(),
            Cut::Skipped { .. } => Vec::new(),
        };
        let told = Told { cut, payload };
        if !matches!(cut, Cut::Skipped { .. }) {
            self.unpulled.push(told.clone());
        }
        self.cuts.push(told);
    }

    /// The oldest frames are pulled: where they end.
    pub(super) fn pulled(&mut self, frames: usize) -> Vec<u64> {
        let frames = frames.min(self.unpulled.len());
        let told = self.unpulled.drain(..frames);
        let before = self.pulled.len();
        self.pulled.extend(told);
        let places = self.pulled[before..].iter().map(Told::place);
        places.map(|(offset, len)| offset + len as u64).collect()
    }

    pub(super) fn has_pulled(&self) -> bool {
        !self.pulled.is_empty()
    }

    pub(super) fn released(&mut self) {
        self.pulled.clear();
    }

    pub(super) fn told(&mut self, now: Time, event: ConnEvent, conn: &Conn, cutter: &Cutter) {
        assert!(self.closed.is_none(), "{event:?} behind the end");
        match event {
            ConnEvent::Writable => {
                assert!(std::mem::take(&mut self.asks_writable), "nobody asked");
                assert!(conn.queued() <= super::SEND_QUEUE_BYTES_MAX / 2);
            }
            ConnEvent::HandshakeLost(_) => unreachable!("there is no session"),
            ConnEvent::HalfClosed => {
                assert!(
                    !std::mem::replace(&mut self.is_half_closed, true),
                    "told twice"
                );
                assert!(self.profile.half_close);
            }
            ConnEvent::Closed(error) => {
                self.closed = Some(error);
                self.check_end(now, error);
                if !cutter.is_rogue {
                    self.check_cuts(error, cutter);
                }
            }
        }
    }

    pub(super) fn check(&self, conn: &Conn, buffer: &ReceiveBuffer) {
        let stage = match conn {
            _ if conn.is_resolving() => 0,
            _ if conn.is_connecting() => 1,
            _ if conn.is_closed() => 4,
            _ if conn.can_send() => 2,
            _ => 3,
        };
        assert!(stage >= self.stage.replace(stage), "a state came back");
        assert_eq!(
            conn.is_closed(),
            self.closed.is_some(),
            "an end is told, and one that is told is the end"
        );
        assert_eq!(conn.queued(), self.pending.len());
        assert!(conn.queued() <= super::SEND_QUEUE_BYTES_MAX);
        let is_silent = stage < 2 || stage == 4 || self.is_broken;
        let expected = if is_silent { &[] } else { &self.pending[..] };
        assert_eq!(conn.poll_transmit(), expected);
        assert_eq!(conn.written_bytes(), self.written);
        assert_eq!(conn.received_bytes(), self.received.len() as u64);
        for told in self.unpulled.iter().chain(&self.pulled) {
            let (offset, len) = told.place();
            assert_eq!(
                buffer.bytes(offset, len),
                Some(&told.payload[..]),
                "moved or gone"
            );
        }
        assert_eq!(buffer.unpulled() as usize, self.unpulled.len());
    }

    /// How it ended fits what happened before.
    fn check_end(&self, now: Time, error: Option<Error>) {
        let Some(error) = error else {
            return assert_eq!(self.errno, None, "an error was lost");
        };
        let is_nothing_sent = error.sent == Sent::No;
        assert_eq!(
            is_nothing_sent,
            self.written == 0,
            "{error:?} after {} bytes",
            self.written
        );
        assert_ne!(error.sent, Sent::Yes, "only a request knows that");
        match error.source {
            Source::Os(errno) => assert_eq!(Some(errno), self.errno),
            Source::Timeout(length) => {
                let limits = timeouts();
                let since = match error.phase {
                    Phase::Resolve => self.made_at,
                    Phase::Connect if length == limits.connect => self.made_at,
                    Phase::Connect => self.tried_at,
                    Phase::Write => self.wrote_at,
                    Phase::Read => self.received_at,
                    Phase::Idle => self.active_at,
                    Phase::Drain => self.shut_at,
                    phase => panic!("a timeout of {phase:?}"),
                };
                assert!(now >= since.after(length), "{error:?} is early");
            }
            _ => {}
        }
    }

    /// The frames are those that the codec finds in all that was heard; all of them, where the peer made the end.
    fn check_cuts(&self, error: Option<Error>, cutter: &Cutter) {
        let heard_max = usize::try_from(self.profile.read_bytes_max).unwrap_or(usize::MAX);
        let heard = &self.received[..self.received.len().min(heard_max)];
        let fed = feed::feed(&cutter.framing, cutter.limit, heard, &[heard.len().max(1)]);
        assert!(self.cuts.len() <= fed.cuts.len(), "more than there is");
        let mut is_offset_known = true;
        for (told, cut) in self.cuts.iter().zip(&fed.cuts) {
            is_offset_known &= !matches!(cut, feed::Cut::Skip { .. });
            told.check(*cut, heard, is_offset_known);
        }
        let is_whole = self.cuts.len() == fed.cuts.len();
        let left_over = fed.left_over as u64;
        match error.map(|error| error.source) {
            None | Some(Source::Eof) => assert!(is_whole && left_over == 0 && fed.error.is_none()),
            Some(Source::Truncated { received }) => {
                assert!(is_whole && fed.error.is_none());
                assert_eq!(received, left_over);
            }
            Some(Source::Os(_)) => assert!(is_whole && fed.error.is_none()),
            Some(Source::Oversize { .. } | Source::Malformed(_)) => {
                assert!(is_whole && fed.error.is_some());
            }
            Some(_) => {}
        }
    }
}

impl Told {
    fn place(&self) -> (u64, usize) {
        match self.cut {
            Cut::Frame { offset, len } | Cut::Push { offset, len } => (offset, len as usize),
            Cut::Skipped { .. } => (0, 0),
        }
    }

    fn check(&self, expected: feed::Cut, heard: &[u8], is_offset_known: bool) {
        match (self.cut, expected) {
            (Cut::Frame { offset, .. }, feed::Cut::Frame { start, end })
            | (Cut::Push { offset, .. }, feed::Cut::Push { start, end }) => {
                assert_eq!(self.payload, heard[start..end]);
                assert!(!is_offset_known || offset == start as u64);
            }
            (Cut::Skipped { claimed, .. }, feed::Cut::Skip { claimed: of, .. }) => {
                assert_eq!(claimed, of);
            }
            (told, found) => panic!("{told:?} where there is {found:?}"),
        }
    }
}
