//! What the program does of its own in the midst of it: it takes requests back.

use super::run::Run;
use crate::event::Event;

impl Run {
    /// Takes a request back, now and then: one that has ended is not taken back, and its end was told or will be.
    pub(super) fn cancel_some(&mut self) {
        if self.asked.is_empty() || !self.whims.happens(self.options.cancels) {
            return;
        }
        let newest = self.asked.len() as u64 - 1;
        let tag = self.whims.within(newest.saturating_sub(20)..=newest) as usize;
        let Some(request) = self.asked[tag].request else {
            return;
        };
        let is_cancelled = self.client.core.cancel(request);
        self.world.note(&format!("cancel {tag}: {is_cancelled}"));
        let is_told = |event: &Event| event.ends(request);
        let has_ended =
            self.asked[tag].ended.is_some() || self.client.core.events.iter().any(is_told);
        assert!(has_ended, "{tag} was taken back and goes on");
        self.asked[tag].is_cancelled |= is_cancelled;
        assert!(
            !self.client.core.cancel(request),
            "{tag} is taken back again"
        );
    }
}
