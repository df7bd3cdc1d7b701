//! One side of one fake session.
//!
//! What it says is put into `words` and leaves from there, so that records go out in the order in which they were
//! scrambled. Whatever a peer sends, at most one record and one message of it are kept.

mod flights;

use std::sync::Arc;

use super::book::{Book, Page};
use super::habits::{Habits, Refusal};
use super::handshake::{MISBEHAVED, Messages, Plan};
use super::record::{self, Cipher, Kind, Malformed};
use super::{Side, record::CARRIED_BYTES_MAX};
use crate::error::{Source, TlsFault};
use crate::session::{SEAL_BYTES_MAX, Session, TlsInfo, TlsVersion};
use crate::sim::random::{Chance, Random};

/// Other keys that may be asked for without a byte of the program between; as rustls counts.
const KEY_UPDATES_MAX: u32 = 32;
const BAD_RECORD: Source = Source::Tls(TlsFault::BadRecord);

#[derive(Debug)]
pub(crate) struct FakeSession {
    side: Side,
    habits: Arc<Habits>,
    random: Random,
    book: Book,
    /// What was drawn here, and there.
    drawn: u64,
    peer: Option<u64>,
    plan: Plan,
    /// The step of the peer's next flight.
    awaited: u8,
    refusal: Option<Refusal>,
    messages: Messages,
    /// Of the line: no whole record.
    unread: Vec<u8>,
    /// Ready to leave, behind so many that have.
    words: Vec<u8>,
    said: u64,
    seals: Option<Cipher>,
    opens: Option<Cipher>,
    is_over: bool,
    is_broken: bool,
    is_silent: bool,
    has_closed: bool,
    is_peer_closed: bool,
    owes_update: bool,
    updates_in_a_row: u32,
    /// Records of data until one is broken.
    breaks_in: Option<u64>,
}

impl FakeSession {
    pub(super) fn new(
        side: Side,
        habits: Arc<Habits>,
        mut random: Random,
        book: &Book,
    ) -> FakeSession {
        let is_client = side == Side::Client;
        let refuses = random.happens(habits.refuses);
        let breaks = random.happens(habits.breaks);
        let mut session = FakeSession {
            side,
            drawn: random.next(),
            plan: habits.plan(&mut random),
            refusal: match refuses {
                true => Some(Refusal::drawn(&mut random, is_client)),
                false => habits.refusal,
            },
            breaks_in: breaks.then(|| random.within(0..=20)),
            habits,
            random,
            book: book.clone(),
            peer: None,
            awaited: u8::from(is_client),
            messages: Messages::default(),
            unread: Vec::new(),
            words: Vec::new(),
            said: 0,
            seals: None,
            opens: None,
            is_over: false,
            is_broken: false,
            is_silent: false,
            has_closed: false,
            is_peer_closed: false,
            owes_update: false,
            updates_in_a_row: 0,
        };
        session.note(|page| page.is_client = is_client);
        if is_client {
            let asked = [session.plan.round_trips, u8::from(session.plan.is_twelve)];
            session.say(0, &[&session.drawn.to_be_bytes()[..], &asked].concat());
        }
        session
    }

    // For who drives it himself.

    /// How it ends in the handshake.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    /// What names it in the book.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Says something that is of no matter to the program.
    pub(crate) fn ticket(&mut self) {
        let bytes = self.random.within(0..=60) as usize;
        self.put(Kind::Ticket, &vec![0; bytes]);
    }

    /// Goes on with another key, and has the peer do likewise.
    pub(crate) fn update_key(&mut self, asks: bool) {
        self.put(Kind::KeyUpdate, &[u8::from(asks)]);
        if let Some(seals) = &mut self.seals {
            seals.update();
        }
    }

    /// Breaks off.
    pub(crate) fn alert(&mut self, number: u8) {
        record::put(Kind::Alert, &[number], &mut self.words);
        self.has_closed = true;
        self.note(|page| page.has_failed = true);
    }

    // What it says.

    fn note(&self, write: impl FnOnce(&mut Page)) {
        self.book.write(self.drawn, write);
    }

    /// Where the line is when all that is ready has left.
    fn place(&self) -> u64 {
        self.said + self.words.len() as u64
    }

    fn put(&mut self, kind: Kind, carried: &[u8]) {
        if let Some(seals) = &mut self.seals {
            seals.seal(kind, carried, &mut self.words);
        }
    }

    fn say_by_chance(&mut self) {
        if self.side == Side::Server && self.random.happens(self.habits.tickets) {
            self.ticket();
        }
        if self.random.happens(self.habits.key_updates) {
            let asks = self.random.happens(Chance(500));
            self.update_key(asks);
        }
    }

    fn seal_record(&mut self, program: &[u8]) {
        if self.random.happens(self.habits.empty_records) {
            self.put(Kind::Data, &[]);
        }
        let from = self.words.len();
        self.put(Kind::Data, program);
        match &mut self.breaks_in {
            Some(0) => {
                let place = self.said + from as u64;
                self.words[from + record::HEADER_BYTES] ^= 1;
                self.note(|page| page.broken_at = Some(page.broken_at.unwrap_or(place)));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let end = self.place();
        self.note(|page| {
            if page.broken_at.is_none() {
                page.record(end, program.len());
            }
        });
    }

    // What it is told.

    /// Takes the record that the line begins with: how many bytes of it that were; none when it is not whole.
    fn take_record(
        &mut self,
        line: &[u8],
        program: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, Source> {
        let is_first = self.awaited < 2 && self.messages.is_empty();
        let (kind, length) = match record::header(line) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(0),
            Err(Malformed::Kind) if is_first => return Err(Source::Tls(TlsFault::NotTls)),
            Err(_) => return Err(MISBEHAVED),
        };
        let end = record::HEADER_BYTES + length;
        let Some(body) = line.get(record::HEADER_BYTES..end) else {
            return Ok(0);
        };
        self.take(kind, body, program)?;
        Ok(end)
    }

    fn take(
        &mut self,
        kind: Kind,
        body: &[u8],
        program: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Source> {
        match kind {
            Kind::Alert => return Err(Source::Alert(*body.first().ok_or(MISBEHAVED)?)),
            Kind::EarlyClose => {
                self.is_peer_closed = true;
                return Ok(());
            }
            Kind::Handshake if self.is_over || body.is_empty() => return Err(MISBEHAVED),
            Kind::Handshake => {
                self.messages.put(body);
                while let Some(message) = self.messages.take()? {
                    self.handle(&message)?;
                }
                return Ok(());
            }
            _ => {}
        }
        let opens = self.opens.as_mut().filter(|_| self.is_over);
        let opens = opens.ok_or(MISBEHAVED)?;
        let carried = opens.open(kind, body).ok_or(BAD_RECORD)?;
        match kind {
            Kind::Data if carried.is_empty() => {}
            Kind::Data => {
                self.updates_in_a_row = 0;
                program(&carried);
            }
            Kind::KeyUpdate => {
                opens.update();
                self.owes_update |= carried == [1];
                self.updates_in_a_row += 1;
                if carried.len() != 1 || self.updates_in_a_row > KEY_UPDATES_MAX {
                    return Err(MISBEHAVED);
                }
            }
            Kind::CloseNotify => self.is_peer_closed = true,
            Kind::Ticket if self.side == Side::Server => return Err(MISBEHAVED),
            _ => {}
        }
        Ok(())
    }

    /// It is broken; the peer is told why, unless it said so itself.
    fn break_off(&mut self, source: Source) -> Source {
        self.is_broken = true;
        self.note(|page| page.has_failed = true);
        let number = match source {
            Source::Certificate(_) => 42,
            BAD_RECORD => 20,
            Source::Alert(_) => return source,
            _ => 10,
        };
        if !self.has_closed && !self.is_silent {
            record::put(Kind::Alert, &[number], &mut self.words);
        }
        source
    }
}

impl Session for FakeSession {
    fn receive(&mut self, line: &[u8], program: &mut dyn FnMut(&[u8])) -> Result<(), Source> {
        debug_assert!(!self.is_broken, "it is received from although it broke");
        let mut unread = std::mem::take(&mut self.unread);
        unread.extend_from_slice(line);
        let mut from = 0;
        while !self.is_peer_closed {
            match self.take_record(&unread[from..], program) {
                Ok(0) => break,
                Ok(n) => from += n,
                Err(source) => return Err(self.break_off(source)),
            }
        }
        if !self.is_peer_closed {
            unread.drain(..from);
            debug_assert!(unread.len() <= CARRIED_BYTES_MAX + 16, "more than a record");
            self.unread = unread;
        }
        Ok(())
    }

    fn seal(&mut self, program: &[u8], line: &mut Vec<u8>) {
        assert!(self.is_over, "sealed before the handshake is over");
        assert!(!self.is_broken && !self.has_closed, "sealed behind the end");
        assert!(program.len() <= SEAL_BYTES_MAX, "sealed too much at a time");
        self.answer_update();
        let place = self.place();
        self.note(|page| page.seal(place, program));
        self.say_by_chance();
        let mut rest = program;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(self.habits.record(&mut self.random, rest.len()));
            self.seal_record(part);
            rest = behind;
        }
        self.say_by_chance();
        self.transmit(line);
    }

    fn transmit(&mut self, line: &mut Vec<u8>) {
        self.answer_update();
        self.said += self.words.len() as u64;
        line.append(&mut self.words);
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.has_closed, true) || self.is_broken || self.is_silent {
            return;
        }
        if self.random.happens(self.habits.forgets_to_close) {
            return self.note(|page| page.has_forgotten = true);
        }
        if !self.is_over {
            record::put(Kind::EarlyClose, &[], &mut self.words);
        } else {
            if self.side == Side::Server && self.random.happens(self.habits.tickets) {
                self.ticket();
            }
            self.put(Kind::CloseNotify, &[]);
        }
        let place = self.place();
        self.note(|page| page.closed_at = Some(place));
    }

    fn is_handshaking(&self) -> bool {
        !self.is_over
    }

    fn is_peer_closed(&self) -> bool {
        self.is_peer_closed
    }

    fn info(&self) -> TlsInfo {
        let version = match self.plan.is_twelve {
            true => TlsVersion::Tls12,
            false => TlsVersion::Tls13,
        };
        TlsInfo {
            version: self.peer.map(|_| version),
            is_verified: self.is_over,
            ..TlsInfo::default()
        }
    }
}

impl FakeSession {
    /// Once, however often it was asked for since anything left.
    fn answer_update(&mut self) {
        if std::mem::take(&mut self.owes_update) && !self.has_closed && !self.is_broken {
            self.update_key(false);
        }
    }
}
