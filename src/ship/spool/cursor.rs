//! Reading the records of one segment, from the first on.
//!
//! It reads in chunks, and believes nothing that a file says of itself: a record is one when its CRC and its number
//! are right. What is not one is passed over only where somebody says so.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::config::Damaged;
use super::error::SpoolError;
use super::files;
use super::record::{self, HEADER_BYTES};

/// Of one read(2), unless a record is longer.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Cursor {
    file: File,
    path: PathBuf,
    /// Of its first line, the number: which segment it is.
    first: u64,
    /// Where the next record begins.
    offset: u64,
    /// Of the next record.
    number: u64,
    /// Bytes of the file from `chunk_at` on.
    chunk: Vec<u8>,
    chunk_at: u64,
}

impl Cursor {
    pub(super) fn open(dir: &Path, first: u64) -> Result<Cursor, SpoolError> {
        let path = files::segment_path(dir, first);
        Ok(Cursor {
            file: files::open(&path, false)?,
            path,
            first,
            offset: 0,
            number: first,
            chunk: Vec::new(),
            chunk_at: 0,
        })
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, in a file whose records end at `end`. `None`: no intact record of the right number stands there.
    pub(super) fn line(&mut self, end: u64) -> Result<Option<&[u8]>, SpoolError> {
        let (at, number) = (self.offset, self.number);
        let claimed = record::claim(self.window(at, HEADER_BYTES, end)?);
        match claimed {
            Some(claim) if claim.bytes as u64 <= end.saturating_sub(at) => {
                Ok(record::line(self.window(at, claim.bytes, end)?, number))
            }
            _ => Ok(None),
        }
    }

    /// Goes to the record behind a line of this length.
    pub(super) fn advance(&mut self, line_bytes: usize) {
        self.offset += (HEADER_BYTES + line_bytes) as u64;
        self.number += 1;
    }

    /// Goes to a place where the record of this number begins.
    pub(super) fn go_to(&mut self, offset: u64, number: u64) {
        (self.offset, self.number) = (offset, number);
    }

    /// Meets a place where the next record should be and is not: goes to the next that is intact, and returns how many
    /// lines are passed over by that. Those up to `confirmed` are missed by nobody. `None`: there is none up to `end`.
    pub(super) fn pass_damage(
        &mut self,
        end: u64,
        confirmed: u64,
        damaged: Damaged,
    ) -> Result<Option<u64>, SpoolError> {
        let Some((offset, number)) = self.find_intact(end)? else {
            return Ok(None);
        };
        let lost = number.saturating_sub(self.number.max(confirmed + 1));
        if lost > 0 && damaged == Damaged::Refuse {
            return Err(self.corrupt());
        }
        self.go_to(offset, number);
        Ok(Some(lost))
    }

    /// Where the next intact record of a later line begins, and its number.
    fn find_intact(&mut self, end: u64) -> Result<Option<(u64, u64)>, SpoolError> {
        let mut at = self.offset;
        while at + HEADER_BYTES as u64 <= end {
            let Some(claim) = record::claim(self.window(at, HEADER_BYTES, end)?) else {
                at += 1;
                continue;
            };
            // No more lines than fit can lie between.
            let number_max = self.number + (at - self.offset) / HEADER_BYTES as u64 + 1;
            let is_later = claim.number > self.number && claim.number <= number_max;
            if is_later && claim.bytes as u64 <= end - at {
                let window = self.window(at, claim.bytes, end)?;
                if record::line(window, claim.number).is_some() {
                    return Ok(Some((at, claim.number)));
                }
            }
            at += 1;
        }
        Ok(None)
    }

    /// The file's bytes from `at` on: at least `bytes`, unless `end` comes first.
    fn window(&mut self, at: u64, bytes: usize, end: u64) -> Result<&[u8], SpoolError> {
        let wanted = (bytes as u64).min(end.saturating_sub(at)) as usize;
        let held = at.checked_sub(self.chunk_at);
        let held = held.filter(|from| from + wanted as u64 <= self.chunk.len() as u64);
        let from = match held {
            Some(from) => from as usize,
            None => {
                self.fill(at, end, wanted.max(CHUNK_BYTES))?;
                0
            }
        };
        Ok(&self.chunk[from..])
    }

    fn fill(&mut self, at: u64, end: u64, bytes: usize) -> Result<(), SpoolError> {
        let wanted = (bytes as u64).min(end.saturating_sub(at)) as usize;
        self.chunk.resize(wanted, 0);
        self.chunk_at = at;
        let mut filled = 0;
        while filled < wanted {
            let rest = &mut self.chunk[filled..];
            match self.file.read_at(rest, at + filled as u64) {
                // Somebody has cut it meanwhile.
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.chunk.clear();
                    return Err(SpoolError::io("read", &self.path, &error));
                }
            }
        }
        self.chunk.truncate(filled);
        Ok(())
    }

    pub(super) fn corrupt(&self) -> SpoolError {
        SpoolError::Corrupt {
            file: self.path.clone(),
            offset: self.offset,
            line: self.number,
        }
    }
}
