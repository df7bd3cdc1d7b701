//! The mio poll, with deadlines below a millisecond and optional spinning.
//!
//! mio rounds timeouts up to whole milliseconds (epoll_wait knows no less). So the whole milliseconds are waited for
//! rounded *down*, and the rest with ppoll(2) on the poller's own descriptor. On mio's poll(2) backend there is no such
//! descriptor: timers are whole milliseconds there.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::alarm::Alarm;
use super::socket::{Listener, Socket};
use crate::kernel::{Readiness, Woken};

const ALARM: Token = Token(usize::MAX);
const EVENTS_AT_FIRST: usize = 256;
const EVENTS_MAX: usize = 65_536;

// A token holds a generation and an index, 32 bits each.
const _: () = assert!(usize::BITS == 64, "taut needs a 64-bit system");

#[derive(Debug)]
pub(super) struct Poller {
    poll: Poll,
    alarm: Alarm,
    events: Events,
    capacity: usize,
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        let poll = Poll::new()?;
        Ok(Poller {
            alarm: Alarm::new(poll.registry(), ALARM)?,
            poll,
            events: Events::with_capacity(EVENTS_AT_FIRST),
            capacity: EVENTS_AT_FIRST,
        })
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    pub(super) fn register(&self, socket: &mut Socket, token: u64) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(socket.source(), Token(token as usize), both)
    }

    pub(super) fn register_listener(&self, listener: &mut Listener, token: u64) -> io::Result<()> {
        self.poll
            .registry()
            .register(listener.source(), Token(token as usize), Interest::READABLE)
    }

    /// Before its descriptor is closed. epoll and kqueue forget a closed descriptor by themselves.
    pub(super) fn forget(&self, socket: &mut Socket) {
        if cfg!(mio_unsupported_force_poll_poll) {
            self.forgot(self.poll.registry().deregister(socket.source()));
        }
    }

    pub(super) fn forget_listener(&self, listener: &mut Listener) {
        if cfg!(mio_unsupported_force_poll_poll) {
            self.forgot(self.poll.registry().deregister(listener.source()));
        }
    }

    /// mio's poll(2) backend forgets a source by itself when it hangs up, and says NotFound then.
    fn forgot(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("a closed socket could not be deregistered: {error}");
        }
    }

    /// See [`crate::kernel::Kernel::wait`].
    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        spin: Duration,
        ready: &mut Vec<Readiness>,
    ) -> io::Result<Woken> {
        let spin = timeout.map_or(spin, |timeout| timeout.min(spin));
        if spin.is_zero() {
            self.block(timeout)?;
        } else if !self.spin(spin)? {
            self.block(timeout.map(|timeout| timeout - spin))?;
        }
        let mut woken = Woken::default();
        while self.collect(ready, &mut woken)? {
            // It came back full: others may be ready too, and they must not be taken for late.
            self.poll(Some(Duration::ZERO))?;
        }
        Ok(woken)
    }

    /// Polls without blocking; whether anything came.
    fn spin(&mut self, spin: Duration) -> io::Result<bool> {
        let started = Instant::now();
        loop {
            self.poll(Some(Duration::ZERO))?;
            if !self.events.is_empty() {
                return Ok(true);
            }
            if started.elapsed() >= spin {
                return Ok(false);
            }
            std::hint::spin_loop();
        }
    }

    #[cfg(mio_unsupported_force_poll_poll)]
    fn block(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.poll(timeout)
    }

    #[cfg(not(mio_unsupported_force_poll_poll))]
    fn block(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Some(timeout) = timeout.filter(|timeout| !timeout.is_zero()) else {
            return self.poll(timeout);
        };
        let whole = Duration::from_millis(timeout.as_millis().try_into().unwrap_or(u64::MAX));
        let mut rest = timeout - whole;
        if !whole.is_zero() {
            let started = Instant::now();
            self.poll(Some(whole))?;
            if !self.events.is_empty() {
                return Ok(());
            }
            rest = timeout.saturating_sub(started.elapsed());
        }
        // A signal may have ended the wait early; the engine then comes again.
        let rest = rest.min(Duration::from_millis(1));
        if !rest.is_zero() {
            wait_readable(std::os::fd::AsRawFd::as_raw_fd(&self.poll), rest)?;
        }
        self.poll(Some(Duration::ZERO))
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                // mio leaves the last events in place when it fails.
                self.events.clear();
                // A wait that was interrupted has looked at nothing, and may have been long (SIGSTOP): what is here
                // must not be taken for late. A poll that does not wait is interrupted by a signal that is pending.
                match timeout {
                    Some(Duration::ZERO) => Ok(()),
                    _ => self.poll(Some(Duration::ZERO)),
                }
            }
            other => other,
        }
    }

    /// Hands the events on; true when there may be more than fitted.
    fn collect(&mut self, ready: &mut Vec<Readiness>, woken: &mut Woken) -> io::Result<bool> {
        let mut count = 0;
        for event in &self.events {
            count += 1;
            if event.token() == ALARM {
                woken.by_waker = true;
                continue;
            }
            ready.push(Readiness {
                token: event.token().0 as u64,
                readable: event.is_readable(),
                writable: event.is_writable() || event.is_error(),
                read_closed: event.is_read_closed() || event.is_error(),
            });
        }
        if woken.by_waker {
            self.alarm.heard()?;
        }
        let full = count == self.capacity && self.capacity < EVENTS_MAX;
        if full {
            self.capacity *= 2;
            self.events = Events::with_capacity(self.capacity);
        }
        Ok(full)
    }
}

#[cfg(not(mio_unsupported_force_poll_poll))]
impl std::os::fd::AsRawFd for Poller {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.poll.as_raw_fd()
    }
}

/// Waits until a descriptor is readable, for less than a second.
#[cfg(not(mio_unsupported_force_poll_poll))]
fn wait_readable(fd: std::os::fd::RawFd, timeout: Duration) -> io::Result<()> {
    let mut poll_fd = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = libc::timespec {
        tv_sec: 0,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: one pollfd and one timespec, both alive for the call; no signal mask.
    let n = unsafe { libc::ppoll(&mut poll_fd, 1, &timeout, std::ptr::null()) };
    match n {
        -1 => Err(io::Error::last_os_error()).or_else(|error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            _ => Err(error),
        }),
        _ => Ok(()),
    }
}
