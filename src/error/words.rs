//! Errors in words: the short names that `probe` prints, and sentences for people.

use std::fmt;
use std::io;

use super::tls::Alert;
use super::{Class, Error, Limit, Phase, ResolveError, Sent, Source};
use crate::errno;

impl Class {
    /// The word `probe` prints.
    pub fn name(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::Persistent => "persistent",
            Class::Protocol => "protocol",
            Class::Resource => "resource",
            Class::Local => "local",
        }
    }
}

impl Phase {
    /// The word `probe` prints.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Resolve => "resolve",
            Phase::Connect => "connect",
            Phase::Handshake => "handshake",
            Phase::Write => "write",
            Phase::Read => "read",
            Phase::Idle => "idle",
            Phase::Drain => "drain",
        }
    }
}

impl Sent {
    /// The word `probe` prints.
    pub fn name(self) -> &'static str {
        match self {
            Sent::No => "no",
            Sent::Maybe => "maybe",
            Sent::Yes => "yes",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::RequestRate { .. } => "requests_per_second",
            Limit::Connections => "connections_max",
            Limit::SendQueueBytes => "send_queue_bytes_max",
            Limit::WaitingRequests => "waiting_requests_max",
            Limit::WaitingBytes => "waiting_bytes_max",
            Limit::Submissions => "submissions_max",
            Limit::Events => "events_max",
            Limit::JournalBytes => "journal_bytes_max",
            Limit::JournalLines => "journal_lines_max",
        })
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self {
            ResolveError::NotFound => {
                return f.write_str("the name does not resolve to an address");
            }
            ResolveError::TryAgain => {
                return f.write_str("the name server does not answer for now");
            }
            ResolveError::Os(errno) => {
                let why = io::Error::from_raw_os_error(*errno);
                return write!(f, "the name could not be looked up: {why}");
            }
            ResolveError::Failed(code) => *code,
        };
        match (words_of_lookup(code), code) {
            (Some(words), _) => f.write_str(words),
            (None, 0) => {
                f.write_str("the lookup of the name failed, and its resolver does not say why")
            }
            (None, code) => write!(f, "the lookup of the name failed (EAI {code})"),
        }
    }
}

/// What would help, where an errno alone does not say it.
fn remedy(errno: i32) -> Option<&'static str> {
    Some(match errno {
        errno::EMFILE => "raise the process's limit of descriptors (ulimit -n)",
        errno::ENFILE => "raise the system's limit of descriptors (fs.file-max)",
        errno::ENOSPC => "raise the limit of watched descriptors (fs.epoll.max_user_watches)",
        errno::EADDRNOTAVAIL => {
            "no local port or address is free for it (net.ipv4.ip_local_port_range)"
        }
        errno::EPERM => "a packet filter or policy of this machine forbids it",
        _ => return None,
    })
}

/// What getaddrinfo(3) says with a code.
fn words_of_lookup(code: i32) -> Option<&'static str> {
    Some(match code {
        errno::EAI_AGAIN => "the name server does not answer for now (EAI_AGAIN)",
        errno::EAI_FAIL => "the name server refuses to answer for the name (EAI_FAIL)",
        errno::EAI_NONAME => "the name does not exist (EAI_NONAME)",
        errno::EAI_NODATA => "the name has no address (EAI_NODATA)",
        errno::EAI_ADDRFAMILY => "the name has no address of a usable family (EAI_ADDRFAMILY)",
        errno::EAI_FAMILY => "the system knows neither IPv4 nor IPv6 (EAI_FAMILY)",
        errno::EAI_MEMORY => "the name could not be looked up: out of memory (EAI_MEMORY)",
        errno::EAI_OVERFLOW => "the name is too long to be looked up (EAI_OVERFLOW)",
        errno::EAI_SYSTEM => "a call of the lookup failed (EAI_SYSTEM)",
        errno::EAI_BADFLAGS => "the lookup of the name was asked for wrongly (EAI_BADFLAGS)",
        errno::EAI_SERVICE => "the lookup of the name was asked for wrongly (EAI_SERVICE)",
        errno::EAI_SOCKTYPE => "the lookup of the name was asked for wrongly (EAI_SOCKTYPE)",
        _ => return None,
    })
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Os(errno) => {
                let why = io::Error::from_raw_os_error(*errno);
                match remedy(*errno) {
                    Some(remedy) => write!(f, "{why}: {remedy}"),
                    None => write!(f, "{why}"),
                }
            }
            Source::Option { name, errno } => {
                write!(
                    f,
                    "the socket option {name} was refused: {}",
                    io::Error::from_raw_os_error(*errno)
                )
            }
            Source::Timeout(after) => write!(f, "no progress for {after:?}"),
            Source::Deadline => f.write_str("the request's deadline passed"),
            Source::Eof => f.write_str("the peer closed the connection"),
            Source::Truncated { received: 0 } => f.write_str(
                "the connection was cut off: the peer's side ended without TLS' close_notify",
            ),
            Source::Truncated { received } => {
                write!(
                    f,
                    "the peer closed the connection within a frame, after {received} bytes of it"
                )
            }
            Source::Oversize { limit, claimed } => {
                write!(
                    f,
                    "a frame of {claimed} bytes or more, where at most {limit} are allowed: raise \
                     frame_bytes_max if the peer is right"
                )
            }
            Source::Malformed(why) => write!(f, "malformed frame: {why}"),
            Source::Unsolicited => f.write_str("the peer sent a reply that answers no request"),
            Source::Resolve(why) => why.fmt(f),
            Source::SelfConnect => {
                f.write_str("the socket connected to itself: nobody listens at that port")
            }
            Source::Full {
                limit: limit @ Limit::RequestRate { retry_after },
            } => write!(
                f,
                "the limit {limit} is reached: the next may be made in {retry_after:?}"
            ),
            Source::Full { limit } => write!(
                f,
                "the limit {limit} is reached: ask again when events have come, or raise it"
            ),
            Source::IdInUse { id } => {
                write!(
                    f,
                    "a request with the id {id} has not been answered yet: give each its own tag"
                )
            }
            Source::Cancelled => f.write_str("cancelled by the program"),
            Source::BreakerOpen { retry_after } => {
                write!(
                    f,
                    "the upstream's breaker is open; a trial may be made in {retry_after:?}"
                )
            }
            Source::ShuttingDown => f.write_str("the client is shutting down"),
            Source::NotOpen => f.write_str("no such connection or upstream, or it is closed"),
            Source::Closed => f.write_str("closed by the program"),
            Source::Invalid(why) => write!(f, "invalid setting: {why}"),
            Source::Certificate(fault) => fault.fmt(f),
            Source::Alert(number) => Alert(*number).fmt(f),
            Source::Tls(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, phase, sent) = (self.class.name(), self.phase.name(), self.sent.name());
        write!(f, "{} ({class}, in {phase}, sent: {sent})", self.source)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        match error.source {
            Source::Os(errno) => io::Error::from_raw_os_error(errno),
            Source::Timeout(_) | Source::Deadline => io::Error::new(io::ErrorKind::TimedOut, error),
            Source::Eof | Source::Truncated { .. } => {
                io::Error::new(io::ErrorKind::UnexpectedEof, error)
            }
            _ => io::Error::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_error_says_what_is_wrong_and_where_it_helps_what_would_be_right() {
        let retry_after = Duration::from_millis(250);
        let limit = Limit::RequestRate { retry_after };
        for (source, words, remedy) in [
            (Source::Os(errno::ECONNREFUSED), "Connection refused", ""),
            (
                Source::Os(errno::EMFILE),
                "Too many open files",
                "ulimit -n",
            ),
            (Source::Os(errno::ENOSPC), "No space", "max_user_watches"),
            (
                Source::Os(errno::EADDRNOTAVAIL),
                "Cannot assign requested address",
                "ip_local_port_range",
            ),
            (
                Source::Oversize {
                    limit: 5,
                    claimed: 9,
                },
                "9 bytes or more, where at most 5",
                "raise frame_bytes_max",
            ),
            (
                Source::Full {
                    limit: Limit::Connections,
                },
                "the limit connections_max is reached",
                "raise it",
            ),
            (Source::Full { limit }, "requests_per_second", "in 250ms"),
            (Source::IdInUse { id: 7 }, "the id 7", "its own tag"),
            (
                Source::Truncated { received: 7 },
                "within a frame",
                "7 bytes",
            ),
            (Source::Truncated { received: 0 }, "cut off", "close_notify"),
            (
                Source::Resolve(ResolveError::Failed(errno::EAI_FAIL)),
                "refuses to answer",
                "EAI_FAIL",
            ),
            (
                Source::Resolve(ResolveError::Failed(-77)),
                "the lookup of the name failed",
                "EAI -77",
            ),
        ] {
            let told = Error::new(Phase::Connect, source).to_string();
            assert!(told.contains(words) && told.contains(remedy), "{told}");
            let ends = told.ends_with(", in connect, sent: no)");
            assert!(ends && !told.contains('\n'), "{told}");
        }
    }
}
