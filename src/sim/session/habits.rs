//! How a fake session goes about it: drawn for each from what its side is like.

use std::ops::RangeInclusive;

use super::handshake::Plan;
use crate::error::CertificateFault;
use crate::sim::random::{Chance, Random};

/// What the sessions of one side are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Habits {
    /// Of a client: the handshake's.
    pub(crate) round_trips: RangeInclusive<u64>,
    pub(crate) twelve: Chance,
    /// Filler of a flight.
    pub(crate) flight_bytes: RangeInclusive<u64>,
    /// What a record carries.
    pub(crate) record_bytes: RangeInclusive<u64>,
    /// Before and behind each seal, before a close_notify, and when the handshake is over: a ticket, of a server.
    pub(crate) tickets: Chance,
    /// Before and behind each seal: another key. Half of them ask the peer to do likewise.
    pub(crate) key_updates: Chance,
    /// Before each record of data: one that carries nothing.
    pub(crate) empty_records: Chance,
    /// For each session: it ends in the handshake, at a drawn step ...
    pub(crate) refuses: Chance,
    /// ... or each does, and so.
    pub(crate) refusal: Option<Refusal>,
    /// For each session: a record is broken behind the handshake.
    pub(crate) breaks: Chance,
    /// For each session: it ends without a close_notify.
    pub(crate) forgets_to_close: Chance,
}

impl Habits {
    /// One round trip, whole records, and nothing out of the way.
    pub(crate) fn plain() -> Habits {
        Habits {
            round_trips: 1..=1,
            twelve: Chance(0),
            flight_bytes: 0..=0,
            record_bytes: 16 << 10..=16 << 10,
            tickets: Chance(0),
            key_updates: Chance(0),
            empty_records: Chance(0),
            refuses: Chance(0),
            refusal: None,
            breaks: Chance(0),
            forgets_to_close: Chance(0),
        }
    }

    /// Everything that an honest peer may do.
    pub(crate) fn drawn(random: &mut Random) -> Habits {
        let mut pick = |these: &[u64]| these[random.within(0..=these.len() as u64 - 1) as usize];
        let record_bytes_max = pick(&[1, 17, 300, 16 << 10]);
        Habits {
            round_trips: 1..=pick(&[1, 2, 4]),
            twelve: Chance(pick(&[0, 500, 1_000]) as u32),
            flight_bytes: 0..=pick(&[0, 30, 500]),
            record_bytes: 1..=record_bytes_max,
            tickets: Chance(pick(&[0, 300, 900]) as u32),
            key_updates: Chance(pick(&[0, 0, 300]) as u32),
            empty_records: Chance(pick(&[0, 0, 200]) as u32),
            ..Habits::plain()
        }
    }

    /// The same, with nothing that no honest peer does.
    pub(super) fn well(&self) -> Habits {
        Habits {
            refuses: Chance(0),
            refusal: None,
            breaks: Chance(0),
            forgets_to_close: Chance(0),
            ..self.clone()
        }
    }

    pub(super) fn plan(&self, random: &mut Random) -> Plan {
        let round_trips = random.within(self.round_trips.clone()) as u8;
        Plan {
            round_trips: round_trips.clamp(*Plan::ROUND_TRIPS.start(), *Plan::ROUND_TRIPS.end()),
            is_twelve: random.happens(self.twelve),
        }
    }

    /// Bytes of the next record of so many that are left.
    pub(super) fn record(&self, random: &mut Random, left: usize) -> usize {
        let bytes = random.within(self.record_bytes.clone()) as usize;
        bytes.clamp(1, super::record::CARRIED_BYTES_MAX).min(left)
    }
}

/// How a session ends in the handshake: when the peer's flight of a step is there, in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) step: u8,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The peer's certificate is not taken; with the alert that says so.
    Certificate(CertificateFault),
    /// It breaks off, with an alert and a fault of the peer's.
    Alert(u8),
    /// It says what is no record, and goes on to await an answer.
    Gibberish,
    /// It says a record whose length cannot be.
    Oversize,
    /// It says nothing any more.
    Silence,
}

impl Refusal {
    pub(super) fn drawn(random: &mut Random, is_client: bool) -> Refusal {
        let step = 2 * random.within(0..=1) as u8 + u8::from(is_client);
        let how = match random.within(0..=4) {
            0 if is_client => How::Certificate(CertificateFault::UnknownIssuer),
            0 | 1 => How::Alert([40, 48, 70, 80][random.within(0..=3) as usize]),
            2 => How::Gibberish,
            3 => How::Oversize,
            _ => How::Silence,
        };
        Refusal { step, how }
    }
}
