//! Who goes by which id, where replies carry ids: the requests of one upstream that wait or are in flight, and those
//! that timed out and whose late replies are still to be swallowed.
//!
//! What must always hold: an id names at most one of them. The program chooses the ids and the peer only asks for them,
//! so a fixed hash is enough; the table allocates nothing once it has grown to what is in flight.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::pipeline::Progress;
use crate::error::{Error, Phase, Source};
use crate::frame::IdOf;

/// Where the request of an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue of the upstream.
    Waiting,
    /// In the pipeline of a member, under this key.
    InFlight { member: u32, key: u32 },
}

#[derive(Debug)]
pub(super) struct Ids {
    /// How to find the id in a reply; `None` where replies come in order: nothing is kept then.
    pub(super) id_of: Option<IdOf>,
    places: HashMap<u64, Place, BuildHasherDefault<Mix>>,
}

impl Ids {
    pub(super) fn new(id_of: Option<IdOf>) -> Ids {
        Ids {
            id_of,
            places: HashMap::default(),
        }
    }

    pub(super) fn are_used(&self) -> bool {
        self.id_of.is_some()
    }

    /// Where there are ids, the beginning of a reply does not say whose it is.
    pub(super) fn judged(&self, progress: Progress) -> Progress {
        Progress {
            reply_begun: progress.reply_begun && !self.are_used(),
            ..progress
        }
    }

    /// Whether another request may go by this id.
    pub(super) fn admit(&self, id: u64) -> Result<(), Error> {
        match self.are_used() && self.places.contains_key(&id) {
            true => Err(Error::new(Phase::Write, Source::IdInUse { id })),
            false => Ok(()),
        }
    }

    /// The request of this id is here now.
    pub(super) fn put(&mut self, id: u64, place: Place) {
        if self.are_used() {
            self.places.insert(id, place);
        }
    }

    /// Nobody goes by this id any more.
    pub(super) fn forget(&mut self, id: u64) {
        if self.are_used() {
            self.places.remove(&id);
        }
    }

    /// The key of the request of this id in this member's pipeline.
    pub(super) fn key(&self, id: u64, of: u32) -> Option<u32> {
        match self.places.get(&id) {
            Some(&Place::InFlight { member, key }) if member == of => Some(key),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn len_and_capacity(&self) -> (usize, usize) {
        (self.places.len(), self.places.capacity())
    }
}

/// The finaliser of splitmix64: counted ids spread as well as random ones.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = id ^ (id >> 31);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
