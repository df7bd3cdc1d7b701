//! Which of an upstream's targets are left alone for a while because they fail: outlier ejection.
//!
//! A target that fails so many times in a row is ejected for U(0.5, 1) · min(longest, first · 2ⁿ), n its ejections so
//! far without a success between. Never more than half of the targets at a time, and never the last: where all fail it
//! is not the targets, and somebody must be asked to find that out. After its time a target is back on trial: one
//! attempt, whose failure ejects it anew and whose success makes it one of the others.
//!
//! Always: of the targets at least one is not ejected.

use std::time::Duration;

use crate::time::Time;

/// When targets are ejected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Failures in a row; zero: never.
    pub(super) failures: u32,
    pub(super) first_max: Duration,
    pub(super) longest: Duration,
}

/// How a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    In,
    /// Left alone until then.
    Out {
        until: Time,
    },
    /// Its time is over; one attempt may be made, or is.
    Trial {
        is_begun: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Target {
    state: State,
    /// Failures in a row.
    failures: u32,
    /// Ejections since the last success.
    ejections: u32,
}

#[derive(Debug)]
pub(super) struct Ejection {
    rules: Rules,
    targets: Vec<Target>,
}

impl Ejection {
    pub(super) fn new(targets: usize, rules: Rules) -> Ejection {
        let target = Target {
            state: State::In,
            failures: 0,
            ejections: 0,
        };
        Ejection {
            rules,
            targets: vec![target; targets],
        }
    }

    // What happened.

    /// A connect to this target is begun.
    pub(super) fn handle_begun(&mut self, target: usize) {
        if let State::Trial { is_begun } = &mut self.targets[target].state {
            *is_begun = true;
        }
    }

    /// A connection to it stands: no longer on trial. Whether it serves is not known yet, so its next ejection would
    /// still be the longer one.
    pub(super) fn handle_connected(&mut self, target: usize) {
        let it = &mut self.targets[target];
        if let State::Trial { .. } = it.state {
            (it.state, it.failures) = (State::In, 0);
        }
    }

    /// A reply came from it.
    pub(super) fn handle_success(&mut self, target: usize) {
        let it = &mut self.targets[target];
        it.failures = 0;
        if !matches!(it.state, State::Out { .. }) {
            (it.state, it.ejections) = (State::In, 0);
        }
    }

    /// What says nothing of the target ended a connect to it: another one may be tried.
    pub(super) fn handle_unjudged(&mut self, target: usize) {
        if let State::Trial { is_begun } = &mut self.targets[target].state {
            *is_begun = false;
        }
    }

    /// It has failed, by its own fault. Whether it is ejected with that.
    pub(super) fn handle_failure(&mut self, now: Time, target: usize, random: u64) -> bool {
        let it = &mut self.targets[target];
        it.failures = it.failures.saturating_add(1);
        let is_due = match it.state {
            State::Out { .. } => false,
            State::Trial { .. } => true,
            State::In => self.rules.failures > 0 && it.failures >= self.rules.failures,
        };
        if !is_due {
            return false;
        }
        // Those on trial are counted with the ejected: they carry nothing yet.
        let away = |it: &Target| it.state != State::In;
        let others = self.targets.iter().enumerate();
        let others = others.filter(|(n, it)| *n != target && away(it)).count();
        if (others + 1) * 2 > self.targets.len() {
            self.handle_unjudged(target);
            return false;
        }
        let pause = self.pause(target, random);
        let it = &mut self.targets[target];
        it.ejections = it.ejections.saturating_add(1);
        it.state = State::Out {
            until: now.after(pause),
        };
        true
    }

    /// Time has passed: who has been away long enough comes back on trial.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        for it in &mut self.targets {
            if matches!(it.state, State::Out { until } if until <= now) {
                it.state = State::Trial { is_begun: false };
            }
        }
    }

    // Getters.

    /// Whether a connect to it may be begun.
    pub(super) fn admits(&self, target: usize) -> bool {
        match self.targets[target].state {
            State::In => true,
            State::Out { .. } => false,
            State::Trial { is_begun } => !is_begun,
        }
    }

    /// Until when it is left alone.
    pub(super) fn ejected_until(&self, target: usize) -> Option<Time> {
        match self.targets[target].state {
            State::Out { until } => Some(until),
            State::In | State::Trial { .. } => None,
        }
    }

    /// Those that are left alone.
    pub(super) fn ejected(&self) -> usize {
        let all = 0..self.targets.len();
        all.filter(|it| self.ejected_until(*it).is_some()).count()
    }

    /// When the first comes back.
    #[cfg(test)]
    pub(super) fn poll_timeout(&self) -> Time {
        let ends = (0..self.targets.len()).filter_map(|target| self.ejected_until(target));
        ends.min().unwrap_or(Time::NEVER)
    }

    /// U(0.5, 1) of the ceiling.
    fn pause(&self, target: usize, random: u64) -> Duration {
        let doubled = 1u32
            .checked_shl(self.targets[target].ejections)
            .unwrap_or(u32::MAX);
        let ceiling = self.rules.first_max.saturating_mul(doubled);
        let half = ceiling.min(self.rules.longest).as_nanos() / 2;
        let half = u64::try_from(half).unwrap_or(u64::MAX / 2);
        let drawn = ((u128::from(half) * u128::from(random)) >> 64) as u64;
        Duration::from_nanos(half.saturating_add(drawn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules {
        failures: 5,
        first_max: Duration::from_secs(1),
        longest: Duration::from_secs(30),
    };

    fn at(millis: u64) -> Time {
        Time::ZERO.after(Duration::from_millis(millis))
    }

    /// This many failures in a row; whether the last ejected it.
    fn fail(ejection: &mut Ejection, now: Time, target: usize, times: u32) -> bool {
        (0..times)
            .map(|_| ejection.handle_failure(now, target, 0))
            .fold(false, |_, last| last)
    }

    #[test]
    fn five_failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let mut ejection = Ejection::new(2, RULES);
        assert!(!fail(&mut ejection, at(0), 0, 4));
        ejection.handle_success(0);
        assert!(!fail(&mut ejection, at(0), 0, 4));
        assert!(ejection.admits(0) && fail(&mut ejection, at(0), 0, 1));
        assert!(!ejection.admits(0) && ejection.admits(1));
        assert_eq!(ejection.poll_timeout(), at(500), "half of 1 s, at least");
    }

    #[test]
    fn at_most_half_of_the_targets_are_away_and_the_last_never() {
        let mut ejection = Ejection::new(3, RULES);
        assert!(fail(&mut ejection, at(0), 0, 5));
        assert!(
            !fail(&mut ejection, at(0), 1, 50),
            "two of three are more than half"
        );
        let mut alone = Ejection::new(1, RULES);
        assert!(!fail(&mut alone, at(0), 0, 50) && alone.admits(0));
    }

    #[test]
    fn it_comes_back_by_one_trial_and_its_next_pause_is_longer() {
        let mut ejection = Ejection::new(2, RULES);
        fail(&mut ejection, at(0), 0, 5);
        ejection.handle_timeout(at(499));
        assert!(!ejection.admits(0));
        for (trial, pause_ms) in [1_000, 2_000, 4_000, 8_000, 15_000, 15_000]
            .into_iter()
            .enumerate()
        {
            let now = ejection.poll_timeout();
            ejection.handle_timeout(now);
            assert!(ejection.admits(0), "trial {trial}");
            ejection.handle_begun(0);
            assert!(!ejection.admits(0), "one at a time");
            assert!(ejection.handle_failure(now, 0, 0), "one failure is enough");
            let until = ejection.poll_timeout();
            assert_eq!(until.since(now), Duration::from_millis(pause_ms));
        }
        let now = ejection.poll_timeout();
        ejection.handle_timeout(now);
        ejection.handle_begun(0);
        ejection.handle_unjudged(0);
        assert!(ejection.admits(0), "that told nothing");
        ejection.handle_begun(0);
        ejection.handle_success(0);
        assert!(ejection.admits(0) && !fail(&mut ejection, now, 0, 4));
        assert!(fail(&mut ejection, now, 0, 1));
        assert_eq!(
            ejection.poll_timeout().since(now),
            Duration::from_millis(500)
        );
    }

    #[test]
    fn a_pause_is_a_random_part_of_its_upper_half() {
        for (random, nanos) in [(0, 500_000_000), (1 << 63, 750_000_000)] {
            let mut ejection = Ejection::new(
                2,
                Rules {
                    failures: 1,
                    ..RULES
                },
            );
            assert!(ejection.handle_failure(at(0), 1, random));
            let pause = ejection.poll_timeout().since(at(0));
            assert_eq!(pause, Duration::from_nanos(nanos));
        }
        let mut never = Ejection::new(
            2,
            Rules {
                failures: 0,
                ..RULES
            },
        );
        assert!(!fail(&mut never, at(0), 0, 100));
    }

    proptest! {
        /// Whatever happens to them, somebody can be asked.
        #[test]
        fn at_least_half_of_the_targets_are_not_ejected(
            targets in 1usize..7,
            happened in prop::collection::vec((0u32..6, 0usize..7, any::<u64>()), 0..200),
        ) {
            let mut ejection = Ejection::new(targets, Rules { failures: 2, ..RULES });
            let mut now = at(0);
            for (what, target, random) in happened {
                let target = target % targets;
                match what {
                    0 => ejection.handle_success(target),
                    1 => ejection.handle_begun(target),
                    2 => ejection.handle_unjudged(target),
                    3 => {
                        now = now.after(Duration::from_millis(random % 2_000));
                        ejection.handle_timeout(now);
                        prop_assert!(ejection.poll_timeout() > now);
                    }
                    _ => {
                        ejection.handle_failure(now, target, random);
                    }
                }
                let out = (0..targets).filter(|it| ejection.ejected_until(*it).is_some()).count();
                prop_assert!(out * 2 <= targets);
            }
        }
    }
}
