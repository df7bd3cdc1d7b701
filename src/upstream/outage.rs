//! When connections of an upstream may be begun, and how many at a time, so that a server that comes back is not met by
//! all of them at once.
//!
//! ```text
//!                 failure, none stands         success
//!   any state ─────────────────────────► Trial ───────► Release ──► Growing
//!       │                                                  ▲   no moment left
//!       └──────────── failure, others stand ───────────────┘
//! ```
//! A *failure* is an attempt that failed, or a connection that was lost otherwise than by an idle end or by our own will;
//! after it there is a pause ([`Backoff`]). *Growing*: at most as many connections are made at a time as stand.
//! *Trial*: one at a time. *Release*: one at each moment of a schedule (1, 2, 4, 8, 8 … in a step), and no more at a time
//! than when growing; it begins after the pause, and a moment that nobody uses passes. Whether a connection is wanted at
//! all is decided elsewhere.
//!
//! Three hundred connections that fall together are one failure: what was begun before the last one that counted tells
//! nothing new. An attempt that fails while others stand is a *miss*, and misses are counted for themselves: a server that
//! refuses some has not gone.

use super::backoff::{Backoff, Failing, part_of};
use crate::config::Reconnect;
use crate::error::Class;
use crate::time::Time;

#[derive(Debug)]
enum State {
    Growing,
    Trial,
    Release(Release),
}

#[derive(Debug)]
pub(super) struct Outage {
    rules: Reconnect,
    /// Connections that there may be beside the trial's.
    others: usize,
    state: State,
    backoff: Backoff,
    counted: Counted,
    /// The moments of a release are drawn from it.
    seed: u64,
}

/// How many failures have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// But for the misses.
    failures: u32,
    misses: u32,
}

/// Of a failure, what matters here.
pub(super) struct Failure {
    /// What had counted when what failed was begun.
    pub(super) begun_after: Counted,
    pub(super) class: Class,
    /// It was an attempt, not a connection that stood.
    pub(super) is_attempt: bool,
    /// Another connection stands.
    pub(super) others_stand: bool,
    pub(super) random: u64,
}

impl Outage {
    /// Of an upstream of so many connections.
    pub(super) fn new(rules: Reconnect, connections_max: usize) -> Outage {
        Outage {
            rules,
            others: connections_max - 1,
            state: State::Growing,
            backoff: Backoff::new(),
            counted: Counted::default(),
            seed: 0,
        }
    }

    // What happened.

    /// A connection is begun.
    pub(super) fn handle_begun(&mut self, now: Time) {
        if let State::Release(release) = &mut self.state
            && !release.pass_on(now, &mut self.seed, &self.rules)
        {
            self.state = State::Growing;
        }
    }

    pub(super) fn handle_connected(&mut self, now: Time) {
        self.backoff.handle_connected(now);
        if matches!(self.state, State::Trial) {
            self.release(now);
        }
    }

    pub(super) fn handle_failure(&mut self, now: Time, failure: Failure) {
        let Failure {
            begun_after,
            class,
            is_attempt,
            others_stand,
            random,
        } = failure;
        let counted = &mut self.counted;
        let (failing, is_new) = match is_attempt && others_stand {
            true => (Failing::Some, begun_after == *counted),
            false => (Failing::All, begun_after.failures == counted.failures),
        };
        if is_new {
            let count = match failing {
                Failing::Some => &mut counted.misses,
                Failing::All => &mut counted.failures,
            };
            *count = count.wrapping_add(1);
            self.backoff
                .count(now, class, failing, others_stand, &self.rules);
        }
        // The last of many that fall together does not draw anew, or the longest of many draws would count.
        let is_over = self.backoff.until() <= now;
        if is_new || !others_stand && is_over {
            self.backoff.pause(now, class, failing, random, &self.rules);
        }
        self.seed = random;
        match others_stand {
            false => self.state = State::Trial,
            true if is_new => self.release(self.backoff.until()),
            true => {}
        }
    }

    fn release(&mut self, from: Time) {
        let release = Release::new(from, self.others, &mut self.seed, &self.rules);
        self.state = release.map_or(State::Growing, State::Release);
    }

    // Commands.

    /// There is no pause: a release that has not begun begins now.
    pub(super) fn forget_pause(&mut self, now: Time) {
        self.backoff.forget_pause();
        if let State::Release(release) = &mut self.state
            && release.left == self.others
        {
            release.begin(now);
        }
    }

    // Getters.

    /// When the next connection may be begun, with so many standing and being made; never, where something must happen
    /// before. The first ones, when an upstream is added, grow from nothing.
    pub(super) fn next(&self, open: usize, connecting: usize, is_first: bool) -> Time {
        let is_bounded = connecting >= open.max(self.rules.growth_min);
        match &self.state {
            State::Growing if is_first => self.backoff.until(),
            State::Growing | State::Release(_) if is_bounded => Time::NEVER,
            State::Growing => self.backoff.until(),
            State::Trial if connecting > 0 => Time::NEVER,
            State::Trial => self.backoff.until(),
            State::Release(release) => release.next.max(self.backoff.until()),
        }
    }

    pub(super) fn counted(&self) -> Counted {
        self.counted
    }

    /// The end of the pause.
    pub(super) fn pause_until(&self) -> Time {
        self.backoff.until()
    }

    #[cfg(test)]
    pub(super) fn is_trial(&self) -> bool {
        matches!(self.state, State::Trial)
    }
}

/// The schedule after an outage. A step is cut into as many equal parts as it allows connections, and each has its
/// random moment in a part of its own.
#[derive(Debug)]
struct Release {
    step_at: Time,
    /// Of the present step.
    allowed: u32,
    /// The part whose moment is next.
    part: u32,
    next: Time,
    /// Moments left, this one included.
    left: usize,
}

impl Release {
    /// Of so many moments.
    fn new(from: Time, left: usize, seed: &mut u64, rules: &Reconnect) -> Option<Release> {
        let mut release = Release {
            step_at: from,
            allowed: 1,
            part: 0,
            next: from,
            left,
        };
        release.draw(seed, rules);
        (left > 0).then_some(release)
    }

    /// None of its moments was used: the first one is now, unless it has passed.
    fn begin(&mut self, now: Time) {
        self.step_at = self.step_at.min(now);
        self.next = self.next.min(now);
    }

    /// The moment is used: the next one is that of the first part that has not begun. False when there is none left.
    fn pass_on(&mut self, now: Time, seed: &mut u64, rules: &Reconnect) -> bool {
        loop {
            self.left -= 1;
            if self.left == 0 {
                return false;
            }
            self.part += 1;
            if self.part == self.allowed {
                self.step_at = self.step_at.after(rules.release_step);
                self.allowed = self.allowed.saturating_mul(2).min(rules.release_max);
                self.part = 0;
            }
            if self.part_at(self.part, rules) >= now {
                self.draw(seed, rules);
                return true;
            }
        }
    }

    fn draw(&mut self, seed: &mut u64, rules: &Reconnect) {
        // The generator of Knuth's MMIX: its high bits are good enough for jitter, and no others count here.
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let part = rules.release_step / self.allowed;
        self.next = self.part_at(self.part, rules).after(part_of(part, *seed));
    }

    /// When a part of the present step begins.
    fn part_at(&self, part: u32, rules: &Reconnect) -> Time {
        self.step_at.after(rules.release_step / self.allowed * part)
    }
}
