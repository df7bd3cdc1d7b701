//! The machine of one upstream: its members (one a connection), who waits, and who is served next.
//!
//! ```text
//!   Absent{until} ──poll_connect──► Connecting ──handle_connected──► Open
//!        ▲                              │                              │
//!        └──────────────handle_closed, with a pause────────────────────┘
//! ```
//! The first members connect when the upstream is added. Later a lost one is made again only when a request waits for
//! it, so that a server that closes idle connections is not hammered; the warm ones, by themselves. A request waits only
//! while no open member can take it; when the last hope of one fails to connect, the waiting fail with it at once,
//! nothing sent.

#[cfg(test)]
mod check;

use super::Upstream;
use super::backoff::Backoff;
use super::balance::Balance;
use super::ids::{Ids, Place};
use super::pipeline::{InFlight, Pipeline, Progress, Which};
use super::stats::UpstreamStats;
use super::waiting::{Waiter, Waiting};
use crate::config::{Limits, Reconnect, Timeouts};
use crate::error::{Error, Phase, Sent, Source};
use crate::event::RequestId;
use crate::frame::IdOf;
use crate::time::Time;

#[derive(Debug)]
enum State {
    Absent {
        until: Time,
    },
    Connecting,
    /// `served` once a reply came, `is_ending` once its end is known.
    Open {
        since: Time,
        served: bool,
        is_ending: bool,
    },
}

#[derive(Debug)]
struct Member {
    state: State,
    /// The slot of its connection, while there is one.
    connection: u32,
    pipeline: Pipeline,
    backoff: Backoff,
}

/// A request that failed.
pub(crate) type Failed = (RequestId, u64, Error);

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) options: Upstream,
    pub(crate) timeouts: Timeouts,
    reconnect: Reconnect,
    members: Vec<Member>,
    balance: Balance,
    waiting: Waiting,
    /// A request could not even wait, and no connection was begun since, nor has room.
    turned_away: bool,
    pub(super) ids: Ids,
    /// Members below this have been connected for the first time. Those below `connections.warm` are the warm ones.
    warmed: u32,
    stats: UpstreamStats,
}

impl Service {
    pub(crate) fn new(
        options: Upstream,
        timeouts: Timeouts,
        limits: &Limits,
        reconnect: Reconnect,
    ) -> Service {
        let member = |_| Member {
            state: State::Absent { until: Time::ZERO },
            connection: u32::MAX,
            pipeline: Pipeline::new(),
            backoff: Backoff::default(),
        };
        Service {
            members: (0..options.connections.max).map(member).collect(),
            balance: Balance::new(options.connections.max, options.depth),
            waiting: Waiting::new(limits.waiting_requests_max, limits.waiting_bytes_max),
            turned_away: false,
            ids: Ids::new(options.framing.id_of().filter(|_| options.matched_by_id)),
            warmed: 0,
            stats: UpstreamStats::default(),
            options,
            timeouts,
            reconnect,
        }
    }

    // What happened.

    pub(crate) fn handle_connecting(&mut self, member: u32, connection: u32) {
        let member = &mut self.members[member as usize];
        member.state = State::Connecting;
        member.connection = connection;
        self.turned_away = false;
        self.stats.connecting += 1;
    }

    pub(crate) fn handle_connected(&mut self, now: Time, member: u32) {
        self.members[member as usize].state = State::Open {
            since: now,
            served: false,
            is_ending: false,
        };
        self.stats.connecting -= 1;
        self.stats.open += 1;
        self.stats.connects += 1;
        self.place(member);
    }

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
        if let State::Open { served, .. } = &mut it.state {
            *served = true;
        }
        self.stats.in_flight -= 1;
        self.place(member);
        Some(request)
    }

    /// The end of the member's connection is known: it takes no new request, which would only fail with it.
    pub(crate) fn handle_ending(&mut self, member: u32) {
        if let State::Open { is_ending, .. } = &mut self.members[member as usize].state {
            *is_ending = true;
            self.place(member);
        }
    }

    /// The member's connection is gone, or was never made. Fills in what failed with it.
    pub(crate) fn handle_closed(
        &mut self,
        now: Time,
        member: u32,
        random: u64,
        progress: Progress,
        error: Error,
        failed: &mut Vec<Failed>,
    ) {
        self.balance.remove(member);
        let it = &mut self.members[member as usize];
        // An end between requests is how a healthy server ends what it has served: no reason for a pause.
        let is_idle_end =
            matches!(it.state, State::Open { served: true, .. }) && error.phase == Phase::Idle;
        let up_since = match it.state {
            State::Open { since, .. } => {
                self.stats.open -= 1;
                self.stats.losses += 1;
                Some(since)
            }
            State::Connecting => {
                self.stats.connecting -= 1;
                self.stats.connect_failures += 1;
                None
            }
            State::Absent { .. } => return,
        };
        it.state = State::Absent {
            until: match is_idle_end {
                true => now,
                false => it
                    .backoff
                    .after_loss(now, up_since, random, &self.reconnect),
            },
        };
        it.connection = u32::MAX;
        self.stats.in_flight -= it.pipeline.len();
        self.stats.last_error = Some(error);
        for request in it.pipeline.in_order() {
            self.ids.forget(request.tag);
        }
        let progress = self.ids.judged(progress);
        it.pipeline.lose(progress, |request, phase, sent| {
            failed.push((request.request, request.tag, error.of_request(phase, sent)));
        });
        let hopeless = self.stats.open == 0
            && self.stats.connecting == 0
            && self.warmed as usize == self.options.connections.first;
        if up_since.is_none() && hopeless {
            let error = error.of_request(error.phase, Sent::No);
            self.waiting.fail_all(|waiter| {
                self.ids.forget(waiter.tag);
                failed.push((waiter.request, waiter.tag, error));
            });
        }
    }

    /// Gives up the waiting whose time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Time, failed: &mut Vec<Failed>) {
        let wait = self.timeouts.wait;
        self.waiting.expire(now, |waiter| {
            let source = match waiter.deadline <= waiter.wait_until {
                true => Source::Deadline,
                false => Source::Timeout(wait),
            };
            self.ids.forget(waiter.tag);
            let error = Error::new(Phase::Connect, source);
            failed.push((waiter.request, waiter.tag, error));
        });
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
        let pipeline = &mut self.members[member as usize].pipeline;
        let before = pipeline.len();
        pipeline.expire(now, which, self.ids.judged(progress), expired);
        for (request, _) in expired.iter().filter(|(_, sent)| *sent == Sent::No) {
            self.ids.forget(request.tag);
        }
        self.stats.in_flight -= before - pipeline.len();
        self.place(member);
    }

    // Commands.

    /// Whether a request with this tag may be made.
    pub(crate) fn admit(&self, tag: u64) -> Result<(), Error> {
        self.ids.admit(tag)
    }

    /// The open member with the fewest requests in flight that can take one more, and its connection.
    pub(crate) fn choose(&self) -> Option<(u32, u32)> {
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

    /// No member can take it now: it waits. When it cannot, a member is wanted all the same.
    pub(crate) fn wait(
        &mut self,
        now: Time,
        request: RequestId,
        tag: u64,
        deadline: Time,
        payload: &[u8],
    ) -> Result<(), Error> {
        let wait_until = now.after(self.timeouts.wait);
        let waits = self
            .waiting
            .push(request, tag, deadline, wait_until, payload);
        self.turned_away |= waits.is_err();
        waits?;
        self.ids.put(tag, Place::Waiting);
        Ok(())
    }

    /// The waiting request whose turn it is, with its payload.
    pub(crate) fn waiter(&mut self) -> Option<(Waiter, &[u8])> {
        self.waiting.front()
    }

    /// It is served.
    pub(crate) fn waiter_served(&mut self) {
        self.waiting.pop();
    }

    // What is wanted.

    /// A member that should connect now.
    pub(crate) fn poll_connect(&mut self, now: Time) -> Option<u32> {
        if (self.warmed as usize) < self.options.connections.first {
            self.warmed += 1;
            return Some(self.warmed - 1);
        }
        let due = |member: &Member| matches!(member.state, State::Absent { until } if until <= now);
        let found = self.wanted().iter().position(due);
        found.map(|member| member as u32)
    }

    /// When to call `handle_timeout` and `poll_connect` again.
    pub(crate) fn poll_timeout(&self) -> Time {
        let mut next = self.waiting.next_deadline();
        for member in self.wanted() {
            if let State::Absent { until } = member.state {
                next = next.min(until);
            }
        }
        next
    }

    // Getters.

    /// When the first of the waiting gives up, at the earliest.
    pub(crate) fn next_wait_end(&self) -> Time {
        self.waiting.next_deadline()
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

    /// Whether a member is to stand whether requests need it or not.
    pub(crate) fn is_warm(&self, member: u32) -> bool {
        (member as usize) < self.options.connections.warm
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

    pub(crate) fn stats(&self) -> UpstreamStats {
        UpstreamStats {
            waiting: self.waiting.len(),
            ..self.stats
        }
    }

    /// Members that are to have a connection: the warm ones, and any when nobody can take what is asked.
    fn wanted(&self) -> &[Member] {
        let asking = self.waiting.len().max(usize::from(self.turned_away));
        match asking > self.stats.connecting && self.balance.least().is_none() {
            _ if self.members.len() == self.stats.open + self.stats.connecting => &[],
            true => &self.members,
            false => &self.members[..self.options.connections.warm],
        }
    }

    /// Offers the member by its load, unless it may take nothing.
    fn place(&mut self, member: u32) {
        let it = &self.members[member as usize];
        // Behind a tombstone no request can go, for its reply might be taken for the late one; ids tell them apart.
        let is_clear = self.ids.are_used() || it.pipeline.tombstones() == 0;
        match it.state {
            State::Open { is_ending, .. } if is_clear && !is_ending => {
                self.balance.place(member, it.pipeline.len())
            }
            _ => self.balance.remove(member),
        }
        self.turned_away &= self.balance.least().is_none();
    }
}
