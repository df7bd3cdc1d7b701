//! Which connections of the model are wanted, and whether the service may begin one.

use super::{Line, Model, State};
use crate::time::Time;

impl Model {
    /// The service connects this member: it must be one that is wanted, and not before its time can have come.
    pub(in crate::fuzz::service) fn connects(&mut self, now: Time, member: u32) {
        let next = self.next_connect();
        assert!(next.is_some_and(|(from, _)| from <= now), "not now");
        let is_absent = |line: &Line| matches!(line.state, State::Absent);
        let (warm, others) = self.lines.split_at(self.warm);
        let is_warm = (member as usize) < self.warm;
        assert_eq!(
            is_warm,
            warm.iter().any(is_absent),
            "the warm ones come first"
        );
        assert!(is_warm || others.iter().any(is_absent));
        let line = &mut self.lines[member as usize];
        assert!(
            matches!(line.state, State::Absent),
            "{member} has a connection"
        );
        line.state = State::Connecting;
        line.begun_after = self.pace.counted;
        self.pace.begun(now);
        self.begun = self.first.min(self.begun + 1);
        self.is_asked_for = false;
    }

    pub(in crate::fuzz::service) fn retry_now(&mut self, now: Time) {
        self.pace.forget_pause(now);
        let none_stands = self.count(|state| matches!(state, State::Open { .. })) == 0;
        self.is_asked_for |= none_stands;
    }

    pub(in crate::fuzz::service) fn connected(&mut self, now: Time, member: usize) {
        let (since, served) = (now, false);
        self.lines[member].state = State::Open { since, served };
        self.lines[member].rests_since = now;
        self.stats.connects += 1;
        self.pace.connected(now);
        self.heed_room();
    }

    /// Whether any is to be connected: the first ones, a warm one, or one for somebody who waits and whom nobody serves.
    fn is_wanted(&self) -> bool {
        let is_absent = |line: &Line| matches!(line.state, State::Absent);
        let serves = |line: &Line| self.room(line).is_some();
        let connecting = self.count(|state| matches!(state, State::Connecting));
        let asking = self.waiting.len().max(usize::from(self.is_asked_for));
        let is_asked = asking > connecting && !self.lines.iter().any(serves);
        let is_missing = self.lines.iter().any(is_absent);
        let lacks_warm = self.lines[..self.warm].iter().any(is_absent);
        is_missing && (self.begun < self.first || lacks_warm || is_asked)
    }

    /// Between which times the next is connected, if any is.
    pub(in crate::fuzz::service) fn next_connect(&self) -> Option<(Time, Time)> {
        let open = self.count(|state| matches!(state, State::Open { .. }));
        let connecting = self.count(|state| matches!(state, State::Connecting));
        let is_first = self.begun < self.first;
        self.pace
            .next(open, connecting, is_first)
            .filter(|_| self.is_wanted() && !self.is_draining)
    }
}
