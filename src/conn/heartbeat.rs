//! Watching over a connection that has fallen silent: when its peer is asked for a sign of life, and when it has
//! given none for too long.
//!
//! Any byte that comes in is one, whatever it belongs to. Only the peer of a connection on which no reply is awaited
//! is asked, for in the order of replies an answer would wait behind them; where replies carry ids it need not, and it
//! is asked then too. At most one question is out: one whose answer does not come although other bytes do is not
//! asked again, and the next silence is judged by it.
//!
//! A heartbeat is no use of a connection: what it brings postpones neither the idle limit nor the first byte of a
//! reply. Since a peer may say more than was asked, nothing but requests puts the idle limit off where there is one.

use std::ops::Range;
use std::time::Duration;

use super::Conn;
use super::timeouts::{NONE, Running};
use crate::buffer::Pool;
use crate::config::Heartbeat;
use crate::error::Phase;
use crate::time::Time;

/// The heartbeat of one connection.
#[derive(Debug)]
pub(super) struct Watch {
    after: Duration,
    timeout: Duration,
    /// The peer is asked while replies are awaited, too.
    beside_requests: bool,
    /// What was drawn of `after` for the next question.
    quiet: Duration,
    /// When the question went out whose answer has not come; or never.
    asked_at: Time,
    /// The connection has ended for want of an answer.
    is_missed: bool,
}

impl Conn {
    /// Has its peer asked when it falls silent.
    pub(crate) fn watch(&mut self, heartbeat: &Heartbeat, beside_requests: bool, random: u64) {
        self.watch = Some(Watch {
            after: heartbeat.after,
            timeout: heartbeat.timeout,
            beside_requests,
            quiet: drawn(heartbeat.after, random),
            asked_at: Time::NEVER,
            is_missed: false,
        });
    }

    /// Whether its peer is to be asked now.
    pub(crate) fn wants_heartbeat(&self, now: Time) -> bool {
        self.heartbeat_at() <= now
    }

    /// Queues the question. Returns the range of the stream that it takes.
    pub(crate) fn send_heartbeat(
        &mut self,
        now: Time,
        payload: &[u8],
        random: u64,
        pool: &mut Pool,
    ) -> Option<Range<u64>> {
        let watch = self.watch.as_mut()?;
        watch.asked_at = now;
        watch.quiet = drawn(watch.after, random);
        self.wrote_at = now;
        self.queue.push(payload, pool)
    }

    /// The question was answered; `next` when its answer was in the way of other replies, which are awaited from now on.
    pub(crate) fn handle_heartbeat_reply(&mut self, now: Time, next: bool) {
        if let Some(watch) = &mut self.watch {
            watch.asked_at = Time::NEVER;
        }
        if next {
            self.awaiting_since = now;
        }
    }

    /// Whether it has ended because its peer gave no sign of life.
    pub(crate) fn has_missed_heartbeat(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.is_missed)
    }

    /// Whether what comes in may be the answer to a heartbeat, and nothing else.
    pub(super) fn is_asked(&self) -> bool {
        let watch = self.watch.as_ref();
        watch.is_some_and(|watch| !watch.asked_at.is_never())
    }

    /// When its peer is to be asked; never while something is under way that is watched over otherwise.
    pub(super) fn heartbeat_at(&self) -> Time {
        let Some(watch) = self.watch.as_ref() else {
            return Time::NEVER;
        };
        let is_free = watch.beside_requests || self.awaiting_since.is_never();
        let may = watch.asked_at.is_never() && is_free && self.is_quiet();
        let sees = !self.is_behind && !self.is_broken() && !self.discarding;
        match may && sees {
            true => self.received_at.after(watch.quiet),
            false => Time::NEVER,
        }
    }

    /// The timeout of a peer that was asked.
    pub(super) fn answering(&self) -> Running {
        let Some(watch) = self.watch.as_ref().filter(|_| self.is_asked()) else {
            return NONE;
        };
        let is_awaited = !self.awaiting_since.is_never();
        let phase = if is_awaited { Phase::Read } else { Phase::Idle };
        // Before it was asked nothing had come for a while, so what came at that very moment came after.
        let has_spoken = self.received_at >= watch.asked_at;
        match has_spoken {
            // What has come is looked at first.
            _ if self.is_behind => NONE,
            false => (watch.asked_at.after(watch.timeout), phase, watch.timeout),
            true if is_awaited && !watch.beside_requests => NONE,
            true => {
                let silent = self.received_at.after(watch.after);
                (silent.after(watch.timeout), phase, watch.timeout)
            }
        }
    }

    /// Notes that it ends for want of an answer, if it does.
    pub(super) fn note_missed(&mut self) {
        let is_missed = self.is_asked() && self.answering() == self.nearest();
        if let Some(watch) = &mut self.watch {
            watch.is_missed = is_missed;
        }
    }
}

/// U(0.9, 1) of a duration.
fn drawn(after: Duration, random: u64) -> Duration {
    let tenth = u64::try_from(after.as_nanos() / 10).unwrap_or(u64::MAX);
    let less = (u128::from(random) * u128::from(tenth)) >> 64;
    after - Duration::from_nanos(less as u64)
}
