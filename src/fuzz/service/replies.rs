//! What comes on a connection of the service, and what is given up on it: replies, answers to heartbeats, deadlines.
//!
//! Of heartbeats plain facts are kept: where one begins that is out on a connection, and whether its answer has begun.

use std::time::Duration;

use super::Run;
use crate::config::{Expect, Heartbeat};
use crate::error::{Error, Phase, Sent, Source};
use crate::fuzz::input::Input;
use crate::upstream::{Happened, InFlight, Progress, Upstream, UpstreamStats, Verdict, Which};

const PONG: &[u8] = b"pong";
const BEAT: &[u8] = b"beat";

/// The heartbeats of all connections.
pub(super) struct Heartbeats {
    lines: Vec<Beat>,
    id: Option<u64>,
    sent: u64,
    missed: u64,
}

/// The heartbeat of one connection.
#[derive(Clone, Copy, Default)]
struct Beat {
    start: Option<u64>,
    has_begun: bool,
}

impl Heartbeats {
    /// The upstream's heartbeat, by an id where there are ids, or not.
    pub(super) fn draw(input: &mut Input, upstream: Upstream) -> (Heartbeats, Upstream) {
        let id = (upstream.matched_by_id && input.flag()).then_some(11);
        let heartbeat = Heartbeat {
            id,
            ..Heartbeat::new(BEAT, Expect::exactly(PONG))
        };
        let heartbeats = Heartbeats {
            lines: vec![Beat::default(); upstream.connections.max],
            id,
            sent: 0,
            missed: 0,
        };
        (heartbeats, upstream.heartbeat(heartbeat))
    }

    /// The id that is the heartbeat's is no request's.
    pub(super) fn admits(&self, id: u64) -> bool {
        self.id != Some(id)
    }

    pub(super) fn counted(&self, stats: UpstreamStats) -> UpstreamStats {
        UpstreamStats {
            heartbeats: self.sent,
            heartbeats_missed: self.missed,
            ..stats
        }
    }

    pub(super) fn lost(&mut self, member: usize) {
        self.lines[member] = Beat::default();
    }

    /// What was taken back before it moves it forward.
    pub(super) fn moves(&mut self, member: usize, taken: &[(InFlight, Sent)]) {
        if let Some(start) = &mut self.lines[member].start {
            let unsent = taken.iter().filter(|(_, sent)| *sent == Sent::No);
            let ranges = unsent.map(|(request, _)| request.range.clone());
            let before = ranges.filter(|range| range.start < *start);
            *start -= before.map(|range| range.end - range.start).sum::<u64>();
        }
    }

    pub(super) fn awaits(&self, member: usize) -> bool {
        self.lines[member].start.is_some()
    }

    /// What is told of how far a connection has come: an answer that has begun is begun all the same.
    pub(super) fn progress(&self, member: usize, progress: Progress) -> Progress {
        Progress {
            reply_begun: progress.reply_begun || self.lines[member].has_begun,
            ..progress
        }
    }
}

impl Run {
    /// A silent peer is asked: behind requests only where there are ids.
    pub(super) fn beat(&mut self, member: usize) {
        let line = &mut self.model.lines[member];
        let is_free = self.model.has_ids || line.pipeline.is_empty();
        if line.is_open() && is_free && !self.heartbeats.awaits(member) {
            self.heartbeats.lines[member].start = Some(line.queued);
            let start = line.queued;
            line.queued += BEAT.len() as u64;
            self.service.handle_heartbeat_sent(member as u32, start);
            self.heartbeats.sent += 1;
        }
    }

    /// Bytes come of whatever is next.
    pub(super) fn begin_reply(&mut self, member: usize) {
        let line = &mut self.model.lines[member];
        let beat = &mut self.heartbeats.lines[member];
        match beat.start {
            Some(start) if !self.model.has_ids => beat.has_begun = start < line.written,
            _ => line.begins_reply(),
        }
    }

    /// The connection of a peer that was asked and is silent is given up.
    pub(super) fn miss(&mut self, member: usize) {
        if self.heartbeats.awaits(member) {
            let mut failed = Vec::new();
            self.service
                .handle_heartbeat_missed(self.now, 0, &mut failed);
            let said = Some(Happened::TimedOut);
            assert_eq!(failed, self.with_refused(0, said, Vec::new()));
            self.heartbeats.missed += 1;
            let source = Source::Timeout(Duration::from_secs(5));
            self.close(member, 0, Error::new(Phase::Idle, source));
        }
    }

    /// A frame comes, with an id where there are ids, mostly.
    pub(super) fn reply(&mut self, member: usize, input: &mut Input) {
        if !self.model.lines[member].is_open() {
            return;
        }
        let id = self.model.has_ids.then(|| input.below(13) as u64);
        let id = id.filter(|id| *id < 12);
        let fits = input.flag();
        let frame = if fits { PONG } else { b"else" };
        let written = self.model.lines[member].written;
        let line = member as u32;
        let verdict = self
            .service
            .handle_heartbeat_reply(line, id, Some(frame), written);
        assert_eq!(verdict, self.expected_verdict(member, id, fits, written));
        if verdict != Verdict::NotItsAnswer {
            self.heartbeats.lost(member);
        }
        match verdict {
            Verdict::Fits => return,
            Verdict::Differs => {
                let error = Error::new(Phase::Read, Source::Malformed("another answer"));
                return self.close(member, u64::MAX, error);
            }
            Verdict::NotItsAnswer if self.model.has_ids && id.is_none() => return,
            Verdict::NotItsAnswer => {}
        }
        let has_begun = self.service.has_begun(line, written);
        let replied = self.service.handle_reply(line, id, written);
        let expected = self.model.reply(member, id);
        assert_eq!(
            super::view(replied.as_ref()),
            super::view(expected.as_ref())
        );
        match replied {
            Some(replied) => {
                assert!(has_begun);
                self.model.lines[member].rests_since = self.now;
                self.service.handle_rest(self.now, line);
                self.answered(&replied);
                self.after_end(member);
            }
            None => self.close(
                member,
                u64::MAX,
                Error::new(Phase::Read, Source::Unsolicited),
            ),
        }
    }

    /// In order the heartbeat is the first of all that is out, for it was asked when nothing was.
    fn expected_verdict(
        &self,
        member: usize,
        id: Option<u64>,
        fits: bool,
        written: u64,
    ) -> Verdict {
        let has_left = self.heartbeats.lines[member]
            .start
            .is_some_and(|start| start < written);
        let is_its_own = match (self.model.has_ids, self.heartbeats.id) {
            (false, _) => true,
            (true, None) => id.is_none() && fits,
            (true, own) => id == own,
        };
        match (has_left && is_its_own, fits) {
            (false, _) => Verdict::NotItsAnswer,
            (true, true) => Verdict::Fits,
            (true, false) => Verdict::Differs,
        }
    }

    pub(super) fn expire(&mut self, member: usize, which: Which) {
        if !self.model.lines[member].is_open() {
            return;
        }
        let progress = self.model.lines[member].progress();
        let progress = self.heartbeats.progress(member, progress);
        let mut expired = Vec::new();
        let line = member as u32;
        self.service
            .expire(self.now, line, which, progress, &mut expired);
        let told = expired
            .iter()
            .map(|(request, sent)| (request.request, *sent));
        let expected = self.model.expire(self.now, member, which);
        assert_eq!(told.collect::<Vec<_>>(), expected);
        self.given_up(expected.iter().map(|(request, _)| *request));
        self.heartbeats.moves(member, &expired);
        self.model.lines[member].rests_since = self.now;
        self.service.handle_heard(self.now, line);
        self.after_end(member);
    }
}
