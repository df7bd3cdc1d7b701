//! The accounts of a load: how many requests ended how, what they failed of, and how long the server was away.
//!
//! Of every request of the measurement it is told once that it was sent and once how it ended, so that
//! `sent = ok + failed + timed_out + mismatched`, and those under way.

use std::time::{Duration, Instant};

use taut::{Class, Error, Phase, Source};

use super::Counts;

/// What failed, by class and phase.
pub(super) type Errors = Vec<((Class, Phase), u64)>;

#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) counts: Counts,
    pub(super) errors: Errors,
    pub(super) outages: Outages,
}

impl Accounts {
    /// The measurement begins: only what it is told of requests, of which none has ended, stays.
    pub(super) fn begin(&mut self, now: Instant) {
        self.errors.clear();
        self.outages.begin_anew(now);
    }

    #[inline]
    pub(super) fn replied(&mut self, matches: bool) {
        match matches {
            true => self.counts.ok += 1,
            false => self.counts.mismatched += 1,
        }
    }

    pub(super) fn failed(&mut self, error: &Error) {
        match error.source {
            Source::Timeout(_) | Source::Deadline => self.counts.timed_out += 1,
            _ => self.counts.failed += 1,
        }
        self.add_error(error, 1);
    }

    pub(super) fn add_error(&mut self, error: &Error, times: u64) {
        let key = (error.class, error.phase);
        match self.errors.iter_mut().find(|(other, _)| *other == key) {
            Some((_, count)) => *count += times,
            None => self.errors.push((key, times)),
        }
    }
}

/// When no connection stood and none could be made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outages {
    since: Option<Instant>,
    /// Of those that are over.
    over: Duration,
}

/// How long the server was away within the measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Away {
    pub(super) in_all: Duration,
    /// It was when the measurement ended, for so long.
    pub(super) at_end: Option<Duration>,
}

impl Outages {
    pub(super) fn down(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(super) fn up(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.over += now.saturating_duration_since(since);
        }
    }

    fn begin_anew(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
        self.over = Duration::ZERO;
    }

    pub(super) fn until(&self, end: Instant) -> Away {
        let at_end = self.since.map(|since| end.saturating_duration_since(since));
        Away {
            in_all: self.over + at_end.unwrap_or_default(),
            at_end,
        }
    }
}

#[cfg(test)]
mod tests {
    use taut::Sent;

    use super::*;

    fn error(class: Class, phase: Phase, source: Source) -> Error {
        Error {
            class,
            phase,
            sent: Sent::No,
            source,
        }
    }

    #[test]
    fn each_failure_is_counted_once_by_its_class_and_phase() {
        let mut accounts = Accounts::default();
        let refused = error(Class::Transient, Phase::Connect, Source::Os(111));
        let late = error(Class::Local, Phase::Read, Source::Deadline);
        accounts.counts.sent = 5;
        accounts.failed(&refused);
        accounts.failed(&late);
        accounts.failed(&refused);
        accounts.replied(true);
        accounts.replied(false);
        let counts = accounts.counts;
        assert_eq!((counts.failed, counts.timed_out), (2, 1));
        assert_eq!(counts.sent, counts.ended());
        let expected = [
            ((Class::Transient, Phase::Connect), 2),
            ((Class::Local, Phase::Read), 1),
        ];
        assert_eq!(accounts.errors, expected);
    }

    #[test]
    fn the_time_away_is_the_sum_of_the_outages_within_the_measurement() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let ms = Duration::from_millis;
        let mut accounts = Accounts::default();
        accounts.outages.down(at(0));
        accounts.begin(at(100));
        assert_eq!(accounts.outages.until(at(150)).in_all, ms(50));
        accounts.outages.up(at(200));
        accounts.outages.up(at(250));
        accounts.outages.down(at(300));
        // Told again, it is the same outage.
        accounts.outages.down(at(350));
        accounts.outages.up(at(400));
        let away = accounts.outages.until(at(500));
        assert_eq!((away.in_all, away.at_end), (ms(200), None));
        accounts.outages.down(at(600));
        let away = accounts.outages.until(at(1_000));
        assert_eq!((away.in_all, away.at_end), (ms(600), Some(ms(400))));
    }
}
