//! What a host's kernel took from its programs and had for them, connection by connection: the truth
//! that the engine's word (`sent`, `written`, the frames it told) is held against.
//!
//! Where a session runs on a line it is the program's bytes that are told here, on both sides, and what is on the line
//! itself is overheard: it must be records of that session to the last byte.
//!
//! It only listens: nothing in a run comes out differently for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use super::endpoint::Endpoint;
use super::session::{Book, Overheard, Page};

/// The streams of a host, by token: a token names one connection in the life of its engine.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    pub(crate) streams: BTreeMap<u64, Stream>,
    /// Tokens of streams that have grown, for whoever reads along; in no order, and perhaps twice.
    pub(crate) grown: Vec<u64>,
    /// Writes into a line in which something lay, for whoever takes them: who looks sees it before.
    pub(crate) blind: Vec<Blind>,
    /// How sockets ended, for whoever takes them.
    pub(crate) ended: Vec<Ended>,
    /// Accepts that failed for want of something, for whoever sets it back.
    pub(crate) accepts_failed: u32,
    /// At these ports sessions are spoken, which all say what they do in this book.
    pub(crate) sealed_ports: BTreeSet<u16>,
    pub(crate) book: Book,
}

/// What one connection wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Its sockets that are open, with whom they lead to: one, but while addresses are raced.
    open: Vec<(SocketAddr, SocketAddr)>,
    /// Every byte that the kernel took, whether it arrived or not; of a session every byte that was sealed to be given to
    /// it, for what is sealed cannot be taken back.
    pub(crate) written: Vec<u8>,
    pub(crate) ended: Option<Ended>,
    /// The session on it.
    overheard: Option<Overheard>,
}

/// A write while something of the peer's had come and was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blind {
    pub(crate) token: u64,
    /// Bytes written before.
    pub(crate) at: usize,
    pub(crate) read_bytes: u64,
    pub(crate) unread_bytes: usize,
    pub(crate) has_fin: bool,
}

/// How a socket was when its program closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) token: u64,
    /// Bytes that had come for it.
    pub(crate) delivered_bytes: u64,
    /// Those of them that were never read.
    pub(crate) unread_bytes: usize,
    /// The peer has ended its half; of a session that stands only if it has said so.
    pub(crate) has_fin: bool,
    /// The error it died of, when it did.
    pub(crate) died_of: Option<i32>,
}

impl Blind {
    pub(super) fn of(end: &Endpoint) -> Option<Blind> {
        let unread_bytes = end.received.len();
        Some(Blind {
            token: end.token?,
            at: 0,
            read_bytes: end.received_bytes - unread_bytes as u64,
            unread_bytes,
            has_fin: end.fin_received,
        })
    }
}

impl Stream {
    /// What its session has said, if it has one that has spoken.
    pub(crate) fn page<T>(&self, ask: impl FnOnce(&Page) -> T) -> Option<T> {
        self.overheard.as_ref()?.ask(|page, _| ask(page))
    }

    /// Whether a session runs on it.
    pub(crate) fn is_sealed(&self) -> bool {
        self.overheard.is_some()
    }

    /// Bytes of the program that were to be read when so many bytes had come, and whether its peer had said farewell.
    pub(crate) fn readable(&self, line: u64) -> (u64, bool) {
        let Some(overheard) = &self.overheard else {
            return (line, false);
        };
        let is_there = |at: Option<u64>| at.is_some_and(|at| at <= line);
        let heard = overheard.ask_peer(|it| (it.whole(line) as u64, is_there(it.closed_at)));
        heard.unwrap_or_default()
    }

    /// Its kernel took bytes of a session's. Those of the program in seals that have begun since.
    fn overhear(&mut self, bytes: &[u8]) -> (usize, usize) {
        let Some(overheard) = &mut self.overheard else {
            return (0, 0);
        };
        let begun = |it: &Overheard| it.ask(|page, line| page.begun(line)).unwrap_or(0);
        let before = begun(overheard);
        overheard.put(bytes);
        (before, begun(overheard))
    }
}

impl Tap {
    /// A socket is made for a connection: the first, or that of another address.
    pub(super) fn opened(&mut self, token: u64, end: &Endpoint) {
        let (local, remote) = (end.local, end.remote);
        let ports = [local.port(), remote.port()];
        let is_sealed = ports.iter().any(|it| self.sealed_ports.contains(it));
        let overheard = is_sealed.then(|| Overheard::new(&self.book));
        let stream = self.streams.entry(token).or_insert_with(|| Stream {
            local,
            remote,
            open: Vec::new(),
            written: Vec::new(),
            ended: None,
            overheard: None,
        });
        let is_unused = stream.written.is_empty();
        assert!(is_unused, "a connection that has spoken connects again");
        stream.ended = None;
        stream.overheard = overheard;
        stream.open.push((local, remote));
        (stream.local, stream.remote) = stream.open[0];
    }

    /// A program that had read so many bytes of all that had come gave its kernel some, which took so many.
    pub(super) fn wrote(&mut self, bytes: &[u8], line: Blind, taken: &io::Result<usize>) {
        let token = line.token;
        let Some(stream) = self.streams.get_mut(&token) else {
            return;
        };
        let at = stream.written.len();
        let taken = match taken {
            Ok(taken) => &bytes[..*taken],
            // It cannot be unsealed: what leaves later has been given now.
            Err(error) if stream.is_sealed() && is_put_off(error) => &[],
            Err(_) => return,
        };
        let blind = match stream.is_sealed() {
            false => {
                stream.written.extend_from_slice(taken);
                Some(Blind { at, ..line })
            }
            true => {
                let (before, begun) = stream.overhear(taken);
                let (read_bytes, _) = stream.readable(line.read_bytes);
                let come = line.read_bytes + line.unread_bytes as u64;
                let has_fin = line.has_fin || stream.readable(come).1;
                let sealed = stream.page(|page| page.program[at..].to_vec());
                stream.written.extend(sealed.unwrap_or_default());
                (begun > before).then_some(Blind {
                    at: before,
                    read_bytes,
                    has_fin,
                    ..line
                })
            }
        };
        let is_blind = |it: &Blind| it.has_fin || it.unread_bytes > 0;
        self.blind.extend(blind.filter(is_blind));
        self.grown.push(token);
    }

    /// A socket is closed by its program.
    pub(super) fn closed(&mut self, end: &Endpoint) {
        let Some(token) = end.token else { return };
        let mut ended = Ended {
            token,
            delivered_bytes: end.received_bytes,
            unread_bytes: end.received.len(),
            has_fin: end.fin_received,
            died_of: end.died_of,
        };
        if let Some(stream) = self.streams.get_mut(&token) {
            let (readable, is_farewell) = stream.readable(ended.delivered_bytes);
            ended.delivered_bytes = readable;
            let stands = stream.page(|page| page.over_at.is_some()) == Some(true);
            ended.has_fin = is_farewell || ended.has_fin && !stands;
            stream.open.retain(|(open, _)| *open != end.local);
            // Whoever loses the race of the addresses is not the connection.
            match stream.open.first() {
                Some(other) => (stream.local, stream.remote) = *other,
                None => stream.ended = Some(ended),
            }
            self.ended.push(ended);
        }
    }
}

fn is_put_off(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
