//! What went wrong, and what that means for what was sent.
//!
//! An [`Error`] answers four questions: how bad is it ([`Class`]), in which phase did it happen ([`Phase`]), may the
//! peer have acted on the request ([`Sent`]), and what was the cause ([`Source`]). It is a small `Copy` value, latched
//! at the first loss: the kernel reports a socket's error once, so nothing here can be asked again.

mod words;

use std::io;
use std::time::Duration;

use crate::errno;

/// How an error should be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The peer or the way to it failed; another try may succeed (refused, reset, timed out, unreachable).
    Transient,
    /// Another try will fail likewise until somebody changes something (no such name, not permitted).
    Persistent,
    /// The peer broke the protocol (truncated, oversize or malformed frame, unsolicited reply).
    Protocol,
    /// This machine or a configured limit ran out of something (descriptors, ports, memory, a full queue).
    Resource,
    /// The program's own doing (its deadline, its cancel, its shutdown).
    Local,
}

/// Where in the life of a connection or request an error happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Looking up the name.
    Resolve,
    /// Until the TCP connection stands.
    Connect,
    /// Until the session above TCP stands.
    Handshake,
    /// Before the last byte of the request was handed to the kernel.
    Write,
    /// After that, until the reply is whole.
    Read,
    /// Between requests.
    Idle,
    /// After the program asked to close.
    Drain,
}

/// Whether the peer may have got the request (for a raw connection: anything that was sent on it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Not one byte was handed to the kernel: safe to send again elsewhere.
    No,
    /// Some was, and nothing proves that the peer's program got it, or that it did not.
    Maybe,
    /// Part of the reply came: the peer's program got it.
    Yes,
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
    /// `Limits::submissions_max`: requests from other threads that the loop has not taken.
    Submissions,
    /// `Limits::events_max`: events that wait to be pulled.
    Events,
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
    /// The lookup failed otherwise, with getaddrinfo's code (`EAI_*`, 0 when there is none).
    Failed(i32),
}

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
    /// The peer ended the stream within a frame of which `received` bytes had come.
    Truncated {
        /// Bytes of the unfinished frame, its header included.
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
    /// There is no such connection or upstream, or it is already closed.
    NotOpen,
    /// The connection or client was closed by the program with this still under way.
    Closed,
    /// A setting cannot be; the text says what would be right.
    Invalid(&'static str),
}

/// An error: class, phase, whether anything was sent, and the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Error {
    /// How to meet it.
    pub class: Class,
    /// Where it happened.
    pub phase: Phase,
    /// Whether the peer may have got the request.
    pub sent: Sent,
    /// The cause.
    pub source: Source,
}

impl Error {
    pub(crate) fn new(phase: Phase, source: Source) -> Error {
        Error {
            class: source.class(),
            phase,
            sent: Sent::No,
            source,
        }
    }

    pub(crate) fn os(phase: Phase, error: &io::Error) -> Error {
        Error::new(phase, Source::of(error))
    }

    /// Why connect(2) refused an address. EINVAL is what it says of a `blackhole` route (fib_props in
    /// Linux's net/ipv4/fib_semantics.c): the way to the peer, not a call of ours that was wrong.
    pub(crate) fn of_connect(source: Source) -> Error {
        let error = Error::new(Phase::Connect, source);
        match source {
            Source::Os(errno::EINVAL) => Error {
                class: Class::Transient,
                ..error
            },
            _ => error,
        }
    }

    pub(crate) fn full(limit: Limit) -> Error {
        Error::new(Phase::Write, Source::Full { limit })
    }

    /// The same cause, as it meets a request in that phase with so much sent.
    pub(crate) fn of_request(self, phase: Phase, sent: Sent) -> Error {
        Error {
            phase,
            sent,
            ..self
        }
    }

    /// A bound was met: try again after the next events, nothing was queued.
    pub fn is_full(&self) -> bool {
        matches!(self.source, Source::Full { .. })
    }

    /// Whether this machine lacks something that every other address needs as well. A port or an address of its own is
    /// not that: they are lacking for one destination or one family. (EADDRNOTAVAIL is what `::1` gives where IPv6 is
    /// off, and the resolver names it first for `localhost`.)
    pub(crate) fn is_want_for_all_addresses(&self) -> bool {
        let of_its_own = [errno::EADDRNOTAVAIL, errno::EADDRINUSE].map(Some);
        self.class == Class::Resource && !of_its_own.contains(&self.errno())
    }

    /// The `errno`, when the kernel was the cause.
    pub fn errno(&self) -> Option<i32> {
        match self.source {
            Source::Os(errno)
            | Source::Option { errno, .. }
            | Source::Resolve(ResolveError::Os(errno)) => Some(errno),
            _ => None,
        }
    }
}

impl Source {
    /// The errno of a failed call. An `io::Error` without one comes from std itself: EIO then.
    pub(crate) fn of(error: &io::Error) -> Source {
        Source::Os(error.raw_os_error().unwrap_or(errno::EIO))
    }

    /// How an error of this cause should be met (the table in `docs/errors.md`).
    pub fn class(&self) -> Class {
        match self {
            Source::Os(errno) | Source::Resolve(ResolveError::Os(errno)) => class_of_errno(*errno),
            Source::Option { errno, .. } => class_of_option(*errno),
            Source::Timeout(_) | Source::Eof | Source::SelfConnect => Class::Transient,
            Source::Truncated { .. }
            | Source::Oversize { .. }
            | Source::Malformed(_)
            | Source::Unsolicited => Class::Protocol,
            Source::Resolve(ResolveError::TryAgain) => Class::Transient,
            Source::Resolve(_) => Class::Persistent,
            Source::Full { .. } => Class::Resource,
            Source::Deadline
            | Source::IdInUse { .. }
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
            Source::NotOpen => "not_open",
            Source::Closed => "closed",
            Source::Invalid(_) => "invalid",
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
        errno::EACCES | errno::EPERM | errno::ENOPROTOOPT | errno::EOPNOTSUPP => Class::Persistent,
        errno::EBADF | errno::EFAULT | errno::EINVAL | errno::ENOTSOCK => Class::Local,
        errno::EISCONN | errno::EALREADY => Class::Local,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_of_the_table_has_its_class() {
        let table: [(Class, &[i32]); 4] = [
            (
                Class::Transient,
                &[
                    errno::ECONNREFUSED,
                    errno::ETIMEDOUT,
                    errno::EHOSTUNREACH,
                    errno::ENETUNREACH,
                    errno::ECONNRESET,
                    errno::EPIPE,
                    errno::ECONNABORTED,
                ],
            ),
            (
                Class::Persistent,
                &[errno::EAFNOSUPPORT, errno::EACCES, errno::EPERM],
            ),
            (
                Class::Resource,
                &[
                    errno::EMFILE,
                    errno::ENFILE,
                    errno::ENOBUFS,
                    errno::ENOMEM,
                    errno::EADDRNOTAVAIL,
                    errno::EADDRINUSE,
                    errno::ENOSPC,
                ],
            ),
            (Class::Local, &[errno::EBADF, errno::EINVAL]),
        ];
        for (expected, errnos) in table {
            for &errno in errnos {
                assert_eq!(class_of_errno(errno), expected, "errno {errno}");
            }
        }
    }

    #[test]
    fn a_route_into_a_black_hole_is_the_way_to_the_peer() {
        let of = |errno| Error::of_connect(Source::Os(errno));
        assert_eq!(of(errno::EINVAL).class, Class::Transient);
        assert_eq!(of(errno::EINVAL).phase, Phase::Connect);
        assert_eq!(of(errno::EBADF).class, Class::Local);
    }

    #[test]
    fn a_refused_option_is_refused_again_unless_the_system_lacked_something() {
        let of = |name, errno| Source::Option { name, errno }.class();
        assert_eq!(of("mark", errno::EPERM), Class::Persistent);
        assert_eq!(of("keepalive", errno::EINVAL), Class::Persistent);
        assert_eq!(of("bind", errno::EADDRNOTAVAIL), Class::Persistent);
        assert_eq!(of("bind", errno::EADDRINUSE), Class::Resource);
        assert_eq!(of("send_buffer_bytes", errno::ENOBUFS), Class::Resource);
    }
}
