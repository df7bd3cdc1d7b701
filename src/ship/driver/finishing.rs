//! The end of shipping: no more lines, each one that there is gets its fate, and by the deadline at the latest.

use super::Driver;
use crate::kernel::Kernel;
use crate::ship::config::{Ack, OnUncertain};
use crate::ship::event::ShipEvent;
use crate::ship::fates::Fate;
use crate::ship::link::{Link, Stage};
use crate::ship::relp::Session;
use crate::time::Time;

#[derive(Debug, Default)]
pub(super) enum Finish {
    #[default]
    NotAsked,
    By(Time),
    Over {
        is_told: bool,
    },
}

impl Finish {
    pub(super) fn is_asked(&self) -> bool {
        !matches!(self, Finish::NotAsked)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Finish::Over { .. })
    }

    pub(super) fn next(&self) -> Time {
        match self {
            Finish::By(deadline) => *deadline,
            _ => Time::NEVER,
        }
    }

    pub(super) fn has_event(&self) -> bool {
        matches!(self, Finish::Over { is_told: false })
    }

    /// Told once, and last.
    pub(super) fn poll(&mut self) -> Option<ShipEvent> {
        let is_to_be_told = self.has_event();
        if is_to_be_told {
            *self = Finish::Over { is_told: true };
        }
        is_to_be_told.then_some(ShipEvent::Finished)
    }
}

impl<K: Kernel> Driver<K> {
    /// No more lines; a second call may only bring the deadline forward.
    pub(crate) fn finish(&mut self, deadline: Time) {
        match &mut self.finish {
            Finish::NotAsked => self.finish = Finish::By(deadline),
            Finish::By(before) => *before = deadline.min(*before),
            Finish::Over { .. } => {}
        }
        self.act();
    }

    pub(super) fn go_on_finishing(&mut self, now: Time) {
        let Finish::By(deadline) = self.finish else {
            return;
        };
        if deadline <= now {
            self.settle_leftovers();
        } else if self.lines.backlog.is_empty() {
            self.end_links(now);
        }
        if self.links.is_empty() && self.lines.is_settled() {
            for id in self.witnesses.connections() {
                let _ = self.engine.core.leave(id);
            }
            self.witnesses.clear();
            self.engine.core.flush();
            self.finish = Finish::Over { is_told: false };
        }
    }

    /// Everything is written: each link ends as its rung asks.
    fn end_links(&mut self, now: Time) {
        for at in 0..self.links.len() {
            if self.links[at].is_open() {
                match self.config.ack {
                    Ack::Relp => self.end_session(at, now),
                    Ack::Commit
                        if self.links.iter().any(Link::is_unconfirmed)
                            || self.awaits_witness(&self.links[at]) => {}
                    _ => self.seal(at, now),
                }
            }
        }
        let core = &mut self.engine.core;
        self.links.retain(|link| {
            let stays = !link.is_being_made();
            if !stays {
                let _ = core.leave(link.id);
            }
            stays
        });
    }

    /// Leaves a RELP server when it has answered everything.
    fn end_session(&mut self, at: usize, now: Time) {
        let link = &mut self.links[at];
        if !link.epoch.is_empty() || !link.session.as_ref().is_some_and(Session::is_ready) {
            return;
        }
        let Some(session) = &mut link.session else {
            return;
        };
        self.chunk.clear();
        session.close(&mut self.chunk);
        link.stage = Stage::Sealed {
            until: now.after(self.config.client.timeouts.linger),
        };
        let _ = self.engine.core.send(link.id, &self.chunk);
    }

    /// The deadline: what is on its way is uncertain, what never left is undelivered.
    fn settle_leftovers(&mut self) {
        for mut link in std::mem::take(&mut self.links) {
            let end = match link.stage {
                Stage::Ended { end, .. } => end,
                _ => self.end_of_standing(&link),
            };
            let mut verdict = end.in_flight(self.config.receive_bytes_max);
            if self.config.ack == Ack::Relp {
                verdict.read = 0;
            }
            self.apply(&mut link, verdict, OnUncertain::Report);
            let _ = self.engine.core.leave(link.id);
        }
        while let Some(run) = self.lines.backlog.pop() {
            let fate = match run.in_doubt {
                true => Fate::Uncertain,
                false => Fate::Undelivered,
            };
            self.lines.settle_run(run, fate);
        }
    }
}
