//! Telling the lines of a spool, in order, from the first that is not confirmed.
//!
//! Lines come out of their segments' files and, behind those, out of memory: one that could not be written yet is told
//! all the same. Damage is met here (cursor.rs), and is passed over by leave only.

use super::Spool;
use super::config::Damaged;
use super::cursor::Cursor;
use super::error::SpoolError;

/// The segment that a line is in.
struct Place {
    /// Its first line.
    first: u64,
    /// Where its records end in the file.
    end: u64,
    /// The last line among those.
    upto: u64,
}

impl Spool {
    /// The next line, in order, and its number: each once, from the first that was not confirmed when the spool was
    /// opened; confirmed ones are passed over. `None`: there is none for now. Reads `into` over.
    ///
    /// A line may be told before it was handed to the kernel ([`Spool::flush`]).
    ///
    /// # Errors
    /// [`Corrupt`](SpoolError::Corrupt): what should follow is damaged or missing, and later lines are there;
    /// [`Damaged::Skip`] passes over it. [`Io`](SpoolError::Io). The next call tries the same line again.
    pub fn next(&mut self, into: &mut Vec<u8>) -> Result<Option<u64>, SpoolError> {
        loop {
            let wanted = self.told.max(self.confirmed()) + 1;
            if wanted > self.last {
                return Ok(None);
            }
            let Some(place) = self.place_of(wanted) else {
                return Ok(None);
            };
            let cursor = match &mut self.cursor {
                Some(cursor) if cursor.first() == place.first => cursor,
                other => other.insert(Cursor::open(&self.dir, place.first)?),
            };
            let (offset, number) = (cursor.offset(), cursor.number());
            let line = match &self.active {
                _ if offset < place.end => cursor.line(place.end)?,
                Some(active) if active.first() == place.first => {
                    active.pending_line(offset, number)
                }
                _ => None,
            };
            let Some(line) = line else {
                self.pass_damage(&place, wanted)?;
                continue;
            };
            let bytes = line.len();
            if number >= wanted {
                into.clear();
                into.extend_from_slice(line);
                self.told = number;
            }
            cursor.advance(bytes);
            if number >= wanted {
                return Ok(Some(number));
            }
        }
    }

    /// The segment of a line up to the last.
    fn place_of(&self, wanted: u64) -> Option<Place> {
        let active = self.active.as_ref()?;
        if active.first() <= wanted || self.closed.is_empty() {
            return Some(Place {
                first: active.first(),
                end: active.written(),
                upto: active.written_upto(),
            });
        }
        let behind = self.closed.partition_point(|it| it.first <= wanted);
        let index = behind.saturating_sub(1);
        let segment = self.closed.get(index)?;
        Some(Place {
            first: segment.first,
            end: segment.bytes,
            upto: self.upto_of_closed(index),
        })
    }

    /// The line at the cursor is damaged, or missing at the end of its segment.
    fn pass_damage(&mut self, place: &Place, wanted: u64) -> Result<(), SpoolError> {
        let damaged = self.config.damaged;
        let Some(cursor) = &mut self.cursor else {
            return Ok(());
        };
        let passed = match cursor.offset() < place.end {
            true => cursor.pass_damage(place.end, wanted - 1, damaged)?,
            false => None,
        };
        let lost = match passed {
            Some(lost) => lost,
            None if damaged == Damaged::Refuse => return Err(cursor.corrupt()),
            None => {
                // Nothing more can be read of this file.
                let lost = place.upto.saturating_sub(cursor.number().max(wanted) - 1);
                cursor.go_to(place.end, place.upto + 1);
                self.told = self.told.max(place.upto);
                lost
            }
        };
        let before = cursor.number();
        self.skipped(lost, before);
        Ok(())
    }
}
