//! The fate of each line, told in the order of the stream: each line once.
//!
//! Lines are settled in any order, for epochs overlap and answers may; what is settled behind an open line waits until
//! that is settled too. What is told in one breath is merged.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use super::event::{Refusal, ShipCounts, ShipEvent};

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    Uncertain,
    Undelivered,
    Refused(Refusal),
}

#[derive(Debug, Default)]
pub(super) struct Fates {
    /// All lines up to this one are settled, and told or about to be.
    upto: u64,
    /// Settled behind an open line: the first line of a run, its last, and their fate.
    ahead: BTreeMap<u64, (u64, Fate)>,
    told: VecDeque<ShipEvent>,
}

impl Fates {
    /// These lines, which were open, have met their fate.
    pub(super) fn settle(
        &mut self,
        lines: RangeInclusive<u64>,
        fate: Fate,
        counts: &mut ShipCounts,
    ) {
        let (from, to) = lines.into_inner();
        debug_assert!(from <= to && from > self.upto, "a line is settled once");
        if from != self.upto + 1 {
            let twice = self.ahead.insert(from, (to, fate));
            debug_assert!(twice.is_none(), "a line is settled once");
            return;
        }
        self.tell(from, to, fate, counts);
        while let Some(next) = self.ahead.first_entry() {
            if *next.key() != self.upto + 1 {
                break;
            }
            let (from, (to, fate)) = next.remove_entry();
            self.tell(from, to, fate, counts);
        }
    }

    fn tell(&mut self, first: u64, last: u64, fate: Fate, counts: &mut ShipCounts) {
        self.upto = last;
        let lines = last - first + 1;
        match fate {
            Fate::Delivered => counts.confirmed += lines,
            Fate::Uncertain => counts.uncertain += lines,
            Fate::Undelivered => counts.undelivered += lines,
            Fate::Refused(_) => counts.refused += lines,
        }
        match (self.told.back_mut(), fate) {
            (Some(ShipEvent::Delivered { upto }), Fate::Delivered) => *upto = last,
            (Some(ShipEvent::Uncertain { to, .. }), Fate::Uncertain)
            | (Some(ShipEvent::Undelivered { to, .. }), Fate::Undelivered) => *to = last,
            (_, Fate::Delivered) => self.told.push_back(ShipEvent::Delivered { upto: last }),
            (_, Fate::Uncertain) => {
                let (from, to) = (first, last);
                self.told.push_back(ShipEvent::Uncertain { from, to });
            }
            (_, Fate::Undelivered) => {
                let (from, to) = (first, last);
                self.told.push_back(ShipEvent::Undelivered { from, to });
            }
            (_, Fate::Refused(reason)) => {
                let refused = (first..=last).map(|line| ShipEvent::Refused { line, reason });
                self.told.extend(refused);
            }
        }
    }

    /// What is to be told next.
    pub(super) fn poll(&mut self) -> Option<ShipEvent> {
        self.told.pop_front()
    }

    /// All lines up to this one are settled.
    pub(super) fn upto(&self) -> u64 {
        self.upto
    }

    /// Events that wait to be pulled.
    pub(super) fn unpulled(&self) -> usize {
        self.told.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_settled_behind_an_open_line_waits_for_it() {
        let (mut fates, mut counts) = (Fates::default(), ShipCounts::default());
        fates.settle(5..=9, Fate::Delivered, &mut counts);
        fates.settle(3..=4, Fate::Uncertain, &mut counts);
        assert_eq!((fates.poll(), counts.confirmed), (None, 0));
        fates.settle(1..=2, Fate::Delivered, &mut counts);
        assert_eq!(fates.poll(), Some(ShipEvent::Delivered { upto: 2 }));
        assert_eq!(fates.poll(), Some(ShipEvent::Uncertain { from: 3, to: 4 }));
        assert_eq!(fates.poll(), Some(ShipEvent::Delivered { upto: 9 }));
        assert_eq!(fates.poll(), None);
        assert_eq!((counts.confirmed, counts.uncertain), (7, 2));
    }

    proptest! {
        #[test]
        fn each_line_is_told_once_and_in_order(
            order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle(),
            fates in prop::collection::vec(0..4u8, 40),
            pulls in any::<u64>(),
        ) {
            let fate_of = |run: u64| match fates[run as usize] {
                0 => Fate::Delivered,
                1 => Fate::Uncertain,
                2 => Fate::Undelivered,
                _ => Fate::Refused(Refusal::Empty),
            };
            let (mut it, mut counts) = (Fates::default(), ShipCounts::default());
            let (mut told, mut seen) = (0, Vec::new());
            for (step, run) in order.into_iter().enumerate() {
                it.settle(run * 3 + 1..=run * 3 + 3, fate_of(run), &mut counts);
                let pulls_all = pulls >> step & 1 == 1 || step == 39;
                while let Some(event) = Some(()).filter(|()| pulls_all).and_then(|()| it.poll()) {
                    let (from, to, fate) = match event {
                        ShipEvent::Delivered { upto } => (told + 1, upto, Fate::Delivered),
                        ShipEvent::Uncertain { from, to } => (from, to, Fate::Uncertain),
                        ShipEvent::Undelivered { from, to } => (from, to, Fate::Undelivered),
                        ShipEvent::Refused { line, reason } => (line, line, Fate::Refused(reason)),
                        _ => unreachable!("fates alone"),
                    };
                    prop_assert_eq!(from, told + 1);
                    told = to;
                    seen.extend((from..=to).map(|line| (line, fate)));
                }
            }
            let expected = (1..=120).map(|line| (line, fate_of((line - 1) / 3)));
            prop_assert!(seen.into_iter().eq(expected));
            let sum = counts.confirmed + counts.uncertain + counts.undelivered + counts.refused;
            prop_assert_eq!((sum, it.upto()), (120, 120));
        }
    }
}
