//! The end of a client: what is under way is finished, and nothing new is begun.

use super::Client;
use crate::config::Deadline;
use crate::net::Net;
use crate::time::Time;

impl Client {
    /// Begins to end everything in peace, until a deadline at which what is left is reset. The loop must go on being
    /// turned until [`Event::Drained`](crate::Event::Drained), which comes once and last; then the client can be dropped
    /// without losing anything. It cannot be used again.
    ///
    /// From now on [`request`](Client::request), [`connect`](Client::connect), [`add`](Client::add) and requests of a
    /// [`Handle`](crate::Handle) are refused with [`Source::ShuttingDown`](crate::Source::ShuttingDown). Requests that
    /// were made before get their replies, on connections that stand or are being made; where there is none, those that
    /// wait fail at once. No other connection is made, no pause is waited for, no name is looked up in vain. Each
    /// connection of an upstream is closed as soon as nothing is under way on it, raw ones as by
    /// [`close`](Client::close) (those that do not stand yet end at once), and the peer's end is awaited for
    /// [`Timeouts::linger`](crate::Timeouts::linger).
    ///
    /// At the deadline ([`Deadline::Standard`]: [`Timeouts::drain`](crate::Timeouts::drain)) what is left is reset: each
    /// request fails once with `ShuttingDown`, saying whether it may have been sent, and so does each raw connection.
    ///
    /// [`Event::Draining`](crate::Event::Draining) tells how many connections are left. A second drain may only bring
    /// the deadline forward.
    pub fn drain(&mut self, deadline: Deadline) {
        let until = |now: Time, standard, net: &Net| match deadline {
            Deadline::After(timeout) => now.after(timeout),
            _ => net.epoch().time_of(deadline).unwrap_or(now.after(standard)),
        };
        self.engine.core.drain(until);
    }
}
