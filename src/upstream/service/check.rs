//! What must hold of a service between any two turns, for tests that look into it.

use super::{Service, State};
use crate::time::Time;

impl Service {
    /// Requests that have not ended.
    pub(crate) fn under_way(&self) -> usize {
        let in_flight = self.members.iter().flat_map(|it| it.pipeline.in_order());
        in_flight.filter(|it| !it.is_tombstone).count() + self.waiting.len()
    }

    /// Targets that are left alone, and until when.
    pub(crate) fn left_alone(&self) -> impl Iterator<Item = (usize, Time)> {
        let all = 0..=self.options.others.len();
        all.filter_map(|target| Some((target, self.ejection.ejected_until(target)?)))
    }

    /// Panics when a figure is not what it counts, or a member is not offered as it should be.
    pub(crate) fn check(&self) {
        let is_open = |state: &State| matches!(state, State::Open { .. });
        let is_ending = |state: &State| {
            matches!(
                state,
                State::Open {
                    is_ending: true,
                    ..
                }
            )
        };
        let count = |is: fn(&State) -> bool| self.members.iter().filter(|it| is(&it.state)).count();
        assert_eq!(self.stats.open, count(is_open), "connections that stand");
        let connecting = count(|state| matches!(state, State::Connecting));
        assert_eq!(self.stats.connecting, connecting, "connections being made");
        let mut absent: Vec<u32> = self.absent.members().collect();
        absent.sort_unstable();
        let is_absent = |it: &u32| matches!(self.members[*it as usize].state, State::Absent);
        let all = (0..self.members.len() as u32).filter(is_absent);
        assert_eq!(absent, all.collect::<Vec<_>>(), "members without one");
        let is_trial = self.outage.is_trial();
        assert!(!is_trial || self.stats.open == 0, "a trial, and one stands");
        let in_flight: usize = self.members.iter().map(|it| it.pipeline.len()).sum();
        assert_eq!(self.stats.in_flight, in_flight, "requests on their way");
        let max = self.members.len();
        assert!(
            self.stats.open + connecting <= max && self.stats.lingering <= max,
            "more connections than there may be"
        );
        assert!(in_flight <= self.in_flight_max(), "more than may be");
        for (member, it) in self.members.iter().enumerate() {
            it.pipeline.check();
            let in_flight = it.pipeline.len();
            assert!(in_flight == 0 || is_open(&it.state), "in flight on nothing");
            assert!(in_flight <= self.options.depth, "more than its depth");
            let has_heartbeat = it.pipeline.has_heartbeat();
            assert!(!has_heartbeat || is_open(&it.state), "asked on nothing");
            let takes = is_open(&it.state)
                && !is_ending(&it.state)
                && !it.rest.is_over
                && (self.ids.are_used() || it.pipeline.tombstones() == 0)
                && in_flight < self.options.depth;
            let is_left_alone = self.ejection.ejected_until(it.target).is_some();
            assert!(
                !is_left_alone || !is_open(&it.state) || it.rest.is_over,
                "member {member} is for who is left alone"
            );
            let offered = self.balance.list_of(member as u32);
            assert_eq!(
                offered,
                takes.then_some(in_flight),
                "member {member} is offered"
            );
        }
        assert!(self.outbox.is_empty(), "on their way to the fallback");
        self.waiting.check();
        let pipelines = self.members.iter().flat_map(|it| it.pipeline.in_order());
        let of_pipelines = pipelines.filter(|it| it.again.kept.is_some()).count();
        let kept = of_pipelines + self.waiting.kept();
        assert_eq!(self.kept.len(), kept, "payloads kept");
        if self.ids.are_used() {
            let known = self.ids.len_and_capacity().0;
            assert_eq!(known, in_flight + self.waiting.len(), "ids in use");
        }
    }
}
