//! Which numbers are asked and not answered.
//!
//! Below `oldest` all are answered, from `next` on none is asked; between them a bit says of each whether it is. A server
//! that answers in order (librelp's, always) needs no bit. One that does not may run 65,536 ahead of the oldest that it
//! owes: so the memory is bounded, whatever it answers.

use std::collections::VecDeque;

/// Numbers ahead of the oldest unanswered one that may be answered before it: 8 KiB of bits.
const AHEAD_MAX: u32 = 1 << 16;
/// The last number that there is (9 digits) is left for `close`.
const TXNR_MAX: u32 = 999_999_999;
const WORD_BITS: u32 = u64::BITS;

#[derive(Debug)]
pub(super) struct Answers {
    oldest: u32,
    next: u32,
    unanswered: u32,
    /// Bits of the numbers from the word of `oldest` on; those that would come behind are 0.
    early: VecDeque<u64>,
}

impl Answers {
    /// The first number is `first`.
    pub(super) fn from(first: u32) -> Answers {
        Answers {
            oldest: first,
            next: first,
            unanswered: 0,
            early: VecDeque::new(),
        }
    }

    /// The next number, which is to be answered; `None` when only the last is left.
    pub(super) fn ask(&mut self) -> Option<u32> {
        if self.is_used_up() {
            return None;
        }
        let txnr = self.next;
        self.next += 1;
        self.unanswered += 1;
        Some(txnr)
    }

    /// Whether only the last number is left.
    pub(super) fn is_used_up(&self) -> bool {
        self.next >= TXNR_MAX
    }

    /// The number behind all that were asked: for what is the last.
    pub(super) fn last(&self) -> u32 {
        self.next
    }

    pub(super) fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// This number is answered: now, and not before.
    pub(super) fn take(&mut self, txnr: u32) -> Result<(), &'static str> {
        if txnr >= self.next {
            return Err("a RELP answer to a frame that was not sent");
        }
        if txnr < self.oldest || self.is_early(txnr) {
            return Err("a second RELP answer to one frame");
        }
        if txnr - self.oldest >= AHEAD_MAX {
            return Err("a RELP answer 65,536 or more ahead of the oldest that is owed");
        }
        self.unanswered -= 1;
        if txnr != self.oldest {
            self.mark(txnr);
            return Ok(());
        }
        self.advance();
        while self.is_early(self.oldest) {
            self.advance();
        }
        debug_assert!(self.oldest <= self.next && self.unanswered <= self.next - self.oldest);
        Ok(())
    }

    /// Where the bit of a number stands that is not below `oldest`.
    fn place(&self, txnr: u32) -> (usize, u64) {
        let word = txnr / WORD_BITS - self.oldest / WORD_BITS;
        (word as usize, 1 << (txnr % WORD_BITS))
    }

    fn is_early(&self, txnr: u32) -> bool {
        let (word, bit) = self.place(txnr);
        self.early.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn mark(&mut self, txnr: u32) {
        let (word, bit) = self.place(txnr);
        if self.early.len() <= word {
            self.early.resize(word + 1, 0);
        }
        self.early[word] |= bit;
    }

    fn advance(&mut self) {
        self.oldest += 1;
        if self.oldest.is_multiple_of(WORD_BITS) {
            self.early.pop_front();
        }
    }
}
