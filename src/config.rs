//! Every limit, timeout and policy, with its default and its unit.
//!
//! Durations are durations, sizes are bytes, and a name that ends in `_max` is a bound that holds always. A [`Config`]
//! is checked once, when a client or server is made from it; what cannot be is refused by name.

mod lookups;

use std::time::{Duration, Instant};

pub use lookups::Lookups;

use crate::error::{Error, Phase, Source};
use crate::socket_options::SocketOptions;

/// All settings of a client. `Config::default()` is meant to be right for most programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The timeouts of a connection's phases.
    pub timeouts: Timeouts,
    /// The bounds on memory, descriptors and work.
    pub limits: Limits,
    /// The pauses before a lost connection of an upstream is made again.
    pub reconnect: Reconnect,
    /// Looking up names.
    pub lookups: Lookups,
    /// The look at the line before a write. Default: [`Peek::Always`].
    pub peek: Peek,
    /// Poll without blocking for so long before the loop sleeps. Default: zero. A blocked thread pays 25–35 µs to wake
    /// in a virtual machine; spinning buys that back for a busy core.
    pub spin: Duration,
    /// PR_SET_TIMERSLACK: how much later than asked the kernel may end a wait, to end several at once. It belongs to a
    /// thread and is set on each that turns the client: the other waits of that thread become as exact, and threads
    /// that it starts inherit it. Whole nanoseconds, at least 1; Linux only, elsewhere it does nothing. `None` leaves
    /// it as the thread has it, 50 µs unless somebody asked. Default: 1 µs.
    pub timer_slack: Option<Duration>,
    /// The options of each connection's socket.
    pub socket: SocketOptions,
    /// A peer may end its half of the stream and still be sent to. Default: false: a FIN is the end of a raw
    /// connection. Requests of an upstream always take a FIN for the end.
    pub half_close: bool,
}

/// Timeouts, all of them durations from the last progress of their phase. What has come in is read first: on a
/// connection that always has something to read they pass up to `read_first` late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up a name. Default: 2 s.
    pub resolve: Duration,
    /// All of connecting, over all addresses. Default: 5 s.
    pub connect: Duration,
    /// One address of several; the last one may use up what remains of `connect`. Default: 3 s.
    pub connect_address: Duration,
    /// From the beginning of one address's attempt to the next one's, while none has answered (RFC 8305, §5). What
    /// fails sooner is followed sooner. Default: 250 ms.
    pub connect_next: Duration,
    /// From a request to the first byte of its reply. Default: 5 s.
    pub first_byte: Duration,
    /// Between two reads while a frame is unfinished: each byte is progress, so a drip ends by the request's deadline
    /// alone. Default: 5 s.
    pub read_stall: Duration,
    /// Between two writes while bytes are queued. Default: 5 s.
    pub write_stall: Duration,
    /// A whole request, where its own [`Deadline`] says nothing else. Default: 10 s.
    pub request: Duration,
    /// A request's wait for a connection that can take it. Default: 1 s.
    pub wait: Duration,
    /// A connection on which nothing is under way. Default: 20 s.
    pub idle: Duration,
    /// From our FIN to the peer's, after a close. Default: 1 s.
    pub linger: Duration,
    /// How long what is due waits for what is to be read first: more than a socket's buffer holds is read in that
    /// time. Default: 1 s.
    pub read_first: Duration,
    /// A listener's pause after it found no descriptor. Default: 100 ms.
    pub accept_pause: Duration,
}

/// The pauses before a lost connection of an upstream is made again: full jitter. The nth pause since the last stable
/// uptime is a random part of `min(pause_max, first_pause_max · 2ⁿ)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The longest the first pause may be. Default: 100 ms.
    pub first_pause_max: Duration,
    /// The longest any pause may be. Default: 10 s.
    pub pause_max: Duration,
    /// A connection that stood for so long was a good one: pauses begin anew. Default: 10 s.
    pub stable_uptime: Duration,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            first_pause_max: Duration::from_millis(100),
            pause_max: Duration::from_secs(10),
            stable_uptime: Duration::from_secs(10),
        }
    }
}

/// Bounds. Nothing grows past them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, those being made and those being closed included. Default: 65,536.
    pub connections_max: usize,
    /// Addresses of one name that are tried at a time, for one connection. Each takes a descriptor. Default: 4.
    pub connect_attempts_max: usize,
    /// Bytes of payload in one frame, where the framing does not say otherwise. Default: 1 MiB.
    pub frame_bytes_max: usize,
    /// Bytes queued for sending on one connection. Default: 1 MiB.
    pub send_queue_bytes_max: usize,
    /// Received bytes of one connection that the program has not pulled, before its socket is no longer read.
    /// A single unfinished frame may go beyond it, up to its own limit. Default: 256 KiB.
    pub unpulled_bytes_max: usize,
    /// Bytes read from one connection in one turn, after which no further read is begun. One read takes what its buffer
    /// has room for: `read_bytes`, or more in one that held a large frame. Default: 64 KiB.
    pub turn_bytes_max: usize,
    /// Frames taken from one connection in one turn. Default: 256.
    pub turn_frames_max: usize,
    /// Events that wait to be pulled, before no socket is read. Default: 16,384.
    pub events_max: usize,
    /// Bytes of one read, and of a pooled receive buffer. Default: 16 KiB.
    pub read_bytes: usize,
    /// Bytes of free buffers kept for reuse. Default: 8 MiB.
    pub pool_bytes_max: usize,
    /// Requests of one upstream that wait for a connection. Default: 1,024.
    pub waiting_requests_max: usize,
    /// Bytes of those. Default: 8 MiB.
    pub waiting_bytes_max: usize,
    /// Requests from other threads that the loop has not taken yet. Default: 1,024.
    pub submissions_max: usize,
}

/// The `MSG_PEEK` look at the line before a write: whether it is made.
///
/// It sees a FIN or RST that came after the loop last slept, so that a request is not written to a peer that has
/// already gone. It costs one system call a flush and connection (0.24 µs measured, beside 5.9 µs for a loopback send
/// and receive). What the loop has already been told by the kernel (an RDHUP edge) is heeded whatever the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Before every flush.
    Always,
    /// Before a flush after the connection was quiet for so long.
    Idle(Duration),
    /// Never.
    Never,
}

/// The absolute end of a request, whatever phase it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// So long after the request is made.
    After(Duration),
    /// At that instant.
    At(Instant),
    /// After `Timeouts::request`.
    Standard,
}

impl Deadline {
    /// So long after the request is made.
    pub fn after(timeout: Duration) -> Deadline {
        Deadline::After(timeout)
    }

    /// At that instant.
    pub fn at(instant: Instant) -> Deadline {
        Deadline::At(instant)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            reconnect: Reconnect::default(),
            lookups: Lookups::default(),
            peek: Peek::Always,
            spin: Duration::ZERO,
            timer_slack: Some(Duration::from_micros(1)),
            socket: SocketOptions::default(),
            half_close: false,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            resolve: Duration::from_secs(2),
            connect: Duration::from_secs(5),
            connect_address: Duration::from_secs(3),
            connect_next: Duration::from_millis(250),
            first_byte: Duration::from_secs(5),
            read_stall: Duration::from_secs(5),
            write_stall: Duration::from_secs(5),
            request: Duration::from_secs(10),
            wait: Duration::from_secs(1),
            idle: Duration::from_secs(20),
            linger: Duration::from_secs(1),
            read_first: Duration::from_secs(1),
            accept_pause: Duration::from_millis(100),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 65_536,
            connect_attempts_max: 4,
            frame_bytes_max: 1 << 20,
            send_queue_bytes_max: 1 << 20,
            unpulled_bytes_max: 256 << 10,
            turn_bytes_max: 64 << 10,
            turn_frames_max: 256,
            events_max: 16_384,
            read_bytes: 16 << 10,
            pool_bytes_max: 8 << 20,
            waiting_requests_max: 1_024,
            waiting_bytes_max: 8 << 20,
            submissions_max: 1_024,
        }
    }
}

impl Config {
    /// Checks every setting; the error names the first that cannot be and says what would be right.
    ///
    /// # Errors
    /// [`Source::Invalid`], class local.
    pub fn validate(&self) -> Result<(), Error> {
        self.timeouts.validate()?;
        self.lookups.validate()?;
        self.limits.validate()
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
                self.idle.is_zero(),
                "timeouts.idle is zero; give it at least 1 ns, 20 s is usual",
            ),
        ])
    }
}

impl Limits {
    fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.connections_max == 0,
                "limits.connections_max is 0; at least 1 connection is needed",
            ),
            (
                self.connections_max > crate::kernel::INDEX_MAX as usize,
                "limits.connections_max is above 2^30; a slot's index has 30 bits",
            ),
            (
                self.connect_attempts_max == 0,
                "limits.connect_attempts_max is 0; at least 1 address must be tried",
            ),
            (
                self.frame_bytes_max == 0,
                "limits.frame_bytes_max is 0; a frame has at least 1 byte",
            ),
            (
                self.frame_bytes_max > crate::frame::FRAME_BYTES_MAX,
                "limits.frame_bytes_max is above 2^31 - 1 bytes",
            ),
            (
                self.send_queue_bytes_max == 0,
                "limits.send_queue_bytes_max is 0; nothing could be sent",
            ),
            (
                self.turn_bytes_max == 0,
                "limits.turn_bytes_max is 0; nothing could be read",
            ),
            (
                self.turn_frames_max == 0,
                "limits.turn_frames_max is 0; no frame could be taken",
            ),
            (
                self.events_max == 0,
                "limits.events_max is 0; nothing could be told",
            ),
            (
                self.read_bytes < 64,
                "limits.read_bytes is below 64 bytes; 16 KiB is usual",
            ),
            (
                self.read_bytes > crate::frame::FRAME_BYTES_MAX,
                "limits.read_bytes is above 2^31 - 1 bytes; 16 KiB is usual",
            ),
        ])
    }
}

pub(crate) fn refuse(rules: &[(bool, &'static str)]) -> Result<(), Error> {
    match rules.iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(Error::new(Phase::Connect, Source::Invalid(text))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_setting_that_cannot_be_is_refused_by_name() {
        let mut config = Config::default();
        config.limits.turn_frames_max = 0;
        let error = config.validate().unwrap_err();
        assert!(
            error.to_string().contains("limits.turn_frames_max"),
            "{error}"
        );
    }
}
