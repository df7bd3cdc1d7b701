//! The fate of each line, booked as it is told, and what came of it at the sink.

/// What a line was told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    Uncertain,
    Undelivered,
    Refused,
}

/// Fates in the order of the stream, each line's told once: anything else panics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fates {
    told: Vec<Fate>,
}

impl Fates {
    /// Lines whose fate is told, from the first on without a gap.
    pub(crate) fn told(&self) -> u64 {
        self.told.len() as u64
    }

    /// All lines up to this one that were not told of. The range of them.
    #[track_caller]
    pub(crate) fn delivered(&mut self, upto: u64) -> std::ops::RangeInclusive<u64> {
        let from = self.told() + 1;
        self.book(from, upto, Fate::Delivered);
        from..=upto
    }

    #[track_caller]
    pub(crate) fn book(&mut self, from: u64, to: u64, fate: Fate) {
        let next = self.told() + 1;
        assert_eq!(from, next, "{from} to {to} as {fate:?}, but {next} is next");
        assert!(to >= from, "{from} to {to} as {fate:?} is no line");
        self.told.resize(to as usize, fate);
    }

    pub(crate) fn count(&self, fate: Fate) -> u64 {
        self.told.iter().filter(|it| **it == fate).count() as u64
    }

    /// Each line's number and fate.
    pub(crate) fn each(&self) -> impl Iterator<Item = (u64, Fate)> {
        (1..).zip(self.told.iter().copied())
    }
}

/// What became of the lines of a run, as a reader of `docs/guarantees.md` asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Told as delivered, and the sink does not have it: lost in silence.
    pub(crate) lost: u64,
    /// Times that the sink has a line more than once.
    pub(crate) doubled: u64,
    pub(crate) uncertain: u64,
    /// Of those, how many the sink has.
    pub(crate) uncertain_and_read: u64,
    pub(crate) undelivered: u64,
    pub(crate) refused: u64,
}

impl Outcome {
    /// Holds fates against how often the sink has each line.
    #[track_caller]
    pub(crate) fn of(fates: &Fates, times_read: impl Fn(u64) -> u32) -> Outcome {
        let mut outcome = Outcome::default();
        for (number, fate) in fates.each() {
            let read = times_read(number);
            outcome.doubled += u64::from(read.saturating_sub(1));
            match fate {
                Fate::Delivered => outcome.lost += u64::from(read == 0),
                Fate::Uncertain => {
                    outcome.uncertain += 1;
                    outcome.uncertain_and_read += u64::from(read > 0);
                }
                Fate::Undelivered => {
                    assert_eq!(read, 0, "{number} was told as undelivered");
                    outcome.undelivered += 1;
                }
                Fate::Refused => {
                    assert_eq!(read, 0, "{number} was told as refused");
                    outcome.refused += 1;
                }
            }
        }
        outcome
    }
}
