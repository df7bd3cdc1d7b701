//! What a service should be: its connections with what is in flight on each, and who waits, in plain lists.
//!
//! A request is in one list at a time and leaves it when it ends; so it ends once. When connections may be begun is in
//! `connecting.rs` and `pace.rs`.

mod connecting;
mod pace;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Config, Limits, Pool, Retry};
use crate::error::{Class, Error, Limit, Phase, Source};
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::{Asked, Budget, Failed, InFlight, Upstream, UpstreamStats};
use pace::Pace;

pub(super) struct Model {
    pub(super) lines: Vec<Line>,
    pub(super) waiting: Vec<Waiter>,
    pub(super) has_ids: bool,
    pub(super) depth: usize,
    pub(super) warm: usize,
    /// Connections made when the upstream is added, and how many of those have been begun.
    pub(super) first: usize,
    pub(super) begun: usize,
    /// A request could not even wait, or the program wants a connection; and none was begun since, nor has room.
    is_asked_for: bool,
    pub(super) is_draining: bool,
    pub(super) limits: Limits,
    pub(super) wait: Duration,
    pub(super) idle: Duration,
    pub(super) one_request: bool,
    pace: Pace,
    pub(super) pool: Pool,
    pub(super) stats: UpstreamStats,
    pub(super) retry: Retry,
    pub(super) budget: Budget,
    /// Of all that were made.
    pub(super) payloads: BTreeMap<RequestId, Vec<u8>>,
}

#[derive(Clone, Copy)]
pub(super) enum State {
    Absent,
    Connecting,
    Open { since: Time, served: bool },
}

pub(super) struct Line {
    pub(super) state: State,
    /// In the order they were sent, tombstones too.
    pub(super) pipeline: Vec<InFlight>,
    pub(super) queued: u64,
    pub(super) written: u64,
    pub(super) reply_begun: bool,
    /// Since when it has had no request, or the last began or ended.
    pub(super) rests_since: Time,
    /// It takes no further request.
    pub(super) is_over: bool,
    /// Failures that had counted when it was begun, misses apart.
    pub(super) begun_after: (u32, u32),
}

pub(super) struct Waiter {
    pub(super) asked: Asked,
    pub(super) payload: Vec<u8>,
    pub(super) wait_until: Time,
    /// It was in flight before.
    pub(super) is_back: bool,
}

impl Model {
    pub(super) fn new(upstream: &Upstream, config: &Config) -> Model {
        let line = |_| Line::new(State::Absent);
        Model {
            lines: (0..upstream.connections.max).map(line).collect(),
            waiting: Vec::new(),
            has_ids: upstream.matched_by_id,
            depth: upstream.depth,
            warm: upstream.connections.warm,
            first: upstream.first(),
            begun: 0,
            is_asked_for: false,
            limits: config.limits,
            wait: config.timeouts.wait,
            idle: config.timeouts.idle,
            one_request: upstream.one_request,
            pace: Pace::new(upstream, config.reconnect),
            pool: config.pool,
            is_draining: false,
            stats: UpstreamStats::default(),
            retry: config.retry,
            budget: Budget::new(&config.retry),
            payloads: BTreeMap::new(),
        }
    }

    /// An id names one request, from its making to its reply.
    pub(super) fn admits(&self, id: u64) -> bool {
        let in_flight = self.lines.iter().flat_map(|line| &line.pipeline);
        let mut tags = in_flight
            .map(|it| it.tag)
            .chain(self.waiting.iter().map(|it| it.asked.tag));
        !self.has_ids || tags.all(|tag| tag != id)
    }

    pub(super) fn wait(&mut self, now: Time, asked: Asked, payload: Vec<u8>) -> Result<(), Error> {
        let may_wait = self.may_wait(payload.len());
        self.is_asked_for |= may_wait.is_err();
        self.heed_room();
        may_wait?;
        self.waiting.push(Waiter {
            asked,
            payload,
            wait_until: now.after(self.wait),
            is_back: false,
        });
        Ok(())
    }

    fn may_wait(&self, payload_bytes: usize) -> Result<(), Error> {
        let first_ones = self.waiting.iter().filter(|it| !it.is_back);
        let bytes: usize = first_ones.map(|it| it.payload.len()).sum();
        if self.waiting.len() >= self.limits.waiting_requests_max {
            return Err(Error::full(Limit::WaitingRequests));
        }
        match bytes + payload_bytes > self.limits.waiting_bytes_max {
            true => Err(Error::full(Limit::WaitingBytes)),
            false => Ok(()),
        }
    }

    /// Where there is room now, nobody needs a connection for who was turned away.
    pub(super) fn heed_room(&mut self) {
        self.is_asked_for &= !self.lines.iter().any(|line| self.room(line).is_some());
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

    /// The connection is gone, of which a sign of life was asked or not: who fails with it, and how.
    pub(super) fn closed(
        &mut self,
        now: Time,
        member: usize,
        error: Error,
        is_asked: bool,
    ) -> Vec<Failed> {
        let mut failed = Vec::new();
        let line = &mut self.lines[member];
        let is_oldest = |it: &InFlight| line.pipeline[0].request == it.request;
        for request in line.pipeline.iter().filter(|it| !it.is_tombstone) {
            let sent = line.sent(request, is_oldest(request), self.has_ids);
            let whole = request.range.end <= line.written;
            let phase = if whole { Phase::Read } else { Phase::Write };
            let sent = sent.max(request.again.sent);
            failed.push((request.request, request.tag, error.of_request(phase, sent)));
        }
        let line = std::mem::replace(line, Line::new(State::Absent));
        let state = line.state;
        self.stats.last_error = Some(error);
        let is_failure = match state {
            State::Open { served, .. } => {
                self.stats.losses += 1;
                // How a healthy server ends what it has served, and what is ended here for reasons of our own.
                let is_silent = is_asked && matches!(error.source, Source::Timeout(_));
                let is_idle_end = served && error.phase == Phase::Idle && !is_silent;
                !is_idle_end && error.class != Class::Local
            }
            _ => {
                self.stats.connect_failures += 1;
                true
            }
        };
        let stands = self.count(|state| matches!(state, State::Open { .. })) > 0;
        if is_failure {
            self.pace.failed(now, &line, error.class, stands);
        }
        let is_refused = is_failure && error.class == Class::Persistent;
        if matches!(state, State::Connecting) || is_refused {
            self.fail_hopeless(error, &mut failed);
        }
        failed
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
        (is_open && is_clear && !line.is_over && length < self.depth).then_some(length)
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
        let ends = self.waiting.iter().map(Waiter::end);
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

    pub(super) fn count(&self, is: impl Fn(&State) -> bool) -> usize {
        self.lines.iter().filter(|line| is(&line.state)).count()
    }
}
