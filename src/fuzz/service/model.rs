//! What a service should be: its connections with what is in flight on each, and who waits, in plain lists.
//!
//! A request is in one list at a time and leaves it when it ends; so it ends once. Pauses are known by their bounds
//! alone, for the draw within them is the service's own.

use std::time::Duration;

use crate::config::{Limits, Reconnect};
use crate::error::{Error, Limit, Phase, Sent, Source};
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::{Failed, InFlight, Upstream, UpstreamStats, Which};

pub(super) struct Model {
    pub(super) lines: Vec<Line>,
    pub(super) waiting: Vec<Waiter>,
    pub(super) has_ids: bool,
    depth: usize,
    warm: usize,
    /// Connections made when the upstream is added, and how many of those have been begun.
    first: usize,
    begun: usize,
    /// A request could not even wait, and no connection was begun since, nor has room.
    turned_away: bool,
    is_draining: bool,
    limits: Limits,
    wait: Duration,
    reconnect: Reconnect,
    stats: UpstreamStats,
}

#[derive(Clone, Copy)]
pub(super) enum State {
    /// Not to be made again before the first, and by the second if it is wanted.
    Absent {
        from: Time,
        until: Time,
    },
    Connecting,
    Open {
        since: Time,
        served: bool,
    },
}

pub(super) struct Line {
    pub(super) state: State,
    /// In the order they were sent, tombstones too.
    pub(super) pipeline: Vec<InFlight>,
    pub(super) queued: u64,
    pub(super) written: u64,
    pub(super) reply_begun: bool,
    losses: u32,
}

pub(super) struct Waiter {
    pub(super) request: RequestId,
    pub(super) payload: Vec<u8>,
    pub(super) tag: u64,
    deadline: Time,
    wait_until: Time,
}

impl Model {
    pub(super) fn new(
        upstream: &Upstream,
        limits: Limits,
        wait: Duration,
        reconnect: Reconnect,
    ) -> Model {
        let (from, until) = (Time::ZERO, Time::ZERO);
        let line = |_| Line::new(State::Absent { from, until });
        Model {
            lines: (0..upstream.connections.max).map(line).collect(),
            waiting: Vec::new(),
            has_ids: upstream.matched_by_id,
            depth: upstream.depth,
            warm: upstream.connections.warm,
            first: upstream.connections.first,
            begun: 0,
            turned_away: false,
            is_draining: false,
            limits,
            wait,
            reconnect,
            stats: UpstreamStats::default(),
        }
    }

    /// An id names one request, from its making to its reply.
    pub(super) fn admits(&self, id: u64) -> bool {
        let in_flight = self.lines.iter().flat_map(|line| &line.pipeline);
        let mut tags = in_flight
            .map(|it| it.tag)
            .chain(self.waiting.iter().map(|it| it.tag));
        !self.has_ids || tags.all(|tag| tag != id)
    }

    pub(super) fn wait(
        &mut self,
        now: Time,
        request: RequestId,
        tag: u64,
        deadline: Time,
        payload: Vec<u8>,
    ) -> Result<(), Error> {
        let may_wait = self.may_wait(payload.len());
        self.turned_away |= may_wait.is_err();
        may_wait?;
        self.waiting.push(Waiter {
            request,
            payload,
            tag,
            deadline,
            wait_until: now.after(self.wait),
        });
        Ok(())
    }

    fn may_wait(&self, payload_bytes: usize) -> Result<(), Error> {
        let bytes: usize = self.waiting.iter().map(|it| it.payload.len()).sum();
        if self.waiting.len() >= self.limits.waiting_requests_max {
            return Err(Error::full(Limit::WaitingRequests));
        }
        match bytes + payload_bytes > self.limits.waiting_bytes_max {
            true => Err(Error::full(Limit::WaitingBytes)),
            false => Ok(()),
        }
    }

    /// The service connects this member: it must be one that is wanted, and not before its pause can be over.
    pub(super) fn connects(&mut self, now: Time, member: u32) {
        let member = member as usize;
        if self.begun < self.first {
            assert_eq!(member, self.begun, "the first ones come first");
            self.begun += 1;
        } else {
            assert!(member < self.wanted(), "nobody needs it");
        }
        let State::Absent { from, .. } = self.lines[member].state else {
            panic!("{member} has a connection");
        };
        assert!(from <= now);
        self.lines[member].state = State::Connecting;
        self.turned_away = false;
    }

    pub(super) fn connected(&mut self, now: Time, member: usize) {
        let (since, served) = (now, false);
        self.lines[member].state = State::Open { since, served };
        self.stats.connects += 1;
        self.heed_room();
    }

    /// Where there is room now, nobody needs a connection for who was turned away.
    fn heed_room(&mut self) {
        self.turned_away &= !self.lines.iter().any(|line| self.room(line).is_some());
    }

    /// Members below this may be connected now: the warm ones, or all when somebody waits whom nobody serves.
    fn wanted(&self) -> usize {
        let connecting = self.count(|state| matches!(state, State::Connecting));
        let serves = |line: &Line| self.room(line).is_some();
        let asking = self.waiting.len().max(usize::from(self.turned_away));
        let is_needed = asking > connecting && !self.lines.iter().any(serves);
        match is_needed {
            _ if self.is_draining => 0,
            true => self.lines.len(),
            false => self.warm,
        }
    }

    /// When the next member is connected at the latest.
    pub(super) fn next_connect(&self) -> Time {
        let wanted = self.lines[..self.wanted()].iter();
        let ends = wanted.filter_map(|line| match line.state {
            State::Absent { until, .. } => Some(until),
            _ => None,
        });
        ends.min()
            .filter(|_| self.begun == self.first)
            .unwrap_or(Time::NEVER)
    }

    /// The request that a frame answers: the oldest, or the one of its id; not before a byte of it was written.
    pub(super) fn reply(&mut self, member: usize, id: Option<u64>) -> Option<InFlight> {
        let line = &mut self.lines[member];
        let place = match id {
            None => 0,
            Some(id) => line.pipeline.iter().position(|it| it.tag == id)?,
        };
        let has_begun = line.pipeline.get(place)?.range.start < line.written;
        let request = has_begun.then(|| {
            if let State::Open { served, .. } = &mut line.state {
                *served = true;
            }
            line.reply_begun = false;
            line.pipeline.remove(place)
        });
        self.heed_room();
        request
    }

    pub(super) fn expire(
        &mut self,
        now: Time,
        member: usize,
        which: Which,
    ) -> Vec<(RequestId, Sent)> {
        let has_ids = self.has_ids;
        let line = &mut self.lines[member];
        let (mut expired, mut kept, mut gone) = (Vec::new(), Vec::new(), 0);
        for mut request in std::mem::take(&mut line.pipeline) {
            let sent = line.sent(&request, kept.is_empty(), has_ids);
            let may = which == Which::All || sent == Sent::No;
            let is_due = may && request.deadline <= now && !request.is_tombstone;
            if is_due {
                expired.push((request.request, sent));
            }
            let range = request.range.clone();
            if is_due && sent == Sent::No {
                gone += range.end - range.start;
                continue;
            }
            request.range = range.start - gone..range.end - gone;
            request.is_tombstone |= is_due;
            kept.push(request);
        }
        line.pipeline = kept;
        line.queued -= gone;
        self.heed_room();
        expired
    }

    /// The connection is gone: who fails with it, and how.
    pub(super) fn closed(&mut self, now: Time, member: usize, error: Error) -> Vec<Failed> {
        let mut failed = Vec::new();
        let line = &mut self.lines[member];
        let is_oldest = |it: &InFlight| line.pipeline[0].request == it.request;
        for request in line.pipeline.iter().filter(|it| !it.is_tombstone) {
            let sent = line.sent(request, is_oldest(request), self.has_ids);
            let whole = request.range.end <= line.written;
            let phase = if whole { Phase::Read } else { Phase::Write };
            failed.push((request.request, request.tag, error.of_request(phase, sent)));
        }
        let (state, mut losses) = (line.state, line.losses);
        if matches!(state, State::Open { served: true, .. }) && error.phase == Phase::Idle {
            // How a healthy server ends what it has served: no pause.
            *line = Line::new(State::Absent {
                from: now,
                until: now,
            });
            line.losses = losses;
        } else {
            if let State::Open { since, .. } = state
                && now.since(since) >= self.reconnect.stable_uptime
            {
                losses = 0;
            }
            let doubled = self.reconnect.first_pause_max * 2u32.pow(losses.min(20));
            let until = now.after(doubled.min(self.reconnect.pause_max));
            *line = Line::new(State::Absent { from: now, until });
            line.losses = losses + 1;
        }
        self.stats.last_error = Some(error);
        match state {
            State::Connecting => {
                self.stats.connect_failures += 1;
                self.fail_hopeless(error, &mut failed);
            }
            _ => self.stats.losses += 1,
        }
        failed
    }

    /// A connect failed: when no other connection stands or is being made, the waiting have none to hope for.
    fn fail_hopeless(&mut self, error: Error, failed: &mut Vec<Failed>) {
        let others = self.count(|state| !matches!(state, State::Absent { .. }));
        if others == 0 && self.begun == self.first {
            let error = error.of_request(error.phase, Sent::No);
            let waiting = self.waiting.drain(..);
            failed.extend(waiting.map(|it| (it.request, it.tag, error)));
        }
    }

    /// Nothing new is begun: those that wait fail, when no connection is left for them.
    pub(super) fn drained(&mut self) -> Vec<Failed> {
        self.is_draining = true;
        let may_serve = self.lines.iter().any(|line| !line.is_absent());
        let error = Error::new(Phase::Connect, Source::ShuttingDown);
        let waiting = self.waiting.extract_if(.., |_| !may_serve);
        waiting.map(|it| (it.request, it.tag, error)).collect()
    }

    /// Those whose waiting is over.
    pub(super) fn give_up(&mut self, now: Time) -> Vec<Failed> {
        let over = self
            .waiting
            .extract_if(.., |it| it.deadline.min(it.wait_until) <= now);
        let wait = self.wait;
        over.map(|it| {
            let source = match it.deadline <= it.wait_until {
                true => Source::Deadline,
                false => Source::Timeout(wait),
            };
            (it.request, it.tag, Error::new(Phase::Connect, source))
        })
        .collect()
    }

    pub(super) fn is_forsaken(&self, member: usize) -> bool {
        let pipeline = &self.lines[member].pipeline;
        let only_tombstones = !pipeline.is_empty() && pipeline.iter().all(|it| it.is_tombstone);
        only_tombstones && (!self.has_ids || pipeline.len() >= self.depth)
    }

    /// How many a member has in flight, if it can take one more.
    fn room(&self, line: &Line) -> Option<usize> {
        let is_open = matches!(line.state, State::Open { .. });
        let is_clear = self.has_ids || line.pipeline.iter().all(|it| !it.is_tombstone);
        let length = line.pipeline.len();
        (is_open && is_clear && length < self.depth).then_some(length)
    }

    pub(super) fn check_choice(&self, chosen: Option<u32>) {
        let least = self.lines.iter().filter_map(|line| self.room(line)).min();
        let of = |member: u32| {
            self.room(&self.lines[member as usize])
                .expect("it has room")
        };
        assert_eq!(chosen.map(of), least, "the least loaded");
    }

    /// Ranges follow each other without a gap or, where a reply came, at least in order.
    pub(super) fn check_lines(&self) {
        for line in &self.lines {
            assert!(line.pipeline.len() <= self.depth, "deeper than asked");
            let ranges = line.pipeline.iter().map(|it| it.range.clone());
            assert!(ranges.is_sorted_by(|a, b| a.end <= b.start));
        }
    }

    pub(super) fn next_wait_end(&self) -> Time {
        let ends = self.waiting.iter().map(|it| it.deadline.min(it.wait_until));
        ends.min().unwrap_or(Time::NEVER)
    }

    pub(super) fn stats(&self) -> UpstreamStats {
        UpstreamStats {
            open: self.count(|state| matches!(state, State::Open { .. })),
            connecting: self.count(|state| matches!(state, State::Connecting)),
            in_flight: self.lines.iter().map(|line| line.pipeline.len()).sum(),
            waiting: self.waiting.len(),
            ..self.stats
        }
    }

    fn count(&self, is: impl Fn(&State) -> bool) -> usize {
        self.lines.iter().filter(|line| is(&line.state)).count()
    }
}

impl Line {
    fn new(state: State) -> Line {
        Line {
            state,
            pipeline: Vec::new(),
            queued: 0,
            written: 0,
            reply_begun: false,
            losses: 0,
        }
    }

    /// Bytes of a reply come: only behind a request.
    pub(super) fn begins_reply(&mut self) {
        self.reply_begun = self
            .pipeline
            .first()
            .is_some_and(|it| it.range.start < self.written);
    }

    fn sent(&self, request: &InFlight, is_oldest: bool, has_ids: bool) -> Sent {
        match request.range.start < self.written {
            false => Sent::No,
            true if is_oldest && self.reply_begun && !has_ids => Sent::Yes,
            true => Sent::Maybe,
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        let live = self.pipeline.iter().filter(|it| !it.is_tombstone);
        live.map(|it| it.deadline).min().unwrap_or(Time::NEVER)
    }

    /// With ids nobody waits for a late reply.
    pub(super) fn awaits(&self, has_ids: bool) -> bool {
        self.pipeline.iter().any(|it| !has_ids || !it.is_tombstone)
    }
}
