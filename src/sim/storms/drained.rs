//! A program that ends in the midst of the storm: by a drain, with whatever is under way. Everything ends by its
//! deadline, the end is told last, and all is given back.

use std::time::Duration;

use super::run::Run;
use super::streams::Stream;
use crate::error::Source;
use crate::time::Time;

/// Beyond the deadline: for what is to be read first, and for a loop that is stalled again and again.
const FORCED_WITHIN: Duration = Duration::from_secs(60);

impl Run {
    pub(super) fn ends_by_a_drain(&mut self, after: Duration) {
        let until = self.world.now().after(after);
        self.world.note(&format!("drain until {until:?}"));
        self.drained_at = until;
        self.client.core.drain(|_, _, _| until);
        self.client.check();
        self.streams_are_drained();
        let core = &mut self.client.core;
        let refused = core.request(self.upstreams[0], b"late\n", 0, |_, _, _| Time::NEVER);
        let refused = refused.map_err(|error| error.source);
        assert_eq!(refused, Err(Source::ShuttingDown));
        while !self.is_drained {
            let now = self.world.now();
            assert!(now <= until.after(FORCED_WITHIN), "it does not end");
            let soon = now.after(Duration::from_millis(100));
            self.round(soon);
        }
        self.pass(Duration::from_secs(5));
        // The last slots are given back in the next turn, and the loop may be stalled until then.
        let turned_by = self.world.now().after(FORCED_WITHIN);
        while self.client.core.connections() > 0 && self.world.now() < turned_by {
            self.pass(Duration::from_millis(100));
        }
        assert_eq!(self.open, 0, "requests have not ended");
        let is_over = self.streams.values().all(Stream::is_over);
        assert!(is_over, "a connection has not ended");
        assert_eq!(self.client.core.connections(), 0, "slots are left");
        assert_eq!(self.client.core.kernel.descriptors(), 0);
        assert_eq!(self.client.held_bytes(), (0, 0), "bytes are held");
        assert_eq!(self.client.borrowed_bytes(), 0, "storage is held");
        assert!(self.client.lookups_awaited().is_empty());
        self.kept_its_word();
    }
}
