//! Makes a list that shows something smaller: delta debugging (Zeller, Hildebrandt 2002), with a
//! bound on the trials and on the time.
//!
//! Never: what the list is of, or what it shows. What is left still shows it.

use std::time::{Duration, Instant};

/// What shrinking may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) trials_max: u32,
    pub(super) until: Instant,
}

impl Budget {
    pub(super) fn of(trials_max: u32, time: Duration) -> Budget {
        Budget {
            trials_max,
            until: Instant::now() + time,
        }
    }

    /// Takes one trial from it.
    pub(super) fn spend(&mut self) -> bool {
        let allows = self.trials_max > 0 && Instant::now() < self.until;
        self.trials_max = self.trials_max.saturating_sub(1);
        allows
    }
}

/// Drops what is of no matter: each group first, whole; then halves, quarters, and so on down to
/// single entries, until none of them can be missed.
pub(super) fn shrink<T: Copy, G: PartialEq>(
    mut entries: Vec<T>,
    group: impl Fn(&T) -> G,
    budget: &mut Budget,
    mut shows: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut tried: Vec<G> = Vec::new();
    while let Some(next) = entries.iter().map(&group).find(|g| !tried.contains(g)) {
        let without = entries.iter().filter(|entry| group(entry) != next);
        let without: Vec<T> = without.copied().collect();
        if !budget.spend() {
            return entries;
        }
        if shows(&without) {
            entries = without;
        }
        tried.push(next);
    }
    let mut size = entries.len().div_ceil(2);
    while size > 0 {
        let before = entries.len();
        entries = drop_parts(entries, size, budget, &mut shows);
        size = match size {
            // Until a pass over the single ones finds nothing more.
            1 if entries.len() < before => 1,
            size => size / 2,
        };
    }
    entries
}

/// Drops each part of so many entries that is of no matter.
fn drop_parts<T: Copy>(
    mut entries: Vec<T>,
    size: usize,
    budget: &mut Budget,
    shows: &mut impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut at = 0;
    while at < entries.len() && budget.spend() {
        let end = entries.len().min(at + size);
        let without = [&entries[..at], &entries[end..]].concat();
        match shows(&without) {
            true => entries = without,
            false => at = end,
        }
    }
    entries
}

#[test]
fn what_is_left_is_what_matters_and_nothing_more() {
    for matter in [vec![], vec![0], vec![3, 99], vec![17, 18, 40, 77]] {
        let mut budget = Budget::of(1_000, Duration::from_secs(60));
        let shows = |some: &[u32]| matter.iter().all(|one| some.contains(one));
        let left = shrink((0..100).collect(), |one| one % 7, &mut budget, shows);
        assert_eq!(left, matter);
    }
}

#[test]
fn shrinking_ends_with_its_budget() {
    let mut trials = 0;
    let mut budget = Budget::of(5, Duration::from_secs(60));
    let left = shrink(
        (0..1_000).collect(),
        |_| (),
        &mut budget,
        |some: &[u32]| {
            trials += 1;
            some.contains(&7)
        },
    );
    assert_eq!(trials, 5);
    assert!(left.contains(&7));
}
