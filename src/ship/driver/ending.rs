//! The ends of links: what they prove, and what becomes of lines of which they prove nothing.

use super::Driver;
use crate::error::{Error, Phase, Source};
use crate::kernel::Kernel;
use crate::ship::config::{Ack, OnUncertain};
use crate::ship::fates::Fate;
use crate::ship::link::{Link, Stage};
use crate::ship::verdict::{End, Verdict, Witnessed};
use crate::time::Time;

/// Epochs in a row that a peer had whole and whose end proved nothing, after which such lines are not sent again: more
/// than one server's deaths in a row, and what a sink does that closes idle connections soon, or resets each one at its
/// end.
const UNPROVEN_MAX: u32 = 3;

impl<K: Kernel> Driver<K> {
    /// What is proven of a link that stands.
    pub(super) fn settle_standing(&mut self, at: usize, written: u64) {
        let proven = match self.config.ack {
            Ack::None | Ack::Peek => written,
            Ack::Kernel => {
                let acked = self.links[at].poll.acked;
                let end = End {
                    written,
                    acked,
                    ..End::default()
                };
                end.in_flight(self.config.receive_bytes_max).read
            }
            Ack::Commit | Ack::Relp => return,
        };
        let (link, lines) = (&mut self.links[at], &mut self.lines);
        link.epoch
            .take(proven, |run| lines.settle_run(run, Fate::Delivered));
    }

    /// A link has ended.
    pub(super) fn ended(&mut self, at: usize, error: Option<Error>) {
        let now = self.now();
        let id = self.links[at].id;
        if matches!(self.links[at].stage, Stage::Connecting) {
            let link = self.links.remove(at);
            let error = error.unwrap_or(Error::new(Phase::Connect, Source::Closed));
            // Its SYN was dropped: the witness may have the only place.
            if matches!(error.source, Source::Timeout(_)) {
                self.give_witness_up(link.sink, now);
            }
            return self.failed(link.sink, now, error);
        }
        let Some(parting) = self.engine.core.parting(id) else {
            unreachable!("a connection that has just ended is known");
        };
        let end = End {
            written: parting.written,
            acked: parting.acked.unwrap_or(0).min(parting.written),
            // Where it is not known what was acknowledged, a FIN bounds nothing.
            fin_first: parting.fin_first && parting.acked.is_some(),
            is_commit: parting.is_commit(),
            is_cut: self.config.ack != Ack::Relp
                && parting.fin_sent
                && !parting.fin_first
                && parting.acked == Some(parting.written),
        };
        let link = &mut self.links[at];
        link.poll.acked = link.poll.acked.max(end.acked);
        self.lines.counts.bytes_written += end.written;
        self.lines.counts.bytes_acked += end.acked;
        self.count(at, end.written);
        self.heed_turned_away(at, &end, now);
        let is_whole = end.is_commit || end.fin_first || end.is_cut;
        let is_witnessed = self.wants_witnesses();
        let link = &mut self.links[at];
        if !is_witnessed || !is_whole || link.epoch.is_empty() {
            let link = self.links.remove(at);
            return self.judge(link, end, Witnessed::NotAsked, error);
        }
        link.stage = Stage::Ended {
            end,
            error,
            judge_at: now.after(self.config.witness_grace),
        };
        link.poll.at = Time::NEVER;
    }

    /// Judges those whose witness had its moment before the sockets were last looked at: its end would be known.
    pub(super) fn judge_ended(&mut self, looked_at: Time) {
        let is_due = |link: &Link| matches!(link.stage, Stage::Ended { judge_at, .. } if judge_at <= looked_at);
        while let Some(at) = self.links.iter().position(is_due) {
            let link = self.links.remove(at);
            let Stage::Ended { end, error, .. } = link.stage else {
                unreachable!("it was just seen");
            };
            let witness = match link.witness {
                None => Witnessed::Missing,
                Some(id) if self.witnesses.stands(id) => Witnessed::Alive,
                Some(_) => Witnessed::Dead,
            };
            self.judge(link, end, witness, error);
        }
    }

    fn judge(&mut self, mut link: Link, end: End, witness: Witnessed, error: Option<Error>) {
        let now = self.now();
        let lines = link.epoch.lines();
        let verdict = end.judge(self.config.ack, witness, self.config.receive_bytes_max);
        match witness {
            Witnessed::Missing => self.unproven += 1,
            // A sink that died may come back, and does not reset for ever. One death may end several epochs.
            Witnessed::Dead if end.is_cut || self.last_dead == link.witness => {}
            Witnessed::Dead => {
                self.last_dead = link.witness;
                self.unproven += 1;
            }
            Witnessed::Alive | Witnessed::NotAsked if end.is_cut && lines > 0 => self.unproven += 1,
            Witnessed::Alive => {
                self.unproven = 0;
                self.witnesses.handle_alive(link.sink);
            }
            Witnessed::NotAsked if end.is_commit => self.unproven = 0,
            Witnessed::NotAsked => {}
        }
        // Where no end proves anything, sending again would go on for ever.
        let on_uncertain = match self.unproven > UNPROVEN_MAX {
            true => OnUncertain::Report,
            false => self.config.on_uncertain,
        };
        let delivered = self.apply(&mut link, verdict, on_uncertain);
        if delivered > 0 {
            self.sinks.handle_progress(link.sink, now);
        }
        // A session that took no line is none: one after the other would be begun without a pause.
        let is_fine = end.is_commit && delivered == lines && link.epoch.has_begun();
        let is_idle_end = lines == 0
            && end.fin_first
            && end.acked == end.written
            && self.lines.backlog.is_empty();
        if !is_fine && !is_idle_end {
            let error = error.unwrap_or(Error::new(Phase::Drain, Source::Eof));
            self.failed(link.sink, now, error);
        }
    }

    /// Settles the lines of a link, or gives them back; how many were delivered.
    pub(super) fn apply(
        &mut self,
        link: &mut Link,
        verdict: Verdict,
        on_uncertain: OnUncertain,
    ) -> usize {
        let (lines, before) = (&mut self.lines, link.epoch.lines());
        link.epoch.take(verdict.read, |run| {
            lines.settle_run(run, Fate::Delivered);
        });
        let delivered = before - link.epoch.lines();
        link.epoch
            .take(verdict.doubt, |mut run| match on_uncertain {
                OnUncertain::Report => lines.settle_run(run, Fate::Uncertain),
                OnUncertain::Resend => {
                    run.in_doubt = true;
                    lines.backlog.put_back(run);
                }
            });
        link.epoch.take(u64::MAX, |run| lines.backlog.put_back(run));
        delivered
    }

    /// Lets links go whose peer has had its time: to commit, or to answer.
    pub(super) fn give_up_overdue(&mut self, now: Time) {
        let is_overdue = |link: &Link| link.gives_up_at() <= now;
        while let Some(at) = self.links.iter().position(is_overdue) {
            let mut link = self.links.remove(at);
            let is_sealed = link.is_sealed();
            let end = self.end_of_standing(&link);
            // Where the peer's system has all of it, sending again would only double it.
            let on_uncertain = match end.acked == end.written {
                true => OnUncertain::Report,
                false => self.config.on_uncertain,
            };
            let (verdict, on_uncertain) = match self.config.ack {
                Ack::Kernel | Ack::Commit if is_sealed => {
                    (end.in_flight(self.config.receive_bytes_max), on_uncertain)
                }
                ack => (
                    end.judge(ack, Witnessed::NotAsked, self.config.receive_bytes_max),
                    self.config.on_uncertain,
                ),
            };
            self.apply(&mut link, verdict, on_uncertain);
            let timeout = Source::Timeout(self.config.commit_timeout);
            let phase = if is_sealed { Phase::Drain } else { Phase::Read };
            self.failed(link.sink, now, Error::new(phase, timeout));
            let _ = self.engine.core.leave(link.id);
        }
    }

    /// How far a link has come that has not ended.
    pub(super) fn end_of_standing(&mut self, link: &Link) -> End {
        let core = &self.engine.core;
        let (written, _) = core.transferred(link.id).unwrap_or_default();
        let info = core.info(link.id).ok();
        let acked = info.and_then(|info| info.acked_of(written)).unwrap_or(0);
        let acked = acked.max(link.poll.acked).min(written);
        self.lines.counts.bytes_written += written;
        self.lines.counts.bytes_acked += acked;
        End {
            written,
            acked,
            ..End::default()
        }
    }
}
