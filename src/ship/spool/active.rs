//! The segment that is being written, and the records that wait in memory to be.
//!
//! Records go to the file in their order and at fixed places: a write that failed or stopped half-way is made again
//! whole, at the same place, so nothing that waits is lost and nothing stands there twice. What a write that failed
//! left behind `written` counts for nothing while this process lives, and is a torn end if it does not.

#[cfg(test)]
use std::fs::File;
use std::path::Path;

use super::error::SpoolError;
use super::files::{self, Segment};
use super::record;
use super::synced::SyncedFile;

/// Of one write(2), about: 256 KiB take some 60 µs, of which the call itself is nothing.
const WRITE_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Active {
    file: SyncedFile,
    /// Of its first line, the number.
    first: u64,
    /// Bytes of whole records that the kernel has.
    written: u64,
    /// Of the last line among those, the number; `first - 1` if there is none.
    written_upto: u64,
    /// Records behind them.
    pending: Vec<u8>,
    /// Of the last line among all, the number.
    last: u64,
}

impl Active {
    pub(super) fn create(dir: &Path, first: u64, syncs: bool) -> Result<Active, SpoolError> {
        let path = files::segment_path(dir, first);
        let file = files::open(&path, true)?;
        // An empty one is left by a creation that failed half-way; lines of this number are in no file.
        match file.metadata() {
            Ok(found) if found.len() == 0 => {}
            Ok(_) => return Err(SpoolError::Foreign { file: path }),
            Err(error) => return Err(SpoolError::io("look at the file", &path, &error)),
        }
        if syncs {
            files::sync_dir(dir)?;
        }
        Ok(Active {
            file: SyncedFile::new(file, path, true),
            first,
            written: 0,
            written_upto: first - 1,
            pending: Vec::new(),
            last: first - 1,
        })
    }

    /// One that was written before, whose records end at `segment.bytes` with that line; returns how many bytes behind
    /// them were cut off.
    pub(super) fn reopen(
        dir: &Path,
        segment: Segment,
        last: u64,
        syncs: bool,
    ) -> Result<(Active, u64), SpoolError> {
        let path = files::segment_path(dir, segment.first);
        let file = files::open(&path, false)?;
        let failed = |error: std::io::Error| SpoolError::io("cut", &path, &error);
        let cut = file
            .metadata()
            .map_err(failed)?
            .len()
            .saturating_sub(segment.bytes);
        if cut > 0 {
            file.set_len(segment.bytes).map_err(failed)?;
        }
        if cut > 0 && syncs {
            files::sync(&file, &path)?;
        }
        let active = Active {
            file: SyncedFile::new(file, path, false),
            first: segment.first,
            written: segment.bytes,
            written_upto: last,
            pending: Vec::new(),
            last,
        };
        Ok((active, cut))
    }

    /// Puts another in the place of its file, so that what is done to it fails.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) -> File {
        self.file.replace(file)
    }

    pub(super) fn remove(&self) -> Result<(), SpoolError> {
        files::remove(self.file.path())
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn written_upto(&self) -> u64 {
        self.written_upto
    }

    pub(super) fn bytes(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    pub(super) fn is_synced(&self) -> bool {
        self.file.is_synced() && self.pending.is_empty()
    }

    /// Whether a record more would be more than one write should take.
    pub(super) fn is_crowded_by(&self, record_bytes: usize) -> bool {
        !self.pending.is_empty() && self.pending.len() + record_bytes > WRITE_BYTES
    }

    /// Takes a line into memory; its number.
    pub(super) fn push(&mut self, line: &[u8]) -> u64 {
        if self.pending.capacity() == 0 {
            self.pending.reserve(WRITE_BYTES);
        }
        self.last += 1;
        record::encode(self.last, line, &mut self.pending);
        self.last
    }

    /// The line of a record that waits, which begins at that offset of the segment.
    pub(super) fn pending_line(&self, offset: u64, number: u64) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.written)?).ok()?;
        record::line(self.pending.get(from..)?, number)
    }

    /// Hands what waits to the kernel. After an error all of it waits on.
    pub(super) fn flush(&mut self) -> Result<(), SpoolError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.file.write_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.written_upto = self.last;
        self.pending.clear();
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), SpoolError> {
        self.file.sync()
    }
}
