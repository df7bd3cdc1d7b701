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

    #[cfg(any(test, fuzzing))]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: u32 = 2;

    fn asked(n: u32) -> Answers {
        let mut answers = Answers::from(FIRST);
        for txnr in FIRST..FIRST + n {
            assert_eq!(answers.ask(), Some(txnr));
        }
        answers
    }

    proptest! {
        #[test]
        fn in_any_order_each_is_answered_once(order in Just((FIRST..300).collect::<Vec<_>>()).prop_shuffle()) {
            let mut answers = asked(298);
            for (done, &txnr) in order.iter().enumerate() {
                prop_assert_eq!(answers.take(txnr), Ok(()));
                prop_assert_eq!(answers.unanswered() as usize, 298 - done - 1);
                for &again in &order[..=done] {
                    prop_assert!(answers.take(again).is_err(), "{} again", again);
                }
            }
            prop_assert!(answers.take(300).is_err());
            prop_assert_eq!(answers.oldest, 300);
        }
    }

    #[test]
    fn answers_in_order_need_no_memory() {
        let mut answers = asked(200_000);
        for txnr in FIRST..FIRST + 200_000 {
            assert_eq!(answers.take(txnr), Ok(()));
        }
        assert_eq!((answers.early.capacity(), answers.unanswered()), (0, 0));
    }

    #[test]
    fn a_server_that_runs_too_far_ahead_of_what_it_owes_is_stopped() {
        let mut answers = asked(2 * AHEAD_MAX);
        for txnr in FIRST + 1..FIRST + AHEAD_MAX {
            assert_eq!(answers.take(txnr), Ok(()));
        }
        assert!(answers.take(FIRST + AHEAD_MAX).is_err());
        assert!(answers.early.len() <= (AHEAD_MAX / WORD_BITS) as usize + 1);
        assert_eq!(answers.take(FIRST), Ok(()));
        assert_eq!(answers.oldest, FIRST + AHEAD_MAX);
        assert!(answers.early.len() <= 1, "what is answered is forgotten");
        assert_eq!(answers.take(FIRST + 2 * AHEAD_MAX - 1), Ok(()));
    }

    #[test]
    fn the_last_number_is_left_for_close() {
        let mut answers = Answers::from(TXNR_MAX - 1);
        assert_eq!(answers.ask(), Some(TXNR_MAX - 1));
        assert_eq!((answers.ask(), answers.last()), (None, TXNR_MAX));
        assert_eq!(answers.take(TXNR_MAX - 1), Ok(()));
        assert!(answers.take(TXNR_MAX).is_err());
    }
}
