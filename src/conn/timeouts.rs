//! Which of a connection's timeouts runs, and which has passed.
//!
//! Both questions read the same list, so that what is filed and what is judged cannot differ. All times are lower
//! bounds from the last progress: a timer that fires early for a postponed timeout finds nothing overdue here.

use std::time::Duration;

use super::{Conn, State};
use crate::error::{Phase, Source};
use crate::time::Time;

/// A running timeout: when it ends, the phase it belongs to, and its length.
pub(super) type Running = (Time, Phase, Duration);

pub(super) const NONE: Running = (Time::NEVER, Phase::Idle, Duration::MAX);

impl Conn {
    /// The next instant at which one of its timeouts may pass, or its peer is to be asked for a sign of life.
    pub(crate) fn poll_timeout(&self) -> Time {
        self.nearest().0.min(self.heartbeat_at())
    }

    /// The timeout that has passed.
    pub(super) fn overdue(&self, now: Time) -> Option<(Phase, Source)> {
        let (deadline, phase, length) = self.nearest();
        (deadline <= now).then_some((phase, Source::Timeout(length)))
    }

    pub(super) fn nearest(&self) -> Running {
        let timeouts = &self.profile.timeouts;
        match self.state {
            State::Resolving {
                deadline,
                connect_deadline,
            } => {
                let all_of_it = deadline == connect_deadline;
                let length = [timeouts.resolve, timeouts.connect][usize::from(all_of_it)];
                (deadline, Phase::Resolve, length)
            }
            State::Connecting { connect_deadline } => {
                (connect_deadline, Phase::Connect, timeouts.connect)
            }
            State::Handshaking {
                deadline,
                connect_deadline,
            } => {
                let all_of_it = deadline == connect_deadline;
                let length = [timeouts.handshake, timeouts.connect][usize::from(all_of_it)];
                (deadline, Phase::Handshake, length)
            }
            State::Open => {
                let speaking = earliest(self.writing(), self.reading());
                earliest(speaking, self.answering())
            }
            State::Draining { fin_at: None } => self.writing(),
            State::Draining { fin_at: Some(at) } => {
                (at.after(timeouts.linger), Phase::Drain, timeouts.linger)
            }
            State::Closed(_) => NONE,
        }
    }

    fn writing(&self) -> Running {
        match self.is_writing() {
            false => NONE,
            true => {
                let stall = self.profile.timeouts.write_stall;
                (self.wrote_at.after(stall), Phase::Write, stall)
            }
        }
    }

    fn reading(&self) -> Running {
        let timeouts = &self.profile.timeouts;
        if self.is_behind {
            // Whole frames may lie here: the peer is not late. They are bounded, and looked at in the next turn.
            NONE
        } else if self.partial > 0 {
            (
                self.received_at.after(timeouts.read_stall),
                Phase::Read,
                timeouts.read_stall,
            )
        } else if !self.awaiting_since.is_never() {
            let since = self.spoke_at.max(self.awaiting_since);
            (
                since.after(timeouts.first_byte),
                Phase::Read,
                timeouts.first_byte,
            )
        } else if !self.is_writing() {
            (
                self.active_at.after(timeouts.idle),
                Phase::Idle,
                timeouts.idle,
            )
        } else {
            NONE
        }
    }
}

fn earliest(a: Running, b: Running) -> Running {
    if a.0 <= b.0 { a } else { b }
}
