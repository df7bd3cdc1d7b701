//! What the loop tells the program, and the names by which both speak of connections, upstreams and requests.
//!
//! Events are pulled, never called back, and hold no bytes: a [`Frame`] says where its bytes lie.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use crate::error::Error;

/// Names a connection. A name is never used twice within 2^32 reuses of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) generation: u32,
    pub(crate) index: u32,
}

/// Names a managed service that was added to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub(crate) u32);

/// Names a request; counted up from 1 and never used twice in a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

/// Where one received frame lies: `len` bytes at `offset` of a connection's stream.
///
/// Its bytes ([`Client::bytes`](crate::Client::bytes)) are pinned until the frame's event is pulled, and stay valid
/// until the next `turn` after that, also when the connection has closed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub(crate) connection: ConnectionId,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

impl Frame {
    /// The connection it came on.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Bytes of payload.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the payload is empty (an empty line, a length of zero).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Something happened. Pulled with [`Client::next_event`](crate::Client::next_event).
///
/// For a raw connection, in this order: at most one `Connected`, then any number of `Frame`, `Skipped`, `Writable` and at most one
/// `HalfClosed`, then exactly one `Closed`. For a request of an upstream: exactly one of `Reply` and `Failed`;
/// its connections tell nothing of themselves but `Push`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The connection stands.
    Connected {
        /// Which.
        connection: ConnectionId,
        /// The address that answered.
        peer: SocketAddr,
    },
    /// A whole frame has come on a raw connection.
    Frame {
        /// Which connection.
        connection: ConnectionId,
        /// Where its bytes lie.
        frame: Frame,
    },
    /// A frame over the limit has passed on a raw connection; its bytes were dropped as they came
    /// ([`Framing::skip_oversize`](crate::Framing::skip_oversize)).
    Skipped {
        /// Which connection.
        connection: ConnectionId,
        /// Bytes it had, of those that the limit counts.
        bytes: u64,
    },
    /// A raw connection whose queue was full, or that was asked to tell, has drained to half its limit or less.
    Writable {
        /// Which.
        connection: ConnectionId,
    },
    /// The peer has ended its half of the stream, and `Config::half_close` allows to go on sending. If it ended within
    /// a frame, `Closed` will say so.
    HalfClosed {
        /// Which.
        connection: ConnectionId,
    },
    /// The end of a raw connection, told once.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// `None` when the program closed it and the peer agreed; otherwise why it ended.
        error: Option<Error>,
        /// Bytes that were handed to the kernel in its life: whatever was queued beyond them has not left.
        written: u64,
    },
    /// A request's reply.
    Reply {
        /// Which request.
        request: RequestId,
        /// The program's own tag of it.
        tag: u64,
        /// Where the reply's bytes lie.
        frame: Frame,
    },
    /// The peer of an upstream sent a frame of its own accord, such as a RESP3 push. It answers no request and ends none.
    /// (On a raw connection it is a `Frame` like others.)
    Push {
        /// Which upstream.
        upstream: UpstreamId,
        /// Which of its connections.
        connection: ConnectionId,
        /// Where its bytes lie.
        frame: Frame,
    },
    /// A request's failure.
    Failed {
        /// Which request.
        request: RequestId,
        /// The program's own tag of it.
        tag: u64,
        /// Why, and whether the peer may have got it.
        error: Error,
    },
    /// A connection of an upstream stands, the first one since it was added or was down. Told, as the next three, where
    /// [`Upstream::tell_state`](crate::Upstream::tell_state) asks for it.
    Up {
        /// Which upstream.
        upstream: UpstreamId,
    },
    /// No connection of an upstream stands, and the last attempt at one has failed. Requests wait, or fail with it.
    Down {
        /// Which upstream.
        upstream: UpstreamId,
        /// Why the last connection was lost, or could not be made.
        error: Error,
        /// When the next attempt may be made.
        retry_at: Instant,
    },
    /// An upstream's breaker has opened: requests are refused at once.
    BreakerOpen {
        /// Which upstream.
        upstream: UpstreamId,
        /// When a trial is let through.
        retry_at: Instant,
    },
    /// An upstream's breaker has closed: requests are made as before.
    BreakerClosed {
        /// Which upstream.
        upstream: UpstreamId,
    },
    /// A drain goes on ([`Client::drain`](crate::Client::drain)). At most one of these waits to be pulled; the next
    /// says what has become of the rest since.
    Draining {
        /// Connections that have not ended, those being made included.
        left: usize,
    },
    /// A drain is over: every request and every connection has ended, and been told before this. Told once; nothing
    /// follows it.
    Drained {
        /// Connections that were reset because the drain's time was over.
        forced: usize,
    },
}

impl Event {
    /// The connection that has an event to be pulled.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Event::Connected { connection, .. }
            | Event::Frame { connection, .. }
            | Event::Push { connection, .. }
            | Event::Skipped { connection, .. }
            | Event::Writable { connection }
            | Event::HalfClosed { connection }
            | Event::Closed { connection, .. } => Some(*connection),
            Event::Reply { frame, .. } => Some(frame.connection),
            Event::Failed { .. }
            | Event::Up { .. }
            | Event::Down { .. }
            | Event::BreakerOpen { .. }
            | Event::BreakerClosed { .. }
            | Event::Draining { .. }
            | Event::Drained { .. } => None,
        }
    }

    /// The upstream whose state it tells, and whether that of its breaker.
    pub(crate) fn state_of(&self) -> Option<(UpstreamId, bool)> {
        match self {
            Event::Up { upstream } | Event::Down { upstream, .. } => Some((*upstream, false)),
            Event::BreakerOpen { upstream, .. } | Event::BreakerClosed { upstream } => {
                Some((*upstream, true))
            }
            _ => None,
        }
    }

    /// Whether it is the end of a request.
    pub(crate) fn ends(&self, wanted: RequestId) -> bool {
        match self {
            Event::Reply { request, .. } | Event::Failed { request, .. } => *request == wanted,
            _ => false,
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}.{}", self.index, self.generation)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

impl ConnectionId {
    /// The token under which its socket is registered: `generation << 32 | index`.
    pub(crate) fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}
