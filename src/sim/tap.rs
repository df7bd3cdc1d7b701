//! What a host's kernel took from its programs and had for them, connection by connection: the truth
//! that the engine's word (`sent`, `written`, the frames it told) is held against.
//!
//! It only listens: nothing in a run comes out differently for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The streams of a host, by token: a token names one connection in the life of its engine.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    pub(crate) streams: BTreeMap<u64, Stream>,
    /// Tokens of streams that have grown, for whoever reads along; in no order, and perhaps twice.
    pub(crate) grown: Vec<u64>,
}

/// What one connection wrote, and how it ended.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) local: SocketAddr,
    /// Every byte that the kernel took, whether it arrived or not.
    pub(crate) written: Vec<u8>,
    pub(crate) ended: Option<Ended>,
}

/// How a socket was when its program closed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Bytes that had come for it.
    pub(crate) delivered_bytes: u64,
    /// Those of them that were never read.
    pub(crate) unread_bytes: usize,
    pub(crate) has_fin: bool,
}

impl Tap {
    /// A socket is made for a connection: the first, or the next of several addresses.
    pub(super) fn opened(&mut self, token: u64, local: SocketAddr) {
        let (written, ended) = (Vec::new(), None);
        let stream = Stream {
            local,
            written,
            ended,
        };
        let before = self.streams.insert(token, stream);
        let is_unused = before.is_none_or(|stream| stream.written.is_empty());
        assert!(is_unused, "a connection that has spoken connects again");
    }

    pub(super) fn wrote(&mut self, token: u64, bytes: &[u8]) {
        if let Some(stream) = self.streams.get_mut(&token) {
            stream.written.extend_from_slice(bytes);
            self.grown.push(token);
        }
    }

    pub(super) fn closed(&mut self, token: u64, ended: Ended) {
        if let Some(stream) = self.streams.get_mut(&token) {
            stream.ended = Some(ended);
        }
    }
}
