//! A call that is to fail: which one it is, how often, and what comes of it.

use std::io;
use std::time::Duration;

use crate::error::ResolveError;
use crate::kernel::Refused;

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Connect,
    Listen,
    ListenerAddr,
    Accept,
    Shed,
    Register,
    Read,
    Write,
    Peek,
    Shutdown,
    TakeError,
    PeerAddr,
    LocalAddr,
    Info,
    /// A lookup's outcome.
    Resolve,
    Wait,
}

pub(super) const OPERATIONS: usize = Operation::Wait as usize + 1;

/// What a call that fails does to the world nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It does nothing.
    Nothing,
    /// It is carried out and what it gave is lost: a socket that could not be registered, a connection
    /// that was gone before it was taken, a wake.
    Lost,
    /// It does nothing, and an edge comes when it may be tried again (EAGAIN).
    Owed,
    /// It works, and tells the errno as the connection's own.
    Pending,
}

/// How often a failure happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Calls(u64),
    /// From the first one on.
    Time(Duration),
}

/// Calls that are to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) operation: Operation,
    /// The number of the first, from 1.
    pub(crate) from: u64,
    pub(crate) span: Span,
    pub(crate) errno: i32,
    pub(crate) effect: Effect,
    /// The socket option that was refused.
    pub(crate) option: Option<&'static str>,
}

impl Failure {
    pub(super) fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }

    pub(super) fn refused(&self) -> Refused {
        Refused {
            option: self.option,
            error: self.error(),
        }
    }

    /// As the system's resolver would say it; what getaddrinfo(3) has no word for is EAI_SYSTEM and the errno.
    pub(super) fn unresolved(&self) -> ResolveError {
        match self.errno {
            libc::EAGAIN => ResolveError::TryAgain,
            libc::ENOENT => ResolveError::NotFound,
            errno => ResolveError::Os(errno),
        }
    }
}
