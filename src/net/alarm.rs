//! The alarm: another thread ends the loop's present or next wait. It never says what for: whoever is woken looks at
//! everything that others may have left for it, and what was left before a [`wake`](Alarm::wake) is seen then.
//!
//! It is mio's `Waker`, except on mio's poll(2) backend, where that can be lost: each source that is registered, re-armed
//! or deregistered there acknowledges the wakes of others, which are told only when some source is ready (mio 1.2.4,
//! `SelectorState::modify_fds`), and `select` takes a wake's token before it acknowledges its event. There it is a
//! byte in a pipe, a source like any other.

use std::io;
use std::sync::Arc;

use mio::{Registry, Token};

use bell::Bell;

/// Wakes a loop from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Alarm(Arc<Bell>);

impl Alarm {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Alarm> {
        Ok(Alarm(Arc::new(Bell::new(registry, token)?)))
    }

    /// Ends the loop's present or next wait. A failure (ENOMEM on the kernel's side) loses nothing but time: what was
    /// to be seen is seen at the next wake or deadline.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.0.ring() {
            log::warn!("waking the loop failed: {error}");
        }
    }

    /// The loop has been told of a wake, and looks after this.
    pub(super) fn heard(&self) -> io::Result<()> {
        self.0.hush()
    }
}

#[cfg(not(mio_unsupported_force_poll_poll))]
mod bell {
    use super::*;

    #[derive(Debug)]
    pub(super) struct Bell(mio::Waker);

    impl Bell {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Bell> {
            mio::Waker::new(registry, token).map(Bell)
        }

        pub(super) fn ring(&self) -> io::Result<()> {
            self.0.wake()
        }

        /// Each ring is an edge of its own: nothing is left to be taken back.
        pub(super) fn hush(&self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(mio_unsupported_force_poll_poll)]
mod bell {
    use std::io::{ErrorKind, Read, Write};
    use std::sync::atomic::{AtomicBool, Ordering};

    use mio::Interest;
    use mio::unix::pipe;

    use super::*;

    /// Both ends of the pipe live as long as anybody may ring: a write never meets a pipe that is closed (SIGPIPE).
    #[derive(Debug)]
    pub(super) struct Bell {
        sender: pipe::Sender,
        receiver: pipe::Receiver,
        /// A byte is in the pipe or about to be; others need not write one.
        is_rung: AtomicBool,
    }

    impl Bell {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Bell> {
            let (sender, mut receiver) = pipe::new()?;
            registry.register(&mut receiver, token, Interest::READABLE)?;
            Ok(Bell {
                sender,
                receiver,
                is_rung: AtomicBool::new(false),
            })
        }

        pub(super) fn ring(&self) -> io::Result<()> {
            if self.is_rung.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            let rung = (&self.sender).write_all(&[0]);
            if rung.is_err() {
                self.is_rung.store(false, Ordering::Release);
            }
            rung
        }

        /// Empties the pipe until that would block, which is what makes mio watch it again. Only then may others ring
        /// again: a byte that came before would be taken here, and nobody else would write one.
        pub(super) fn hush(&self) -> io::Result<()> {
            loop {
                match (&self.receiver).read(&mut [0; 8]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                    _ => {}
                }
            }
            self.is_rung.swap(false, Ordering::AcqRel);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::super::poller::Poller;

    /// More than a pipe holds.
    const MANY: usize = 100_000;

    fn is_woken(poller: &mut Poller) -> bool {
        let now = Duration::ZERO;
        let woken = poller.wait(Some(now), now, &mut Vec::new()).unwrap();
        woken.by_waker
    }

    #[test]
    fn however_often_it_rings_the_loop_is_told_once_and_of_the_next_time_again() {
        let mut poller = Poller::new().unwrap();
        let alarm = poller.alarm().clone();
        for _ in 0..3 {
            assert!(!is_woken(&mut poller));
            (0..MANY).for_each(|_| alarm.0.ring().unwrap());
            assert!(is_woken(&mut poller));
        }
        assert!(!is_woken(&mut poller));
    }

    #[test]
    fn it_may_ring_when_the_loop_is_gone() {
        let alarm = Poller::new().unwrap().alarm().clone();
        (0..MANY).for_each(|_| alarm.0.ring().unwrap());
    }

    /// Each leaves a number, rings, and goes on when the loop has seen it.
    #[test]
    fn whatever_was_left_before_it_rang_is_seen_whoever_rings_meanwhile() {
        const ROUNDS: u32 = 20_000;
        let patience = Some(Duration::from_secs(10));
        let mut poller = Poller::new().unwrap();
        let [left, seen] = [(); 2].map(|()| [const { AtomicU32::new(0) }; 3]);
        std::thread::scope(|scope| {
            for (left, seen) in left.iter().zip(&seen) {
                let alarm = poller.alarm().clone();
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        left.store(round, Ordering::Relaxed);
                        alarm.wake();
                        while seen.load(Ordering::Acquire) < round {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            while seen.iter().any(|it| it.load(Ordering::Relaxed) < ROUNDS) {
                let woken = poller.wait(patience, Duration::ZERO, &mut Vec::new());
                let is_heard = woken.unwrap().by_waker;
                for (left, seen) in left.iter().zip(&seen) {
                    // Whoever was not heard is let go, for the test to end.
                    let until = if is_heard {
                        left.load(Ordering::Relaxed)
                    } else {
                        ROUNDS
                    };
                    seen.store(until, Ordering::Release);
                }
                assert!(is_heard, "nobody rang");
            }
        });
    }
}
