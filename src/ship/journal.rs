//! The lines whose fate is open, byte for byte, in memory that is bounded.
//!
//! Lines lie in chunks, one behind the other, and never across two. A chunk is given back when all its lines are
//! settled: so of what is held, less than one chunk is no longer needed. Lines are counted from 1.

use std::collections::VecDeque;

use crate::error::Limit;

/// Bytes of a chunk; a longer line has one of its own.
const CHUNK_BYTES: usize = 256 << 10;

/// Lines of a chunk, so that empty ones are given back too.
const CHUNK_LINES: usize = 16 << 10;

/// Free chunks that are kept.
const SPARE_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Journal {
    chunks: VecDeque<Chunk>,
    spare: Vec<Chunk>,
    /// The line that comes next.
    next: u64,
    /// The oldest that is open.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    lines_max: usize,
    /// The chunk of the line that was looked at last: the next one is most likely there, too. Finding it anew for each
    /// line was 19 % of a shipper's CPU.
    last: usize,
}

#[derive(Debug)]
struct Chunk {
    first: u64,
    /// Where each line ends; the next begins there.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Chunk {
    fn past(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= self.bytes.capacity() && self.ends.len() < CHUNK_LINES
    }
}

impl Journal {
    pub(super) fn new(bytes_max: usize, lines_max: usize) -> Journal {
        Journal {
            chunks: VecDeque::new(),
            spare: Vec::new(),
            next: 1,
            first: 1,
            bytes: 0,
            bytes_max,
            lines_max,
            last: 0,
        }
    }

    /// Takes a line; its number.
    ///
    /// # Errors
    /// The bound that is met; nothing was taken then.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<u64, Limit> {
        self.admits(line.len())?;
        if !self.chunks.back().is_some_and(|it| it.has_room(line.len())) {
            let chunk = self.chunk(line.len());
            self.chunks.push_back(chunk);
        }
        let Some(chunk) = self.chunks.back_mut() else {
            unreachable!("one was pushed");
        };
        chunk.bytes.extend_from_slice(line);
        chunk.ends.push(chunk.bytes.len() as u32);
        self.bytes += line.len();
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Whether a line of so many bytes would be taken.
    pub(super) fn admits(&self, bytes: usize) -> Result<(), Limit> {
        if self.len() >= self.lines_max {
            return Err(Limit::JournalLines);
        }
        match self.bytes + bytes > self.bytes_max {
            true => Err(Limit::JournalBytes),
            false => Ok(()),
        }
    }

    fn chunk(&mut self, bytes: usize) -> Chunk {
        let mut chunk = self.spare.pop().unwrap_or_else(|| Chunk {
            first: 0,
            ends: Vec::new(),
            bytes: Vec::with_capacity(CHUNK_BYTES),
        });
        chunk.first = self.next;
        chunk.bytes.reserve_exact(bytes);
        chunk
    }

    /// A line that is open.
    pub(super) fn get(&mut self, line: u64) -> &[u8] {
        let holds = |it: &Chunk| it.first <= line && line < it.past();
        if !self.chunks.get(self.last).is_some_and(holds) {
            self.last = self.chunks.partition_point(|it| it.first <= line) - 1;
        }
        let chunk = &self.chunks[self.last];
        let nth = (line - chunk.first) as usize;
        let start = nth.checked_sub(1).map_or(0, |it| chunk.ends[it] as usize);
        &chunk.bytes[start..chunk.ends[nth] as usize]
    }

    /// All lines up to this one are settled.
    pub(super) fn forget(&mut self, upto: u64) {
        debug_assert!(upto < self.next && upto + 1 >= self.first);
        self.first = upto + 1;
        while let Some(chunk) = self.chunks.front().filter(|it| it.past() <= self.first) {
            self.bytes -= chunk.bytes.len();
            let Some(mut chunk) = self.chunks.pop_front() else {
                return;
            };
            if chunk.bytes.capacity() == CHUNK_BYTES && self.spare.len() < SPARE_MAX {
                chunk.bytes.clear();
                chunk.ends.clear();
                self.spare.push(chunk);
            }
        }
    }

    /// Lines that are open.
    pub(super) fn len(&self) -> usize {
        (self.next - self.first) as usize
    }

    /// Whether a quarter of its room is free.
    pub(super) fn is_eased(&self) -> bool {
        self.bytes <= self.bytes_max / 4 * 3 && self.len() <= self.lines_max / 4 * 3
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_longer_than_a_chunk_has_one_of_its_own() {
        let mut journal = Journal::new(4 << 20, 10);
        let long = vec![7; CHUNK_BYTES + 1];
        assert_eq!(journal.push(b"short"), Ok(1));
        assert_eq!(journal.push(&long), Ok(2));
        assert_eq!(journal.push(b""), Ok(3));
        assert_eq!(journal.get(1), b"short");
        assert_eq!(journal.get(2), long);
        assert_eq!(journal.get(3), b"");
        journal.forget(2);
        assert_eq!(journal.get(3), b"");
        journal.forget(3);
        assert_eq!((journal.len(), journal.bytes()), (0, 0));
    }

    #[test]
    fn its_bounds_are_met_by_name_and_hold() {
        let mut journal = Journal::new(10, 3);
        journal.push(b"12345").unwrap();
        assert_eq!(journal.push(b"123456"), Err(Limit::JournalBytes));
        journal.push(b"12345").unwrap();
        journal.push(b"").unwrap();
        assert_eq!(journal.push(b""), Err(Limit::JournalLines));
        assert_eq!(journal.bytes(), 10);
        journal.forget(3);
        assert_eq!(journal.push(b"1234567890"), Ok(4));
    }

    proptest! {
        #[test]
        fn what_is_open_is_there_byte_for_byte(
            steps in prop::collection::vec((0..400_000usize, 0..20u64), 1..60),
        ) {
            let mut journal = Journal::new(2 << 20, 30);
            let mut model: VecDeque<(u64, usize)> = VecDeque::new();
            for (bytes, settled) in steps {
                let line = vec![bytes as u8; bytes];
                if let Ok(number) = journal.push(&line) {
                    model.push_back((number, bytes));
                }
                prop_assert!(journal.bytes() <= 2 << 20 && journal.len() <= 30);
                for _ in 0..settled.min(model.len() as u64).saturating_sub(3) {
                    let (number, _) = model.pop_front().unwrap();
                    journal.forget(number);
                }
                for &(number, bytes) in &model {
                    prop_assert!(journal.get(number) == vec![bytes as u8; bytes]);
                }
            }
        }
    }
}
