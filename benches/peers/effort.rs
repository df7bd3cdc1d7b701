//! How much a bench does, and the numbers of its command line.

pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// A tenth of the work: to see that it runs.
    quick: bool,
}

impl Effort {
    /// So many rounds, where it was said.
    pub(crate) fn new(rounds: Option<usize>, quick: bool) -> Effort {
        Effort {
            rounds: rounds.unwrap_or(if quick { 3 } else { 9 }).max(1),
            quick,
        }
    }

    /// So much work, or a tenth of it.
    pub(crate) fn amount(&self, full: u64) -> u64 {
        if self.quick { full / 10 } else { full }
    }
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text} is not a number that fits"))
}
