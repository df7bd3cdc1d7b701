//! What lies between a session and its line on one connection: ciphertext that waits for the kernel, plaintext that a
//! look before a write has brought in, and how the session ends.
//!
//! ```text
//!   in    line ──receive──► session ──► the program's buffer
//!         line ──look─────► session ──► held ──take_held──► the program's buffer
//!   out   the program's queue ──seal──► out ──pending, written──► line
//! ```
//! Bytes of the program are sealed only when all that was sealed before has left: `out` holds at most one seal and what
//! the session says itself. An end is told when everything before it was handed out.

use super::seals::Seals;
use super::{SEAL_BYTES_MAX, Session, TlsInfo};
use crate::buffer::{Pool, SendQueue};
use crate::error::Source;

/// Bytes that wait for the kernel above which the session's own words are not put behind them. A handshake's are less.
const WORDS_ABOVE_BYTES_MAX: usize = 128 << 10;

/// How the peer's half of a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// By the peer, as it should (close_notify).
    Closed,
    /// It broke.
    Failed(Source),
}

#[derive(Debug)]
pub(crate) struct Secured {
    session: Box<dyn Session>,
    out: SendQueue,
    /// Bytes received of the line.
    received: u64,
    /// Plaintext that a look has brought in, and nobody has taken yet.
    held: Vec<u8>,
    end: Option<LineEnd>,
    /// Where the program's bytes lie, if somebody asks for it.
    seals: Option<Seals>,
    /// Our half was ended.
    is_closed: bool,
}

impl Secured {
    /// The session's first words are ready. With `is_asked` it can be told what has left and what was acknowledged.
    pub(crate) fn new(session: Box<dyn Session>, is_asked: bool, pool: &mut Pool) -> Secured {
        let mut secured = Secured {
            session,
            out: SendQueue::new(usize::MAX),
            received: 0,
            held: Vec::new(),
            end: None,
            seals: is_asked.then(Seals::default),
            is_closed: false,
        };
        secured.take_words(pool);
        secured
    }

    // In.

    /// Bytes of the line have come: what they hold of the program's goes to `program`, behind what a look has brought
    /// in. To be called only when that was taken.
    pub(crate) fn receive(&mut self, line: &[u8], pool: &mut Pool, program: &mut dyn FnMut(&[u8])) {
        debug_assert!(self.held.is_empty(), "out of order");
        self.received += line.len() as u64;
        if self.end.is_some() {
            return;
        }
        let received = self.session.receive(line, program);
        self.take_words(pool);
        self.end = match received {
            Err(source) => Some(LineEnd::Failed(source)),
            Ok(()) if self.session.is_peer_closed() => Some(LineEnd::Closed),
            Ok(()) => None,
        };
    }

    /// The same, for a look before a write: what they hold of the program's is held.
    pub(crate) fn look(&mut self, line: &[u8], pool: &mut Pool) {
        let mut held = std::mem::take(&mut self.held);
        self.receive(line, pool, &mut |bytes| held.extend_from_slice(bytes));
        self.held = held;
    }

    /// Whether a look has brought in what nobody has taken yet.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Storage that it has borrowed.
    #[cfg(test)]
    pub(crate) fn storage_bytes(&self) -> usize {
        self.held.capacity() + self.out.capacity()
    }

    /// What a look has brought in.
    pub(crate) fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// The end of the session, when all before it was taken.
    pub(crate) fn end(&self) -> Option<LineEnd> {
        self.end.filter(|_| !self.holds())
    }

    /// The end of the session, though not all before it was taken.
    pub(crate) fn known_end(&self) -> Option<LineEnd> {
        self.end
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    // Out.

    /// Whether bytes of the program may be sealed: the handshake is over, the session has not broken, and all that was
    /// sealed before has left.
    pub(crate) fn may_seal(&self) -> bool {
        let is_broken = matches!(self.end, Some(LineEnd::Failed(_)));
        self.out.is_empty() && !self.is_handshaking() && !self.is_closed && !is_broken
    }

    /// Whether its keys may seal nothing more.
    pub(crate) fn is_used_up(&self) -> bool {
        self.session.is_used_up()
    }

    /// Seals the first of these bytes of the program; `before` of them have been in its life. Returns how many.
    pub(crate) fn seal(&mut self, program: &[u8], before: u64, pool: &mut Pool) -> usize {
        debug_assert!(self.may_seal());
        let n = program.len().min(SEAL_BYTES_MAX);
        let session = &mut self.session;
        self.out
            .append(pool, |line| session.seal(&program[..n], line));
        if let Some(seals) = &mut self.seals {
            seals.put(before + n as u64, self.out.queued_bytes());
        }
        n
    }

    /// What waits for the kernel.
    pub(crate) fn pending(&self) -> &[u8] {
        self.out.pending()
    }

    /// The kernel took so many bytes of it.
    pub(crate) fn written(&mut self, n: usize, pool: &mut Pool) {
        self.out.written(n, pool);
        if self.out.is_empty() {
            self.take_words(pool);
        }
    }

    /// Nothing more will leave.
    pub(crate) fn abandon(&mut self) {
        self.out.abandon();
    }

    /// Ends our half: a close_notify goes out behind what waits. Once.
    pub(crate) fn close(&mut self, pool: &mut Pool) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.session.close();
            self.take_words(pool);
        }
    }

    /// Whether our half was ended, and all of it has left.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_closed && self.out.is_empty()
    }

    /// While the line is full they are left to the session, which has one answer at most to however many key updates: a
    /// peer that asks for them and never reads would grow what waits.
    fn take_words(&mut self, pool: &mut Pool) {
        let session = &mut self.session;
        if !session.has_words() || self.out.len() > WORDS_ABOVE_BYTES_MAX {
            return;
        }
        self.out.append(pool, |line| session.transmit(line));
    }

    /// Its storage goes back.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        self.out.clear(pool);
    }

    // What it says of itself.

    /// Bytes of the line that were handed to the kernel.
    pub(crate) fn line_written(&self) -> u64 {
        self.out.written_bytes()
    }

    /// Bytes of the line that were received.
    pub(crate) fn line_received(&self) -> u64 {
        self.received
    }

    /// Bytes of the program that lie wholly within so much of the line; `None` when nobody was to ask.
    pub(crate) fn within(&self, line: u64) -> Option<u64> {
        Some(self.seals.as_ref()?.within(line))
    }

    /// Whether it would be well to say how much of the line nobody asks for any more.
    pub(crate) fn is_crowded(&self) -> bool {
        self.seals.as_ref().is_some_and(Seals::is_full)
    }

    /// Nobody asks for less of the line any more.
    pub(crate) fn forget(&mut self, line: u64) {
        if let Some(seals) = &mut self.seals {
            seals.forget(line);
        }
    }

    #[cfg_attr(
        not(feature = "_tls"),
        allow(dead_code, reason = "asked for with TLS alone")
    )]
    pub(crate) fn info(&self) -> TlsInfo {
        self.session.info()
    }
}
