//! What is done with requests: they are made, taken back, served, and lost with their connections.

use std::time::Duration;

use super::{Run, micros};
use crate::error::Error;
use crate::event::RequestId;
use crate::fuzz::input::Input;
use crate::upstream::{Again, Asked, InFlight};

impl Run {
    pub(super) fn request(&mut self, input: &mut Input) {
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
        let mut asked = Asked {
            request: RequestId(self.requests),
            tag,
            deadline,
            again: Again::new(tag.is_multiple_of(2)),
        };
        let payload = vec![self.requests as u8; bytes];
        let request = asked.request;
        self.made(request);
        let payloads = &mut self.model.payloads;
        payloads.insert(request, payload.clone());
        let chosen = match self.service.has_waiting() {
            true => None,
            false => self.service.choose(),
        };
        match chosen {
            Some((member, connection)) => {
                assert_eq!(connection, member * 10);
                self.service.keep(&mut asked, &payload);
                self.assign(member, asked, bytes);
            }
            None => {
                let told = self.service.queue(self.now, asked, &payload);
                let expected = self.model.wait(self.now, asked, payload);
                assert_eq!(told, expected);
                if told.is_err() {
                    self.not_made(request);
                }
                self.connect_members();
            }
        }
    }

    /// Takes one of the last requests back, wherever it is.
    pub(super) fn cancel(&mut self, before: u64) {
        let request = RequestId(self.requests.saturating_sub(before));
        let taken = self.service.cancel_waiting(self.now, request);
        let of = |it: &Asked| it.request == request;
        let waits = self.model.waiting.iter().position(|it| of(&it.asked));
        let expected = waits.map(|place| self.model.waiting.remove(place).asked.again.sent);
        assert_eq!(taken.map(|it| it.again.sent), expected);
        if taken.is_some() {
            self.given_up([request]);
            return;
        }
        let has_it = |it: &InFlight| it.request == request && !it.is_tombstone;
        let mut lines = self.model.lines.iter();
        let member = lines.position(|line| line.pipeline.iter().any(has_it));
        let found = self.service.member_of(request);
        assert_eq!(found.map(|(member, _)| member as usize), member);
        let Some(member) = member else { return };
        let progress = self.model.lines[member].progress();
        let progress = self.heartbeats.progress(member, progress);
        let mut cancelled = Vec::new();
        let line = member as u32;
        self.service
            .cancel(self.now, line, request, progress, &mut cancelled);
        let expected = self.model.take_back(member, |it, _| it.request == request);
        self.heartbeats.moves(member, &cancelled);
        let told = cancelled.iter().map(|(it, sent)| (it.request, *sent));
        assert_eq!(told.collect::<Vec<_>>(), expected);
        self.given_up([request]);
        self.after_end(member);
    }

    fn assign(&mut self, member: u32, asked: Asked, bytes: usize) {
        let Asked {
            request,
            tag,
            deadline,
            again,
        } = asked;
        let line = &mut self.model.lines[member as usize];
        let in_flight = InFlight {
            request,
            tag,
            deadline,
            again,
            range: line.queued..line.queued + bytes as u64,
            is_tombstone: false,
        };
        line.queued += bytes as u64;
        line.pipeline.push(in_flight.clone());
        self.model.works(self.now, member as usize);
        self.service.handle_work(self.now, member);
        self.service.assign(member, in_flight);
    }

    pub(super) fn serve_waiting(&mut self) {
        while let Some((member, _)) = self.service.choose() {
            let Some((_, payload)) = self.service.waiter() else {
                break;
            };
            let bytes = payload.len();
            let asked = self.service.waiter_served().expect("it was in front");
            let served = self.model.waiting.remove(0).asked;
            assert_eq!(served.request, asked.request, "first in, first out");
            let of = |again: &Again| (again.is_idempotent, again.times, again.sent);
            assert_eq!(of(&served.again), of(&asked.again));
            self.assign(member, asked, bytes);
        }
    }

    pub(super) fn close(&mut self, member: usize, random: u64, error: Error) {
        if self.model.lines[member].is_absent() {
            return;
        }
        let mut failed = Vec::new();
        let (now, line) = (self.now, member as u32);
        let progress = self.model.lines[member].progress();
        let progress = self.heartbeats.progress(member, progress);
        let is_asked = self.heartbeats.awaits(member);
        self.heartbeats.lost(member);
        let pipeline = &self.model.lines[member].pipeline;
        let payloads = &self.model.payloads;
        let unsent = |range: &std::ops::Range<u64>| {
            let request = pipeline.iter().find(|it| it.range == *range)?;
            Some(&payloads[&request.request][..])
        };
        self.service
            .make_again(now, line, progress, &error, unsent, |_| {});
        self.model.makes_again(now, member, &error);
        self.service
            .handle_closed(now, line, random, progress, error, &mut failed);
        let said = self.said_by(member, &error);
        let expected = self.model.closed(now, member, error, is_asked);
        let random = random.rotate_left(32);
        assert_eq!(failed, self.with_refused(random, said, expected));
        self.connect_members();
    }
}
