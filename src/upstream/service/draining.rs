//! The end of an upstream: what is under way is finished, and nothing new is begun.
//!
//! Nobody waits for a connection that nobody makes: who waits is served by those that stand or are being made, or fails.
//! Always: while one waits, such a connection is there.

use super::{Failed, Member, Service, State};
use crate::error::{Error, Phase, Source};

impl Service {
    /// No connection is begun from now on.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Gives up those that wait, when no connection is left that could take them.
    pub(crate) fn fail_unserved(&mut self, failed: &mut Vec<Failed>) {
        let may_serve = |it: &Member| match it.state {
            State::Absent => false,
            State::Connecting => true,
            State::Open { is_ending, .. } => !is_ending && !it.rest.is_over,
        };
        if self.is_draining && self.has_waiting() && !self.members.iter().any(may_serve) {
            self.fail_waiting(failed);
        }
    }

    /// Gives up all that wait: the time of the drain is over.
    pub(crate) fn fail_waiting(&mut self, failed: &mut Vec<Failed>) {
        let error = Error::new(Phase::Connect, Source::ShuttingDown);
        let (waiting, mut leaving) = self.leaving();
        waiting.fail_all(|waiter, payload| failed.push(leaving.fail(waiter, payload, error)));
    }

    /// The connections, when the last that waited has just been served or has given up: some may be of no more use.
    pub(crate) fn poll_all_served(&mut self) -> Option<impl Iterator<Item = u32>> {
        let is_served = self.is_draining && !self.has_waiting();
        let was_served = std::mem::replace(&mut self.all_served, is_served);
        let standing = self.members.iter().map(|it| it.connection);
        let standing = standing.filter(|connection| *connection != u32::MAX);
        (is_served && !was_served).then_some(standing)
    }

    /// Whether a member's connection has nothing left to do.
    pub(crate) fn is_done_with(&self, member: u32) -> bool {
        self.is_draining && !self.has_waiting() && !self.awaits(member)
    }
}
