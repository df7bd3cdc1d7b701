//! The simulated kernel: one host of a [`Network`], behind the engine's seam.
//!
//! It has no clock of its own: `wait` moves the network's when nothing is ready, which suits a single
//! engine. Several engines are turned with a timeout of zero, and their `World` moves the clock.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::endpoint::{Endpoint, EndpointKey, Look, State};
use super::faults::FaultKind;
use super::network::{ListeningEnd, Network, Shared};
use super::random::Random;
use super::tap::{Blind, Tap};
use super::weather::Weather;
use crate::kernel::{Kernel, Peeked, Readiness, Refused, Resolved, TcpInfo, Woken};
use crate::socket_options::SocketOptions;
use crate::time::Time;

/// As in listen(2), where std asks for so many.
const BACKLOG_MAX: usize = 128;

#[derive(Debug)]
pub(crate) struct SimKernel {
    network: Shared,
    weather: Weather,
    host: usize,
    /// For the engine's jitter.
    random: Random,
    /// Listens in, where a test wants to know.
    pub(crate) tap: Option<Tap>,
}

/// A socket of a simulated kernel.
#[derive(Debug)]
pub(crate) struct SimSocket(EndpointKey);

/// A listening socket of a simulated kernel.
#[derive(Debug)]
pub(crate) struct SimListener(SocketAddr);

impl SimKernel {
    /// A new host on the network.
    pub(crate) fn new(network: &Shared) -> SimKernel {
        let mut inner = network.borrow_mut();
        let random = inner.random.fork();
        let host = inner.add_host();
        SimKernel {
            network: Rc::clone(network),
            weather: inner.weather.clone(),
            host,
            random,
            tap: None,
        }
    }

    /// Its host's number in the network.
    pub(crate) fn host(&self) -> usize {
        self.host
    }

    /// An address of this host.
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.network.borrow().hosts[self.host].address, port)
    }

    /// Descriptors in use; and the bound at which EMFILE comes.
    pub(crate) fn descriptors(&self) -> usize {
        self.network.borrow().hosts[self.host].descriptors
    }

    pub(crate) fn set_descriptors_max(&mut self, descriptors_max: usize) {
        self.network.borrow_mut().hosts[self.host].descriptors_max = descriptors_max;
    }

    /// Connections a listener keeps before it has accepted them.
    pub(crate) fn set_backlog_max(&mut self, at: SocketAddr, backlog_max: usize) {
        if let Some(listener) = self.network.borrow_mut().listeners.get_mut(&at) {
            listener.backlog_max = backlog_max;
        }
    }

    /// Another thread asks for attention.
    pub(crate) fn wake(&self) {
        self.network.borrow_mut().hosts[self.host].is_woken = true;
    }

    /// A call that may fail: it does in bad weather. (A chosen one fails in `failing`.)
    fn may_fail(&mut self) -> io::Result<()> {
        match self.weather.happens(FaultKind::CallFails) {
            true => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
            false => Ok(()),
        }
    }

    /// A call that may send something.
    fn calls<T>(&mut self, act: impl FnOnce(&mut Network, usize) -> T) -> T {
        let mut network = self.network.borrow_mut();
        let outcome = act(&mut network, self.host);
        network.arrive();
        outcome
    }

    fn accept_one(&mut self, listener: &SimListener) -> io::Result<(SimSocket, SocketAddr)> {
        self.may_fail()?;
        let mut network = self.network.borrow_mut();
        let key = network.accept(self.host, listener.0)?;
        // What waits to be accepted is there: who resets it takes it out.
        let remote = network.ends.get(&key).map(|end| end.remote);
        let gone = || io::Error::from_raw_os_error(libc::ECONNABORTED);
        Ok((SimSocket(key), remote.ok_or_else(gone)?))
    }

    fn write_once(&mut self, socket: &SimSocket, from: &[u8]) -> io::Result<usize> {
        self.may_fail()?;
        if self.interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.network.borrow_mut().write(socket.0, from)
    }

    fn interrupted(&mut self) -> bool {
        self.weather.happens(FaultKind::Interrupt)
    }

    fn with<T>(&self, socket: &SimSocket, ask: impl FnOnce(&mut Endpoint) -> T) -> io::Result<T> {
        let mut network = self.network.borrow_mut();
        let closed = || io::Error::from_raw_os_error(libc::EBADF);
        network.ends.get_mut(&socket.0).map(ask).ok_or_else(closed)
    }

    /// Registers an end: what is so already is an edge (epoll_ctl(2), EPOLL_CTL_ADD).
    fn watch(&mut self, key: EndpointKey, token: u64) {
        let mut network = self.network.borrow_mut();
        if let Some(end) = network.ends.get_mut(&key) {
            end.token = Some(token);
        }
        network.wake(key);
    }
}

impl Kernel for SimKernel {
    type Socket = SimSocket;
    type Listener = SimListener;

    const SHORT_IS_ALL: bool = true;

    fn connect(
        &mut self,
        to: SocketAddr,
        options: &SocketOptions,
        token: u64,
    ) -> Result<SimSocket, Refused> {
        self.may_fail()?;
        let key = self.calls(|network, host| network.connect(host, to, options))?;
        self.watch(key, token);
        if let (Some(tap), Some(end)) = (&mut self.tap, self.network.borrow().ends.get(&key)) {
            tap.opened(token, end);
        }
        Ok(SimSocket(key))
    }

    fn listen(&mut self, at: SocketAddr, token: u64) -> io::Result<SimListener> {
        // A server that cannot listen is no run: the weather does not touch it.
        let mut network = self.network.borrow_mut();
        let port = if at.port() == 0 {
            network.next_port()
        } else {
            at.port()
        };
        let address = SocketAddr::new(network.hosts[self.host].address, port);
        if network.listeners.contains_key(&address) {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        let (host, backlog, has_edge) = (self.host, Default::default(), false);
        let away_until = Time::ZERO;
        let end = ListeningEnd {
            host,
            token,
            backlog,
            backlog_max: BACKLOG_MAX,
            has_edge,
            away_until,
        };
        network.listeners.insert(address, end);
        Ok(SimListener(address))
    }

    fn accept(&mut self, listener: &SimListener) -> io::Result<(SimSocket, SocketAddr)> {
        let accepted = self.accept_one(listener);
        let errno = accepted.as_ref().err().and_then(io::Error::raw_os_error);
        let lacks =
            errno.is_some_and(|it| [libc::EMFILE, libc::ENFILE, libc::ENOMEM].contains(&it));
        if let (Some(tap), true) = (&mut self.tap, lacks) {
            tap.accepts_failed += 1;
        }
        accepted
    }

    fn register(
        &mut self,
        socket: &mut SimSocket,
        options: &SocketOptions,
        token: u64,
    ) -> Result<(), Refused> {
        self.may_fail()?;
        self.with(socket, |end| end.set(options))?;
        self.network.borrow_mut().doubt_who_is_gone(socket.0);
        if let Some(tap) = &mut self.tap {
            tap.opened(token, &self.network.borrow().ends[&socket.0]);
        }
        self.watch(socket.0, token);
        Ok(())
    }

    fn shed(&mut self, listener: &SimListener) -> io::Result<bool> {
        let mut network = self.network.borrow_mut();
        let backlog = network
            .listeners
            .get_mut(&listener.0)
            .map(|listener| &mut listener.backlog);
        let Some(key) = backlog.and_then(|backlog| backlog.pop_front()) else {
            return Ok(false);
        };
        network.hosts[self.host].descriptors += 1;
        network.close(key, false);
        Ok(true)
    }

    fn listener_addr(&self, listener: &SimListener) -> io::Result<SocketAddr> {
        Ok(listener.0)
    }

    fn close_listener(&mut self, listener: SimListener) {
        let mut network = self.network.borrow_mut();
        let Some(end) = network.listeners.remove(&listener.0) else {
            return;
        };
        network.drop_backlog(self.host, end.backlog);
        network.arrive();
    }

    fn read(&mut self, socket: &SimSocket, into: &mut [u8]) -> io::Result<usize> {
        self.may_fail()?;
        if self.interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.calls(|network, _| network.read(socket.0, into))
    }

    fn write(&mut self, socket: &SimSocket, from: &[u8]) -> io::Result<usize> {
        let line = self.with(socket, |end| Blind::of(end)).ok().flatten();
        let written = self.write_once(socket, from);
        if let (Some(tap), Some(line)) = (&mut self.tap, line) {
            tap.wrote(from, line, &written);
        }
        if written.is_ok() {
            self.network.borrow_mut().arrive();
        }
        written
    }

    fn peek(&mut self, socket: &SimSocket) -> Peeked {
        match self
            .may_fail()
            .and_then(|()| self.with(socket, Endpoint::look))
        {
            Ok(Look::Nothing) => Peeked::Nothing,
            Ok(Look::Data) => Peeked::Data,
            Ok(Look::Fin) => Peeked::Fin,
            Ok(Look::Failed(error)) | Err(error) => Peeked::Failed(error),
        }
    }

    fn peer_has_shut(&mut self, socket: &SimSocket) -> bool {
        self.with(socket, |end| end.readiness(0).read_closed)
            .unwrap_or(true)
    }

    fn shutdown(&mut self, socket: &SimSocket) -> io::Result<()> {
        self.may_fail()?;
        self.calls(|network, _| network.shut_down(socket.0))
    }

    fn close(&mut self, socket: SimSocket, reset: bool) {
        let mut network = self.network.borrow_mut();
        let end = network.ends.get(&socket.0);
        if let (Some(tap), Some(end)) = (&mut self.tap, end) {
            tap.closed(end);
        }
        network.close(socket.0, reset);
        network.arrive();
    }

    fn take_error(&self, socket: &SimSocket) -> io::Result<Option<io::Error>> {
        self.with(socket, |end| {
            end.error.take().map(io::Error::from_raw_os_error)
        })
    }

    fn peer_addr(&self, socket: &SimSocket) -> io::Result<SocketAddr> {
        self.with(socket, |end| match end.state {
            State::Established => Ok(end.remote),
            State::Connecting | State::Dead => Err(io::ErrorKind::NotConnected.into()),
        })?
    }

    fn info(&self, socket: &SimSocket) -> io::Result<TcpInfo> {
        let (latency, now) = {
            let network = self.network.borrow();
            (*network.latency_nanos.start(), network.now)
        };
        self.with(socket, |end| end.info(now, 2 * latency))
    }

    fn local_addr(&self, socket: &SimSocket) -> io::Result<SocketAddr> {
        self.with(socket, |end| end.local)
    }

    fn resolve(&mut self, job: u64, host: &str, port: u16) {
        self.network
            .borrow_mut()
            .look_up(self.host, job, host, port);
    }

    fn abandon(&mut self, job: u64) -> bool {
        self.network.borrow_mut().abandon(self.host, job)
    }

    fn poll_resolved(&mut self) -> Option<Resolved> {
        self.network.borrow_mut().hosts[self.host]
            .resolved
            .pop_front()
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        _: Duration,
        ready: &mut Vec<Readiness>,
    ) -> io::Result<Woken> {
        let failed = self.may_fail();
        if failed.is_err() && self.weather.within(FaultKind::CallFails, 0..=1) == 0 {
            return failed.map(|()| Woken::default());
        }
        // A signal ends a wait in which there is nothing to tell (ep_poll looks for events first).
        if failed.is_ok() && !self.network.borrow().is_ready(self.host) && self.interrupted() {
            return Ok(Woken::default());
        }
        let mut network = self.network.borrow_mut();
        let until = timeout.map_or(Time::NEVER, |timeout| network.now.after(timeout));
        let now = network.now;
        network.advance(now);
        while !network.is_ready(self.host) && network.now < until {
            match network.next_arrival().filter(|at| *at < until) {
                Some(at) => network.advance(at),
                None if until.is_never() => {
                    return Err(io::Error::from_raw_os_error(libc::EDEADLK));
                }
                None => network.advance(until),
            }
        }
        network.collect(self.host, ready);
        network.mislead(self.host, ready);
        let by_waker = std::mem::take(&mut network.hosts[self.host].is_woken);
        // It may be its last call that fails: what it has taken by then is taken.
        failed.map(|()| Woken { by_waker })
    }

    fn now(&self) -> Time {
        self.network.borrow().now
    }

    fn instant(&self, time: Time) -> Instant {
        crate::net::Epoch::of_process().instant(time)
    }

    fn random(&mut self) -> u64 {
        self.random.next()
    }
}
