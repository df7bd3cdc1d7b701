//! The requests of an upstream: whether one may be made, where it goes, what a reply answers, and what is given up when
//! its time has passed.
//!
//! A request is in one place at a time, waiting or in the pipeline of one member, and leaves it when it ends: so it
//! ends once.

use super::{Failed, Member, Service, State};
use crate::error::{Error, Limit, Phase, Sent, Source};
use crate::event::RequestId;
use crate::frame::IdOf;
use crate::time::Time;
#[cfg(any(test, fuzzing))]
use crate::upstream::asked::Again;
use crate::upstream::asked::Asked;
use crate::upstream::ids::Place;
use crate::upstream::pipeline::{InFlight, Progress, Which};
use crate::upstream::waiting::Waiter;

impl Service {
    // What happened.

    /// A reply came, with its id where replies have one: the request it answers, or `None` when it answers none.
    pub(crate) fn handle_reply(
        &mut self,
        member: u32,
        id: Option<u64>,
        written: u64,
    ) -> Option<InFlight> {
        let it = &mut self.members[member as usize];
        let request = match id {
            None => it.pipeline.complete(written)?,
            Some(id) => {
                let key = self.ids.key(id, member)?;
                it.pipeline.complete_out_of_turn(key, written)?
            }
        };
        self.ids.forget(request.tag);
        self.kept.drop(request.again.kept);
        if let State::Open { served, .. } = &mut it.state {
            *served = true;
        }
        self.stats.in_flight -= 1;
        self.heed_target_answered(member);
        self.place(member);
        Some(request)
    }

    /// Gives up the waiting whose time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Time, random: u64, failed: &mut Vec<Failed>) {
        let failed_before = failed.len();
        let wait = self.timeouts.wait;
        let (waiting, mut leaving) = self.leaving();
        waiting.expire(now, |waiter, payload| {
            let source = match waiter.asked.deadline <= waiter.wait_until {
                true => Source::Deadline,
                false => Source::Timeout(wait),
            };
            let error = Error::new(Phase::Connect, source);
            failed.push(leaving.fail(waiter, payload, error));
        });
        self.heed_failed(now, random, failed, failed_before);
    }

    /// Requests of this member whose deadline has passed; see `Pipeline::expire`.
    pub(crate) fn expire(
        &mut self,
        now: Time,
        member: u32,
        which: Which,
        progress: Progress,
        expired: &mut Vec<(InFlight, Sent)>,
    ) {
        let progress = self.ids.judged(progress);
        let pipeline = &mut self.members[member as usize].pipeline;
        let (before, from) = (pipeline.len(), expired.len());
        pipeline.expire(now, which, progress, expired);
        self.given_up(now, member, before, &expired[from..]);
    }

    /// Requests of this member were given up: those of which nothing was written are gone.
    fn given_up(&mut self, now: Time, member: u32, before: usize, given_up: &[(InFlight, Sent)]) {
        for (request, sent) in given_up {
            if *sent == Sent::No {
                self.ids.forget(request.tag);
            }
            self.kept.drop(request.again.kept);
            self.heed_given_up(now, request.request);
        }
        self.stats.in_flight -= before - self.members[member as usize].pipeline.len();
        self.place(member);
    }

    // Commands.

    /// Whether a request may go by this tag.
    pub(crate) fn admit(&self, tag: u64) -> Result<(), Error> {
        let heartbeats = self.heartbeat().and_then(|it| it.id);
        match heartbeats == Some(tag) && self.ids.are_used() {
            true => Err(Error::new(Phase::Write, Source::IdInUse { id: tag })),
            false => self.ids.admit(tag),
        }
    }

    /// The open member with the fewest requests in flight that can take one more, and its connection.
    pub(crate) fn choose(&self) -> Option<(u32, u32)> {
        if self.stats.in_flight >= self.in_flight_max() {
            return None;
        }
        let member = self.balance.least()?;
        Some((member, self.members[member as usize].connection))
    }

    /// The request's bytes are queued on the member's connection.
    pub(crate) fn assign(&mut self, member: u32, request: InFlight) {
        let id = request.tag;
        let key = self.members[member as usize].pipeline.push(request);
        self.ids.put(id, Place::InFlight { member, key });
        self.stats.in_flight += 1;
        self.place(member);
    }

    /// No member can take it now: it waits. When it cannot, a member is wanted all the same, unless one has room: whose
    /// send queue is full.
    pub(crate) fn queue(&mut self, now: Time, asked: Asked, payload: &[u8]) -> Result<(), Error> {
        let wait_until = now.after(self.timeouts.wait);
        let waits = match self.waiting.is_newest(asked.request) {
            true => self.waiting.push(asked, wait_until, payload),
            false => self.queue_older(asked, wait_until, payload),
        };
        self.is_asked_for |= waits.is_err() && self.balance.least().is_none();
        waits?;
        self.ids.put(asked.tag, Place::Waiting);
        Ok(())
    }

    /// It was made before others that wait here, of an upstream that has handed it over: in front of those, its bytes
    /// are kept apart.
    fn queue_older(
        &mut self,
        mut asked: Asked,
        wait_until: Time,
        payload: &[u8],
    ) -> Result<(), Error> {
        if !self.waiting.has_room() {
            return Err(Error::full(Limit::WaitingRequests));
        }
        asked.again.kept = self.kept.put(payload);
        if asked.again.kept.is_none() {
            return Err(Error::full(Limit::WaitingBytes));
        }
        self.waiting.put_back(asked, wait_until);
        Ok(())
    }

    /// The same, of a request that is not idempotent.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn wait(
        &mut self,
        now: Time,
        request: RequestId,
        tag: u64,
        deadline: Time,
        payload: &[u8],
    ) -> Result<(), Error> {
        let asked = Asked {
            request,
            tag,
            deadline,
            again: Again::new(false),
        };
        self.queue(now, asked, payload)
    }

    /// The program takes a request back that waits here.
    pub(crate) fn cancel_waiting(&mut self, now: Time, request: RequestId) -> Option<Asked> {
        let waiter = self.waiting.cancel(request)?;
        self.heed_given_up(now, request);
        self.ids.forget(waiter.asked.tag);
        self.kept.drop(waiter.asked.again.kept);
        Some(waiter.asked)
    }

    /// The program takes a request back that is in flight on this member; see `Pipeline::give_up`.
    pub(crate) fn cancel(
        &mut self,
        now: Time,
        member: u32,
        request: RequestId,
        progress: Progress,
        cancelled: &mut Vec<(InFlight, Sent)>,
    ) {
        let progress = self.ids.judged(progress);
        let pipeline = &mut self.members[member as usize].pipeline;
        let (before, from) = (pipeline.len(), cancelled.len());
        pipeline.give_up(progress, |it, _| it.request == request, cancelled);
        self.given_up(now, member, before, &cancelled[from..]);
    }

    /// The waiting request whose turn it is, with its payload.
    pub(crate) fn waiter(&mut self) -> Option<(Waiter, &[u8])> {
        let (waiter, payload) = self.waiting.front()?;
        let payload = match waiter.asked.again.kept {
            Some(key) => self.kept.get(key),
            None => payload,
        };
        Some((waiter, payload))
    }

    // Getters.

    /// The member on which a request is in flight, and its connection. Looks at all that are.
    pub(crate) fn member_of(&self, request: RequestId) -> Option<(u32, u32)> {
        if self.stats.in_flight == 0 {
            return None;
        }
        let is_it = |it: &InFlight| it.request == request && !it.is_tombstone;
        let has_it = |member: &Member| member.pipeline.in_order().any(is_it);
        let member = self.members.iter().position(has_it)?;
        Some((member as u32, self.members[member].connection))
    }

    pub(crate) fn next_deadline(&self, member: u32) -> Time {
        self.members[member as usize].pipeline.next_deadline()
    }

    /// How to find the id in a reply, where replies are matched by it.
    pub(crate) fn id_of(&self) -> Option<IdOf> {
        self.ids.id_of
    }

    /// Whether a frame may come on a member; see `Pipeline::has_begun`. Where there are ids, what answers nothing is
    /// known by its own.
    pub(crate) fn has_begun(&self, member: u32, written: u64) -> bool {
        self.ids.are_used() || self.members[member as usize].pipeline.has_begun(written)
    }

    /// Whether a part of what is in flight on a member was written.
    pub(crate) fn is_begun(&self, member: u32, written: u64) -> bool {
        self.members[member as usize].pipeline.has_begun(written)
    }

    /// Whether requests are in flight on a member. Where there are ids, nobody waits for the reply of a tombstone.
    pub(crate) fn awaits(&self, member: u32) -> bool {
        let pipeline = &self.members[member as usize].pipeline;
        match self.ids.are_used() {
            true => pipeline.len() > pipeline.tombstones(),
            false => pipeline.len() > 0,
        }
    }

    /// Whether a member's connection has only tombstones left and takes no new request, so that nobody waits for it.
    pub(crate) fn is_forsaken(&self, member: u32) -> bool {
        let pipeline = &self.members[member as usize].pipeline;
        pipeline.tombstones() > 0
            && pipeline.tombstones() == pipeline.len()
            && (!self.ids.are_used() || pipeline.len() >= self.options.depth)
    }

    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.len() > 0
    }
}
