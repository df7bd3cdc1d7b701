//! When a member's connection is let go between requests: it has been idle as long as it may, its lifetime is over, it
//! has served the one request it was made for, or its peer is found to be gone.
//!
//! Nobody fails with a connection that is let go: it has no request, and takes none. Its place is free at once; it ends
//! by itself (our FIN, the peer's, `Timeouts::linger` at most), and of those at most as many linger as connections may
//! stand.

use std::time::Duration;

use super::{Service, State};
use crate::config::Pool;
use crate::error::{Class, Error, Phase, Source};
use crate::time::Time;
use crate::upstream::idle::IdleLimit;

/// How long the connections of an upstream are kept, and what is known of their peers' patience.
#[derive(Debug)]
pub(super) struct Keeping {
    pool: Pool,
    one_request: bool,
    pub(super) idle: IdleLimit,
    /// The limit has become shorter, and timers are filed for the one before.
    is_shorter: bool,
}

impl Keeping {
    pub(super) fn new(pool: Pool, idle: Duration, one_request: bool) -> Keeping {
        let learned_min = Some(pool.idle_learned_min).filter(|_| pool.idle_learning);
        Keeping {
            idle: IdleLimit::new(idle, learned_min),
            pool,
            one_request,
            is_shorter: false,
        }
    }

    /// The end of a connection that is made now.
    fn lifetime_end(&self, now: Time, random: u64) -> Time {
        let part = u128::from(self.pool.lifetime_jitter_percent) * u128::from(random);
        let lifetime = self.pool.lifetime.as_nanos();
        let shorter = (lifetime.min(u128::from(u64::MAX)) * (part >> 32) / 100) >> 32;
        match u64::try_from(lifetime - shorter) {
            Ok(nanos) if self.pool.lifetime < Duration::MAX => {
                now.after(Duration::from_nanos(nanos))
            }
            _ => Time::NEVER,
        }
    }
}

/// Of one connection: how long it has rested, and may live.
#[derive(Debug)]
pub(super) struct Rest {
    /// Since when it has had no request, or the last began or ended.
    since: Time,
    /// How long it had rested when the one that is under way came.
    before: Duration,
    lifetime_end: Time,
    /// It takes no further request.
    pub(super) is_over: bool,
}

impl Rest {
    pub(super) fn new() -> Rest {
        Rest {
            since: Time::ZERO,
            before: Duration::ZERO,
            lifetime_end: Time::NEVER,
            is_over: false,
        }
    }
}

impl Service {
    // What happened.

    /// A member's connection is about to stand.
    pub(crate) fn handle_standing(&mut self, now: Time, member: u32, random: u64) {
        self.members[member as usize].rest = Rest {
            since: now,
            lifetime_end: self.keeping.lifetime_end(now, random),
            ..Rest::new()
        };
    }

    /// A member is about to be given a request.
    pub(crate) fn handle_work(&mut self, now: Time, member: u32) {
        let it = &mut self.members[member as usize];
        if it.pipeline.len() == 0 {
            it.rest.before = now.since(it.rest.since);
        }
        it.rest.since = now;
        it.rest.is_over |= self.keeping.one_request;
    }

    /// A member's requests were answered, or have ended otherwise, as far as that was known.
    pub(crate) fn handle_rest(&mut self, now: Time, member: u32) {
        let it = &mut self.members[member as usize];
        let before = std::mem::take(&mut it.rest.before);
        it.rest.since = now;
        if !before.is_zero() {
            self.keeping.idle.handle_tolerated(before);
        }
    }

    /// A request of a member's has ended without a reply, or its peer has said something of its own accord: that is no
    /// rest.
    pub(crate) fn handle_heard(&mut self, now: Time, member: u32) {
        self.members[member as usize].rest.since = now;
    }

    /// A time of a member's has come: when it is over, it takes no further request.
    pub(crate) fn handle_due(&mut self, now: Time, member: u32) {
        if self.retires_at(member) > now {
            return;
        }
        let limit = self.keeping.idle.limit();
        let it = &mut self.members[member as usize];
        it.rest.is_over = true;
        if it.pipeline.len() == 0 && it.rest.lifetime_end > now {
            self.keeping.idle.handle_kept();
            self.stats.last_error = Some(Error::new(Phase::Idle, Source::Timeout(limit)));
        }
        self.place(member);
    }

    /// A member's connection is let go. Whether it is to wait for its peer's end.
    pub(crate) fn handle_retired(&mut self, member: u32) -> bool {
        self.balance.remove(member);
        let it = &mut self.members[member as usize];
        debug_assert!(it.pipeline.len() == 0, "nobody fails with it");
        it.state = State::Absent;
        it.connection = u32::MAX;
        it.pipeline.take_heartbeat();
        it.rest = Rest::new();
        self.absent.put(member, self.is_warm(member));
        self.stats.open -= 1;
        self.stats.losses += 1;
        self.stats.retired += 1;
        self.stats.lingering += 1;
        self.stats.lingering <= self.members.len()
    }

    /// A connection that was let go has ended.
    pub(crate) fn handle_parted(&mut self) {
        self.stats.lingering -= 1;
    }

    /// A member's connection has ended between requests; whether as was to be expected.
    pub(super) fn handle_idle_end(&mut self, now: Time, member: u32, error: Error) -> bool {
        let it = &self.members[member as usize];
        let State::Open { served, .. } = it.state else {
            return false;
        };
        let age = now.since(it.rest.since);
        let idle = &mut self.keeping.idle;
        let is_foreseen = served || idle.foresees(age);
        let is_peers = matches!(
            error.source,
            Source::Eof | Source::Os(_) | Source::Truncated { .. }
        );
        if is_foreseen && is_peers {
            let before = idle.limit();
            self.keeping.is_shorter |= idle.handle_peer_ended(now, age) && idle.limit() < before;
        }
        is_foreseen
    }

    // What is wanted.

    /// Whether connections end sooner now than was said.
    pub(crate) fn poll_shorter_rests(&mut self) -> bool {
        std::mem::take(&mut self.keeping.is_shorter)
    }

    /// When `handle_due` is to be called for a member.
    pub(crate) fn retires_at(&self, member: u32) -> Time {
        let it = &self.members[member as usize];
        match it.state {
            State::Open {
                is_ending: false, ..
            } if !it.rest.is_over => {}
            _ => return Time::NEVER,
        }
        let limit = match self.is_warm(member) {
            true => self.keeping.idle.learned(),
            false => Some(self.keeping.idle.limit()),
        };
        match limit {
            Some(limit) if it.pipeline.len() == 0 => {
                it.rest.lifetime_end.min(it.rest.since.after(limit))
            }
            _ => it.rest.lifetime_end,
        }
    }

    // Getters.

    /// Whether a member's connection takes no further request and has none: it is to be let go.
    pub(crate) fn is_spent(&self, member: u32) -> bool {
        let it = &self.members[member as usize];
        let is_open = matches!(it.state, State::Open { .. });
        is_open && it.rest.is_over && it.pipeline.len() == 0
    }

    /// The connection of a member that stands and has no request.
    pub(crate) fn resting(&self, member: u32) -> Option<u32> {
        let it = &self.members[member as usize];
        let rests = matches!(it.state, State::Open { .. }) && it.pipeline.len() == 0;
        rests.then_some(it.connection)
    }

    /// Members, whatever they do.
    pub(crate) fn members(&self) -> u32 {
        self.members.len() as u32
    }

    /// Whether this end of a connection, or of the attempt at one, says that its peer or the way to it is gone.
    pub(crate) fn is_outage(error: &Error) -> bool {
        let timed_out = matches!(error.source, Source::Timeout(_)) && error.phase != Phase::Idle;
        let is_transient = error.class == Class::Transient;
        is_transient
            && (error.phase == Phase::Connect || timed_out && error.phase != Phase::Resolve)
    }
}
