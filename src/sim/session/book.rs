//! What the fake sessions of a world have said, each on a page of its own: the truth about a line that nobody who only
//! sees the line can know.
//!
//! Places are bytes of what a session has said in its life, and so of its line.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The pages, by what each session has drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(Arc<Mutex<BTreeMap<u64, Page>>>);

/// Of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) is_client: bool,
    /// What the other side has drawn.
    pub(crate) peer: Option<u64>,
    /// Its handshake was over here, as it knows it.
    pub(crate) over_at: Option<u64>,
    /// All bytes of the program that were sealed.
    pub(crate) program: Vec<u8>,
    /// Where each seal begins, and how much of the program lies before its end.
    seals: Vec<(u64, usize)>,
    /// The same of each record: where it ends.
    records: Vec<(u64, usize)>,
    /// Where its close_notify ends.
    pub(crate) closed_at: Option<u64>,
    /// From here on it says what is no record.
    pub(crate) broken_at: Option<u64>,
    /// It has ended without saying so, as far as it was asked to.
    pub(crate) has_forgotten: bool,
    /// What it has refused, or was refused for.
    pub(crate) has_failed: bool,
}

impl Book {
    pub(super) fn write(&self, session: u64, write: impl FnOnce(&mut Page)) {
        write(self.pages().entry(session).or_default());
    }

    /// A page as it is now.
    pub(crate) fn page(&self, session: u64) -> Option<Page> {
        self.pages().get(&session).cloned()
    }

    /// Asks of a page.
    pub(crate) fn ask<T>(&self, session: u64, ask: impl FnOnce(&Page) -> T) -> Option<T> {
        self.pages().get(&session).map(ask)
    }

    /// How many pages are so.
    pub(crate) fn count(&self, is: impl Fn(&Page) -> bool) -> usize {
        self.pages().values().filter(|page| is(page)).count()
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<u64, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    pub(super) fn seal(&mut self, at: u64, program: &[u8]) {
        self.program.extend_from_slice(program);
        self.seals.push((at, self.program.len()));
    }

    pub(super) fn record(&mut self, end: u64, program_bytes: usize) {
        let before = self.records.last().map_or(0, |(_, bytes)| *bytes);
        self.records.push((end, before + program_bytes));
    }

    /// Bytes of the program in seals that have begun in so much of the line.
    pub(crate) fn begun(&self, line: u64) -> usize {
        let begun = self.seals.partition_point(|(at, _)| *at < line);
        begun.checked_sub(1).map_or(0, |last| self.seals[last].1)
    }

    /// Bytes of the program in records that lie wholly in so much of the line.
    pub(crate) fn whole(&self, line: u64) -> usize {
        let whole = self.records.partition_point(|(end, _)| *end <= line);
        whole.checked_sub(1).map_or(0, |last| self.records[last].1)
    }

    /// Where the record ends that this byte of the program is in.
    pub(crate) fn place_of(&self, program: usize) -> Option<u64> {
        let before = self.records.partition_point(|(_, bytes)| *bytes < program);
        self.records.get(before).map(|(end, _)| *end)
    }
}
