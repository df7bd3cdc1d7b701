//! All lines whose fate is open, and the counts of all there were.
//!
//! An open line is in one place: to be written ([`Backlog`]), or on a connection ([`Epoch`](super::epoch::Epoch)). Its
//! bytes are in the journal until it and all before it are settled.

use std::ops::RangeInclusive;

use super::backlog::{Backlog, Run};
use super::event::{Refusal, ShipCounts, ShipEvent};
use super::fates::{Fate, Fates};
use super::journal::Journal;
use crate::error::Limit;

#[derive(Debug)]
pub(super) struct Lines {
    pub(super) journal: Journal,
    pub(super) backlog: Backlog,
    pub(super) counts: ShipCounts,
    fates: Fates,
    events_max: usize,
    /// A line of so many bytes was not taken for want of room, and that there is room for it is to be told.
    owes_room: Option<usize>,
}

impl Lines {
    pub(super) fn new(journal: Journal, events_max: usize) -> Lines {
        Lines {
            journal,
            backlog: Backlog::default(),
            counts: ShipCounts::default(),
            fates: Fates::default(),
            events_max,
            owes_room: None,
        }
    }

    /// Takes a line, or its number alone where it cannot be carried.
    ///
    /// # Errors
    /// The bound that is met.
    pub(super) fn offer(&mut self, line: &[u8], refusal: Option<Refusal>) -> Result<u64, Limit> {
        let is_full = self.fates.unpulled() >= self.events_max;
        let kept = if refusal.is_some() { b"" } else { line };
        let taken = match is_full {
            true => Err(Limit::Events),
            false => self.journal.push(kept),
        };
        let number = taken.inspect_err(|_| self.owes_room = Some(kept.len()))?;
        self.counts.read += 1;
        match refusal {
            None => self.backlog.push(number),
            Some(reason) => self.settle(number..=number, Fate::Refused(reason)),
        }
        Ok(number)
    }

    /// These lines have met their fate.
    pub(super) fn settle(&mut self, lines: RangeInclusive<u64>, fate: Fate) {
        let before = self.fates.upto();
        self.fates.settle(lines, fate, &mut self.counts);
        if self.fates.upto() > before {
            self.journal.forget(self.fates.upto());
        }
    }

    pub(super) fn settle_run(&mut self, run: Run, fate: Fate) {
        self.settle(run.from..=run.to, fate);
    }

    /// What is to be told next. Room is told when a quarter of it is free again, and the line that had none has it.
    pub(super) fn poll(&mut self) -> Option<ShipEvent> {
        let event = self.fates.poll();
        if event.is_none() && self.has_room_to_tell() {
            self.owes_room = None;
            return Some(ShipEvent::Room);
        }
        event
    }

    fn has_room_to_tell(&self) -> bool {
        let is_there = |bytes| self.journal.is_eased() && self.journal.admits(bytes).is_ok();
        self.owes_room.is_some_and(is_there)
    }

    /// Whether anything is to be told.
    pub(super) fn has_events(&self) -> bool {
        self.fates.unpulled() > 0 || self.has_room_to_tell()
    }

    /// Whether a line was refused for want of room that is not there yet.
    pub(super) fn wants_room(&self) -> bool {
        self.owes_room.is_some()
    }

    /// All lines that were offered are settled.
    pub(super) fn is_settled(&self) -> bool {
        self.fates.upto() == self.counts.read
    }
}
