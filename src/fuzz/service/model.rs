//! What a service should be: its connections with what is in flight on each, and who waits, in plain lists.
//!
//! A request is in one list at a time and leaves it when it ends; so it ends once. Pauses are known by their bounds
//! alone, for the draw within them is the service's own.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Config, Limits, Pool, Reconnect, Retry};
use crate::error::{Error, Limit, Phase};
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::{Asked, Budget, Failed, InFlight, Upstream, UpstreamStats};

pub(super) struct Model {
    pub(super) lines: Vec<Line>,
    pub(super) waiting: Vec<Waiter>,
    pub(super) has_ids: bool,
    pub(super) depth: usize,
    pub(super) warm: usize,
    /// Connections made when the upstream is added, and how many of those have been begun.
    pub(super) first: usize,
    pub(super) begun: usize,
    /// A request could not even wait, and no connection was begun since, nor has room.
    turned_away: bool,
    pub(super) is_draining: bool,
    pub(super) limits: Limits,
    pub(super) wait: Duration,
    pub(super) idle: Duration,
    pub(super) one_request: bool,
    reconnect: Reconnect,
    pub(super) pool: Pool,
    pub(super) stats: UpstreamStats,
    pub(super) retry: Retry,
    pub(super) budget: Budget,
    /// Of all that were made.
    pub(super) payloads: BTreeMap<RequestId, Vec<u8>>,
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
    /// Since when it has had no request, or the last began or ended.
    pub(super) rests_since: Time,
    /// It takes no further request.
    pub(super) is_over: bool,
    pub(super) losses: u32,
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
        let (from, until) = (Time::ZERO, Time::ZERO);
        let line = |_| Line::new(State::Absent { from, until });
        Model {
            lines: (0..upstream.connections.max).map(line).collect(),
            waiting: Vec::new(),
            has_ids: upstream.matched_by_id,
            depth: upstream.depth,
            warm: upstream.connections.warm,
            first: upstream.first(),
            begun: 0,
            turned_away: false,
            limits: config.limits,
            wait: config.timeouts.wait,
            idle: config.timeouts.idle,
            one_request: upstream.one_request,
            reconnect: config.reconnect,
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
        self.turned_away |= may_wait.is_err();
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
        self.lines[member].rests_since = now;
        self.stats.connects += 1;
        self.heed_room();
    }

    /// Where there is room now, nobody needs a connection for who was turned away.
    pub(super) fn heed_room(&mut self) {
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

    /// The connection is gone: who fails with it, and how.
    pub(super) fn closed(&mut self, now: Time, member: usize, error: Error) -> Vec<Failed> {
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
