//! The machine of one upstream: its members (one a connection), who waits, and who is served next.
//!
//! ```text
//!   Absent ──poll_connect──► Connecting ──handle_connected──► Open
//!     ▲                          │                             │
//!     └──────────────────────────┴───────handle_closed─────────┘
//! ```
//! The first members connect when the upstream is added. Later a lost one is made again only when a request waits for
//! it, so that a server that closes idle connections is not hammered; the warm ones, by themselves. When that may be is
//! decided for all of them together (`outage.rs`). A request waits only while no open member can take it. When an attempt
//! fails and there is none left, standing or being made, the upstream is *down*: the waiting fail with it at once,
//! nothing sent.

mod admission;
mod again;
#[cfg(test)]
mod check;
mod connecting;
mod draining;
mod falling_back;
mod heartbeats;
mod requests;
mod resting;
mod spreading;

use super::Upstream;
use super::balance::Balance;
use super::breaker::Circuit;
use super::budget::Budget;
use super::changes::{Change, Changes};
use super::ejection::Ejection;
use super::handover::Outbox;
use super::ids::Ids;
use super::kept::Kept;
use super::outage::{Counted, Failure, Outage};
use super::pipeline::{Pipeline, Progress};
use super::rate::Bucket;
use super::stats::UpstreamStats;
use super::waiting::Waiting;
use crate::config::{Config, Retry, Timeouts};
use crate::error::{Class, Error, Phase, Source};
use crate::event::RequestId;
use crate::time::Time;
use connecting::Absent;
pub(crate) use heartbeats::Verdict;
use resting::{Keeping, Rest};

#[derive(Debug)]
enum State {
    Absent,
    Connecting,
    /// `served` once a reply came, `is_ending` once its end is known.
    Open {
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
    /// What had failed when its connection was begun.
    begun_after: Counted,
    rest: Rest,
    /// Of the upstream's targets, the one that it connects to.
    target: usize,
    /// Connects that failed in a row.
    misses: usize,
    /// Its connection was lost with requests of which something was sent, and that are made again.
    lost_sent: bool,
}

/// A request that failed.
pub(crate) type Failed = (RequestId, u64, Error);

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) options: Upstream,
    pub(crate) timeouts: Timeouts,
    members: Vec<Member>,
    absent: Absent,
    outage: Outage,
    balance: Balance,
    waiting: Waiting,
    retry: Retry,
    budget: Budget,
    kept: Kept,
    outbox: Outbox,
    /// A connection is wanted though nobody waits: a request could not even wait or went to the fallback, or the program
    /// said so; and none was begun since, nor has room.
    is_asked_for: bool,
    pub(super) ids: Ids,
    /// Connections that are still to be begun because the upstream was added.
    firsts_left: usize,
    keeping: Keeping,
    ejection: Ejection,
    /// A target that was just ejected.
    ejected: Option<usize>,
    circuit: Circuit,
    rate: Option<Bucket>,
    changes: Changes,
    /// Nothing new is begun.
    is_draining: bool,
    /// It was told that nobody waits any more.
    all_served: bool,
    stats: UpstreamStats,
}

impl Service {
    /// What the upstream does not say for itself, the client's config says.
    pub(crate) fn new(options: Upstream, config: &Config) -> Service {
        let limits = &config.limits;
        let timeouts = options.timeouts.unwrap_or(config.timeouts);
        let pool = options.pool.unwrap_or(config.pool);
        let retry = options.retry.unwrap_or(config.retry);
        let member = |number| Member {
            state: State::Absent,
            connection: u32::MAX,
            pipeline: Pipeline::new(),
            begun_after: Counted::default(),
            rest: Rest::new(),
            target: number % (1 + options.others.len()),
            misses: 0,
            lost_sent: false,
        };
        Service {
            members: (0..options.connections.max).map(member).collect(),
            absent: Absent::all(options.connections.warm, options.connections.max),
            outage: connecting::outage(&options, config),
            balance: Balance::new(options.connections.max, options.depth),
            waiting: Waiting::new(limits.waiting_requests_max, limits.waiting_bytes_max),
            retry,
            budget: Budget::new(&retry),
            kept: Kept::new(retry.kept_bytes_max),
            outbox: Outbox::default(),
            is_asked_for: false,
            ids: Ids::new(options.framing.id_of().filter(|_| options.matched_by_id)),
            firsts_left: options.first(),
            changes: Changes::new(options.tells_state),
            circuit: Circuit::new(options.breaker.unwrap_or(config.breaker)),
            rate: options
                .rate
                .map(|rate| Bucket::new(rate.requests_per_second, rate.burst)),
            is_draining: false,
            all_served: false,
            stats: UpstreamStats::default(),
            timeouts,
            keeping: Keeping::new(pool, timeouts.idle, options.one_request),
            ejection: spreading::ejection(&options, &pool),
            ejected: None,
            options,
        }
    }

    // What happened.

    pub(crate) fn handle_connecting(&mut self, member: u32, connection: u32) {
        self.absent.take(member);
        let member = &mut self.members[member as usize];
        member.state = State::Connecting;
        member.connection = connection;
        member.begun_after = self.outage.counted();
        self.firsts_left = self.firsts_left.saturating_sub(1);
        self.is_asked_for = false;
        self.stats.connecting += 1;
    }

    pub(crate) fn handle_connected(&mut self, now: Time, member: u32) {
        self.members[member as usize].state = State::Open {
            served: false,
            is_ending: false,
        };
        self.stats.connecting -= 1;
        self.stats.open += 1;
        self.stats.connects += 1;
        self.outage.handle_connected(now);
        self.changes.put(Change::Up);
        self.heed_connected(now);
        self.heed_target_stands(now, member);
        self.place(member);
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
        let failed_before = failed.len();
        // An end between requests is how a healthy server ends what it has served: no reason for a pause.
        let is_idle_end = error.phase == Phase::Idle && self.handle_idle_end(now, member, error);
        let is_silent = self.awaits_heartbeat(member) && matches!(error.source, Source::Timeout(_));
        let Some(was_open) = self.count_closed(member) else {
            return;
        };
        if !was_open || self.has_lost_requests(member) {
            self.heed_target_lost(now, member, random.rotate_left(16), &error);
        }
        let is_for_another = !was_open && self.tries_another(member);
        // What we end for reasons of our own says nothing of the server.
        let is_failure = match was_open {
            true => (!is_idle_end || is_silent) && error.class != Class::Local,
            false => !is_for_another && error.source != Source::ShuttingDown,
        };
        self.balance.remove(member);
        self.absent.put(member, self.is_warm(member));
        let it = &mut self.members[member as usize];
        it.state = State::Absent;
        it.connection = u32::MAX;
        self.stats.in_flight -= it.pipeline.len();
        self.stats.last_error = Some(error);
        for request in it.pipeline.in_order() {
            self.ids.forget(request.tag);
        }
        let progress = self.ids.judged(progress);
        it.pipeline.lose(progress, |request, phase, sent| {
            self.kept.drop(request.again.kept);
            let sent = sent.max(request.again.sent);
            failed.push((request.request, request.tag, error.of_request(phase, sent)));
        });
        if is_failure {
            let failure = Failure {
                begun_after: it.begun_after,
                class: error.class,
                is_attempt: !was_open,
                others_stand: self.stats.open > 0,
                random,
            };
            self.outage.handle_failure(now, failure);
        }
        // Nor is there where a connection is refused for good when it stands: in TLS 1.3 a client's certificate is.
        let is_hopeless = !was_open || error.class == Class::Persistent;
        if is_failure && is_hopeless && self.stats.open == 0 && self.stats.connecting == 0 {
            self.go_down(error, failed);
        }
        // One that has another target to try says nothing of the service yet. Other bits than those of the pause above.
        if !is_for_another {
            let random = random.rotate_left(32);
            self.heed_loss(now, random, was_open, error, failed, failed_before);
        }
    }

    /// Counts a connection that is gone: whether it stood. `None`: there was none.
    fn count_closed(&mut self, member: u32) -> Option<bool> {
        match self.members[member as usize].state {
            State::Open { .. } => {
                self.stats.open -= 1;
                self.stats.losses += 1;
                Some(true)
            }
            State::Connecting => {
                self.stats.connecting -= 1;
                self.stats.connect_failures += 1;
                Some(false)
            }
            State::Absent => None,
        }
    }

    /// The end of the pause after the last failure.
    pub(crate) fn retry_at(&self) -> Time {
        self.outage.pause_until()
    }

    /// An attempt has failed, and there is nothing else to hope for.
    fn go_down(&mut self, error: Error, failed: &mut Vec<Failed>) {
        // What was to be made because the upstream was added is made when it is needed.
        self.firsts_left = 0;
        let retry_at = self.retry_at();
        self.changes.put(Change::Down { error, retry_at });
        let (waiting, mut leaving) = self.leaving();
        waiting.fail_all(|waiter, payload| failed.push(leaving.fail(waiter, payload, error)));
    }

    /// The program has pulled what it was told last: of the breaker, or of the connections.
    pub(crate) fn handle_change_pulled(&mut self, is_of_breaker: bool) {
        self.changes.handle_pulled(is_of_breaker);
    }

    // What is wanted.

    /// A change of state that the program is to be told.
    pub(crate) fn poll_change(&mut self) -> Option<Change> {
        self.changes.poll()
    }

    /// The same, for a log: whether the program asked or not, and whatever it has pulled.
    pub(crate) fn poll_noted(&mut self) -> Option<Change> {
        self.changes.poll_noted()
    }

    /// Whether there may be something of its state to tell or to note.
    pub(crate) fn has_news(&self) -> bool {
        self.changes.has_news()
    }

    /// All that could be told and noted of its state was.
    pub(crate) fn handle_told(&mut self) {
        self.changes.handle_told();
    }

    // Getters.

    pub(crate) fn target(&self) -> &str {
        &self.options.target
    }

    pub(crate) fn stats(&self) -> UpstreamStats {
        UpstreamStats {
            waiting: self.waiting.len(),
            breaker: self.circuit.state(),
            ..self.stats
        }
    }

    /// Offers the member by its load, unless it may take nothing.
    fn place(&mut self, member: u32) {
        let it = &self.members[member as usize];
        // Behind a tombstone no request can go, for its reply might be taken for the late one; ids tell them apart.
        let is_clear = self.ids.are_used() || it.pipeline.tombstones() == 0;
        match it.state {
            State::Open { is_ending, .. } if is_clear && !is_ending && !it.rest.is_over => {
                self.balance.place(member, it.pipeline.len())
            }
            _ => self.balance.remove(member),
        }
        self.is_asked_for &= self.balance.least().is_none();
    }
}
