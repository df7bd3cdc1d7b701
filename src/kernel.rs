//! The seam: what the engine asks of a kernel, and nothing else.
//!
//! `net` implements [`Kernel`] with mio, `sim` in memory. Every call is nonblocking but [`Kernel::wait`]; errors are
//! plain `io::Error`s with an errno, and, as in a real kernel, a socket's pending error is told once, by whichever call
//! comes first. Readiness is edge-triggered: what is not drained is not told again.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::{Error, Phase, ResolveError, Source};
use crate::socket_options::SocketOptions;
use crate::time::Time;

/// The largest index of a slot: two bits of a token's lower half stay free for listeners and the waker.
pub(crate) const INDEX_MAX: u32 = (1 << 30) - 1;

/// What became ready, under which token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has shut its half (RDHUP, latched by the engine) or the connection is gone (HUP).
    pub(crate) read_closed: bool,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Woken {
    /// Another thread asked for attention: look for resolved names.
    pub(crate) by_waker: bool,
}

/// What a look at the line found. errno counts only when the call failed.
#[derive(Debug)]
pub(crate) enum Peeked {
    /// EAGAIN: nothing is known against the peer.
    Nothing,
    /// Data is queued, which may hide a FIN or a RST behind it.
    Data,
    /// A FIN, with nothing before it.
    Fin,
    /// A pending error, consumed by this look.
    Failed(io::Error),
}

/// Why there is no socket: a call failed, or an option was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The option's name in `SocketOptions`.
    pub(crate) option: Option<&'static str>,
    pub(crate) error: io::Error,
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused {
            option: None,
            error,
        }
    }
}

impl Refused {
    /// As an error of connecting.
    pub(crate) fn into_error(self) -> Error {
        match (self.option, Source::of(&self.error)) {
            (Some(name), Source::Os(errno)) => {
                Error::new(Phase::Connect, Source::Option { name, errno })
            }
            (_, source) => Error::of_connect(source),
        }
    }
}

/// What the kernel knows of a connection (Linux's TCP_INFO). Zero where it knows nothing, as before the first sample
/// of the round trip, and on systems without TCP_INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Smallest round-trip time seen.
    pub rtt_min: Duration,
    /// Segments sent again in the connection's life.
    pub retransmits: u32,
    /// Segments sent in the connection's life.
    pub segments_out: u32,
    /// Bytes the peer's TCP has acknowledged, our SYN and FIN counted as one each.
    pub bytes_acked: u64,
    /// Bytes received in order, the peer's FIN counted as one.
    pub bytes_received: u64,
    /// The peer's FIN has come, and since then neither a RST nor the end of both halves.
    pub fin_received: bool,
}

impl TcpInfo {
    /// Of so many bytes written, those that the peer's TCP has acknowledged; `None` where the system does not tell.
    pub(crate) fn acked_of(&self, written: u64) -> Option<u64> {
        // The SYN is one of them, and our FIN may be.
        let acked = self.bytes_acked.checked_sub(1)?;
        Some(acked.min(written))
    }
}

/// The outcome of a lookup, with the job it was asked under.
pub(crate) type Resolved = (u64, Result<Vec<SocketAddr>, ResolveError>);

/// The operations of a kernel.
pub(crate) trait Kernel {
    /// A connected or connecting stream socket. It is closed by [`Kernel::close`].
    type Socket: std::fmt::Debug;
    /// A listening socket.
    type Listener: std::fmt::Debug;

    /// Whether a read or write shorter than asked proves that there is no more to read (while no FIN has been told), or
    /// no more room. True for epoll and kqueue; mio's poll(2) backend re-arms a source only when an operation on it
    /// would block.
    const SHORT_IS_ALL: bool;

    /// Starts to connect and registers for readable and writable edges.
    fn connect(
        &mut self,
        to: SocketAddr,
        options: &SocketOptions,
        token: u64,
    ) -> Result<Self::Socket, Refused>;
    /// Starts to listen and registers for readable edges.
    fn listen(&mut self, at: SocketAddr, token: u64) -> io::Result<Self::Listener>;
    /// Takes a connection from the backlog; it is not registered yet.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Self::Socket, SocketAddr)>;
    /// Registers an accepted socket for readable and writable edges.
    fn register(
        &mut self,
        socket: &mut Self::Socket,
        options: &SocketOptions,
        token: u64,
    ) -> Result<(), Refused>;
    /// Accepts and drops one connection with a spare descriptor, when there is no other; false when none waits.
    fn shed(&mut self, listener: &Self::Listener) -> io::Result<bool>;
    /// The address a listener is bound to.
    fn listener_addr(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;
    /// Stops listening.
    fn close_listener(&mut self, listener: Self::Listener);

    /// Receives into `into`; `Ok(0)` is the end of the stream.
    fn read(&mut self, socket: &Self::Socket, into: &mut [u8]) -> io::Result<usize>;
    /// Sends what the kernel takes of `from`; never raises SIGPIPE.
    fn write(&mut self, socket: &Self::Socket, from: &[u8]) -> io::Result<usize>;
    /// Looks at the line without taking anything from it but a pending error.
    fn peek(&mut self, socket: &Self::Socket) -> Peeked;
    /// Whether the peer has shut its half, seen past whatever data is queued; takes nothing.
    fn peer_has_shut(&mut self, socket: &Self::Socket) -> bool;
    /// Acknowledges at once what was received, where nothing is written that the acknowledgement could ride on.
    fn acknowledge(&self, _socket: &Self::Socket) {}
    /// Sends a FIN.
    fn shutdown(&mut self, socket: &Self::Socket) -> io::Result<()>;
    /// Closes; with `reset` the peer gets a RST whatever is queued.
    fn close(&mut self, socket: Self::Socket, reset: bool);
    /// The pending error of a connect. Never asked again after the connection stands.
    fn take_error(&self, socket: &Self::Socket) -> io::Result<Option<io::Error>>;
    /// The peer's address; ENOTCONN while still connecting.
    fn peer_addr(&self, socket: &Self::Socket) -> io::Result<SocketAddr>;
    /// What the kernel knows of the connection; consumes nothing.
    fn info(&self, socket: &Self::Socket) -> io::Result<TcpInfo>;
    /// The socket's own address.
    fn local_addr(&self, socket: &Self::Socket) -> io::Result<SocketAddr>;

    /// Starts a lookup; its outcome comes from [`Kernel::poll_resolved`] after a wake.
    fn resolve(&mut self, job: u64, host: &str, port: u16);
    /// Nobody waits for this lookup any more. One that has not begun is dropped: then true, and its outcome never comes.
    /// One that has begun holds up no other, and its outcome may still come.
    fn abandon(&mut self, job: u64) -> bool;
    /// The next finished lookup.
    fn poll_resolved(&mut self) -> Option<Resolved>;

    /// Waits for readiness, a wake or the timeout (`None`: for ever), polling without blocking for `spin` first.
    /// Appends to `ready`. A signal ends the wait early, without an error.
    fn wait(
        &mut self,
        timeout: Option<Duration>,
        spin: Duration,
        ready: &mut Vec<Readiness>,
    ) -> io::Result<Woken>;
    /// The time: nanoseconds since this kernel was made, never going back.
    fn now(&self) -> Time;
    /// A time of this kernel as the program reads it.
    fn instant(&self, time: Time) -> Instant;
    /// A random number, for jitter.
    fn random(&mut self) -> u64;
}
