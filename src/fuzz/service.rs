//! The service machine, whatever is asked of it and whatever becomes of its connections: a byte program of requests,
//! writes, replies, losses and time, carried out as the engine carries it out.
//!
//! Beside it stands a model that keeps plain lists and searches them from end to end (`service/model.rs`). After each
//! step both must say the same: who is chosen, who waits, who ends and how; and each request ends once.

mod drawn;
mod ends;
mod line;
mod model;
mod refusals;
mod replies;
mod requests;
mod resting;

use std::time::Duration;

use super::input::Input;
use crate::config::Retry;
use crate::error::{Error, Phase, Source};
use crate::time::Time;
use crate::upstream::{Circuit, Failed, Happened, InFlight, Progress, Service, Which};
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

/// So little that it is used up.
const RETRY: Retry = Retry {
    percent: 20,
    per_second: 1_000,
    burst_max: 2,
    attempts_max: 2,
    kept_bytes_max: 1 << 20,
};

fn micros(n: usize) -> Duration {
    Duration::from_micros(n as u64)
}

impl Run {
    fn step(&mut self, input: &mut Input) {
        let member = input.below(self.model.lines.len());
        match input.below(20) {
            0..4 => self.request(input),
            19 => self.cancel(input.below(8) as u64),
            4 => self.connected(member),
            5 => self.lose(member, input),
            6 | 7 => self.write(member, input.below(40) as u64),
            8 | 9 => self.reply(member, input),
            10 => self.begin_reply(member),
            11 => self.pass_time(input.below(256) * 4),
            12 => self.expire(member, Which::All),
            13 => match input.flag() {
                true => self.expire(member, Which::Unsent),
                false => self.retry_now(),
            },
            14 if input.flag() => self.rest(member),
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

    fn connect_members(&mut self) {
        while let Some(member) = self.service.poll_connect(self.now) {
            self.model.connects(self.now, member);
            self.service.handle_connecting(member, member * 10);
        }
    }

    fn retry_now(&mut self) {
        self.service.retry_now(self.now);
        self.model.retry_now(self.now);
        self.connect_members();
    }

    fn connected(&mut self, member: usize) {
        if self.model.lines[member].is_connecting() {
            self.model.connected(self.now, member);
            let random = self.requests.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.service
                .handle_standing(self.now, member as u32, random);
            self.service.handle_connected(self.now, member as u32);
            self.circuit.handle(self.now, 0, Happened::Connected);
            self.serve_waiting();
            self.connect_members();
        }
    }

    fn lose(&mut self, member: usize, input: &mut Input) {
        let random = input.one_of(&[0, u64::MAX, 1 << 63, 1 << 62]);
        let phase = input.one_of(&[Phase::Idle, Phase::Read, Phase::Connect]);
        // Whether an end was foreseen, where no reply has come, depends on what was learned.
        let is_learning = self.model.pool.idle_learning && !self.model.lines[member].has_served();
        let phase = match phase {
            Phase::Idle if is_learning => Phase::Read,
            other => other,
        };
        // ECONNRESET, a stall, EMFILE, EACCES, and what ends for reasons of our own.
        let stall = Source::Timeout(micros(7));
        let source = input.one_of(&[
            Source::Os(104),
            stall,
            Source::Os(24),
            Source::Os(13),
            Source::Closed,
        ]);
        self.close(member, random, Error::new(phase, source));
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
        self.retire_spent(member);
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
            first.map(|first| (first.asked.request, &first.payload[..]))
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
            let latest = self.model.rests_until_at_most(member);
            assert!(
                self.service.retires_at(member as u32) <= latest,
                "rests long"
            );
            let is_asked = self.heartbeats.awaits(member);
            assert_eq!(self.service.awaits_heartbeat(member as u32), is_asked);
        }
        let next = self.model.next_connect();
        assert!(
            next.is_none_or(|(_, latest)| self.service.poll_timeout() <= latest),
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
        matches!(self.state, State::Absent)
    }
}
