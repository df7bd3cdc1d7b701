//! A kernel of which some calls fail: whatever it is built on, a chosen call of a chosen operation
//! comes back with a chosen errno.
//!
//! It counts the calls by operation and the sockets that it has given out, so that a test can name a
//! call by its number and see that everything came back. It never fails a call that cannot fail
//! (`close`, `now`, `random`).

mod failure;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::kernel::SimKernel;
use crate::kernel::{Kernel, Peeked, Readiness, Refused, Resolved, TcpInfo, Woken};
use crate::net::Net;
use crate::socket_options::SocketOptions;
use crate::time::Time;
use failure::OPERATIONS;
pub(crate) use failure::{Effect, Failure, Operation, Span};

/// A kernel that is built on another, or is that itself.
pub(crate) trait BuiltOn<B>: Kernel {
    /// Whether its calls may fail where those of its base do not.
    const FAILS: bool;

    fn base(&self) -> &B;
    /// Whether the next wait tells something of its own.
    fn owes(&self) -> bool;
}

impl BuiltOn<SimKernel> for SimKernel {
    const FAILS: bool = false;

    fn base(&self) -> &SimKernel {
        self
    }

    fn owes(&self) -> bool {
        false
    }
}

impl BuiltOn<Net> for Net {
    const FAILS: bool = false;

    fn base(&self) -> &Net {
        self
    }

    fn owes(&self) -> bool {
        false
    }
}

impl<K: Kernel> BuiltOn<K> for Failing<K> {
    const FAILS: bool = true;

    fn base(&self) -> &K {
        &self.kernel
    }

    fn owes(&self) -> bool {
        !self.owed.borrow().is_empty()
    }
}

/// A socket, with the token under which its edges are told.
#[derive(Debug)]
pub(crate) struct Held<S> {
    socket: S,
    token: u64,
}

/// A kernel some of whose calls fail.
#[derive(Debug)]
pub(crate) struct Failing<K> {
    kernel: K,
    failures: Vec<Failure>,
    /// When those that last for a time began.
    began: Cell<Option<Time>>,
    calls: [Cell<u64>; OPERATIONS],
    failed: Cell<u64>,
    /// Tokens that are owed an edge.
    owed: RefCell<Vec<u64>>,
    sockets: usize,
    listeners: usize,
}

impl<K: Kernel> Failing<K> {
    /// None fails, until [`Failing::set_failures`].
    pub(crate) fn new(kernel: K) -> Failing<K> {
        Failing {
            kernel,
            failures: Vec::new(),
            began: Cell::new(None),
            calls: std::array::from_fn(|_| Cell::new(0)),
            failed: Cell::new(0),
            owed: RefCell::default(),
            sockets: 0,
            listeners: 0,
        }
    }

    /// These calls fail, and no others.
    pub(crate) fn set_failures(&mut self, failures: Vec<Failure>) {
        self.began.set(None);
        self.failures = failures;
    }

    /// Calls of an operation so far, those that failed included.
    pub(crate) fn calls(&self, operation: Operation) -> u64 {
        self.calls[operation as usize].get()
    }

    /// Calls that were made to fail so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.get()
    }

    /// Sockets that were given out and not closed.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets
    }

    /// Listeners that were given out and not closed.
    pub(crate) fn listeners(&self) -> usize {
        self.listeners
    }

    /// Counts a call; the failure that it is to meet.
    fn met(&self, operation: Operation) -> Option<Failure> {
        let calls = &self.calls[operation as usize];
        calls.set(calls.get() + 1);
        let is_met = |failure: &&Failure| {
            let nth = calls.get();
            if failure.operation != operation || nth < failure.from {
                return false;
            }
            match failure.span {
                Span::Calls(times) => nth < failure.from + times,
                Span::Time(length) => {
                    let now = self.kernel.now();
                    let began = self.began.get().unwrap_or(now);
                    self.began.set(Some(began));
                    now.since(began) < length
                }
            }
        };
        let failure = self.failures.iter().find(is_met).copied()?;
        self.failed.set(self.failed.get() + 1);
        Some(failure)
    }

    /// For calls on which a failure has no effect.
    fn may_fail(&self, operation: Operation) -> io::Result<()> {
        self.met(operation)
            .map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// The same for calls on a socket.
    fn may_fail_on(&self, operation: Operation, socket: &Held<K::Socket>) -> io::Result<()> {
        let Some(failure) = self.met(operation) else {
            return Ok(());
        };
        if failure.effect == Effect::Owed {
            self.owed.borrow_mut().push(socket.token);
        }
        Err(failure.error())
    }
}

impl<K: Kernel> Kernel for Failing<K> {
    type Socket = Held<K::Socket>;
    type Listener = K::Listener;

    const SHORT_IS_ALL: bool = K::SHORT_IS_ALL;

    fn connect(
        &mut self,
        to: SocketAddr,
        options: &SocketOptions,
        token: u64,
    ) -> Result<Self::Socket, Refused> {
        let met = self.met(Operation::Connect);
        if let Some(failure) = met.filter(|failure| failure.effect == Effect::Nothing) {
            return Err(failure.refused());
        }
        let socket = self.kernel.connect(to, options, token)?;
        if let Some(failure) = met {
            self.kernel.close(socket, false);
            return Err(failure.refused());
        }
        self.sockets += 1;
        Ok(Held { socket, token })
    }

    fn listen(&mut self, at: SocketAddr, token: u64) -> io::Result<K::Listener> {
        self.may_fail(Operation::Listen)?;
        let listener = self.kernel.listen(at, token)?;
        self.listeners += 1;
        Ok(listener)
    }

    fn accept(&mut self, listener: &K::Listener) -> io::Result<(Self::Socket, SocketAddr)> {
        let met = self.met(Operation::Accept);
        if let Some(failure) = met.filter(|failure| failure.effect == Effect::Nothing) {
            return Err(failure.error());
        }
        let (socket, peer) = self.kernel.accept(listener)?;
        if let Some(failure) = met {
            self.kernel.close(socket, true);
            return Err(failure.error());
        }
        self.sockets += 1;
        // It has no token before it is registered.
        let token = u64::MAX;
        Ok((Held { socket, token }, peer))
    }

    fn register(
        &mut self,
        socket: &mut Self::Socket,
        options: &SocketOptions,
        token: u64,
    ) -> Result<(), Refused> {
        if let Some(failure) = self.met(Operation::Register) {
            return Err(failure.refused());
        }
        socket.token = token;
        self.kernel.register(&mut socket.socket, options, token)
    }

    fn shed(&mut self, listener: &K::Listener) -> io::Result<bool> {
        self.may_fail(Operation::Shed)?;
        self.kernel.shed(listener)
    }

    fn listener_addr(&self, listener: &K::Listener) -> io::Result<SocketAddr> {
        self.may_fail(Operation::ListenerAddr)?;
        self.kernel.listener_addr(listener)
    }

    fn close_listener(&mut self, listener: K::Listener) {
        self.listeners -= 1;
        self.kernel.close_listener(listener);
    }

    fn read(&mut self, socket: &Self::Socket, into: &mut [u8]) -> io::Result<usize> {
        self.may_fail_on(Operation::Read, socket)?;
        self.kernel.read(&socket.socket, into)
    }

    fn write(&mut self, socket: &Self::Socket, from: &[u8]) -> io::Result<usize> {
        self.may_fail_on(Operation::Write, socket)?;
        self.kernel.write(&socket.socket, from)
    }

    fn peek(&mut self, socket: &Self::Socket) -> Peeked {
        match self.may_fail_on(Operation::Peek, socket) {
            Ok(()) => self.kernel.peek(&socket.socket),
            Err(error) => Peeked::Failed(error),
        }
    }

    fn peer_has_shut(&mut self, socket: &Self::Socket) -> bool {
        self.kernel.peer_has_shut(&socket.socket)
    }

    fn shutdown(&mut self, socket: &Self::Socket) -> io::Result<()> {
        self.may_fail_on(Operation::Shutdown, socket)?;
        self.kernel.shutdown(&socket.socket)
    }

    fn close(&mut self, socket: Self::Socket, reset: bool) {
        self.sockets -= 1;
        self.kernel.close(socket.socket, reset);
    }

    fn take_error(&self, socket: &Self::Socket) -> io::Result<Option<io::Error>> {
        match self.met(Operation::TakeError) {
            None => self.kernel.take_error(&socket.socket),
            Some(failure) if failure.effect == Effect::Pending => Ok(Some(failure.error())),
            Some(failure) => Err(failure.error()),
        }
    }

    fn peer_addr(&self, socket: &Self::Socket) -> io::Result<SocketAddr> {
        self.may_fail_on(Operation::PeerAddr, socket)?;
        self.kernel.peer_addr(&socket.socket)
    }

    fn info(&self, socket: &Self::Socket) -> io::Result<TcpInfo> {
        self.may_fail_on(Operation::Info, socket)?;
        self.kernel.info(&socket.socket)
    }

    fn local_addr(&self, socket: &Self::Socket) -> io::Result<SocketAddr> {
        self.may_fail_on(Operation::LocalAddr, socket)?;
        self.kernel.local_addr(&socket.socket)
    }

    fn resolve(&mut self, job: u64, host: &str, port: u16) {
        self.kernel.resolve(job, host, port);
    }

    fn abandon(&mut self, job: u64) -> bool {
        self.kernel.abandon(job)
    }

    fn poll_resolved(&mut self) -> Option<Resolved> {
        let (job, outcome) = self.kernel.poll_resolved()?;
        let met = self.met(Operation::Resolve);
        Some((
            job,
            met.map_or(outcome, |failure| Err(failure.unresolved())),
        ))
    }

    fn wait(
        &mut self,
        timeout: Option<Duration>,
        spin: Duration,
        ready: &mut Vec<Readiness>,
    ) -> io::Result<Woken> {
        let met = self.met(Operation::Wait);
        if let Some(failure) = met.filter(|failure| failure.effect == Effect::Nothing) {
            return Err(failure.error());
        }
        let owed = self.owed.take();
        let timeout = if owed.is_empty() && met.is_none() {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        ready.extend(owed.into_iter().map(|token| Readiness {
            token,
            readable: true,
            writable: true,
            read_closed: false,
        }));
        let woken = self.kernel.wait(timeout, spin, ready)?;
        met.map_or(Ok(woken), |failure| Err(failure.error()))
    }

    fn now(&self) -> Time {
        self.kernel.now()
    }

    fn instant(&self, time: Time) -> Instant {
        self.kernel.instant(time)
    }

    fn random(&mut self) -> u64 {
        self.kernel.random()
    }
}
