//! Who watches a client: told of what happens as it happens, for histograms, traces and the like.
//!
//! An observer gets data alone. It cannot reach the client, so nothing it does can re-enter the loop; it is called from
//! within a turn, so it should be quick. Without one, nothing is spent but a branch.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::event::{RequestId, UpstreamId};

/// Is told of what happens; see [`Client::observe`](crate::Client::observe). Each method does nothing unless it is
/// given a body.
#[allow(unused_variables, reason = "the names are there to be read")]
pub trait Observer {
    /// A connection stands.
    fn connected(&mut self, connected: &Connected) {}

    /// A connection has ended, or could not be made.
    fn lost(&mut self, lost: &Lost) {}

    /// A request has ended, with its reply or without. Told of those that were made since the observer was set, also
    /// where the outcome goes to another thread.
    fn ended(&mut self, ended: &Ended) {}

    /// A request is made again, for its connection was lost. Told of those that were made since the observer was set.
    fn retried(&mut self, retried: &Retried) {}

    /// The state of an upstream has changed, whether the program asked to be told by events or not.
    fn state(&mut self, upstream: UpstreamId, state: State) {}
}

/// A connection that stands; see [`Observer::connected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connected {
    /// Whose it is; `None`: one of the program's own.
    pub upstream: Option<UpstreamId>,
    /// The address that answered.
    pub peer: SocketAddr,
    /// From its beginning, the lookup of its name and the handshake of TLS included.
    pub took: Duration,
    /// The handshake of TLS alone; `None` without one.
    pub handshake: Option<Duration>,
}

/// A connection that has ended; see [`Observer::lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// Whose it was; `None`: one of the program's own.
    pub upstream: Option<UpstreamId>,
    /// Why; `None` when both sides agreed.
    pub error: Option<Error>,
    /// From its beginning.
    pub lived: Duration,
    /// Bytes handed to the kernel in its life, as the program queued them.
    pub written: u64,
    /// Bytes received in its life.
    pub received: u64,
}

/// A request that has ended; see [`Observer::ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Of which upstream.
    pub upstream: UpstreamId,
    /// Which request.
    pub request: RequestId,
    /// The program's own tag of it.
    pub tag: u64,
    /// From when it was made, waiting included, until the loop saw its end.
    pub took: Duration,
    /// Bytes of its reply's payload, or why there is none.
    pub result: Result<usize, Error>,
}

/// A request that is made again; see [`Observer::retried`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retried {
    /// Of which upstream.
    pub upstream: UpstreamId,
    /// Which request.
    pub request: RequestId,
    /// The program's own tag of it.
    pub tag: u64,
    /// The number of the try that is to come: 2, when the first was lost.
    pub attempt: u32,
    /// How the connection of the try before was lost, and what was sent of the request so far.
    pub error: Error,
}

/// How an upstream is; see [`Observer::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// A connection stands.
    Up,
    /// None does, and the last attempt has failed.
    Down {
        /// Why.
        error: Error,
        /// When the next attempt may be made.
        retry_after: Duration,
    },
    /// Its breaker is open: requests are refused.
    BreakerOpen {
        /// When a trial is let through.
        retry_after: Duration,
    },
    /// Its breaker is closed.
    BreakerClosed,
}
