//! What an error came from, and how each cause should be met.

use std::io;
use std::time::Duration;

use super::Class;
use crate::errno;

/// The cause of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The kernel said so: an `errno`.
    Os(i32),
    /// The phase's own timeout passed.
    Timeout(Duration),
    /// The request's own deadline passed.
    Deadline,
    /// The kernel refused a socket option.
    Option {
        /// Its name in [`SocketOptions`](crate::SocketOptions).
        name: &'static str,
        /// Why.
        errno: i32,
    },
    /// The peer ended the stream between frames (a FIN).
    Eof,
    /// The peer ended the stream within a frame of which `received` bytes had come; over TLS also when its line ended
    /// without a close_notify, whatever came before.
    Truncated {
        /// Bytes of the unfinished frame, its header included; 0 between two frames.
        received: u64,
    },
    /// A frame is longer than it may be.
    Oversize {
        /// The limit, in bytes of payload.
        limit: usize,
        /// What the peer claims, as far as it is known by then.
        claimed: u64,
    },
    /// The bytes are not of the protocol.
    Malformed(&'static str),
    /// A reply that answers no request.
    Unsolicited,
    /// The name did not resolve.
    Resolve(ResolveError),
    /// The socket connected to itself: nobody listens there, and the kernel chose the target's own port as the source.
    SelfConnect,
    /// A bound was met: nothing was queued.
    Full {
        /// Which bound.
        limit: Limit,
    },
    /// Another request of the upstream goes by this id: it is under way, or has timed out and its late reply has not
    /// come yet.
    IdInUse {
        /// The id, which is the request's tag.
        id: u64,
    },
    /// The program took the request back.
    Cancelled,
    /// The upstream's breaker is open: so much of what was asked of it has failed that it is left alone for a while.
    BreakerOpen {
        /// A trial may be let through after so long, or sooner when the one under way ends.
        retry_after: Duration,
    },
    /// The client is being drained: nothing new is begun, and what was under way has used up its time.
    ShuttingDown,
    /// There is no such connection or upstream, or it is already closed.
    NotOpen,
    /// The connection or client was closed by the program with this still under way.
    Closed,
    /// A setting cannot be; the text says what would be right.
    Invalid(&'static str),
    /// The peer's certificate was refused.
    Certificate(CertificateFault),
    /// The peer has ended the TLS session with an alert, by its number (RFC 8446 §6).
    Alert(u8),
    /// The peer does not speak TLS as it must.
    Tls(TlsFault),
}

/// Why a certificate was refused. Times are seconds since 1970-01-01 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateFault {
    /// It is no longer valid.
    Expired {
        /// The last second of its time.
        not_after: u64,
        /// What this machine's clock says.
        now: u64,
    },
    /// It is not valid yet.
    NotYetValid {
        /// The first second of its time.
        not_before: u64,
        /// What this machine's clock says.
        now: u64,
    },
    /// No authority that is trusted has signed it; it may be signed by itself.
    UnknownIssuer,
    /// It is for other names than the one that was asked for.
    WrongName,
    /// It is not for this use: not for a server (or a client).
    WrongPurpose,
    /// It is an authority's own (`CA:TRUE`), which no server or client may show.
    IsAuthority,
    /// A certificate between it and the authority may not sign it.
    BadChain,
    /// Its key is none of those that are pinned.
    PinMismatch,
    /// It was revoked.
    Revoked,
    /// A signature does not match.
    BadSignature,
    /// It is no certificate that can be read.
    BadEncoding,
    /// It is of X.509 version 1, is signed in a way that is not known here, or has a critical extension that is not.
    Unsupported,
    /// The peer has shown none.
    Missing,
    /// It was refused otherwise.
    Other,
}

/// What is wrong with a TLS session, beside certificates and alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// There is no version that both sides speak.
    Version,
    /// There is no cipher suite, signature or group that both sides know.
    NothingInCommon,
    /// There is no application protocol that both sides speak (ALPN).
    Alpn,
    /// What came is no TLS at all: the peer speaks plaintext, or another protocol.
    NotTls,
    /// A message of the peer's handshake is longer than 64 KiB: it shows too many certificates.
    TooLarge,
    /// A record could not be decrypted: it was changed on the way, or the peer is broken.
    BadRecord,
    /// The peer broke the protocol otherwise.
    Misbehaved,
    /// This side failed, for want of randomness or by a fault of its own.
    Internal,
}

/// A bound of [`Config`](crate::Config) that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// `Limits::connections_max`: connections of one client.
    Connections,
    /// `Limits::send_queue_bytes_max`: bytes queued on one connection.
    SendQueueBytes,
    /// `Limits::waiting_requests_max`: requests of one upstream that wait for a connection.
    WaitingRequests,
    /// `Limits::waiting_bytes_max`: bytes of those.
    WaitingBytes,
    /// `Upstream::rate`: requests of one upstream in a while.
    RequestRate {
        /// The next may be made after so long.
        retry_after: Duration,
    },
    /// `Limits::submissions_max`: requests from other threads that the loop has not taken.
    Submissions,
    /// `Limits::events_max`: events that wait to be pulled.
    Events,
    /// `ShipConfig::journal_bytes_max`: bytes of lines whose fate is open.
    JournalBytes,
    /// `ShipConfig::journal_lines_max`: lines whose fate is open.
    JournalLines,
}

/// Why a name did not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist, or has no address (EAI_NONAME, EAI_NODATA).
    NotFound,
    /// The name server did not answer for now (EAI_AGAIN).
    TryAgain,
    /// The lookup could not be made: an `errno`, such as EMFILE.
    Os(i32),
    /// The lookup failed otherwise, with getaddrinfo's code (`EAI_*`, 0 when there is none). EAI_FAIL is what a name
    /// server says that will not answer.
    Failed(i32),
}

impl Source {
    /// The errno of a failed call. An `io::Error` without one comes from std itself: EIO then.
    pub(crate) fn of(error: &io::Error) -> Source {
        Source::Os(error.raw_os_error().unwrap_or(errno::EIO))
    }

    /// How an error of this cause should be met (the table in `docs/errors.md`).
    pub fn class(&self) -> Class {
        match self {
            Source::Os(errno) => class_of_errno(*errno),
            Source::Option { errno, .. } => class_of_option(*errno),
            Source::Timeout(_) | Source::Eof | Source::SelfConnect => Class::Transient,
            Source::Truncated { .. }
            | Source::Oversize { .. }
            | Source::Malformed(_)
            | Source::Unsolicited => Class::Protocol,
            Source::Certificate(_) | Source::Alert(_) => Class::Persistent,
            Source::Tls(fault) => fault.class(),
            Source::Resolve(why) => why.class(),
            Source::Full { .. } => Class::Resource,
            Source::Deadline
            | Source::IdInUse { .. }
            | Source::Cancelled
            | Source::BreakerOpen { .. }
            | Source::ShuttingDown
            | Source::NotOpen
            | Source::Closed
            | Source::Invalid(_) => Class::Local,
        }
    }

    /// One word for the cause, as `probe` prints it.
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Os(_) => "os",
            Source::Option { .. } => "option",
            Source::Timeout(_) => "timeout",
            Source::Deadline => "deadline",
            Source::Eof => "eof",
            Source::Truncated { .. } => "truncated",
            Source::Oversize { .. } => "oversize",
            Source::Malformed(_) => "malformed",
            Source::Unsolicited => "unsolicited",
            Source::Resolve(_) => "resolve",
            Source::SelfConnect => "self_connect",
            Source::Full { .. } => "limit",
            Source::IdInUse { .. } => "id_in_use",
            Source::Cancelled => "cancelled",
            Source::BreakerOpen { .. } => "breaker_open",
            Source::ShuttingDown => "shutting_down",
            Source::NotOpen => "not_open",
            Source::Closed => "closed",
            Source::Invalid(_) => "invalid",
            Source::Certificate(_) => "certificate",
            Source::Alert(_) => "alert",
            Source::Tls(_) => "tls",
        }
    }
}

impl TlsFault {
    fn class(self) -> Class {
        match self {
            TlsFault::Version
            | TlsFault::NothingInCommon
            | TlsFault::Alpn
            | TlsFault::NotTls
            | TlsFault::TooLarge => Class::Persistent,
            TlsFault::BadRecord | TlsFault::Misbehaved => Class::Protocol,
            TlsFault::Internal => Class::Resource,
        }
    }
}

impl ResolveError {
    /// How it should be met. Of the codes that only a resolver of the program's own gives, those that say the same as
    /// another variant are met like that one.
    fn class(self) -> Class {
        match self {
            ResolveError::NotFound => Class::Persistent,
            ResolveError::TryAgain | ResolveError::Failed(errno::EAI_AGAIN) => Class::Transient,
            ResolveError::Failed(errno::EAI_MEMORY) => Class::Resource,
            ResolveError::Failed(_) => Class::Persistent,
            // The calls that a lookup makes are not the program's: none of them is its own doing.
            ResolveError::Os(errno) => match class_of_errno(errno) {
                Class::Local => Class::Transient,
                class => class,
            },
        }
    }
}

/// How an errno should be met. What is not named here is the way to the peer, or the peer: transient.
fn class_of_errno(errno: i32) -> Class {
    match errno {
        errno::EMFILE | errno::ENFILE | errno::ENOBUFS | errno::ENOMEM => Class::Resource,
        errno::EADDRNOTAVAIL | errno::EADDRINUSE | errno::EAGAIN => Class::Resource,
        // epoll_ctl(2): fs.epoll.max_user_watches.
        errno::ENOSPC => Class::Resource,
        errno::EAFNOSUPPORT | errno::EPROTONOSUPPORT | errno::EPROTOTYPE => Class::Persistent,
        errno::ESOCKTNOSUPPORT => Class::Persistent,
        // Of a connection the last two are ICMP's words for a host that does not speak TCP or a route that is refused.
        errno::EACCES | errno::EPERM | errno::ENOPROTOOPT | errno::EOPNOTSUPP => Class::Persistent,
        // Calls of ours that were wrong, which is what they are when the program closes a descriptor of ours.
        errno::EBADF | errno::EFAULT | errno::EINVAL | errno::ENOTSOCK => Class::Local,
        errno::EISCONN | errno::EALREADY | errno::EDESTADDRREQ => Class::Local,
        errno::EEXIST | errno::ENOENT | errno::ELOOP => Class::Local,
        _ => Class::Transient,
    }
}

/// How a refused option should be met: another try sets the same option on the same system, and is refused likewise,
/// unless the system only lacked something. (To bind, the address is an option: one that this machine does not have.)
fn class_of_option(errno: i32) -> Class {
    match class_of_errno(errno) {
        Class::Resource if errno != errno::EADDRNOTAVAIL => Class::Resource,
        _ => Class::Persistent,
    }
}
