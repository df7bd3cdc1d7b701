//! Every limit, timeout and policy, with its default and its unit.
//!
//! Durations are durations, sizes are bytes, and a name that ends in `_max` is a bound that holds always. A [`Config`]
//! is checked once, when a client or server is made from it; what cannot be is refused by name.

mod limits;
mod lookups;
mod reconnect;
mod request;
mod retry;
mod timeouts;

use std::time::{Duration, Instant};

pub use limits::Limits;
pub use lookups::Lookups;
pub use reconnect::Reconnect;
pub use request::RequestOptions;
pub use retry::Retry;
pub use timeouts::Timeouts;

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
    /// Making requests again that were lost with their connection.
    pub retry: Retry,
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

/// The absolute end of a request, whatever phase it is in, or of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// So long after the request is made, or the drain is begun.
    After(Duration),
    /// At that instant.
    At(Instant),
    /// After `Timeouts::request`; a drain, after `Timeouts::drain`.
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
            retry: Retry::default(),
            lookups: Lookups::default(),
            peek: Peek::Always,
            spin: Duration::ZERO,
            timer_slack: Some(Duration::from_micros(1)),
            socket: SocketOptions::default(),
            half_close: false,
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
        self.retry.validate()?;
        self.lookups.validate()?;
        self.limits.validate()
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
