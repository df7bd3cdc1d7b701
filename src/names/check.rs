//! What must hold of names at any time, for tests that look into the engine.

use super::Names;

impl Names {
    /// Panics when an invariant is broken; else who waits for what lookup.
    pub(crate) fn check(&self) -> impl Iterator<Item = (u64, u64)> {
        assert_eq!(self.by_target.len(), self.entries.len());
        assert!(self.idle.len() <= self.rules.names_max);
        self.entries.iter().flat_map(|(index, entry)| {
            let place = (entry.asked_at, index as u32);
            let is_idle = entry.waiters.is_empty();
            assert_eq!(self.idle.contains(&place), is_idle, "{entry:?}");
            assert!(is_idle || entry.under_way.is_some(), "{entry:?}");
            let job = entry.under_way.map_or(0, |(_, job)| job);
            entry.waiters.iter().map(move |waiter| (*waiter, job))
        })
    }
}
