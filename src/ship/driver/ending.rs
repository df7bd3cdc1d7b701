//! The ends of links: what they prove, and what becomes of lines of which they prove nothing.

use super::Driver;
use crate::error::{Error, Phase, Source};
use crate::kernel::Kernel;
use crate::ship::config::{Ack, OnUncertain};
use crate::ship::fates::Fate;
use crate::ship::link::{Link, Stage};
use crate::ship::relp::Session;
use crate::ship::verdict::{End, How, Verdict, Witnessed};
use crate::time::Time;

/// Epochs in a row that a peer had whole and whose end proved nothing, after which such lines are not sent again: more
/// than one server's deaths in a row, and what a sink does that closes idle connections soon, or resets each one at its
/// end.
const UNPROVEN_MAX: u32 = 3;

impl<K: Kernel> Driver<K> {
    /// What is proven of a link that stands.
    pub(super) fn settle_standing(&mut self, at: usize, left: u64) {
        let proven = match self.config.ack {
            Ack::None | Ack::Peek => left,
            Ack::Kernel => {
                let end = End {
                    acked: self.links[at].poll.acked,
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
        let end = End::of(&parting, self.config.ack);
        let link = &mut self.links[at];
        link.poll.acked = link.poll.acked.max(end.acked);
        self.lines.counts.bytes_written += end.written;
        self.lines.counts.bytes_acked += end.acked;
        self.count(at, end.left);
        self.heed_turned_away(at, &end, now);
        let is_witnessed = self.wants_witnesses();
        let link = &mut self.links[at];
        if !is_witnessed || !end.is_whole() || link.epoch.is_empty() {
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
        self.weigh(&link, &end, witness);
        // Where no end proves anything, sending again would go on for ever.
        let is_given_up = self.unproven > UNPROVEN_MAX;
        let on_uncertain = match is_given_up {
            true => OnUncertain::Report,
            false => self.config.on_uncertain,
        };
        let delivered = self.apply(&mut link, verdict, on_uncertain);
        // A sink that never says its close_notify is there all the same, and ends as it always does.
        let is_usual = is_given_up && end.how == How::Untold && lines > 0;
        if delivered > 0 || is_usual {
            self.sinks.handle_progress(link.sink, now);
        }
        if is_usual && let Some(target) = self.sinks.handle_untold(link.sink) {
            log::warn!(
                "{target} never says TLS's close_notify, so the end of a connection to it proves nothing: lines are \
                 told as uncertain; RELP, or the kernel's word, would say more of them"
            );
        }
        // A session that took no line is none: one after the other would be begun without a pause.
        let is_fine = is_usual || end.is_commit() && delivered == lines && link.epoch.has_begun();
        // Behind the end of a RELP session a server may be gone before our own end of TLS gets there, and resets that.
        let is_over = link.session.as_ref().is_some_and(Session::is_over);
        let is_idle_end = lines == 0
            && (is_over || end.is_peaceful() && end.acked == end.written)
            && self.lines.backlog.is_empty();
        if !is_fine && !is_idle_end {
            let error = error.unwrap_or(Error::new(Phase::Drain, Source::Eof));
            self.failed(link.sink, now, error);
        }
    }

    /// Counts ends in a row that prove nothing.
    fn weigh(&mut self, link: &Link, end: &End, witness: Witnessed) {
        let has_lines = !link.epoch.is_empty();
        match witness {
            Witnessed::Missing => self.unproven += 1,
            // A sink that died may come back, and does not reset for ever. One death may end several epochs.
            Witnessed::Dead
                if matches!(end.how, How::Cut | How::Early) || self.last_dead == link.witness => {}
            Witnessed::Dead => {
                self.last_dead = link.witness;
                self.unproven += 1;
            }
            Witnessed::Alive | Witnessed::NotAsked
                if matches!(end.how, How::Cut | How::Untold) && has_lines =>
            {
                self.unproven += 1;
            }
            Witnessed::Alive | Witnessed::NotAsked
                if end.how == How::Early && has_lines && self.config.ack != Ack::Relp =>
            {
                // One that closes before it has a whole epoch gets the same lines only so often.
                self.unproven = match link.epoch.was_in_doubt() {
                    true => self.unproven + 1,
                    false => 0,
                };
            }
            Witnessed::Alive => {
                self.unproven = 0;
                self.witnesses.handle_alive(link.sink);
            }
            Witnessed::NotAsked if end.is_commit() => self.unproven = 0,
            Witnessed::NotAsked => {}
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
        let left = core.left(link.id).unwrap_or(0);
        let acked = core.acked(link.id).unwrap_or(0);
        let acked = acked.max(link.poll.acked).min(written);
        self.lines.counts.bytes_written += written;
        self.lines.counts.bytes_acked += acked;
        End {
            written,
            left,
            acked,
            ..End::default()
        }
    }
}
