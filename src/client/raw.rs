//! Raw connections: the program sends bytes and gets frames.

use std::net::SocketAddr;

use super::Client;
use crate::error::Error;
use crate::event::ConnectionId;
use crate::frame::Framing;
use crate::kernel::TcpInfo;
use crate::parting::Parting;
#[cfg(feature = "_tls")]
use crate::session::TlsInfo;
#[cfg(feature = "_tls")]
use crate::tls::TlsConfig;

impl Client {
    /// Starts to connect to `host:port` or `[v6]:port`. [`Event::Connected`](crate::Event::Connected) or [`Event::Closed`](crate::Event::Closed) tells the outcome;
    /// bytes may be queued before that.
    ///
    /// # Errors
    /// A target or framing that cannot be; `Full` at [`Limits::connections_max`](crate::Limits::connections_max), where
    /// a connection counts until the turn after its [`Event::Closed`](crate::Event::Closed) was pulled.
    pub fn connect(&mut self, target: &str, framing: Framing) -> Result<ConnectionId, Error> {
        self.engine.core.connect(target, &framing)
    }

    /// The same, with TLS: [`Event::Connected`](crate::Event::Connected) tells that the handshake is over and the peer
    /// verified. Bytes that are queued before that wait for it.
    ///
    /// # Errors
    /// As for [`Client::connect`]; and a host that no certificate could be for.
    #[cfg(feature = "_tls")]
    pub fn connect_tls(
        &mut self,
        target: &str,
        framing: Framing,
        tls: &TlsConfig,
    ) -> Result<ConnectionId, Error> {
        let sessions = tls.sessions();
        self.engine
            .core
            .connect_through(target, &framing, Some(&sessions))
    }

    /// Queues bytes, all or none; they leave in the next turn or [`Client::flush`].
    ///
    /// # Errors
    /// `Full` beyond [`Limits::send_queue_bytes_max`](crate::Limits::send_queue_bytes_max), and then
    /// [`Event::Writable`](crate::Event::Writable) tells when to go on; `Invalid` when the bytes alone are more than that bound; `NotOpen` when
    /// it is closed or closing.
    pub fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<(), Error> {
        self.engine.core.send(connection, bytes)
    }

    /// Sends what is queued, then a FIN, and waits at most [`Timeouts::linger`](crate::Timeouts::linger) for the
    /// peer's; frames that still come are told, and [`Event::Closed`](crate::Event::Closed) at the end. A connection that does not stand yet
    /// ends at once, and what was queued is not sent.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn close(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.close(connection)
    }

    /// Ends the connection at once: what is queued is dropped, the peer gets a reset, [`Event::Closed`](crate::Event::Closed) is told.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn abort(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.abort(connection)
    }

    /// Has a connection end without a reset of ours, whatever ends it: a reset drops what the kernel has not sent yet, and
    /// on some systems what the peer has not read yet. To be asked for before [`Client::close`], where
    /// [`Timeouts::linger`](crate::Timeouts::linger) may pass: then the kernel goes on alone.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn spare(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.spare(connection)
    }

    /// Ends the connection at once, as [`Client::abort`], but without a reset: what is queued here is dropped, what the
    /// kernel has still leaves, and a FIN behind it. Whatever the peer says from now on meets nobody, and its kernel is
    /// told so.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn leave(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.leave(connection)
    }

    /// Asks for one [`Event::Writable`](crate::Event::Writable) as soon as at most half of the queue's bound is queued.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn notify_writable(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.notify_writable(connection)
    }

    // Getters.

    /// Bytes queued on a connection and not yet handed to the kernel; `None` when it is gone.
    pub fn queued(&self, connection: ConnectionId) -> Option<usize> {
        self.engine.core.queued(connection)
    }

    /// Bytes handed to the kernel, and bytes received, in a connection's life; `None` when it is gone. Both are the
    /// program's own: what TLS makes of them is not counted.
    pub fn transferred(&self, connection: ConnectionId) -> Option<(u64, u64)> {
        self.engine.core.transferred(connection)
    }

    /// What was known of a connection when it ended, from its [`Event::Closed`](crate::Event::Closed) on until the turn
    /// after that was pulled. `None` before its end, and when it never stood.
    pub fn parting(&self, connection: ConnectionId) -> Option<Parting> {
        self.engine.core.parting(connection)
    }

    /// The address a connection is connected, or being connected, to.
    pub fn peer_addr(&self, connection: ConnectionId) -> Option<SocketAddr> {
        self.engine.core.peer_addr(connection)
    }

    /// What is known of a connection's TLS session, as far as that has come; `None` without TLS, before the TCP
    /// connection stands, and from the turn on after its [`Event::Closed`](crate::Event::Closed) was pulled.
    #[cfg(feature = "_tls")]
    pub fn tls_info(&self, connection: ConnectionId) -> Option<TlsInfo> {
        self.engine.core.tls_info(connection)
    }

    /// What the kernel knows of a connection.
    ///
    /// # Errors
    /// `NotOpen` while it has no socket; `Unsupported` on systems without TCP_INFO.
    pub fn tcp_info(&self, connection: ConnectionId) -> Result<TcpInfo, Error> {
        self.engine.core.info(connection)
    }
}
