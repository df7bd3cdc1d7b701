//! What a server does and within which bounds.

use std::sync::Arc;
use std::time::Duration;

use super::octet::{HEADER_BYTES_MAX, Octet};
use crate::config::{Config, Limits, Timeouts, refuse};
use crate::conn::Profile;
use crate::error::Error;
use crate::frame::{FRAME_BYTES_MAX, Framing};
use crate::session::Sessions;
use crate::socket_options::SocketOptions;

/// Bytes queued for a peer above which it is not read from.
const READS_PAUSE_ABOVE_BYTES: usize = 64 << 10;

/// What the server does with what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Answers each line (`\n` or `\r\n`) with its ASCII letters uppercased, ended by `\n`.
    Shout,
    /// Returns bytes as they come.
    Echo,
    /// Reads and counts lines, and keeps them when a dump is set.
    Sink,
}

/// Settings of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// What it does. Default: [`Service::Shout`].
    pub service: Service,
    /// What a sink reads are counted messages, `LEN SP MSG` (RFC 6587 §3.4.1), in place of lines. Default: false.
    pub octet_counted: bool,
    /// A connection on which nothing moves, or whose line does not go on, is closed. Default: 30 s.
    pub idle_timeout: Duration,
    /// A peer that does not read its answers is given up. Default: 5 s.
    pub write_stall_timeout: Duration,
    /// Bytes of a line, its end not counted; a longer one ends the connection. Default: 64 KiB.
    pub line_bytes_max: usize,
    /// Bytes that one connection may send in its life: then its last whole line is answered and it is closed.
    /// Default: no limit.
    pub read_limit_bytes: Option<u64>,
    /// Connections at a time; one more is accepted and closed at once. Default: 10,000.
    pub connections_max: usize,
    /// How long a drain waits before what is left is reset. Default: 10 s.
    pub drain_timeout: Duration,
    /// From our FIN to the peer's. Default: 1 s.
    pub linger_timeout: Duration,
    /// Poll without blocking for so long before the loop sleeps. Default: zero.
    pub spin: Duration,
    /// Speaks TLS: a connection is told, and counted as accepted, when its handshake is over. Default: plain TCP.
    #[cfg(feature = "_tls")]
    pub tls: Option<crate::tls::TlsServerConfig>,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            service: Service::Shout,
            octet_counted: false,
            idle_timeout: Duration::from_secs(30),
            write_stall_timeout: Duration::from_secs(5),
            line_bytes_max: 64 << 10,
            read_limit_bytes: None,
            connections_max: 10_000,
            drain_timeout: Duration::from_secs(10),
            linger_timeout: Duration::from_secs(1),
            spin: Duration::ZERO,
            #[cfg(feature = "_tls")]
            tls: None,
        }
    }
}

impl ServerConfig {
    pub(super) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.octet_counted && self.service != Service::Sink,
                "octet_counted with a service that is no sink; it reads lines or bytes",
            ),
            (
                self.line_bytes_max == 0,
                "line_bytes_max is 0; a line has at least 1 byte",
            ),
            (
                self.line_bytes_max > FRAME_BYTES_MAX,
                "line_bytes_max is above 2^31 - 1 bytes",
            ),
            (
                self.read_limit_bytes == Some(0),
                "read_limit_bytes is 0; no connection could send anything",
            ),
            (
                self.connections_max == 0,
                "connections_max is 0; at least 1 connection is needed",
            ),
        ])?;
        self.engine().validate()
    }

    pub(super) fn framing(&self) -> Framing {
        let bytes_max = self.line_bytes_max;
        match self.service {
            Service::Sink if self.octet_counted => {
                Framing::custom(move || Box::new(Octet { bytes_max }))
                    // It counts the header, too.
                    .frame_bytes_max(
                        bytes_max
                            .saturating_add(HEADER_BYTES_MAX)
                            .min(FRAME_BYTES_MAX),
                    )
            }
            Service::Shout | Service::Sink => Framing::line().frame_bytes_max(self.line_bytes_max),
            Service::Echo => Framing::raw(),
        }
    }

    /// What runs above TCP, if anything does.
    pub(super) fn sessions(&self) -> Option<Arc<dyn Sessions>> {
        #[cfg(feature = "_tls")]
        return self.tls.as_ref().map(|tls| tls.sessions());
        #[cfg(not(feature = "_tls"))]
        None
    }

    /// The settings of the loop. A turn's input may all be queued as answers, so the queue holds what is read before
    /// reading pauses, and one line more.
    pub(super) fn engine(&self) -> Config {
        let limits = Limits::default();
        let unread = limits.unpulled_bytes_max + limits.turn_bytes_max + self.line_bytes_max;
        Config {
            timeouts: Timeouts {
                idle: self.idle_timeout,
                read_stall: self.idle_timeout,
                write_stall: self.write_stall_timeout,
                linger: self.linger_timeout,
                ..Timeouts::default()
            },
            limits: Limits {
                connections_max: self.connections_max,
                send_queue_bytes_max: 2 * (READS_PAUSE_ABOVE_BYTES + unread),
                ..limits
            },
            half_close: true,
            spin: self.spin,
            socket: self.socket(),
            ..Config::default()
        }
    }

    /// The kernel does not end a peer that may still stall.
    fn socket(&self) -> SocketOptions {
        let options = SocketOptions::default();
        let is_longer = |it: &Duration| *it > self.write_stall_timeout;
        SocketOptions {
            user_timeout: options.user_timeout.filter(is_longer),
            ..options
        }
    }

    pub(super) fn profile(&self) -> Profile {
        let engine = self.engine();
        Profile {
            timeouts: engine.timeouts,
            half_close: true,
            reads_pause_above_bytes: READS_PAUSE_ABOVE_BYTES,
            send_queue_bytes_max: engine.limits.send_queue_bytes_max,
            read_bytes_max: self.read_limit_bytes.unwrap_or(u64::MAX),
        }
    }
}
