//! When connections of the model may be begun, and how many at a time: the rules of `Reconnect`, as plain lists.
//!
//! Pauses and moments are known by their bounds alone, for the draws within them are the service's own.

use super::Line;
use crate::config::Reconnect;
use crate::error::Class;
use crate::time::Time;
use crate::upstream::Upstream;

pub(super) struct Pace {
    rules: Reconnect,
    /// Each connection is for one request: when growing, there is one for each.
    is_unbounded: bool,
    state: State,
    /// The pause ends between the two.
    pause: (Time, Time),
    /// Failures that counted so far, misses apart, and those since the last stable uptime.
    pub(super) counted: (u32, u32),
    in_a_row: u32,
    /// Attempts that failed since the last success, while others stood.
    misses: u32,
    fine_since: Option<Time>,
    /// When the last was begun.
    begun_at: Time,
    /// Connections that there may be beside the trial's.
    others: usize,
}

enum State {
    Growing,
    Trial,
    /// Between which times each of those may be begun that still may.
    Release(Vec<(Time, Time)>),
}

impl Pace {
    pub(super) fn new(upstream: &Upstream, rules: Reconnect) -> Pace {
        let others = upstream.connections.max - 1;
        let is_unbounded = upstream.one_request;
        Pace {
            is_unbounded,
            rules,
            state: State::Growing,
            pause: (Time::ZERO, Time::ZERO),
            counted: (0, 0),
            in_a_row: 0,
            misses: 0,
            fine_since: None,
            begun_at: Time::ZERO,
            others,
        }
    }

    /// Between which times the next may be begun, where none need end before.
    pub(super) fn next(
        &self,
        open: usize,
        connecting: usize,
        is_first: bool,
    ) -> Option<(Time, Time)> {
        let is_within =
            self.is_unbounded || connecting < self.rules.growth_min || connecting < open;
        let (may, moment) = match &self.state {
            State::Growing => (is_first || is_within, self.pause),
            State::Trial => (connecting == 0, self.pause),
            State::Release(moments) => {
                // Those before may have been passed over, or not.
                let is_ahead = |it: &&(Time, Time)| it.0 >= self.begun_at;
                let sure = moments.iter().find(is_ahead).or(moments.last());
                (is_within, (moments[0].0, sure.expect("one is left").1))
            }
        };
        let next = (moment.0.max(self.pause.0), moment.1.max(self.pause.1));
        may.then_some(next)
    }

    pub(super) fn begun(&mut self, now: Time) {
        self.begun_at = now;
        if let State::Release(moments) = &mut self.state {
            moments.remove(0);
            moments.retain(|(_, end)| *end >= now);
            if moments.is_empty() {
                self.state = State::Growing;
            }
        }
    }

    pub(super) fn connected(&mut self, now: Time) {
        self.misses = 0;
        self.fine_since = self.fine_since.or(Some(now));
        if matches!(self.state, State::Trial) {
            self.state = match self.others {
                0 => State::Growing,
                others => State::Release(self.moments(now, others)),
            };
        }
    }

    fn moments(&self, now: Time, count: usize) -> Vec<(Time, Time)> {
        let mut moments = Vec::new();
        let (mut step_at, mut allowed) = (now, 1);
        while moments.len() < count {
            let part = self.rules.release_step / allowed;
            let at = |n: u32| step_at.after(part * n);
            moments.extend((0..allowed).map(|n| (at(n), at(n + 1))));
            step_at = step_at.after(self.rules.release_step);
            allowed = self.rules.release_max.min(allowed * 2);
        }
        moments.truncate(count);
        moments
    }

    pub(super) fn failed(&mut self, now: Time, failed: &Line, class: Class, stands: bool) {
        let is_miss = failed.is_connecting() && stands;
        let (failures, misses) = &mut self.counted;
        let is_new =
            failed.begun_after.0 == *failures && (!is_miss || failed.begun_after.1 == *misses);
        match is_miss {
            _ if !is_new => {}
            true => *misses += 1,
            false => *failures += 1,
        }
        if is_new && class != Class::Resource && is_miss {
            self.misses += 1;
        } else if is_new && class != Class::Resource {
            let stable = self.rules.stable_uptime;
            if self.fine_since.is_some_and(|it| now.since(it) >= stable) {
                self.in_a_row = 0;
            }
            self.in_a_row += 1;
            self.fine_since = stands.then_some(now);
        }
        let row = if is_miss { self.misses } else { self.in_a_row };
        if is_new {
            self.pause = self.drawn(now, class, row);
        } else if !stands {
            // Drawn anew when its end has come, which the draw before decides.
            let (_, until) = self.pause;
            self.pause = self.drawn(now, class, row);
            self.pause.1 = self.pause.1.max(until);
        }
        if !stands {
            self.state = State::Trial;
        } else if is_new {
            let (from, until) = self.pause;
            let mut moments = self.moments(from, self.others);
            let lasts = until.since(from);
            moments.iter_mut().for_each(|it| it.1 = it.1.after(lasts));
            self.state = State::Release(moments);
        }
    }

    fn drawn(&self, now: Time, class: Class, row: u32) -> (Time, Time) {
        let doubled = self.rules.first_pause_max * 2u32.pow(row.saturating_sub(1).min(20));
        let ceiling = match class {
            Class::Resource => self.rules.first_pause_max,
            Class::Persistent => self.rules.pause_max,
            _ => doubled.min(self.rules.pause_max),
        };
        (now, now.after(ceiling))
    }

    pub(super) fn forget_pause(&mut self, now: Time) {
        self.pause = (Time::ZERO, Time::ZERO);
        // Of a release that has not begun the first moment is now, and the others follow in their steps.
        if let State::Release(moments) = &mut self.state
            && moments.len() == self.others
        {
            let begins_late = moments[0].1.since(now.after(self.rules.release_step));
            for (from, until) in moments.iter_mut() {
                *until = from.after(until.since(*from) - begins_late);
            }
            moments[0].1 = moments[0].1.min(now);
        }
    }
}
