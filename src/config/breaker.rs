//! When an upstream that fails is left alone for a while, and for how long.

use std::time::Duration;

use super::refuse;
use crate::error::Error;

/// The breaker of an upstream. While what was asked of it fails, asking more only keeps both sides busy: requests are
/// refused at once ([`Source::BreakerOpen`](crate::Source::BreakerOpen)), until one that is let through as a trial is
/// answered.
///
/// What counts as a failure is what the peer or the way to it did: a connection lost under a request, a timeout of the
/// connection (`first_byte`, `read_stall`, `write_stall`), a breach of the protocol. What never counts: a request's own
/// deadline, a cancel, whatever this machine or a limit ran out of, and a request of which not a byte was sent when its
/// connection ended. Connections are made, or not, by their own rule ([`Reconnect`](super::Reconnect)) whatever the
/// breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Whether there is one. Default: true.
    pub is_on: bool,
    /// How far back ended requests are counted; in tenths of it. A breaker that stayed closed for so long begins anew
    /// with `first_pause_max`. Default: 30 s.
    pub window: Duration,
    /// It opens when at least so many of a hundred that ended have failed. Default: 50.
    pub failed_percent: u32,
    /// Of fewer ended requests nothing is concluded. Default: 10.
    pub requests_min: u32,
    /// It opens when so many attempts to connect in a row have failed, for the peer's sake; of several targets
    /// ([`Upstream::and`](crate::Upstream::and)), at each of them. Default: 5.
    pub connect_failures: u32,
    /// It opens when so many connections in a row ended by a breach of the protocol, with no reply in between.
    /// Default: 3.
    pub protocol_errors: u32,
    /// The longest that it stays open for the first time; twice as long each time that the trial fails. The pause is
    /// drawn between a half of it and all of it. Default: 1 s.
    pub first_pause_max: Duration,
    /// The longest that it ever stays open. Default: 30 s.
    pub pause_max: Duration,
    /// How long a trial that has not ended keeps others from being tried. Default: 5 s.
    pub lease: Duration,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker {
            is_on: true,
            window: Duration::from_secs(30),
            failed_percent: 50,
            requests_min: 10,
            connect_failures: 5,
            protocol_errors: 3,
            first_pause_max: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
            lease: Duration::from_secs(5),
        }
    }
}

impl Breaker {
    /// None: every request is made, whatever became of those before it.
    pub fn off() -> Breaker {
        Breaker {
            is_on: false,
            ..Breaker::default()
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.window < Duration::from_millis(1),
                "breaker.window is below 1 ms; 30 s is usual, and Breaker::off() is none",
            ),
            (
                self.failed_percent == 0 || self.failed_percent > 100,
                "breaker.failed_percent is a number from 1 to 100",
            ),
            (
                self.requests_min == 0,
                "breaker.requests_min is 0; a share is one of at least 1 request",
            ),
            (
                self.connect_failures == 0,
                "breaker.connect_failures is 0; it would open before anything has failed",
            ),
            (
                self.protocol_errors == 0,
                "breaker.protocol_errors is 0; it would open before anything has failed",
            ),
            (
                self.first_pause_max.is_zero() || self.pause_max.is_zero(),
                "a breaker that stays open for no time; Breaker::off() is none",
            ),
            (
                self.lease.is_zero(),
                "breaker.lease is 0; every request would be a trial",
            ),
        ])
    }
}
