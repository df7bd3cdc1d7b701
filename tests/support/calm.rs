//! That a loop rests while it waits, and that what a timeout ends is ended in its time.

use std::time::{Duration, Instant};

use super::turns;

/// Few turns are made from here on.
pub(crate) struct Calm {
    since: Instant,
    turns: u64,
}

impl Calm {
    pub(crate) fn begins() -> Calm {
        Calm {
            since: Instant::now(),
            turns: turns(),
        }
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.since.elapsed()
    }

    /// No more turns than the waits of `support` make by themselves (every 5 ms at most), and a few for each of so many
    /// things that happened. A loop that spins makes thousands a second.
    #[track_caller]
    pub(crate) fn ends(&self, happened: usize) {
        let (turns, millis) = (turns() - self.turns, self.lasts().as_millis() as u64);
        let turns_max = millis / 5 + 8 * happened as u64 + 40;
        assert!(turns <= turns_max, "{turns} turns in {millis} ms");
    }
}

/// A timeout of the engine's own has passed when it is told, and not long ago: a busy machine may be late, nobody by as
/// much as that.
#[track_caller]
pub(crate) fn assert_in_time(calm: &Calm, timeout: Duration) {
    assert_late_by(calm, timeout, Duration::from_secs(1));
}

/// The same of TCP_USER_TIMEOUT, which the kernel judges when it sends again, and from when it first did so: 600 ms are
/// 820 to 1,020.
#[track_caller]
pub(crate) fn assert_in_the_kernels_time(calm: &Calm, timeout: Duration) {
    assert_late_by(calm, timeout, Duration::from_secs(2));
}

#[track_caller]
fn assert_late_by(calm: &Calm, timeout: Duration, late_max: Duration) {
    let after = calm.lasts();
    println!("told {after:?} after it began, for a timeout of {timeout:?}");
    assert!(after >= timeout, "{:?} early", timeout - after);
    assert!(after < timeout + late_max, "{:?} late", after - timeout);
}
