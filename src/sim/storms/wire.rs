//! What really happened to the client's bytes, read off its kernel: which request is on which
//! connection, of which one a part has left, and what lay in the kernel when the loop was turned.

use std::collections::BTreeMap;

use super::dialect::{HEARTBEAT_LINE, is_idempotent, payload, tag_of};
use crate::engine::Waiting;
use crate::sim::endpoint::{Endpoint, State};
use crate::sim::network::Network;
use crate::sim::tap::Tap;
use crate::sim::world::SimEngine;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) token: u64,
    /// Counted on its connection.
    pub(super) nth: u64,
}

/// How much of a request the kernel was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Some,
    /// So few bytes are there that they may be another's.
    Unclear,
}

#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Of each request that has left whole: where it did so last.
    pub(super) places: BTreeMap<u64, Place>,
    /// How often each has left whole again.
    again: BTreeMap<u64, u8>,
    /// Of each connection: where each request ends in what was written, and its tag.
    pub(super) ends: BTreeMap<u64, Vec<(usize, u64)>>,
    /// Of each connection: how far it was read along, and how many requests that were.
    read: BTreeMap<u64, (usize, u64)>,
    /// Connections on which a request has left in part so far.
    tails: BTreeMap<u64, Vec<u8>>,
}

impl Wire {
    /// Reads what the kernel was given since the last time; `is_raw` for connections without requests.
    pub(super) fn read(&mut self, tap: &mut Tap, attempts_max: u8, is_raw: impl Fn(u64) -> bool) {
        for token in std::mem::take(&mut tap.grown) {
            if is_raw(token) {
                continue;
            }
            let written = &tap.streams[&token].written;
            let (from, count) = self.read.entry(token).or_default();
            while let Some(length) = written[*from..].iter().position(|byte| *byte == b'\n') {
                let line = &written[*from..*from + length];
                if line == HEARTBEAT_LINE {
                    *from += length + 1;
                    continue;
                }
                let tag = tag_of(line).expect("a request leaves whole");
                assert_eq!(line, payload(tag, length), "another request left");
                let place = Place { token, nth: *count };
                if self.places.insert(tag, place).is_some() {
                    assert!(is_idempotent(tag), "request {tag} was sent twice");
                    let again = self.again.entry(tag).or_default();
                    *again += 1;
                    assert!(
                        *again <= attempts_max,
                        "request {tag} was sent {again} times more"
                    );
                }
                (*from, *count) = (*from + length + 1, *count + 1);
                self.ends.entry(token).or_default().push((*from, tag));
            }
            match written[*from..].is_empty() {
                true => _ = self.tails.remove(&token),
                false => _ = self.tails.insert(token, written[*from..].to_vec()),
            }
        }
    }

    /// Connections on which a request has left in part, and that part.
    pub(super) fn tails(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.tails.iter().map(|(token, tail)| (*token, &tail[..]))
    }

    /// The connection on which a request has left, whole or in part.
    pub(super) fn token_of(&self, tag: u64, bytes_of: &[usize]) -> Option<u64> {
        let of_whole = self.places.get(&tag).map(|place| place.token);
        let mut tails = self.tails.iter();
        let mut of_part = || tails.find(|(_, tail)| is_part(tail, tag, bytes_of));
        of_whole.or_else(|| of_part().map(|(token, _)| *token))
    }

    /// How much of a request has left; `bytes_of` are the sizes of all that were asked.
    pub(super) fn left(&self, tag: u64, bytes_of: &[usize]) -> Left {
        if self.places.contains_key(&tag) {
            return Left::Some;
        }
        // One that may be made twice may have left in part before it left whole elsewhere.
        let fits = |tag: u64, tail: &[u8]| {
            let is_free = !self.places.contains_key(&tag) || is_idempotent(tag);
            is_free && is_part(tail, tag, bytes_of)
        };
        let Some(tail) = self.tails.values().find(|tail| fits(tag, tail)) else {
            return Left::Nothing;
        };
        let mut others = (0..bytes_of.len() as u64).filter(|other| *other != tag);
        match others.any(|other| fits(other, tail)) {
            true => Left::Unclear,
            false => Left::Some,
        }
    }
}

/// Whether these bytes are the beginning of a request.
fn is_part(tail: &[u8], tag: u64, bytes_of: &[usize]) -> bool {
    payload(tag, bytes_of[tag as usize]).starts_with(tail)
}

/// Bytes of the program's that have come to each connection of a host, by its port.
pub(super) fn delivered(network: &Network, host: usize, tap: Option<&Tap>) -> BTreeMap<u16, u64> {
    let of_host = network.ends.values().filter(|end| end.host == host);
    let readable = |end: &Endpoint| {
        let stream = tap.and_then(|tap| tap.streams.get(&end.token?));
        let line = end.received_bytes;
        stream.map_or(line, |stream| stream.readable(line).0)
    };
    of_host
        .map(|end| (end.local.port(), readable(end)))
        .collect()
}

/// An edge that was told is not told again: whoever still waits for one has lost it. And nobody takes
/// what was told of another for his own.
pub(super) fn no_edge_is_lost(network: &Network, host: usize, engine: &SimEngine) {
    for waiting in engine.waiting_for_edges() {
        let of_token = |end: &&Endpoint| end.host == host && end.token == Some(waiting.token);
        let mut ends = network.ends.values().filter(of_token).peekable();
        assert!(
            ends.peek().is_some(),
            "a socket that the kernel does not know: {waiting:?}"
        );
        // Several, while addresses are raced.
        ends.for_each(|end| no_edge_of_it_is_lost(&waiting, end));
    }
}

fn no_edge_of_it_is_lost(waiting: &Waiting, end: &Endpoint) {
    let has_ended = end.fin_received || end.state == State::Dead;
    let is_misled = waiting.is_read_closed && !has_ended;
    assert!(!is_misled, "told of an end that is another's: {waiting:?}");
    if end.has_edge || end.state == State::Connecting {
        return;
    }
    let is_readable = !end.received.is_empty() || has_ended;
    assert!(
        !(waiting.to_read && is_readable),
        "lost an edge: {waiting:?}"
    );
    assert!(
        !waiting.to_write || end.owes_room,
        "lost an edge: {waiting:?}"
    );
}
