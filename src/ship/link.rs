//! One connection to a sink, and the lines that are on it.
//!
//! ```text
//!  Connecting ──► (Opening) ──► Open ──seal──► Sealed ──► Ended ──► judged
//!       │             │          │               │ commit_timeout
//!       └─────────────┴──────────┴───────────────┴────────────────► judged
//! ```
//! *Opening* is RELP's handshake. *Sealed*: our FIN follows the last line, and the peer's is awaited. *Ended*: it is
//! over, and its witness has a moment to end too.

use std::net::SocketAddr;
use std::time::Duration;

use super::config::{Ack, ShipConfig};
use super::epoch::Epoch;
use super::relp::Session;
use super::verdict::End;
use crate::error::Error;
use crate::event::ConnectionId;
use crate::time::Time;

#[derive(Debug)]
pub(super) enum Stage {
    Connecting,
    Opening,
    Open,
    Sealed {
        until: Time,
    },
    Ended {
        end: End,
        error: Option<Error>,
        judge_at: Time,
    },
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) sink: usize,
    pub(super) peer: Option<SocketAddr>,
    pub(super) stage: Stage,
    pub(super) epoch: Epoch,
    pub(super) session: Option<Session>,
    /// The last witness that stood while it was open.
    pub(super) witness: Option<ConnectionId>,
    /// When its first line was queued.
    pub(super) first_at: Time,
    /// By when the peer must have said something: RELP's handshake, or its next answer.
    pub(super) answer_by: Time,
    /// To be told when its queue has room.
    pub(super) awaits_room: bool,
    /// The peer has answered since something was last written to it.
    pub(super) owes_ack: bool,
    pub(super) poll: Poll,
}

/// When the kernel is asked what the peer's TCP acknowledged, since acknowledgements raise no readiness.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) acked: u64,
    pub(super) at: Time,
    pause: Duration,
}

impl Link {
    pub(super) fn new(id: ConnectionId, sink: usize) -> Link {
        Link {
            id,
            sink,
            peer: None,
            stage: Stage::Connecting,
            epoch: Epoch::default(),
            session: None,
            witness: None,
            first_at: Time::NEVER,
            answer_by: Time::NEVER,
            awaits_room: false,
            owes_ack: false,
            poll: Poll {
                acked: 0,
                at: Time::NEVER,
                pause: Duration::ZERO,
            },
        }
    }

    pub(super) fn is_being_made(&self) -> bool {
        matches!(self.stage, Stage::Connecting | Stage::Opening)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Its peer's end is awaited.
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.stage, Stage::Sealed { .. })
    }

    /// It is over, and awaits what its witness says.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended { .. })
    }

    /// It awaits its commit.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.is_sealed() || self.has_ended()
    }

    /// When its peer has had its time: to commit, or to answer.
    pub(super) fn gives_up_at(&self) -> Time {
        match self.stage {
            Stage::Sealed { until } => until.min(self.answer_by),
            Stage::Ended { .. } => Time::NEVER,
            _ => self.answer_by,
        }
    }

    /// When its epoch is old enough to be sealed; `part` of that.
    pub(super) fn ages_at(&self, config: &ShipConfig, part: u32) -> Time {
        match self.epoch.is_empty() {
            true => Time::NEVER,
            false => self.first_at.after(config.commit_after / part),
        }
    }

    /// Its peer has taken more. Until it has taken our FIN, which leaves behind all that is queued, it is not late.
    pub(super) fn handle_progress(&mut self, now: Time, config: &ShipConfig) {
        if let Stage::Sealed { until } = &mut self.stage
            && config.ack != Ack::Relp
        {
            *until = now.after(seal_timeout(config));
        }
    }

    /// Its epoch is large or old enough to be sealed; `part` of that.
    pub(super) fn is_due(&self, now: Time, config: &ShipConfig, part: u32) -> bool {
        let is_large = self.epoch.end() >= config.commit_bytes / u64::from(part);
        !self.epoch.is_empty() && (is_large || self.ages_at(config, part) <= now)
    }
}

/// From our FIN to the peer's, at most.
pub(super) fn seal_timeout(config: &ShipConfig) -> Duration {
    // Where the kernel's word is enough there is nothing to wait for but that it has all.
    match config.ack {
        Ack::None | Ack::Peek => config.client.timeouts.linger,
        Ack::Kernel | Ack::Commit | Ack::Relp => config.commit_timeout,
    }
}

impl Poll {
    /// Something was written.
    pub(super) fn handle_written(&mut self, now: Time, config: &ShipConfig) {
        self.pause = config.ack_poll;
        self.at = self.at.min(now.after(config.ack_poll));
    }

    /// The kernel was asked.
    pub(super) fn handle_answer(
        &mut self,
        now: Time,
        acked: u64,
        queued: u64,
        config: &ShipConfig,
    ) {
        self.pause = match acked > self.acked {
            true => config.ack_poll,
            false => (self.pause * 2).min(config.ack_poll_max),
        };
        self.acked = acked;
        self.at = match acked < queued {
            true => now.after(self.pause),
            false => Time::NEVER,
        };
    }
}
