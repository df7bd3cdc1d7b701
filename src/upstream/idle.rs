//! How long a connection may be idle: as long as the settings say, or less where its peers are less patient.
//!
//! A request on a connection that its peer is about to end may be lost with it, and nobody knows whether it was done.
//! So where peers end idle connections at the age X, they are ended here at 0.8 X. A restart of the peer ends idle
//! connections too, at whatever age they are, and must not be taken for a limit: only ends at two moments count, at
//! ages within a factor of 2 of each other (Redis looks at its clients once a second: with `timeout 1` they live 1 to
//! 2 s), and a reply after a longer rest refutes them. What was learned is forgotten slowly: after
//! [`KEPT_BEFORE_TRYING`] connections that were ended here in time, a longer age is tried.

use std::time::Duration;

use crate::time::Time;

/// Ends of so many moments are remembered; the smallest that another one bears out counts.
const ENDS: usize = 4;
/// Ends within so long of each other have one cause.
const ONE_MOMENT: Duration = Duration::from_millis(10);
/// Connections in a row that were ended at the learned limit, before a longer one is tried.
const KEPT_BEFORE_TRYING: u32 = 16;

#[derive(Debug)]
pub(super) struct IdleLimit {
    /// Where nothing else was learned.
    standard: Duration,
    /// Nothing below is learned; `None`: nothing at all.
    learned_min: Option<Duration>,
    /// Ages at which peers have ended idle connections, the oldest first.
    ends: [Option<Duration>; ENDS],
    last_end_at: Option<Time>,
    learned: Option<Duration>,
    /// Connections in a row that were ended here.
    kept: u32,
}

impl IdleLimit {
    pub(super) fn new(standard: Duration, learned_min: Option<Duration>) -> IdleLimit {
        IdleLimit {
            standard,
            learned_min,
            ends: [None; ENDS],
            last_end_at: None,
            learned: None,
            kept: 0,
        }
    }

    // What happened.

    /// A peer has ended a connection that had been idle for so long. Whether the limit has changed.
    pub(super) fn handle_peer_ended(&mut self, now: Time, age: Duration) -> bool {
        let is_same = |last| now.since(last) < ONE_MOMENT;
        let Some(learned_min) = self.learned_min else {
            return false;
        };
        if age >= self.standard || self.last_end_at.is_some_and(is_same) {
            return false;
        }
        self.last_end_at = Some(now);
        self.kept = 0;
        self.ends.rotate_left(1);
        self.ends[ENDS - 1] = Some(age);
        let before = self.learned;
        if let Some(age) = self.borne_out() {
            self.learned = Some((age / 5 * 4).max(learned_min)).filter(|it| *it < self.standard);
        }
        self.learned != before
    }

    /// A reply came on a connection that had been idle for so long: its peer is at least so patient.
    pub(super) fn handle_tolerated(&mut self, age: Duration) {
        for end in &mut self.ends {
            *end = end.filter(|end| *end >= age / 2);
        }
    }

    /// A connection was ended here because it had been idle as long as it may.
    pub(super) fn handle_kept(&mut self) {
        let Some(learned) = self.learned else {
            return;
        };
        self.kept += 1;
        if self.kept < KEPT_BEFORE_TRYING {
            return;
        }
        self.kept = 0;
        // 1.2 of the age at which peers ended them: not at that age itself. One end there, and it is as before.
        let longer = learned / 2 * 3;
        self.learned = Some(longer).filter(|longer| *longer < self.standard);
        let smallest = self.ends.iter().flatten().min().copied();
        self.ends = [None; ENDS];
        self.ends[ENDS - 1] = smallest.filter(|_| self.learned.is_some());
    }

    // Getters.

    /// How long a connection may be idle.
    pub(super) fn limit(&self) -> Duration {
        self.learned.unwrap_or(self.standard)
    }

    /// The limit that peers have taught.
    pub(super) fn learned(&self) -> Option<Duration> {
        self.learned
    }

    /// Whether a peer that ends a connection at this age does what it was expected to do.
    pub(super) fn foresees(&self, age: Duration) -> bool {
        self.learned.is_some_and(|learned| age >= learned / 2)
    }

    /// The smallest age that another one bears out.
    fn borne_out(&self) -> Option<Duration> {
        let ends = || self.ends.iter().flatten().copied();
        // Each bears itself out once.
        let is_borne_out =
            |age: &Duration| ends().filter(|it| *it >= *age && *it / 2 <= *age).count() > 1;
        ends().filter(is_borne_out).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Duration = Duration::from_secs(20);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Time {
        Time::ZERO.after(ms(millis))
    }

    fn limit() -> IdleLimit {
        IdleLimit::new(STANDARD, Some(ms(100)))
    }

    /// Peers have ended two connections at this age.
    fn taught(age: Duration) -> IdleLimit {
        let mut limit = limit();
        assert!(!limit.handle_peer_ended(at(1_000), age));
        assert!(limit.handle_peer_ended(at(2_000), age));
        limit
    }

    #[test]
    fn two_ends_at_alike_ages_teach_four_fifths_of_the_smaller() {
        assert_eq!(taught(ms(1_000)).limit(), ms(800));
        let mut jittery = limit();
        jittery.handle_peer_ended(at(1_000), ms(1_900));
        assert_eq!(jittery.limit(), STANDARD, "one end is no rule");
        jittery.handle_peer_ended(at(3_000), ms(1_000));
        assert_eq!(jittery.limit(), ms(800));
        jittery.handle_peer_ended(at(4_000), ms(1_500));
        assert_eq!(jittery.limit(), ms(800), "the smallest of the last few");
        for n in 0..4 {
            jittery.handle_peer_ended(at(5_000 + n * 1_000), ms(1_500));
        }
        assert_eq!(jittery.limit(), ms(1_200), "those before are forgotten");
    }

    #[test]
    fn a_restart_that_ends_all_at_once_teaches_nothing() {
        let mut limit = limit();
        for n in 0..50 {
            limit.handle_peer_ended(at(1_000), ms(40 + n % 3));
        }
        assert_eq!(limit.limit(), STANDARD);
        // A longer rest was borne since, so the next restart stands alone too.
        limit.handle_tolerated(ms(3_000));
        limit.handle_peer_ended(at(60_000), ms(40));
        assert_eq!(limit.limit(), STANDARD);
        limit.handle_peer_ended(at(90_000), ms(2_000));
        assert_eq!(limit.limit(), STANDARD, "too different");
    }

    #[test]
    fn a_reply_after_a_rest_within_the_jitter_refutes_nothing() {
        let mut limit = limit();
        limit.handle_peer_ended(at(1_000), ms(1_000));
        limit.handle_tolerated(ms(1_900));
        limit.handle_peer_ended(at(3_000), ms(1_200));
        assert_eq!(limit.limit(), ms(800));
    }

    #[test]
    fn no_limit_is_learned_below_the_least_nor_above_the_usual_one() {
        assert_eq!(taught(ms(20)).limit(), ms(100));
        let mut late = limit();
        for n in 1..9 {
            assert!(!late.handle_peer_ended(at(n * 30_000), ms(20_000)));
        }
        assert_eq!(late.limit(), STANDARD);
        let mut deaf = IdleLimit::new(STANDARD, None);
        for n in 1..9 {
            deaf.handle_peer_ended(at(n * 1_000), ms(300));
        }
        assert_eq!((deaf.limit(), deaf.foresees(ms(300))), (STANDARD, false));
    }

    #[test]
    fn a_longer_age_is_tried_now_and_then_and_one_early_end_takes_it_back() {
        let mut limit = taught(ms(1_000));
        for _ in 0..KEPT_BEFORE_TRYING - 1 {
            limit.handle_kept();
        }
        assert_eq!(limit.limit(), ms(800));
        limit.handle_kept();
        assert_eq!(limit.limit(), ms(1_200));
        assert!(limit.handle_peer_ended(at(60_000), ms(1_000)));
        assert_eq!(limit.limit(), ms(800));
    }

    #[test]
    fn a_peer_that_has_become_patient_is_believed_in_the_end() {
        let mut limit = taught(ms(1_000));
        let mut steps = 0;
        while limit.limit() < STANDARD {
            limit.handle_kept();
            steps += 1;
            assert!(steps < 1_000, "stuck at {:?}", limit.limit());
        }
        assert_eq!((limit.limit(), limit.learned()), (STANDARD, None));
        limit.handle_peer_ended(at(90_000), ms(1_000));
        assert_eq!(limit.limit(), STANDARD, "one end is no rule again");
        // One that is patient three times as long teaches that, and not the old age again.
        let mut limit = taught(ms(1_000));
        for _ in 0..3 * KEPT_BEFORE_TRYING {
            limit.handle_kept();
        }
        assert_eq!(limit.limit(), ms(2_700));
        limit.handle_peer_ended(at(60_000), ms(2_600));
        limit.handle_peer_ended(at(70_000), ms(2_600));
        assert_eq!(limit.limit(), ms(2_080));
    }

    #[test]
    fn an_end_near_the_learned_age_was_foreseen() {
        let limit = taught(ms(1_000));
        assert!(limit.foresees(ms(900)) && limit.foresees(ms(400)));
        assert!(!limit.foresees(ms(399)));
    }
}
