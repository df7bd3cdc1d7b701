//! The real kernel: all of mio, socket2, libc and `unsafe` is here and nowhere else.
//!
//! [`Net`] implements the engine's [`Kernel`] with one mio poll, nonblocking sockets and a few helper threads for
//! names. Sockets are registered once, for readable and writable edges, and never re-registered (a modification would
//! fire again). Facts about sockets on which this relies are pinned in `tests/kernel_facts`.
#![allow(
    unsafe_code,
    reason = "the one place where the kernel is called directly"
)]

mod alarm;
mod getaddrinfo;
mod options;
mod poller;
mod resolver;
mod socket;
mod tcp_info;
mod timer_slack;

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Deadline, Lookups};
use crate::kernel::{Kernel, Peeked, Readiness, Refused, Resolved, TcpInfo, Woken};
use crate::socket_options::SocketOptions;
use crate::time::Time;
pub(crate) use alarm::Alarm;
#[cfg(test)]
pub(crate) use getaddrinfo::why as why_unresolved;
use poller::Poller;
use resolver::ResolverThreads;
pub use resolver::{Resolve, SystemResolver};
pub(crate) use socket::{Listener, Socket};
use timer_slack::TimerSlack;

/// The clock: when a kernel's time began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn now(self) -> Time {
        self.at(Instant::now())
    }

    /// An instant as this kernel's time; what lies before its start is its start.
    fn at(self, instant: Instant) -> Time {
        Time::ZERO.after(instant.saturating_duration_since(self.0))
    }

    /// The same in all of the process, for kernels whose time is not that of any clock.
    #[cfg(any(test, fuzzing, feature = "sim"))]
    pub(crate) fn of_process() -> Epoch {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        Epoch(*START)
    }

    /// A time of this kernel as an instant.
    pub(crate) fn instant(self, time: Time) -> Instant {
        self.0 + time.since(Time::ZERO)
    }

    /// A deadline as this kernel's time; `None` where the upstream's own timeout is asked for.
    pub(crate) fn time_of(self, deadline: Deadline) -> Option<Time> {
        match deadline {
            Deadline::After(timeout) => Some(self.now().after(timeout)),
            Deadline::At(instant) => Some(self.at(instant)),
            Deadline::Standard => None,
        }
    }
}

/// The operating system's sockets, clock and names.
#[derive(Debug)]
pub(crate) struct Net {
    poller: Poller,
    resolver: ResolverThreads,
    epoch: Epoch,
    random: u64,
    timer_slack: TimerSlack,
    /// Kept to be given up when there is no other descriptor to accept with.
    spare: Option<std::fs::File>,
}

impl Net {
    pub(crate) fn new(resolve: Arc<dyn Resolve>, lookups: Lookups) -> io::Result<Net> {
        let poller = Poller::new()?;
        Ok(Net {
            resolver: ResolverThreads::new(resolve, lookups, poller.alarm().clone()),
            poller,
            epoch: Epoch(Instant::now()),
            random: std::hash::RandomState::new().build_hasher().finish(),
            timer_slack: TimerSlack::default(),
            spare: None,
        })
    }

    /// How exact its waits are from now on; `None`: as the thread has it.
    pub(crate) fn set_timer_slack(&mut self, slack: Option<Duration>) {
        self.timer_slack = TimerSlack::new(slack);
    }

    pub(crate) fn alarm(&self) -> Alarm {
        self.poller.alarm().clone()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }
}

#[cfg(not(mio_unsupported_force_poll_poll))]
impl AsRawFd for Net {
    fn as_raw_fd(&self) -> RawFd {
        self.poller.as_raw_fd()
    }
}

#[cfg(mio_unsupported_force_poll_poll)]
impl AsRawFd for Net {
    fn as_raw_fd(&self) -> RawFd {
        -1
    }
}

impl Kernel for Net {
    type Socket = Socket;
    type Listener = Listener;

    const SHORT_IS_ALL: bool = cfg!(not(mio_unsupported_force_poll_poll));

    fn connect(
        &mut self,
        to: SocketAddr,
        options: &SocketOptions,
        token: u64,
    ) -> Result<Socket, Refused> {
        let mut socket = Socket::connect(to, options)?;
        self.poller.register(&mut socket, token)?;
        Ok(socket)
    }

    fn listen(&mut self, at: SocketAddr, token: u64) -> io::Result<Listener> {
        self.spare = self.spare.take().map_or_else(open_spare, Some);
        let mut listener = Listener::bind(at)?;
        self.poller.register_listener(&mut listener, token)?;
        Ok(listener)
    }

    fn accept(&mut self, listener: &Listener) -> io::Result<(Socket, SocketAddr)> {
        listener.accept()
    }

    fn register(
        &mut self,
        socket: &mut Socket,
        options: &SocketOptions,
        token: u64,
    ) -> Result<(), Refused> {
        socket.set(options)?;
        Ok(self.poller.register(socket, token)?)
    }

    fn shed(&mut self, listener: &Listener) -> io::Result<bool> {
        drop(self.spare.take());
        let shed = match listener.accept() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        };
        self.spare = open_spare();
        shed
    }

    fn listener_addr(&self, listener: &Listener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    fn close_listener(&mut self, mut listener: Listener) {
        self.poller.forget_listener(&mut listener);
    }

    fn read(&mut self, socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
        socket.read(into)
    }

    fn write(&mut self, socket: &Socket, from: &[u8]) -> io::Result<usize> {
        socket.write(from)
    }

    fn peek(&mut self, socket: &Socket) -> Peeked {
        socket.peek()
    }

    fn peer_has_shut(&mut self, socket: &Socket) -> bool {
        socket.peer_has_shut()
    }

    fn acknowledge(&self, socket: &Socket) {
        socket.acknowledge();
    }

    fn shutdown(&mut self, socket: &Socket) -> io::Result<()> {
        socket.shutdown()
    }

    fn close(&mut self, mut socket: Socket, reset: bool) {
        if reset {
            socket.reset_on_close();
        }
        self.poller.forget(&mut socket);
    }

    fn take_error(&self, socket: &Socket) -> io::Result<Option<io::Error>> {
        socket.take_error()
    }

    fn peer_addr(&self, socket: &Socket) -> io::Result<SocketAddr> {
        socket.peer_addr()
    }

    fn info(&self, socket: &Socket) -> io::Result<TcpInfo> {
        tcp_info::read(socket.as_raw_fd())
    }

    fn local_addr(&self, socket: &Socket) -> io::Result<SocketAddr> {
        socket.local_addr()
    }

    fn resolve(&mut self, job: u64, host: &str, port: u16) {
        self.resolver.ask(job, host, port);
    }

    fn abandon(&mut self, job: u64) -> bool {
        self.resolver.abandon(job)
    }

    fn poll_resolved(&mut self) -> Option<Resolved> {
        self.resolver.poll()
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        spin: Duration,
        ready: &mut Vec<Readiness>,
    ) -> io::Result<Woken> {
        self.timer_slack.apply();
        self.poller.wait(timeout, spin, ready)
    }

    fn instant(&self, time: Time) -> Instant {
        self.epoch.instant(time)
    }

    fn now(&self) -> Time {
        self.epoch.now()
    }

    fn random(&mut self) -> u64 {
        // splitmix64 (Steele, Lea, Flood 2014): jitter needs no more.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn open_spare() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}
