//! The service machine, whatever is asked of it and whatever becomes of its connections: a byte program of requests,
//! writes, replies, losses and time, carried out as the engine carries it out.
//!
//! Beside it stands a model that keeps plain lists and searches them from end to end (`service/model.rs`). After each
//! step both must say the same: who is chosen, who waits, who ends and how; and each request ends once.

mod model;
mod refusals;
mod replies;

use std::time::Duration;

use super::input::Input;
use crate::config::{Config, Limits, Reconnect, Timeouts};
use crate::error::{Error, Phase, Source};
use crate::event::RequestId;
use crate::frame::Framing;
use crate::time::Time;
use crate::upstream::{
    Again, Asked, Circuit, Failed, Happened, InFlight, Progress, Service, Upstream, Which,
};
use model::{Line, Model, State};
use replies::Heartbeats;

/// One input of the target `service`.
pub fn service(data: &[u8]) {
    let mut input = Input::new(data);
    let mut run = Run::draw(&mut input);
    run.connect_members();
    run.check();
    while !input.is_empty() {
        run.step(&mut input);
        run.check();
    }
    run.end();
}

struct Run {
    service: Service,
    model: Model,
    heartbeats: Heartbeats,
    circuit: Circuit,
    now: Time,
    requests: u64,
}

fn micros(n: usize) -> Duration {
    Duration::from_micros(n as u64)
}

impl Run {
    fn draw(input: &mut Input) -> Run {
        let connections = 1 + input.below(4);
        let warm = input.below(connections + 1);
        let is_range = input.flag();
        let has_ids = input.flag();
        let depth = 1 + input.below(5);
        let limits = Limits {
            waiting_requests_max: 1 + input.below(6),
            waiting_bytes_max: 1 + input.below(64),
            ..Limits::default()
        };
        let timeouts = Timeouts {
            wait: micros(1 + input.below(256) * 4),
            ..Timeouts::default()
        };
        let reconnect = Reconnect {
            first_pause_max: micros(100),
            pause_max: micros(1_000),
            stable_uptime: micros(2_000),
        };
        let upstream = Upstream::new("peer:1").depth(depth);
        let upstream = match is_range {
            true => upstream.connections(warm..=connections),
            false => upstream.connections(connections),
        };
        let upstream = match has_ids {
            // The ids of replies are drawn, not read.
            true => upstream
                .framing(Framing::line().reply_id(|_| None))
                .matched_by_id(),
            false => upstream,
        };
        let config = Config {
            timeouts,
            limits,
            reconnect,
            breaker: refusals::draw(input),
            ..Config::default()
        };
        let (heartbeats, upstream) = Heartbeats::draw(input, upstream);
        let model = Model::new(&upstream, limits, timeouts.wait, reconnect);
        Run {
            service: Service::new(upstream, &config),
            model,
            heartbeats,
            circuit: Circuit::new(config.breaker),
            now: Time::ZERO,
            requests: 0,
        }
    }

    fn step(&mut self, input: &mut Input) {
        let member = input.below(self.model.lines.len());
        match input.below(19) {
            0..4 => self.request(input),
            4 => self.connected(member),
            5 => self.lose(member, input),
            6 | 7 => self.write(member, input.below(40) as u64),
            8 | 9 => self.reply(member, input),
            10 => self.begin_reply(member),
            11 => self.pass_time(input.below(256) * 4),
            12 => self.expire(member, Which::All),
            13 => self.expire(member, Which::Unsent),
            14 => self.pass_timeout(),
            15 | 16 => self.beat(member),
            17 => self.miss(member),
            _ => {
                // To the moment that it asked for, and not a nanosecond further.
                let next = self.service.poll_timeout();
                if !next.is_never() && next > self.now {
                    self.now = next;
                    self.pass_timeout();
                }
            }
        }
    }

    fn request(&mut self, input: &mut Input) {
        let tag = input.below(12) as u64;
        let bytes = 1 + input.below(24);
        let deadline = match input.below(4) {
            0 => self.now.after(Duration::from_secs(1_000)),
            _ => self.now.after(micros(1 + input.below(256) * 4)),
        };
        let admitted = self.service.admit(tag);
        let admits = self.model.admits(tag) && self.heartbeats.admits(tag);
        assert_eq!(admitted.is_ok(), admits, "the id {tag}");
        if admitted.is_err() || !self.is_let_through() {
            return;
        }
        self.requests += 1;
        let request = RequestId(self.requests);
        self.made(request);
        let chosen = match self.service.has_waiting() {
            true => None,
            false => self.service.choose(),
        };
        match chosen {
            Some((member, connection)) => {
                assert_eq!(connection, member * 10);
                self.assign(member, request, tag, deadline, bytes);
            }
            None => {
                let payload = vec![self.requests as u8; bytes];
                let told = self
                    .service
                    .wait(self.now, request, tag, deadline, &payload);
                let expected = self.model.wait(self.now, request, tag, deadline, payload);
                assert_eq!(told, expected);
                if told.is_err() {
                    self.not_made(request);
                }
                self.connect_members();
            }
        }
    }

    fn assign(&mut self, member: u32, request: RequestId, tag: u64, deadline: Time, bytes: usize) {
        let line = &mut self.model.lines[member as usize];
        let in_flight = InFlight {
            request,
            tag,
            deadline,
            again: Again::new(false),
            range: line.queued..line.queued + bytes as u64,
            is_tombstone: false,
        };
        line.queued += bytes as u64;
        line.pipeline.push(in_flight.clone());
        self.service.assign(member, in_flight);
    }

    fn serve_waiting(&mut self) {
        while let Some((member, _)) = self.service.choose() {
            let Some((waiter, payload)) = self.service.waiter() else {
                break;
            };
            let bytes = payload.len();
            self.service.waiter_served();
            let served = self.model.waiting.remove(0);
            assert_eq!(served.request, waiter.asked.request, "first in, first out");
            let Asked {
                request,
                tag,
                deadline,
                ..
            } = waiter.asked;
            self.assign(member, request, tag, deadline, bytes);
        }
    }

    fn connect_members(&mut self) {
        while let Some(member) = self.service.poll_connect(self.now) {
            self.model.connects(self.now, member);
            self.service.handle_connecting(member, member * 10);
        }
    }

    fn connected(&mut self, member: usize) {
        if self.model.lines[member].is_connecting() {
            self.model.connected(self.now, member);
            self.service.handle_connected(self.now, member as u32);
            self.circuit.handle(self.now, 0, Happened::Connected);
            self.serve_waiting();
        }
    }

    fn lose(&mut self, member: usize, input: &mut Input) {
        let random = input.one_of(&[0, u64::MAX, 1 << 63, 1 << 62]);
        let phase = input.one_of(&[Phase::Idle, Phase::Read, Phase::Connect]);
        let stall = Source::Timeout(micros(7));
        let source = input.one_of(&[Source::Os(104), stall]);
        self.close(member, random, Error::new(phase, source));
    }

    fn close(&mut self, member: usize, random: u64, error: Error) {
        if self.model.lines[member].is_absent() {
            return;
        }
        let mut failed = Vec::new();
        let progress = self.model.lines[member].progress();
        let progress = self.heartbeats.progress(member, progress);
        self.heartbeats.lost(member);
        let line = member as u32;
        self.service
            .handle_closed(self.now, line, random, progress, error, &mut failed);
        let said = self.said_by(member, &error);
        let expected = self.model.closed(self.now, member, error);
        assert_eq!(
            failed,
            self.with_refused(random.rotate_left(32), said, expected)
        );
        self.connect_members();
    }

    fn write(&mut self, member: usize, bytes: u64) {
        let line = &mut self.model.lines[member];
        if line.is_open() {
            line.written = line.queued.min(line.written + bytes);
        }
    }

    /// A request of this member has ended: its connection may be of no more use, or free for who waits.
    fn after_end(&mut self, member: usize) {
        let is_forsaken = self.model.is_forsaken(member);
        assert_eq!(self.service.is_forsaken(member as u32), is_forsaken);
        if is_forsaken {
            self.close(member, u64::MAX, Error::new(Phase::Read, Source::Deadline));
        }
        self.serve_waiting();
    }

    fn pass_time(&mut self, micros_passed: usize) {
        self.now = self.now.after(micros(micros_passed));
    }

    fn pass_timeout(&mut self) {
        let mut failed: Vec<Failed> = Vec::new();
        self.service.handle_timeout(self.now, 0, &mut failed);
        let expected = self.model.give_up(self.now);
        assert_eq!(failed, self.with_refused(0, None, expected));
        self.connect_members();
        assert!(self.service.poll_timeout() > self.now, "it would spin");
    }

    fn check(&mut self) {
        let mut stats = self.heartbeats.counted(self.model.stats());
        stats.breaker = self.circuit.state();
        assert_eq!(self.service.stats(), stats);
        self.model.check_lines();
        let chosen = self.service.choose().map(|(member, _)| member);
        self.model.check_choice(chosen);
        let waiter = self
            .service
            .waiter()
            .map(|(waiter, payload)| (waiter.asked.request, payload));
        let first = self.model.waiting.first();
        assert_eq!(
            waiter,
            first.map(|first| (first.request, &first.payload[..]))
        );
        assert!(
            self.service.poll_timeout() <= self.model.next_wait_end(),
            "late"
        );
        assert!(
            self.service.next_wait_end() <= self.model.next_wait_end(),
            "late"
        );
        for (member, line) in self.model.lines.iter().enumerate() {
            let nearest = line.next_deadline();
            assert!(self.service.next_deadline(member as u32) <= nearest, "late");
            let awaits = line.awaits(self.model.has_ids);
            assert_eq!(self.service.awaits(member as u32), awaits);
            let is_asked = self.heartbeats.awaits(member);
            assert_eq!(self.service.awaits_heartbeat(member as u32), is_asked);
        }
        let is_wanted = self.model.next_connect();
        assert!(
            self.service.poll_timeout() <= is_wanted,
            "it would never connect"
        );
    }

    /// Nothing new is begun; who waits is served by what stands or is being made, or fails.
    fn drain(&mut self) {
        self.service.drain();
        for member in 0..self.model.lines.len() {
            self.check_drained();
            self.connected(member);
        }
        self.check_drained();
    }

    fn check_drained(&mut self) {
        let mut failed = Vec::new();
        self.service.fail_unserved(&mut failed);
        assert_eq!(failed, self.model.drained());
        assert_eq!(self.service.poll_connect(self.now), None);
        for (member, line) in self.model.lines.iter().enumerate() {
            let is_done = self.model.waiting.is_empty() && !line.awaits(self.model.has_ids);
            assert_eq!(self.service.is_done_with(member as u32), is_done);
        }
    }

    /// All connections are lost, and none is made again: then no request is left, and no id.
    fn end(&mut self) {
        let drains = self.requests % 2 == 1;
        if drains {
            self.drain();
        }
        for member in 0..self.model.lines.len() {
            self.close(member, u64::MAX, Error::new(Phase::Read, Source::Os(104)));
            if drains {
                self.check_drained();
            }
        }
        if drains {
            self.check();
            assert_eq!(self.service.stats().waiting, 0, "for whom?");
        }
        self.pass_time(1 << 20);
        self.pass_timeout();
        self.check();
        let stats = self.service.stats();
        assert_eq!((stats.waiting, stats.in_flight, stats.open), (0, 0, 0));
        for tag in 0..12 {
            let admits = self.heartbeats.admits(tag);
            assert_eq!(self.service.admit(tag).is_ok(), admits);
        }
    }
}

/// What can be told of a request apart from its deadline.
fn view(request: Option<&InFlight>) -> Option<(u64, u64, bool)> {
    let of = |it: &InFlight| (it.request.0, it.tag, it.is_tombstone);
    request.map(of)
}

impl Line {
    fn progress(&self) -> Progress {
        Progress {
            written: self.written,
            reply_begun: self.reply_begun,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent { .. })
    }
}
