//! What went wrong, and what that means for what was sent.
//!
//! An [`Error`] answers four questions: how bad is it ([`Class`]), in which phase did it happen ([`Phase`]), may the
//! peer have acted on the request ([`Sent`]), and what was the cause ([`Source`]). It is a small `Copy` value, latched
//! at the first loss: the kernel reports a socket's error once, so nothing here can be asked again.

mod again;
mod date;
mod source;
#[cfg(test)]
pub(crate) mod table;
mod tls;
mod words;

pub use source::{CertificateFault, Limit, ResolveError, Source, TlsFault};

use std::io;

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

impl Phase {
    /// Whether a connection in this phase does not stand yet.
    pub(crate) fn is_before_it_stands(self) -> bool {
        matches!(self, Phase::Resolve | Phase::Connect | Phase::Handshake)
    }
}

/// Whether the peer may have got the request (for a raw connection: anything that was sent on it). In order: the
/// greater says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// Not one byte was handed to the kernel: safe to send again elsewhere.
    No,
    /// Some was, and nothing proves that the peer's program got it, or that it did not.
    Maybe,
    /// Part of the reply came: the peer's program got it.
    Yes,
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
                assert_eq!(Source::Os(errno).class(), expected, "errno {errno}");
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
