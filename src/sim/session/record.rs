//! The records of the fake session: a kind, a length, and what they carry; and the cipher that is none.
//!
//! ```text
//!   kind 1 | length 2 | carried, and behind what is scrambled a tag of 4
//! ```
//! A scrambled record can be read only with the key of its direction and in its place among the others: a byte that is
//! lost, doubled, changed or out of order is found by its tag. It hides nothing from anybody who wants to know.

use crate::sim::random::Random;

pub(super) const HEADER_BYTES: usize = 3;
pub(super) const TAG_BYTES: usize = 4;
/// As in TLS (RFC 8446 §5.1).
pub(super) const CARRIED_BYTES_MAX: usize = 16 << 10;

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A part of the handshake, in the clear.
    Handshake,
    /// Bytes of the program.
    Data,
    /// What is of use to a later session.
    Ticket,
    /// From the next record on another key; with a byte that is 1 where the peer is to do likewise.
    KeyUpdate,
    /// The end of what its side says.
    CloseNotify,
    /// The same before there is a key.
    EarlyClose,
    /// Why it broke, in the clear.
    Alert,
}

impl Kind {
    pub(super) const ALL: [Kind; 7] = [
        Kind::Handshake,
        Kind::Data,
        Kind::Ticket,
        Kind::KeyUpdate,
        Kind::CloseNotify,
        Kind::EarlyClose,
        Kind::Alert,
    ];

    /// No letter, and nothing that a program says first.
    pub(super) fn byte(self) -> u8 {
        0xe0 + self as u8
    }

    fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    pub(super) fn is_scrambled(self) -> bool {
        !matches!(self, Kind::Handshake | Kind::EarlyClose | Kind::Alert)
    }

    fn length_max(self) -> usize {
        let tag_bytes = if self.is_scrambled() { TAG_BYTES } else { 0 };
        CARRIED_BYTES_MAX + tag_bytes
    }
}

/// What is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    Kind,
    Length,
}

/// The kind of the record that these bytes begin with, and its length without the header; `None` before both are there.
pub(super) fn header(line: &[u8]) -> Result<Option<(Kind, usize)>, Malformed> {
    let Some(first) = line.first() else {
        return Ok(None);
    };
    let kind = Kind::of(*first).ok_or(Malformed::Kind)?;
    let Some(length) = line.get(1..HEADER_BYTES) else {
        return Ok(None);
    };
    let length = usize::from(length[0]) << 8 | usize::from(length[1]);
    let tag_bytes = kind.length_max() - CARRIED_BYTES_MAX;
    if length > kind.length_max() || length < tag_bytes {
        return Err(Malformed::Length);
    }
    Ok(Some((kind, length)))
}

/// Puts a record in the clear behind what is in `line`.
pub(super) fn put(kind: Kind, carried: &[u8], line: &mut Vec<u8>) {
    debug_assert!(!kind.is_scrambled() && carried.len() <= CARRIED_BYTES_MAX);
    put_header(kind, carried.len(), line);
    line.extend_from_slice(carried);
}

fn put_header(kind: Kind, length: usize, line: &mut Vec<u8>) {
    line.push(kind.byte());
    line.extend_from_slice(&(length as u16).to_be_bytes());
}

/// One direction: its key, and how many records went by it.
#[derive(Clone, Debug)]
pub(super) struct Cipher {
    key: u64,
    count: u64,
}

impl Cipher {
    /// Of one side, when each has said what it drew.
    pub(super) fn of(client: u64, server: u64, is_clients: bool) -> Cipher {
        let key = client.rotate_left(17) ^ server ^ u64::from(is_clients);
        Cipher { key, count: 0 }
    }

    /// Another key from here on.
    pub(super) fn update(&mut self) {
        self.key = Random::new(self.key).next();
        self.count = 0;
    }

    /// Puts a scrambled record behind what is in `line`.
    pub(super) fn seal(&mut self, kind: Kind, carried: &[u8], line: &mut Vec<u8>) {
        debug_assert!(kind.is_scrambled() && carried.len() <= CARRIED_BYTES_MAX);
        put_header(kind, carried.len() + TAG_BYTES, line);
        let from = line.len();
        line.extend_from_slice(carried);
        let tag = self.tag(kind, carried);
        self.scramble(&mut line[from..]);
        line.extend_from_slice(&tag);
        self.count += 1;
    }

    /// What a scrambled record carries; `None` if it is not the next one.
    pub(super) fn open(&mut self, kind: Kind, body: &[u8]) -> Option<Vec<u8>> {
        let (carried, tag) = body.split_last_chunk::<TAG_BYTES>()?;
        let mut carried = carried.to_vec();
        self.scramble(&mut carried);
        let is_right = *tag == self.tag(kind, &carried);
        self.count += 1;
        is_right.then_some(carried)
    }

    fn stream(&self) -> Random {
        Random::new(self.key ^ self.count.wrapping_mul(0x9e6c_63d0_876a_9a47))
    }

    fn scramble(&self, bytes: &mut [u8]) {
        let mut stream = self.stream();
        for chunk in bytes.chunks_mut(8) {
            let mask = stream.next().to_le_bytes();
            chunk
                .iter_mut()
                .zip(mask)
                .for_each(|(byte, it)| *byte ^= it);
        }
    }

    /// FNV-1a over what is carried, from where the stream begins.
    fn tag(&self, kind: Kind, carried: &[u8]) -> [u8; TAG_BYTES] {
        let mut hash = !self.stream().next() ^ u64::from(kind.byte());
        for byte in carried {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        ((hash >> 32) as u32 ^ hash as u32).to_be_bytes()
    }
}
