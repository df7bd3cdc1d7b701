//! The lines that are to be written, in the order of the stream: the new ones, and before them those that a break has
//! given back.

use std::collections::BTreeMap;

/// Lines that follow each other and have the same past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) from: u64,
    pub(super) to: u64,
    /// A sink may have them already.
    pub(super) in_doubt: bool,
    /// They were written before.
    pub(super) again: bool,
}

impl Run {
    pub(super) fn lines(&self) -> u64 {
        self.to - self.from + 1
    }

    /// Whether a line continues it.
    fn goes_on(&self, next: &Run) -> bool {
        let past = (self.in_doubt, self.again);
        next.from == self.to + 1 && past == (next.in_doubt, next.again)
    }
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// By their first lines; no line is in two. Those before the newest.
    runs: BTreeMap<u64, Run>,
    /// The newest lines, to which each new one is added.
    newest: Option<Run>,
}

impl Backlog {
    /// A new line is to be written.
    pub(super) fn push(&mut self, line: u64) {
        if let Some(newest) = self.newest.as_mut().filter(|it| it.to + 1 == line) {
            newest.to = line;
            return;
        }
        let next = Run {
            from: line,
            to: line,
            in_doubt: false,
            again: false,
        };
        // A line between them was refused.
        if let Some(before) = self.newest.replace(next) {
            self.runs.insert(before.from, before);
        }
    }

    /// Puts lines back that were written before.
    pub(super) fn put_back(&mut self, run: Run) {
        debug_assert!(self.newest.is_none_or(|it| run.to < it.from));
        let before = self.runs.range_mut(..=run.from).next_back();
        match before {
            Some((_, before)) if before.goes_on(&run) => before.to = run.to,
            before => {
                debug_assert!(before.is_none_or(|(_, it)| it.to < run.from));
                self.runs.insert(run.from, run);
            }
        }
    }

    /// The next lines to be written.
    pub(super) fn first(&self) -> Option<Run> {
        let first = self.runs.first_key_value().map(|(_, run)| *run);
        first.or(self.newest)
    }

    /// The first so many lines of the first run are written.
    pub(super) fn advance(&mut self, lines: u64) {
        let Some(mut run) = self.pop() else {
            return debug_assert_eq!(lines, 0, "what is not there is not written");
        };
        debug_assert!(lines <= run.lines());
        run.from += lines;
        if run.from > run.to {
            return;
        }
        match run.again || !self.runs.is_empty() || self.newest.is_some() {
            true => {
                self.runs.insert(run.from, run);
            }
            false => self.newest = Some(run),
        }
    }

    /// Takes the first run whole.
    pub(super) fn pop(&mut self) -> Option<Run> {
        let first = self.runs.pop_first().map(|(_, run)| run);
        first.or_else(|| self.newest.take())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.newest.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: u64, to: u64, in_doubt: bool) -> Run {
        Run {
            from,
            to,
            in_doubt,
            again: in_doubt,
        }
    }

    #[test]
    fn what_comes_back_goes_before_what_is_new() {
        let mut backlog = Backlog::default();
        (1..=10).for_each(|line| backlog.push(line));
        assert_eq!(backlog.first(), Some(run(1, 10, false)), "one run");
        backlog.advance(8);
        backlog.put_back(run(4, 6, true));
        backlog.put_back(run(1, 3, true));
        assert_eq!(backlog.pop(), Some(run(1, 3, true)));
        assert_eq!(backlog.pop(), Some(run(4, 6, true)));
        assert_eq!(backlog.pop(), Some(run(9, 10, false)));
        assert!(backlog.is_empty() && backlog.pop().is_none());
    }

    #[test]
    fn a_run_that_is_written_whole_is_gone() {
        let mut backlog = Backlog::default();
        backlog.put_back(run(5, 6, true));
        backlog.push(7);
        backlog.push(9);
        backlog.advance(1);
        assert_eq!(backlog.first(), Some(run(6, 6, true)));
        backlog.advance(1);
        assert_eq!(backlog.first(), Some(run(7, 7, false)));
        backlog.advance(1);
        backlog.push(10);
        assert_eq!(backlog.first(), Some(run(9, 10, false)));
    }
}
