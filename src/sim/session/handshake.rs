//! The flights of the fake handshake: what each side says in turn until both know that it is over.
//!
//! ```text
//!   client 0 (its draw, round trips, version) ─►
//!                                             ◄─ server 0 (its draw)
//!   … as many round trips as the client has asked for …
//!   client finished (both draws)              ─►          the client's handshake is over with TLS 1.3
//!                                             ◄─ server finished           and here with TLS 1.2
//! ```
//! A flight is one message: its step, its length, what it says, and filler. Steps count both sides' flights.

use std::ops::RangeInclusive;

use crate::error::{Source, TlsFault};

/// Step and length.
const HEADER_BYTES: usize = 4;
/// A message is no longer; more than a peer may make us keep is refused.
const MESSAGE_BYTES_MAX: usize = 1 << 17;

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) round_trips: u8,
    /// The server has the last word.
    pub(super) is_twelve: bool,
}

impl Plan {
    pub(super) const ROUND_TRIPS: RangeInclusive<u8> = 1..=4;

    /// The step in which the client says that it has finished.
    pub(super) fn finish(self) -> u8 {
        2 * self.round_trips
    }

    /// The last step, whoever makes it.
    pub(super) fn last(self) -> u8 {
        self.finish() + u8::from(self.is_twelve)
    }
}

/// Says what a message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) step: u8,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// As it stands in the handshake's records.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let length = (self.body.len() as u32).to_be_bytes();
        [&[self.step], &length[1..], &self.body].concat()
    }

    /// A number that stands in the body at a place.
    pub(super) fn number(&self, at: usize) -> Result<u64, Source> {
        let bytes = self.body.get(at..at + 8);
        let bytes = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        bytes.map(u64::from_be_bytes).ok_or(MISBEHAVED)
    }

    /// What the client's first one asks for.
    pub(super) fn plan(&self) -> Result<Plan, Source> {
        let asked = self.body.get(8..10).ok_or(MISBEHAVED)?;
        let plan = Plan {
            round_trips: asked[0],
            is_twelve: asked[1] == 1,
        };
        let is_one = Plan::ROUND_TRIPS.contains(&plan.round_trips) && asked[1] <= 1;
        is_one.then_some(plan).ok_or(MISBEHAVED)
    }
}

pub(super) const MISBEHAVED: Source = Source::Tls(TlsFault::Misbehaved);

/// Messages as they come out of records, in whatever parts.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
}

impl Messages {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next whole one.
    pub(super) fn take(&mut self) -> Result<Option<Message>, Source> {
        let Some(header) = self.bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [step, high, middle, low] = *header;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(MISBEHAVED);
        }
        if self.bytes.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        let message = self.bytes.drain(..HEADER_BYTES + length);
        let body = message.skip(HEADER_BYTES).collect();
        Ok(Some(Message { step, body }))
    }
}
