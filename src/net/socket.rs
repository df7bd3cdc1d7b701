//! One socket: nonblocking calls through mio's types, which is what re-arms them on mio's poll(2) backend.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Type};

use super::options::{set_any_time, set_before_connect};
use crate::kernel::{Peeked, Refused};
use crate::socket_options::SocketOptions;

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`, 4,096 by default on Linux. mio asks
/// for 128: of a thousand clients that come at once most are dropped then, and find out 200 ms later.
const BACKLOG: i32 = 4096;

/// A stream socket.
#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Socket {
    /// Starts to connect, with its options set before.
    pub(super) fn connect(to: SocketAddr, options: &SocketOptions) -> Result<Socket, Refused> {
        let socket = socket2::Socket::new(
            Domain::for_address(to),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        set_before_connect(&SockRef::from(&socket), to, options)?;
        set_any_time(&SockRef::from(&socket), options)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error.into()),
            _ => Ok(Socket(TcpStream::from_std(socket.into()))),
        }
    }

    pub(super) fn set(&self, options: &SocketOptions) -> Result<(), Refused> {
        set_any_time(&SockRef::from(&self.0), options)
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.0
    }

    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(into)
    }

    pub(super) fn write(&self, from: &[u8]) -> io::Result<usize> {
        self.0
            .try_io(|| SockRef::from(&self.0).send_with_flags(from, libc::MSG_NOSIGNAL))
    }

    pub(super) fn peek(&self) -> Peeked {
        loop {
            let mut byte = [MaybeUninit::uninit()];
            return match self.0.try_io(|| SockRef::from(&self.0).peek(&mut byte)) {
                Ok(0) => Peeked::Fin,
                Ok(_) => Peeked::Data,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peeked::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Peeked::Failed(error),
            };
        }
    }

    /// poll(POLLRDHUP) sees past queued data, and takes nothing.
    pub(super) fn peer_has_shut(&self) -> bool {
        let mut poll_fd = libc::pollfd {
            fd: self.as_raw_fd(),
            events: libc::POLLRDHUP,
            revents: 0,
        };
        // SAFETY: one pollfd, alive for the call, which does not block.
        let n = unsafe { libc::poll(&mut poll_fd, 1, 0) };
        n == 1 && poll_fd.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
    }

    /// Linux sends an acknowledgement that it holds back when TCP_QUICKACK is set, and only then: the option does not
    /// stay (tcp(7)). Where it cannot be set, the acknowledgement comes later.
    pub(super) fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&self.0).set_tcp_quickack(true);
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    pub(super) fn reset_on_close(&self) {
        if let Err(error) = SockRef::from(&self.0).set_linger(Some(Duration::ZERO)) {
            log::debug!("a connection is closed without a reset: {error}");
        }
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Listener {
    pub(super) fn bind(at: SocketAddr) -> io::Result<Listener> {
        let socket = socket2::Socket::new(
            Domain::for_address(at),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        // As std and mio do: connections in TIME_WAIT must not keep a server from coming back.
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener(TcpListener::from_std(socket.into())))
    }

    pub(super) fn source(&mut self) -> &mut TcpListener {
        &mut self.0
    }

    pub(super) fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        self.0.accept().map(|(stream, peer)| (Socket(stream), peer))
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
