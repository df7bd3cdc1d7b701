//! A journal on disk: lines that were handed to it are there after `kill -9` of the program, until they are confirmed.
//!
//! It is append-only, in segments that are deleted as a whole, and bounded: when it is full, nothing is taken until
//! lines are confirmed. It has one owner, a lock sees to that. It knows no clock and starts no thread, and it never
//! panics on anything a directory holds: each record is checked by its length, its number and its CRC-32.
//!
//! What a line may count on:
//!
//! | after | it survives |
//! |---|---|
//! | [`append`](Spool::append) | errors: it is in memory, and is written when that works again |
//! | [`flush`](Spool::flush) | `kill -9` and a panic of the program: the kernel has it |
//! | [`sync`](Spool::sync), by [`Sync`] | a loss of power too, as far as the disk tells the truth |
//!
//! ```
//! use taut::ship::spool::{Spool, SpoolConfig};
//!
//! # let dir = std::env::temp_dir().join(format!("taut-spool-example-{}", std::process::id()));
//! let mut spool = Spool::open(&dir, SpoolConfig::default())?;
//! spool.append(b"a line")?;
//! spool.flush()?;
//! drop(spool); // or killed here
//!
//! let mut spool = Spool::open(&dir, SpoolConfig::default())?;
//! let mut line = Vec::new();
//! while let Some(number) = spool.next(&mut line)? {
//!     assert_eq!((number, &line[..]), (1, &b"a line"[..]));
//!     spool.confirm(number)?;
//! }
//! # std::fs::remove_dir_all(&dir).unwrap();
//! # Ok::<(), taut::ship::spool::SpoolError>(())
//! ```

mod active;
mod config;
mod cursor;
mod error;
mod files;
mod position;
mod reading;
mod record;
mod recover;
mod segments;
mod synced;
#[cfg(test)]
mod tests;

pub use config::{Damaged, SpoolConfig, Sync};
pub use error::SpoolError;

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::Class;
use active::Active;
use cursor::Cursor;
use files::Segment;
use position::Position;
use record::HEADER_BYTES;

/// Lines on disk, from their being taken to their being confirmed. See the [module](self).
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    config: SpoolConfig,
    position: Position,
    /// Segments before the active one, oldest first; empty if there is none that is active.
    closed: VecDeque<Segment>,
    closed_bytes: u64,
    active: Option<Active>,
    /// The number of the last line that was taken.
    last: u64,
    /// Where [`Spool::next`] reads, once it has begun.
    cursor: Option<Cursor>,
    /// The number of the last line that it told.
    told: u64,
    resumed: u64,
    bytes_torn: u64,
    lines_skipped: u64,
    /// When `tick` first saw what is not on the disk.
    unsynced_since: Option<Instant>,
    /// The kernel tells of a failed sync once, and then takes what it lost for written: it is told on.
    sync_failure: Option<SpoolError>,
    /// Held until the end.
    _lock: File,
}

impl Spool {
    /// Opens a spool, and makes its directory (not the parents of that) where there is none. What an earlier program
    /// left unconfirmed is the first that [`Spool::next`] tells. A torn end, as `kill -9` leaves it, is cut off, with a
    /// warning in the log; see [`Spool::bytes_torn`].
    ///
    /// # Errors
    /// [`Invalid`](SpoolError::Invalid) settings; [`Locked`](SpoolError::Locked) by another shipper (or this one);
    /// [`Corrupt`](SpoolError::Corrupt), [`Position`](SpoolError::Position) and [`Foreign`](SpoolError::Foreign) files;
    /// [`Io`](SpoolError::Io). Nothing is lost by any of them.
    pub fn open(dir: impl AsRef<Path>, config: SpoolConfig) -> Result<Spool, SpoolError> {
        config.validate()?;
        let dir = dir.as_ref().to_owned();
        files::make_dir(&dir, config.syncs())?;
        let lock = files::lock(&dir)?;
        let found = recover::recover(&dir, &config)?;
        if found.bytes_torn > 0 {
            log::warn!(
                dir:? = dir, bytes = found.bytes_torn, line = found.last;
                "the spool's end was torn: {} bytes behind line {} were dropped", found.bytes_torn, found.last
            );
        }
        let mut spool = Spool {
            config,
            resumed: found.last - found.position.confirmed(),
            position: found.position,
            closed_bytes: found.closed.iter().map(|it| it.bytes).sum(),
            closed: found.closed.into(),
            active: found.active,
            last: found.last,
            cursor: None,
            told: 0,
            bytes_torn: found.bytes_torn,
            lines_skipped: 0,
            unsynced_since: None,
            sync_failure: None,
            dir,
            _lock: lock,
        };
        let oldest = spool.confirmed() + 1;
        spool.skipped(found.lines_missing, oldest);
        spool.delete_settled()?;
        Ok(spool)
    }

    /// Takes a line, of any bytes, and returns its number in the spool's life: from 1, and on across restarts. It is in
    /// memory then, until [`Spool::flush`]; about 256 KiB are written at once, without being asked to.
    ///
    /// # Errors
    /// [`Full`](SpoolError::Full), [`Oversize`](SpoolError::Oversize), [`Io`](SpoolError::Io): this line was not taken,
    /// and all that were before are there still.
    pub fn append(&mut self, line: &[u8]) -> Result<u64, SpoolError> {
        if line.len() > self.config.line_bytes_max {
            return Err(SpoolError::Oversize {
                bytes: line.len(),
                limit: self.config.line_bytes_max,
            });
        }
        let record_bytes = HEADER_BYTES + line.len();
        match self.make_room(record_bytes) {
            // Nothing of all that is here is needed: what takes up the room can go.
            Err(_) if self.is_settled() && self.bytes() > 0 => {
                self.start_over()?;
                self.make_room(record_bytes)?;
            }
            other => other?,
        }
        let active = match &mut self.active {
            Some(active) => active,
            none => none.insert(Active::create(
                &self.dir,
                self.last + 1,
                self.config.syncs(),
            )?),
        };
        self.last = active.push(line);
        Ok(self.last)
    }

    /// Hands all lines that were taken to the kernel: from then on they survive `kill -9`. With [`Sync::Each`] it also
    /// waits for the disk.
    ///
    /// # Errors
    /// [`Io`](SpoolError::Io): lines that were not handed over stay in memory, for the next call. They are in nobody's
    /// way: [`Spool::next`] tells them all the same.
    pub fn flush(&mut self) -> Result<(), SpoolError> {
        let done = match self.config.sync {
            Sync::Each => self.sync(),
            Sync::Never | Sync::Interval(_) => self.active.as_mut().map_or(Ok(()), Active::flush),
        };
        match done {
            // Nothing of all that is here is needed: the room that it takes is what is missing.
            Err(error) if error.class() == Class::Resource && self.is_settled() => {
                self.start_over()
            }
            done => done,
        }
    }

    /// Settles all lines up to this one: they are not told again, not after `kill -9` either. Segments that hold
    /// nothing else are deleted.
    ///
    /// It is recorded before a segment goes; where the disk is waited for at all, it is waited for in between. After a
    /// loss of power lines may be told again that were confirmed since the last sync.
    ///
    /// # Errors
    /// [`NotTaken`](SpoolError::NotTaken): there is no such line yet. [`Io`](SpoolError::Io): it may or may not be
    /// recorded, or the segments are there still; confirm again.
    pub fn confirm(&mut self, upto: u64) -> Result<(), SpoolError> {
        if upto > self.last {
            return Err(SpoolError::NotTaken {
                line: upto,
                last: self.last,
            });
        }
        if upto > self.confirmed() {
            self.position.record(upto)?;
        }
        self.delete_settled()
    }

    /// Forces all lines that were taken to the disk (`fdatasync`), and what was confirmed. It takes as long as the disk
    /// does: milliseconds, and seconds of a busy one.
    ///
    /// # Errors
    /// [`Io`](SpoolError::Io). When the disk itself failed, every later call fails likewise, for the kernel forgets what
    /// it could not write. The lines survive `kill -9` still; a loss of power only in a new spool, on a disk that works.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        if let Some(active) = &mut self.active {
            active.flush()?;
        }
        if let Some(failure) = &self.sync_failure {
            return Err(failure.clone());
        }
        let lines = self.active.as_mut().map_or(Ok(()), Active::sync);
        let done = lines.and_then(|()| self.position.sync());
        self.unsynced_since = None;
        self.sync_failure = done.clone().err();
        done
    }

    /// Gives the spool the time: it syncs what is due by [`Sync::Interval`], and returns when it wants to be called
    /// again, where something waits for that. Without calls there is no sync but at the end of a segment.
    ///
    /// # Errors
    /// As of [`Spool::sync`].
    pub fn tick(&mut self, now: Instant) -> Result<Option<Instant>, SpoolError> {
        let Sync::Interval(interval) = self.config.sync else {
            return Ok(None);
        };
        if self.active.as_ref().is_none_or(Active::is_synced) {
            self.unsynced_since = None;
            return Ok(None);
        }
        let since = *self.unsynced_since.get_or_insert(now);
        match since.checked_add(interval) {
            Some(due) if due <= now => self.sync().map(|()| None),
            due => Ok(due),
        }
    }

    /// Lines that were left by an earlier program, unconfirmed, when the spool was opened.
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// The number of the last line that was confirmed; 0 if none was.
    pub fn confirmed(&self) -> u64 {
        self.position.confirmed()
    }

    /// The number of the last line that was taken; 0 if none was.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of all segments, with what waits in memory to be written.
    pub fn bytes(&self) -> u64 {
        self.closed_bytes + self.active.as_ref().map_or(0, Active::bytes)
    }

    /// Bytes of a torn or damaged end that were cut off when the spool was opened. No line was among them that a
    /// [`Spool::flush`] had returned for, unless the power was lost or the file was damaged from outside.
    pub fn bytes_torn(&self) -> u64 {
        self.bytes_torn
    }

    /// Lines that could not be read and were passed over so far, by leave of [`Damaged::Skip`]; and such as were
    /// neither confirmed nor there when the spool was opened (a segment was removed, or the power lost).
    pub fn lines_skipped(&self) -> u64 {
        self.lines_skipped
    }

    /// Tells of lines that cannot be told any more.
    fn skipped(&mut self, lines: u64, from: u64) {
        if lines > 0 {
            log::warn!(
                dir:? = self.dir, lines, line = from;
                "{lines} lines of the spool could not be read, before line {from}"
            );
            self.lines_skipped += lines;
        }
    }
}

/// What was taken is handed to the kernel, where the program did not do that itself.
impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.active.as_mut().map(Active::flush) {
            log::warn!(dir:? = self.dir; "the spool is closed with lines that could not be written: {error}");
        }
    }
}
