//! Where the program's bytes lie, against a list of all seals.

use proptest::prelude::*;

use crate::session::seals::{SEALS_MAX, Seals};

/// Every seal that ever was: how much of the program, and of the line, lies before its end.
#[derive(Default)]
struct Model {
    ends: Vec<(u64, u64)>,
    forgotten: u64,
    /// There were more at a time than are told apart.
    is_beyond: bool,
}

impl Model {
    /// Bytes of the program that lie wholly in so much of the line.
    fn within(&self, line: u64) -> u64 {
        let whole = self.ends.partition_point(|(_, end)| *end <= line);
        whole.checked_sub(1).map_or(0, |last| self.ends[last].0)
    }

    fn last(&self) -> (u64, u64) {
        self.ends.last().copied().unwrap_or_default()
    }

    fn put(&mut self, seals: &mut Seals, program_bytes: u64, line_bytes: u64) {
        let (program, line) = self.last();
        let (program, line) = (program + program_bytes, line + line_bytes);
        let passed = self.ends.partition_point(|(_, end)| *end <= self.forgotten);
        self.is_beyond |= self.ends.len() - passed >= SEALS_MAX;
        self.ends.push((program, line));
        seals.put(program, line);
    }

    fn forget(&mut self, seals: &mut Seals, line: u64) {
        self.forgotten = self.forgotten.max(line);
        seals.forget(line);
    }

    /// What is told of anything that may still be asked for.
    fn holds(&self, seals: &Seals, line: u64) -> Result<(), TestCaseError> {
        let line = line.max(self.forgotten);
        let told = seals.within(line);
        if !self.is_beyond {
            prop_assert_eq!(told, self.within(line));
        }
        prop_assert!(told <= self.within(line), "more than lies in the line");
        if line >= self.last().1 {
            prop_assert_eq!(told, self.last().0, "all of it lies in the line");
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn it_is_told_what_lies_wholly_in_the_line(
        steps in prop::collection::vec((0..4u8, 0..100u64, 1..50u64), 0..200),
    ) {
        let (mut model, mut seals) = (Model::default(), Seals::default());
        for (step, a, b) in steps {
            let line = model.last().1 * a / 80;
            match step {
                0 | 1 => model.put(&mut seals, a, b),
                2 => model.forget(&mut seals, line),
                _ => model.holds(&seals, line)?,
            }
            for near in 0..4 {
                model.holds(&seals, (line + near).saturating_sub(2))?;
            }
        }
    }

    #[test]
    fn of_more_seals_than_are_told_apart_it_is_never_told_too_much(
        seed in any::<u64>(),
        before in 0..3u64,
        beyond in 1..50usize,
        forgets in prop::collection::vec(0..20u64, 0..5),
    ) {
        let (mut model, mut seals) = (Model::default(), Seals::default());
        for nth in 0..(SEALS_MAX + beyond) as u64 {
            let bytes = 1 + (seed.rotate_left(nth as u32 % 64) & 0x3f);
            model.put(&mut seals, bytes * before, bytes + 5);
        }
        let asks = |model: &Model, seals: &Seals| {
            let end = model.last().1;
            let near_the_end = (0..3_000).map(|back| end.saturating_sub(back));
            let all_over = (0..100).map(|part| end * part / 100);
            near_the_end.chain(all_over).try_for_each(|line| model.holds(seals, line))
        };
        asks(&model, &seals)?;
        for part in forgets {
            let line = model.last().1 * part / 20;
            model.forget(&mut seals, line);
            model.put(&mut seals, 10, 20);
            asks(&model, &seals)?;
        }
    }
}

#[test]
fn no_more_seals_are_kept_than_are_told_apart() {
    let mut seals = Seals::default();
    for nth in 1..100_000 {
        seals.put(nth, nth * 10);
    }
    assert_eq!(seals.kept(), SEALS_MAX);
    assert_eq!(seals.within(10 * SEALS_MAX as u64), SEALS_MAX as u64 - 1);
    assert_eq!(seals.within(999_990), 99_999);
    seals.forget(999_990);
    assert_eq!((seals.kept(), seals.within(999_990)), (0, 99_999));
}
