//! The lines of one shipping connection: where each ends in its stream, and what an end of it means for them.
//!
//! Offsets count the bytes of the connection's life, as `bytes_acked` of TCP_INFO does (less one, for the SYN). A line
//! is taken, acknowledged or read when its end is.

use std::collections::VecDeque;

use super::backlog::Run;

/// A line on its way.
#[derive(Clone, Copy, Debug)]
struct Entry {
    line: u64,
    /// Where it ends.
    end: u64,
    /// With RELP: the number of its frame.
    txnr: u32,
    in_doubt: bool,
}

#[derive(Debug, Default)]
pub(super) struct Epoch {
    entries: VecDeque<Entry>,
    /// Of the entries, how many were counted as written, and how many as acknowledged.
    written: usize,
    acked: usize,
    /// Bytes queued in the connection's life.
    end: u64,
    /// The last line that was queued.
    last: u64,
}

impl Epoch {
    /// Bytes that belong to no line were queued.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.end += bytes as u64;
    }

    /// A line of so many bytes was queued.
    pub(super) fn put(&mut self, line: u64, bytes: usize, txnr: u32, in_doubt: bool) {
        self.end += bytes as u64;
        self.last = line;
        let end = self.end;
        self.entries.push_back(Entry {
            line,
            end,
            txnr,
            in_doubt,
        });
    }

    /// How many lines more are within what was written, and within what was acknowledged, than were counted.
    pub(super) fn count(&mut self, written: u64, acked: u64) -> (u64, u64) {
        let beyond = |counted: &mut usize, offset: u64| {
            let before = *counted;
            let rest = self.entries.range(before..);
            *counted += rest.take_while(|it| it.end <= offset).count();
            (*counted - before) as u64
        };
        (
            beyond(&mut self.written, written),
            beyond(&mut self.acked, acked),
        )
    }

    /// Takes the lines that end within so many bytes.
    pub(super) fn take(&mut self, upto: u64, mut taken: impl FnMut(Run)) {
        let mut run: Option<Run> = None;
        while let Some(entry) = self.entries.front().filter(|it| it.end <= upto).copied() {
            self.entries.pop_front();
            self.written = self.written.saturating_sub(1);
            self.acked = self.acked.saturating_sub(1);
            match &mut run {
                Some(run) if run.to + 1 == entry.line && run.in_doubt == entry.in_doubt => {
                    run.to = entry.line;
                }
                run => {
                    let next = Run {
                        from: entry.line,
                        to: entry.line,
                        in_doubt: entry.in_doubt,
                        again: true,
                    };
                    if let Some(whole) = run.replace(next) {
                        taken(whole);
                    }
                }
            }
        }
        if let Some(whole) = run {
            taken(whole);
        }
    }

    /// Where the line of a frame ends.
    pub(super) fn end_of_frame(&self, txnr: u32) -> Option<u64> {
        let place = self.entries.binary_search_by_key(&txnr, |it| it.txnr);
        place.ok().map(|place| self.entries[place].end)
    }

    /// Takes the line of a frame.
    pub(super) fn take_frame(&mut self, txnr: u32) -> Option<u64> {
        let place = self
            .entries
            .binary_search_by_key(&txnr, |it| it.txnr)
            .ok()?;
        self.written -= usize::from(place < self.written);
        self.acked -= usize::from(place < self.acked);
        self.entries.remove(place).map(|entry| entry.line)
    }

    /// Whether a line comes after all that were queued: within an epoch they keep their order.
    pub(super) fn precedes(&self, line: u64) -> bool {
        self.last < line
    }

    /// Whether the first line that is open was in doubt before.
    pub(super) fn was_in_doubt(&self) -> bool {
        self.entries.front().is_some_and(|it| it.in_doubt)
    }

    /// Whether a line was ever queued.
    pub(super) fn has_begun(&self) -> bool {
        self.last > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lines whose fate is open.
    pub(super) fn lines(&self) -> usize {
        self.entries.len()
    }

    /// Bytes queued in the connection's life.
    pub(super) fn end(&self) -> u64 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(u64, usize)]) -> Epoch {
        let mut epoch = Epoch::default();
        for &(line, bytes) in lines {
            epoch.put(line, bytes, line as u32, false);
        }
        epoch
    }

    fn taken(epoch: &mut Epoch, upto: u64) -> Vec<(u64, u64)> {
        let mut runs = Vec::new();
        epoch.take(upto, |run| runs.push((run.from, run.to)));
        runs
    }

    #[test]
    fn a_line_is_taken_when_its_last_byte_is() {
        let mut epoch = of(&[(1, 10), (2, 10), (3, 10)]);
        assert_eq!(taken(&mut epoch, 19), [(1, 1)]);
        assert_eq!(taken(&mut epoch, 20), [(2, 2)]);
        assert_eq!(taken(&mut epoch, u64::MAX), [(3, 3)]);
        assert!(epoch.is_empty());
    }

    #[test]
    fn lines_that_do_not_follow_each_other_are_taken_apart() {
        let mut epoch = of(&[(1, 1), (2, 1), (7, 1), (8, 1), (3, 1)]);
        assert_eq!(taken(&mut epoch, 5), [(1, 2), (7, 8), (3, 3)]);
    }

    #[test]
    fn a_line_is_counted_once_whatever_was_taken_before_it() {
        let mut epoch = of(&[(1, 10), (2, 10), (3, 10), (4, 10)]);
        assert_eq!(epoch.count(25, 10), (2, 1));
        assert_eq!(taken(&mut epoch, 10), [(1, 1)]);
        assert_eq!(epoch.count(30, 30), (1, 2));
        assert_eq!(epoch.take_frame(3), Some(3));
        assert_eq!(epoch.take_frame(3), None);
        assert_eq!(epoch.count(40, 40), (1, 1));
    }
}
