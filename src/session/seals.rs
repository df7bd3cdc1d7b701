//! Where the program's bytes lie in the line: which of them had left, or were acknowledged, when so much of the line had.
//!
//! The kernel speaks of bytes of the line; the program counts its own. A seal is a stretch of both that goes together. It
//! counts whole or not at all: what is said of it here is never too much, for a peer that lacks some of it may have read
//! its first records at most. Offsets are of the connection's life, and a seal is forgotten when nobody asks for what lies
//! before its end any more.

use std::collections::VecDeque;

/// Seals that are told apart. Beyond, the two last are one: what is said of them is late, and never too much.
pub(super) const SEALS_MAX: usize = 256;

/// The end of a seal, on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seal {
    line: u64,
    program: u64,
}

#[derive(Debug, Default)]
pub(super) struct Seals {
    /// Behind `passed`, in order.
    open: VecDeque<Seal>,
    passed: Seal,
}

impl Seals {
    /// Bytes of the program up to `program` are in the line up to `line`.
    pub(super) fn put(&mut self, program: u64, line: u64) {
        let seal = Seal { line, program };
        if self.is_full()
            && let Some(last) = self.open.back_mut()
        {
            *last = seal;
            return;
        }
        self.open.push_back(seal);
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= SEALS_MAX
    }

    /// Bytes of the program that lie wholly within so much of the line.
    pub(super) fn within(&self, line: u64) -> u64 {
        let passed = self.open.partition_point(|seal| seal.line <= line);
        match passed.checked_sub(1) {
            Some(last) => self.open[last].program,
            None => self.passed.program,
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.open.len()
    }

    /// Nobody asks for less of the line any more.
    pub(super) fn forget(&mut self, line: u64) {
        while self.open.front().is_some_and(|seal| seal.line <= line) {
            self.passed = self.open.pop_front().unwrap_or_default();
        }
    }
}
