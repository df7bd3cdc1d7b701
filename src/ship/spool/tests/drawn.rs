//! Programs and damages that are drawn: against a model of a spool, and against whatever bytes there are.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Flush,
    Next(usize),
    /// Of what was taken and is not confirmed, this part of 16.
    Confirm(u64),
    Kill,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..12usize).prop_map(Step::Append),
        3 => Just(Step::Flush),
        6 => (1..12usize).prop_map(Step::Next),
        4 => (0..=16u64).prop_map(Step::Confirm),
        1 => Just(Step::Kill),
        1 => Just(Step::Reopen),
    ]
}

/// What a spool must be like.
#[derive(Default)]
struct Model {
    last: u64,
    flushed: u64,
    confirmed: u64,
    told: u64,
}

impl Model {
    fn run(&mut self, spool: &mut Spool, step: &Step) {
        match *step {
            Step::Append(lines) => {
                for _ in 0..lines {
                    match spool.append(&text(self.last + 1)) {
                        Ok(number) => self.last += 1_u64.max(number - self.last),
                        Err(error) => assert!(matches!(error, SpoolError::Full { .. }), "{error}"),
                    }
                }
            }
            Step::Flush => {
                spool.flush().unwrap();
                self.flushed = self.last;
            }
            Step::Next(lines) => {
                let mut line = Vec::new();
                for _ in 0..lines {
                    let next = self.told.max(self.confirmed) + 1;
                    let expected = (next <= self.last).then_some(next);
                    assert_eq!(spool.next(&mut line), Ok(expected));
                    if expected.is_some() {
                        assert_eq!(line, text(next));
                        self.told = next;
                    }
                }
            }
            Step::Confirm(part) => {
                let upto = self.confirmed + (self.last - self.confirmed) * part / 16;
                spool.confirm(upto).unwrap();
                self.confirmed = upto;
            }
            Step::Kill | Step::Reopen => {}
        }
        assert_eq!(
            (spool.last(), spool.confirmed()),
            (self.last, self.confirmed)
        );
        assert!(spool.bytes() <= 2_000);
    }

    /// A new start: what was flushed or confirmed is there, and at most what was taken.
    fn started(&mut self, spool: &Spool, is_killed: bool) {
        let least = match is_killed {
            true => self.flushed.max(self.confirmed),
            false => self.last,
        };
        assert!((least..=self.last).contains(&spool.last()));
        assert_eq!(spool.confirmed(), self.confirmed);
        assert_eq!(spool.bytes_torn(), 0);
        assert_eq!(spool.resumed(), spool.last() - self.confirmed);
        self.last = spool.last();
        (self.flushed, self.told) = (self.last, self.confirmed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_program_finds_what_it_left(steps in prop::collection::vec(step(), 1..120)) {
        let dir = Dir::new();
        let mut spool = Spool::open(&dir, small()).unwrap();
        let mut model = Model::default();
        for step in steps {
            model.run(&mut spool, &step);
            let is_killed = matches!(step, Step::Kill);
            if is_killed || matches!(step, Step::Reopen) {
                match is_killed {
                    true => kill(spool),
                    false => drop(spool),
                }
                spool = Spool::open(&dir, small()).unwrap();
                model.started(&spool, is_killed);
            }
        }
    }

    /// Any bytes in place of some of a spool's, in any of its files.
    #[test]
    fn any_damage_is_met_without_a_panic_and_no_line_comes_back_as_another(
        file in 0..4usize,
        at in 0..5_000usize,
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], 0..80),
        cuts in any::<bool>(),
        skips in any::<bool>(),
    ) {
        let dir = Dir::new();
        let mut spool = Spool::open(&dir, small()).unwrap();
        fill(&mut spool, 1..=25);
        drop(spool);
        let mut files = dir.files();
        let damaged = &mut files[file].1;
        let at = at % (damaged.len() + 1);
        let end = damaged.len().min(match cuts {
            true => damaged.len(),
            false => at + bytes.len(),
        });
        let is_cut_only = bytes.is_empty();
        damaged.splice(at..end, bytes);
        dir.put(&files);
        let damaged = if skips { Damaged::Skip } else { Damaged::Refuse };
        if let Ok(mut spool) = Spool::open(&dir, SpoolConfig { damaged, ..small() }) {
            let (numbers, error) = told(&mut spool);
            prop_assert!(numbers.windows(2).all(|it| it[0] < it[1]), "{numbers:?}");
            let is_whole = (1..).zip(&numbers).all(|(it, number)| it == *number);
            match skips {
                true => prop_assert!(error.is_none(), "{error:?}"),
                false => prop_assert!(is_whole, "{numbers:?}"),
            }
            // What is missing is said, but for an end that was cut between two records.
            let is_told = spool.lines_skipped() + spool.bytes_torn() > 0;
            let is_unseen = cuts && is_cut_only && file == 2;
            let is_said = error.is_some() || is_told || is_unseen;
            prop_assert!(numbers.len() == 25 || is_said, "{numbers:?}");
            let next = spool.last() + 1;
            prop_assert_eq!(spool.append(&text(next)), Ok(next));
        } else {
            prop_assert!(!skips);
        }
    }

    /// Nothing but what was found somewhere.
    #[test]
    fn any_files_are_opened_or_refused(
        first in prop_oneof![1..40u64, any::<u64>()],
        segment in prop::collection::vec(any::<u8>(), 0..3_000),
        position in prop::option::of(prop::collection::vec(any::<u8>(), 0..5_000)),
        skips in any::<bool>(),
    ) {
        let dir = Dir::new();
        let mut files = vec![(files::segment_path(dir.as_ref(), first), segment)];
        files.extend(position.map(|it| (dir.as_ref().join("position"), it)));
        dir.put(&files);
        let damaged = if skips { Damaged::Skip } else { Damaged::Refuse };
        if let Ok(mut spool) = Spool::open(&dir, SpoolConfig { damaged, ..small() }) {
            prop_assert_eq!(told(&mut spool), (vec![], None));
            let next = spool.last() + 1;
            prop_assert_eq!(spool.append(&text(next)), Ok(next));
        }
    }
}
