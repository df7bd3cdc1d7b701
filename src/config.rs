//! Every limit, timeout and policy, with its default and its unit.
//!
//! Durations are durations, sizes are bytes, and a name that ends in `_max` is a bound that holds always. A [`Config`]
//! is checked once, when a client or server is made from it; what cannot be is refused by name.

mod breaker;
mod heartbeat;
mod limits;
mod lookups;
mod pool;
mod rate;
mod reconnect;
mod request;
mod retry;
mod timeouts;

use std::time::{Duration, Instant};

pub use breaker::Breaker;
pub use heartbeat::{Expect, Heartbeat};
pub use limits::Limits;
pub use lookups::Lookups;
pub use pool::Pool;
pub use rate::Rate;
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
    /// How the connections of upstreams are made again.
    pub reconnect: Reconnect,
    /// How long connections of an upstream are kept.
    pub pool: Pool,
    /// Making requests again that were lost with their connection.
    pub retry: Retry,
    /// When an upstream that fails is left alone for a while.
    pub breaker: Breaker,
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
    /// Of an upstream and a kind of change, at most one line is written to the log in so long; those held back are
    /// counted, and told with the next. Where none comes, the last of them is written when that is over, if it still is
    /// so. Default: 5 s.
    pub log_pause: Duration,
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
            pool: Pool::default(),
            retry: Retry::default(),
            breaker: Breaker::default(),
            lookups: Lookups::default(),
            peek: Peek::Always,
            spin: Duration::ZERO,
            timer_slack: Some(Duration::from_micros(1)),
            log_pause: Duration::from_secs(5),
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
        self.reconnect.validate()?;
        self.pool.validate()?;
        self.retry.validate()?;
        self.validate_kernels(&self.timeouts)?;
        self.breaker.validate()?;
        self.lookups.validate()?;
        self.limits.validate()
    }

    /// Checks that the kernel's timeouts can be, and do not come before these.
    pub(crate) fn validate_kernels(&self, timeouts: &Timeouts) -> Result<(), Error> {
        let user_timeout = self.socket.user_timeout;
        let second = Duration::from_secs(1);
        let keepalive = self.socket.keepalive;
        refuse(&[
            (
                user_timeout.is_some_and(|it| it <= timeouts.write_stall),
                "socket.user_timeout is not longer than timeouts.write_stall; the kernel would end a live peer that holds its window shut before that",
            ),
            (
                keepalive.is_some_and(|it| it.idle < second),
                "socket.keepalive.idle is below 1 s; the kernel counts whole seconds, 15 s is usual",
            ),
            (
                keepalive.is_some_and(|it| it.interval < second),
                "socket.keepalive.interval is below 1 s; the kernel counts whole seconds, 5 s is usual",
            ),
            (
                keepalive.is_some_and(|it| it.count == 0),
                "socket.keepalive.count is 0; at least 1 probe must be unanswered, 3 are usual",
            ),
        ])
    }
}

/// How long a connection may be kept, at least. With less it would end about when it is made, over and over: that is a
/// unit mistaken for another.
const KEPT_MIN: Duration = Duration::from_millis(1);

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

    #[test]
    fn a_kernels_timeout_that_would_come_before_the_clients_is_refused_by_name() {
        let second = Duration::from_secs(1);
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            config.timeouts.write_stall = Duration::from_secs(5);
            change(&mut config);
            config.validate()
        };
        for (change, word) in [
            (
                (|it| it.socket.user_timeout = Some(it.timeouts.write_stall)) as fn(&mut Config),
                "socket.user_timeout",
            ),
            (
                |it| it.socket.user_timeout = Some(Duration::ZERO),
                "socket.user_timeout",
            ),
            (
                |it| it.timeouts.write_stall = Duration::from_secs(20),
                "timeouts.write_stall",
            ),
            (
                |it| it.socket.keepalive.iter_mut().for_each(|it| it.count = 0),
                "keepalive.count",
            ),
        ] {
            let error = with(change).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        for part in ["idle", "interval"] {
            let mut config = Config::default();
            let keepalive = config.socket.keepalive.as_mut().unwrap();
            *match part {
                "idle" => &mut keepalive.idle,
                _ => &mut keepalive.interval,
            } = second / 2;
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(&format!("keepalive.{part}")), "{error}");
        }
        let longer = |it: &mut Config| it.timeouts.write_stall = Duration::from_secs(600);
        assert_eq!(
            with(|it| it.socket.user_timeout = it.timeouts.write_stall.checked_mul(2)),
            Ok(())
        );
        let mut without = Config::default();
        longer(&mut without);
        without.socket.user_timeout = None;
        assert_eq!(without.validate(), Ok(()), "left to the system");
    }
}
