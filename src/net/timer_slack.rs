//! How exact a thread's waits are: PR_SET_TIMERSLACK.
//!
//! It belongs to the thread, and a client may be moved to another, so each wait makes sure of it; what was set last on a
//! thread is remembered there, so that making sure costs no system call.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    /// Nanoseconds that were set on this thread from here; zero: none.
    static SET_NANOS: Cell<u64> = const { Cell::new(0) };
}

/// What a loop asks of the threads it waits on. Zero: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TimerSlack {
    nanos: u64,
}

impl TimerSlack {
    pub(super) fn new(slack: Option<Duration>) -> TimerSlack {
        let nanos = slack.map_or(0, |slack| slack.as_nanos().clamp(1, i32::MAX as u128));
        TimerSlack {
            nanos: nanos as u64,
        }
    }

    /// Makes sure of it on this thread.
    pub(super) fn apply(self) {
        if self.nanos == 0 || SET_NANOS.get() == self.nanos {
            return;
        }
        SET_NANOS.set(self.nanos);
        set(self.nanos);
    }
}

#[cfg(target_os = "linux")]
fn set(nanos: u64) {
    // SAFETY: takes numbers alone, and changes nothing but when waits of this thread end.
    if unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos as libc::c_ulong) } != 0 {
        let error = std::io::Error::last_os_error();
        log::debug!("the timer slack stays as it is: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn set(_: u64) {}
