//! One connection of the model: what it says of its requests.

use super::model::{Line, State};
use crate::error::Sent;
use crate::time::Time;
use crate::upstream::InFlight;

impl Line {
    pub(super) fn new(state: State) -> Line {
        Line {
            state,
            pipeline: Vec::new(),
            queued: 0,
            written: 0,
            reply_begun: false,
            rests_since: Time::ZERO,
            is_over: false,
            begun_after: (0, 0),
        }
    }

    pub(super) fn has_served(&self) -> bool {
        matches!(self.state, State::Open { served: true, .. })
    }

    /// Bytes of a reply come: only behind a request.
    pub(super) fn begins_reply(&mut self) {
        self.reply_begun = self
            .pipeline
            .first()
            .is_some_and(|it| it.range.start < self.written);
    }

    pub(super) fn sent(&self, request: &InFlight, is_oldest: bool, has_ids: bool) -> Sent {
        match request.range.start < self.written {
            false => Sent::No,
            true if is_oldest && self.reply_begun && !has_ids => Sent::Yes,
            true => Sent::Maybe,
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        let live = self.pipeline.iter().filter(|it| !it.is_tombstone);
        live.map(|it| it.deadline).min().unwrap_or(Time::NEVER)
    }

    /// With ids nobody waits for a late reply.
    pub(super) fn awaits(&self, has_ids: bool) -> bool {
        self.pipeline.iter().any(|it| !has_ids || !it.is_tombstone)
    }
}
