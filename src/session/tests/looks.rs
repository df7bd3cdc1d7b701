//! Reads and looks in whatever order and parts: what was said arrives in order, and the end behind it.

use proptest::prelude::*;

use super::pair::Pair;
use crate::error::{CertificateFault, Source, TlsFault};
use crate::session::LineEnd;
use crate::sim::random::{Chance, Random};
use crate::sim::session::Habits;

const CLOSED: Option<LineEnd> = Some(LineEnd::Closed);

fn drawn(seed: u64) -> Habits {
    Habits::drawn(&mut Random::new(seed))
}

proptest! {
    #[test]
    fn what_is_said_arrives_in_order_and_the_end_behind_it(
        seed in any::<u64>(),
        is_unwell in any::<bool>(),
        steps in prop::collection::vec((0..8u8, any::<bool>(), 0..2_000usize, any::<bool>()), 0..150),
    ) {
        let mut habits = drawn(seed);
        if is_unwell {
            habits.refuses = Chance(300);
            habits.breaks = Chance(300);
            habits.forgets_to_close = Chance(300);
        }
        let mut pair = Pair::new(&habits, seed);
        for (step, at, bytes, is_much) in steps {
            let at = usize::from(at);
            let bytes = if is_much { bytes } else { bytes % 12 };
            match step {
                0 => pair.seal(at, bytes),
                1 | 2 => pair.write(at, bytes),
                3 | 4 => pair.read(at, bytes, false),
                5 => pair.read(at, bytes, true),
                6 => pair.take_held(at),
                _ if is_much && bytes < 100 => pair.ends[at].secured.close(&mut pair.pool),
                _ => {}
            }
            pair.check();
        }
        pair.settle(&mut Random::new(seed));
        for at in [0, 1] {
            pair.take_held(at);
        }
        pair.check();
        let is_over = pair.ends.iter().all(|end| end.ended.is_none() || end.ended == CLOSED);
        if !is_unwell {
            prop_assert!(is_over, "it broke: {:?}", pair.ends.map(|end| end.ended));
            return Ok(());
        }
        // What one side says in vain is what the other does not hear of: nothing was told that was not said.
        let failed = pair.ends.iter().find_map(|end| match end.ended {
            Some(LineEnd::Failed(source)) => Some(source),
            _ => None,
        });
        let is_known = failed.is_none_or(|source| matches!(
            source,
            Source::Alert(_)
                | Source::Certificate(CertificateFault::UnknownIssuer)
                | Source::Tls(TlsFault::NothingInCommon | TlsFault::Misbehaved | TlsFault::BadRecord | TlsFault::NotTls)
        ));
        prop_assert!(is_known, "{failed:?}");
    }

    #[test]
    fn a_close_goes_out_once_behind_what_waits_and_nothing_is_sealed_behind_it(
        seed in any::<u64>(),
        bytes in 0..3_000usize,
        part in 1..500usize,
    ) {
        let mut pair = Pair::new(&drawn(seed), seed);
        pair.settle(&mut Random::new(seed));
        pair.take_held(0);
        pair.take_held(1);
        pair.seal(0, bytes);
        pair.ends[0].secured.close(&mut pair.pool);
        let waits = pair.ends[0].secured.pending().len();
        pair.ends[0].secured.close(&mut pair.pool);
        prop_assert_eq!(pair.ends[0].secured.pending().len(), waits, "once");
        prop_assert!(!pair.ends[0].secured.may_seal());
        while !pair.ends[0].secured.pending().is_empty() {
            prop_assert!(!pair.ends[0].secured.is_shut());
            pair.write(0, part);
            pair.read(1, usize::MAX, part % 2 == 0);
            prop_assert_eq!(pair.ends[1].secured.is_ending(), pair.ends[0].secured.is_shut());
        }
        prop_assert!(pair.ends[0].secured.is_shut() && !pair.ends[0].secured.may_seal());
        pair.take_held(1);
        pair.check();
        prop_assert_eq!(pair.ends[1].ended, CLOSED);
        prop_assert_eq!(pair.ends[1].got.len(), bytes);
        // The other half goes on.
        pair.settle(&mut Random::new(seed));
        pair.seal(1, bytes);
        pair.settle(&mut Random::new(seed));
        pair.take_held(0);
        prop_assert_eq!(pair.ends[0].got.len(), bytes);
    }
}

/// Behind the end of the session whatever comes is no longer read.
#[test]
fn bytes_behind_the_end_are_counted_and_dropped() {
    let mut pair = Pair::new(&Habits::plain(), 1);
    pair.settle(&mut Random::new(1));
    pair.seal(0, 5);
    pair.ends[0].secured.close(&mut pair.pool);
    pair.write(0, usize::MAX);
    pair.ends[0].line.extend(b"and more in the clear");
    pair.read(1, usize::MAX, true);
    let end = &pair.ends[1].secured;
    assert!(end.is_ending() && end.end().is_none() && end.holds());
    pair.ends[0].line.extend(b"and still more");
    pair.take_held(1);
    pair.read(1, usize::MAX, false);
    pair.check();
    assert_eq!((pair.ends[1].got.len(), pair.ends[1].ended), (5, CLOSED));
}

#[test]
fn nothing_more_leaves_of_what_was_abandoned() {
    let mut pair = Pair::new(&Habits::plain(), 1);
    pair.settle(&mut Random::new(1));
    pair.seal(0, 500);
    pair.write(0, 10);
    let end = &mut pair.ends[0].secured;
    end.abandon();
    assert!(end.pending().is_empty());
    end.close(&mut pair.pool);
    assert!(end.pending().is_empty());
}
