//! What a host's kernel took from its programs and had for them, connection by connection: the truth
//! that the engine's word (`sent`, `written`, the frames it told) is held against.
//!
//! It only listens: nothing in a run comes out differently for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::endpoint::Endpoint;

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
}

/// What one connection wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Its sockets that are open, with whom they lead to: one, but while addresses are raced.
    open: Vec<(SocketAddr, SocketAddr)>,
    /// Every byte that the kernel took, whether it arrived or not.
    pub(crate) written: Vec<u8>,
    pub(crate) ended: Option<Ended>,
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
    pub(crate) has_fin: bool,
    /// The error it died of, when it did.
    pub(crate) died_of: Option<i32>,
}

impl Tap {
    /// A socket is made for a connection: the first, or that of another address.
    pub(super) fn opened(&mut self, token: u64, end: &Endpoint) {
        let (local, remote) = (end.local, end.remote);
        let stream = self.streams.entry(token).or_insert_with(|| Stream {
            local,
            remote,
            open: Vec::new(),
            written: Vec::new(),
            ended: None,
        });
        let is_unused = stream.written.is_empty();
        assert!(is_unused, "a connection that has spoken connects again");
        stream.ended = None;
        stream.open.push((local, remote));
        (stream.local, stream.remote) = stream.open[0];
    }

    /// The kernel took bytes of a program that had read so many, of all that had come.
    pub(super) fn wrote(&mut self, bytes: &[u8], line: Blind) {
        let token = line.token;
        if let Some(stream) = self.streams.get_mut(&token) {
            let at = stream.written.len();
            if line.has_fin || line.unread_bytes > 0 {
                self.blind.push(Blind { at, ..line });
            }
            stream.written.extend_from_slice(bytes);
            self.grown.push(token);
        }
    }

    pub(super) fn closed(&mut self, local: SocketAddr, ended: Ended) {
        if let Some(stream) = self.streams.get_mut(&ended.token) {
            stream.open.retain(|(open, _)| *open != local);
            // Whoever loses the race of the addresses is not the connection.
            match stream.open.first() {
                Some(other) => (stream.local, stream.remote) = *other,
                None => stream.ended = Some(ended),
            }
            self.ended.push(ended);
        }
    }
}
