//! The heartbeats of an upstream: which frame answers one, and how many there were.
//!
//! A heartbeat is no request: it takes up no depth, has no deadline and is told to nobody. Where replies come in order
//! its answer comes in its turn; where they carry ids it is found by its own, or is a frame without an id that is what
//! was expected.

use super::{Failed, Service};
use crate::config::Heartbeat;
use crate::time::Time;
use crate::upstream::breaker::Happened;

/// What a frame is to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers none.
    NotItsAnswer,
    Fits,
    /// It is its answer, and not what was expected.
    Differs,
}

impl Service {
    // What happened.

    /// The peer of a member's connection is asked for a sign of life, at this place of the stream.
    pub(crate) fn handle_heartbeat_sent(&mut self, member: u32, start: u64) {
        self.members[member as usize].pipeline.put_heartbeat(start);
        self.stats.heartbeats += 1;
    }

    /// A connection has ended because its peer gave no sign of life.
    pub(crate) fn handle_heartbeat_missed(
        &mut self,
        now: Time,
        random: u64,
        failed: &mut Vec<Failed>,
    ) {
        self.stats.heartbeats_missed += 1;
        self.heed(now, random, Happened::TimedOut, failed);
    }

    /// A frame came, with its id where it has one; of one that was skipped the bytes are not known. If it answers the
    /// heartbeat of its connection, that is over.
    pub(crate) fn handle_heartbeat_reply(
        &mut self,
        member: u32,
        id: Option<u64>,
        frame: Option<&[u8]>,
        written: u64,
    ) -> Verdict {
        let pipeline = &mut self.members[member as usize].pipeline;
        let Some(heartbeat) = self.options.heartbeat.as_ref() else {
            return Verdict::NotItsAnswer;
        };
        if !pipeline.heartbeat_has_begun(written) {
            return Verdict::NotItsAnswer;
        }
        let fits = heartbeat.expect.fits(frame);
        let is_its_answer = match self.ids.are_used() {
            false => true,
            true => id == heartbeat.id && (id.is_some() || fits),
        };
        if !is_its_answer {
            return Verdict::NotItsAnswer;
        }
        pipeline.take_heartbeat();
        if fits {
            Verdict::Fits
        } else {
            Verdict::Differs
        }
    }

    // Getters.

    pub(crate) fn heartbeat(&self) -> Option<&Heartbeat> {
        self.options.heartbeat.as_ref()
    }

    /// Whether replies carry ids, so that none waits for another.
    pub(crate) fn is_matched_by_id(&self) -> bool {
        self.ids.are_used()
    }

    /// Whether a heartbeat of this member is not answered.
    pub(crate) fn awaits_heartbeat(&self, member: u32) -> bool {
        self.members[member as usize].pipeline.has_heartbeat()
    }
}
