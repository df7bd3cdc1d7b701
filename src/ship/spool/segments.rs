//! The segments of a spool: begun, closed, deleted.
//!
//! Only the last one is written. The others are whole, and go as a whole, oldest first, when each of their lines is
//! confirmed and that is recorded; never sooner.

use super::Spool;
use super::active::Active;
use super::error::SpoolError;
use super::files::{self, Segment};

impl Spool {
    /// Makes sure that a record of so many bytes may be added.
    pub(super) fn make_room(&mut self, record_bytes: usize) -> Result<(), SpoolError> {
        if self.bytes() + record_bytes as u64 > self.config.bytes_max {
            return Err(SpoolError::Full {
                bytes_max: self.config.bytes_max,
            });
        }
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let is_full = active.bytes() + record_bytes as u64 > self.config.segment_bytes;
        if is_full && active.bytes() > 0 {
            return self.close_segment();
        }
        match active.is_crowded_by(record_bytes) {
            true => active.flush(),
            false => Ok(()),
        }
    }

    /// Begins the next segment when the active one is whole, on the disk too where that is waited for: what is torn can
    /// be in the last one only.
    fn close_segment(&mut self) -> Result<(), SpoolError> {
        match self.config.syncs() {
            true => self.sync()?,
            false => self.active.as_mut().map_or(Ok(()), Active::flush)?,
        }
        let fresh = Active::create(&self.dir, self.last + 1, self.config.syncs())?;
        if let Some(whole) = self.active.replace(fresh) {
            self.closed_bytes += whole.bytes();
            self.closed.push_back(Segment {
                first: whole.first(),
                bytes: whole.bytes(),
            });
        }
        self.delete_settled()
    }

    /// Deletes the segments before the active one of which every line is confirmed.
    pub(super) fn delete_settled(&mut self) -> Result<(), SpoolError> {
        while let Some(&oldest) = self.closed.front() {
            if self.upto_of_closed(0) > self.confirmed() {
                break;
            }
            self.delete_oldest(oldest)?;
        }
        Ok(())
    }

    fn delete_oldest(&mut self, oldest: Segment) -> Result<(), SpoolError> {
        if self.config.syncs() {
            self.position.sync()?;
        }
        files::remove(&files::segment_path(&self.dir, oldest.first))?;
        self.closed.pop_front();
        self.closed_bytes -= oldest.bytes;
        Ok(())
    }

    /// Deletes every segment, where every line is confirmed. What of them waits in memory need not be written.
    pub(super) fn start_over(&mut self) -> Result<(), SpoolError> {
        assert!(self.is_settled(), "lines that are not confirmed would go");
        while let Some(&oldest) = self.closed.front() {
            self.delete_oldest(oldest)?;
        }
        if self.config.syncs() {
            self.position.sync()?;
        }
        if let Some(active) = &self.active {
            active.remove()?;
        }
        self.active = None;
        self.cursor = None;
        Ok(())
    }

    pub(super) fn is_settled(&self) -> bool {
        self.confirmed() == self.last
    }

    /// The number of the last line that is in a segment before the active one.
    pub(super) fn upto_of_closed(&self, index: usize) -> u64 {
        let behind = self.closed.get(index + 1).map(|it| it.first);
        let behind = behind.or(self.active.as_ref().map(Active::first));
        behind.map_or(self.last, |first| first - 1)
    }
}
