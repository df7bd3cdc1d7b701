//! How long each phase of a connection or a request may take.

use std::time::Duration;

use super::{KEPT_MIN, refuse};
use crate::error::Error;

/// Timeouts, all of them durations from the last progress of their phase. What has come in is read first: on a
/// connection that always has something to read they pass up to `read_first` late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up a name. Default: 2 s.
    pub resolve: Duration,
    /// All of connecting, over all addresses, the handshake of TLS included. Default: 5 s.
    pub connect: Duration,
    /// One address of several; the last one may use up what remains of `connect`. Default: 3 s.
    pub connect_address: Duration,
    /// From the beginning of one address's attempt to the next one's, while none has answered (RFC 8305, §5). What
    /// fails sooner is followed sooner. Default: 250 ms.
    pub connect_next: Duration,
    /// The handshake of TLS, where there is one, within `connect`. Default: 3 s.
    pub handshake: Duration,
    /// From a request to the first byte of its reply. Default: 5 s.
    pub first_byte: Duration,
    /// Between two reads while a frame is unfinished: each byte is progress, so a drip ends by the request's deadline
    /// alone. Default: 5 s.
    pub read_stall: Duration,
    /// Between two writes while bytes are queued. Default: 5 s.
    pub write_stall: Duration,
    /// A whole request, where its own [`Deadline`](crate::Deadline) says nothing else. Default: 10 s.
    pub request: Duration,
    /// A request's wait for a connection that can take it. Default: 1 s.
    pub wait: Duration,
    /// A connection on which nothing is under way. At least 1 ms. Default: 20 s.
    pub idle: Duration,
    /// From our FIN to the peer's, after a close. Default: 1 s.
    pub linger: Duration,
    /// All of a drain, where its own [`Deadline`](super::Deadline) says nothing else. Default: 30 s.
    pub drain: Duration,
    /// How long what is due waits for what is to be read first: more than a socket's buffer holds is read in that
    /// time. Default: 1 s.
    pub read_first: Duration,
    /// A listener's pause after it found no descriptor. Default: 100 ms.
    pub accept_pause: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            resolve: Duration::from_secs(2),
            connect: Duration::from_secs(5),
            connect_address: Duration::from_secs(3),
            connect_next: Duration::from_millis(250),
            handshake: Duration::from_secs(3),
            first_byte: Duration::from_secs(5),
            read_stall: Duration::from_secs(5),
            write_stall: Duration::from_secs(5),
            request: Duration::from_secs(10),
            wait: Duration::from_secs(1),
            idle: Duration::from_secs(20),
            linger: Duration::from_secs(1),
            drain: Duration::from_secs(30),
            read_first: Duration::from_secs(1),
            accept_pause: Duration::from_millis(100),
        }
    }
}

impl Timeouts {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.resolve.is_zero(),
                "timeouts.resolve is zero; give it at least 1 ns, 2 s is usual",
            ),
            (
                self.connect.is_zero(),
                "timeouts.connect is zero; give it at least 1 ns, 5 s is usual",
            ),
            (
                self.connect_address.is_zero(),
                "timeouts.connect_address is zero; give it at least 1 ns, 3 s is usual",
            ),
            (
                self.handshake.is_zero(),
                "timeouts.handshake is zero; give it at least 1 ns, 3 s is usual",
            ),
            (
                self.first_byte.is_zero(),
                "timeouts.first_byte is zero; give it at least 1 ns, 5 s is usual",
            ),
            (
                self.read_stall.is_zero(),
                "timeouts.read_stall is zero; give it at least 1 ns, 5 s is usual",
            ),
            (
                self.write_stall.is_zero(),
                "timeouts.write_stall is zero; give it at least 1 ns, 5 s is usual",
            ),
            (
                self.wait.is_zero(),
                "timeouts.wait is zero; give it at least 1 ns, 1 s is usual",
            ),
            (
                self.idle < KEPT_MIN,
                "timeouts.idle is below 1 ms, as long as a connect may take; 20 s is usual",
            ),
        ])
    }
}
