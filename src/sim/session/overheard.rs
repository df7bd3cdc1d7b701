//! A line of fake sessions, read along in one direction: it must be records to the last byte, none with a byte of the
//! program before the handshake is over, and what they carry is what was sealed, in order and once.
#![allow(
    clippy::expect_used,
    reason = "what is expected here is what a line is promised"
)]

use super::book::{Book, Page};
use super::handshake::Messages;
use super::record::{self, Cipher, Kind};

#[derive(Clone, Debug)]
pub(crate) struct Overheard {
    book: Book,
    /// Who speaks, as soon as he has said it.
    session: Option<u64>,
    hello: Vec<u8>,
    cipher: Option<Cipher>,
    /// No whole record yet.
    unread: Vec<u8>,
    /// Bytes of whole records, and the program's bytes in them.
    read: u64,
    program_bytes: usize,
    /// Bytes of the line.
    line: u64,
    is_broken: bool,
    has_ended: bool,
}

impl Overheard {
    pub(crate) fn new(book: &Book) -> Overheard {
        Overheard {
            book: book.clone(),
            session: None,
            hello: Vec::new(),
            cipher: None,
            unread: Vec::new(),
            read: 0,
            program_bytes: 0,
            line: 0,
            is_broken: false,
            has_ended: false,
        }
    }

    /// Who speaks, as soon as he has said it.
    pub(crate) fn session(&self) -> Option<u64> {
        self.session
    }

    /// Asks of the page of who speaks, and of how much he has said.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&Page, u64) -> T) -> Option<T> {
        self.book.ask(self.session?, |page| ask(page, self.line))
    }

    /// The same of the page of the other side.
    pub(crate) fn ask_peer<T>(&self, ask: impl FnOnce(&Page) -> T) -> Option<T> {
        self.book.ask(self.ask(|page, _| page.peer)??, ask)
    }

    /// More was said.
    pub(crate) fn put(&mut self, line: &[u8]) {
        self.line += line.len() as u64;
        if self.is_broken {
            return;
        }
        self.unread.extend_from_slice(line);
        let unread = std::mem::take(&mut self.unread);
        let mut from = 0;
        while let Some(bytes) = self.put_record(&unread[from..]) {
            from += bytes;
            self.read += bytes as u64;
        }
        self.unread = unread[from..].to_vec();
    }

    /// Judges the record that these bytes begin with; `None` when it is not whole, or is none and may be.
    fn put_record(&mut self, line: &[u8]) -> Option<usize> {
        let broken_at = self.ask(|page, _| page.broken_at).flatten();
        if broken_at.is_some_and(|at| at <= self.read) {
            self.is_broken = true;
            return None;
        }
        let header = match record::header(line) {
            // A server may break off before it has said who it is.
            Err(_) if self.session.is_none() && self.hello.is_empty() => {
                self.is_broken = true;
                return None;
            }
            header => header.expect("what is on the line is records"),
        };
        let (kind, length) = header?;
        let body = line.get(record::HEADER_BYTES..record::HEADER_BYTES + length)?;
        assert!(!self.has_ended, "{kind:?} behind the end of the session");
        match kind {
            Kind::Handshake => self.meet(body),
            Kind::Alert | Kind::EarlyClose => self.has_ended = true,
            _ => self.open(kind, body),
        }
        Some(record::HEADER_BYTES + length)
    }

    fn meet(&mut self, body: &[u8]) {
        let is_over = self.over_at().is_some_and(|at| at <= self.read);
        assert!(!is_over, "a handshake behind its end");
        if self.session.is_some() {
            return;
        }
        self.hello.extend_from_slice(body);
        let mut messages = Messages::default();
        messages.put(&self.hello);
        let first = messages.take().expect("a flight");
        self.session = first.map(|message| message.number(0).expect("what it has drawn"));
    }

    fn over_at(&self) -> Option<u64> {
        self.ask(|page, _| page.over_at).flatten()
    }

    fn open(&mut self, kind: Kind, body: &[u8]) {
        let over_at = self.over_at();
        assert!(
            over_at.is_some_and(|at| at <= self.read),
            "{kind:?} at {} of the line, and the handshake is over at {over_at:?}",
            self.read
        );
        let book = self.book.clone();
        let session = self.session.expect("who has said that it is over");
        book.ask(session, |page| {
            let cipher = self.cipher.get_or_insert_with(|| {
                let peer = page.peer.expect("whose handshake is over knows his peer");
                match page.is_client {
                    true => Cipher::of(session, peer, true),
                    false => Cipher::of(peer, session, false),
                }
            });
            let carried = cipher.open(kind, body).expect("the next record");
            match kind {
                Kind::Data => {
                    let end = self.program_bytes + carried.len();
                    let sealed = page.program.get(self.program_bytes..end);
                    assert_eq!(sealed, Some(&carried[..]), "not what was sealed");
                    self.program_bytes = end;
                }
                Kind::KeyUpdate => cipher.update(),
                Kind::CloseNotify => self.has_ended = true,
                _ => {}
            }
        });
    }
}
