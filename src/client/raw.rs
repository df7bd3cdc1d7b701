//! Raw connections: the program sends bytes and gets frames.

use std::net::SocketAddr;

use super::Client;
use crate::error::Error;
use crate::event::ConnectionId;
use crate::frame::Framing;
use crate::kernel::TcpInfo;

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

    /// Bytes handed to the kernel, and bytes received, in a connection's life; `None` when it is gone.
    pub fn transferred(&self, connection: ConnectionId) -> Option<(u64, u64)> {
        self.engine.core.transferred(connection)
    }

    /// The address a connection is connected, or being connected, to.
    pub fn peer_addr(&self, connection: ConnectionId) -> Option<SocketAddr> {
        self.engine.core.peer_addr(connection)
    }

    /// What the kernel knows of a connection.
    ///
    /// # Errors
    /// `NotOpen` while it has no socket; `Unsupported` on systems without TCP_INFO.
    pub fn tcp_info(&self, connection: ConnectionId) -> Result<TcpInfo, Error> {
        self.engine.core.info(connection)
    }
}
