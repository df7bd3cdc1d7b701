//! The system calls of these tests: handlers, timers that signal one thread, a write that may raise SIGPIPE.
//!
//! All `unsafe` of them lives in this file.
#![allow(unsafe_code, reason = "std installs no handlers and starts no timers")]

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

static CAUGHT: AtomicU64 = AtomicU64::new(0);

/// The thread whose signals are counted; each test that counts is alone with its signal, see [`Restart`].
static COUNTED: AtomicI32 = AtomicI32::new(0);

/// What the kernel does with a call that a handler has interrupted. Each has a signal of its own, for a handler is the
/// whole process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// SA_RESTART: calls that can go on do. A poll is not among them (signal(7)).
    Yes,
    No,
}

impl Restart {
    pub(crate) const BOTH: [Restart; 2] = [Restart::Yes, Restart::No];

    fn signal(self) -> libc::c_int {
        match self {
            Restart::Yes => libc::SIGUSR1,
            Restart::No => libc::SIGUSR2,
        }
    }
}

extern "C" fn count(_: libc::c_int) {
    // SAFETY: gettid has no precondition, and is safe in a handler.
    if unsafe { libc::gettid() } == COUNTED.load(Ordering::Relaxed) {
        CAUGHT.fetch_add(1, Ordering::Relaxed);
    }
}

/// Installs a handler that counts, and does nothing else.
pub(crate) fn handle(signal: libc::c_int, restart: bool) {
    // SAFETY: a zeroed sigaction is a valid one; the handler only uses atomics and gettid.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as libc::sighandler_t;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

/// Signals the thread that made it again and again, until it is dropped.
pub(crate) struct Storm {
    timer: libc::timer_t,
}

impl Storm {
    /// A signal each `interval`, from one interval on. A POSIX timer and not setitimer(2), whose signals any thread of
    /// the process may get.
    pub(crate) fn every(interval: Duration, restart: Restart) -> Storm {
        handle(restart.signal(), restart == Restart::Yes);
        let mut timer = std::ptr::null_mut();
        // SAFETY: a zeroed sigevent is a valid one; all that the calls are given lives for the call.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = restart.signal();
            event.sigev_notify_thread_id = libc::gettid();
            assert_eq!(
                libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer),
                0
            );
            let each = libc::timespec {
                tv_sec: 0,
                tv_nsec: interval.subsec_nanos().into(),
            };
            let spec = libc::itimerspec {
                it_interval: each,
                it_value: each,
            };
            assert_eq!(
                libc::timer_settime(timer, 0, &spec, std::ptr::null_mut()),
                0
            );
        }
        Storm { timer }
    }

    /// From now on the signals that this thread gets are counted.
    pub(crate) fn count(&self) {
        // SAFETY: no precondition.
        COUNTED.store(unsafe { libc::gettid() }, Ordering::Relaxed);
        CAUGHT.store(0, Ordering::Relaxed);
    }

    pub(crate) fn caught(&self) -> u64 {
        CAUGHT.load(Ordering::Relaxed)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // SAFETY: the timer was created and is deleted once.
        unsafe { libc::timer_delete(self.timer) };
    }
}

/// Puts SIGPIPE back to what it does to a program that is not written in Rust: it ends it.
pub(crate) fn default_sigpipe() {
    // SAFETY: the default action needs no handler.
    assert_ne!(
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) },
        libc::SIG_ERR
    );
}

/// write(2), as plain as it is: it raises SIGPIPE.
pub(crate) fn write(to: &impl AsFd, byte: u8) -> std::io::Result<usize> {
    // SAFETY: one byte, alive for the call.
    match unsafe { libc::write(to.as_fd().as_raw_fd(), (&raw const byte).cast(), 1) } {
        -1 => Err(std::io::Error::last_os_error()),
        n => Ok(n as usize),
    }
}

/// Sends a signal to a process.
pub(crate) fn kill(pid: u32, signal: libc::c_int) {
    // SAFETY: no precondition; the process is a child of this one that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid as libc::pid_t, signal) }, 0);
}
