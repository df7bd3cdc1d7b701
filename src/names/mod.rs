//! Names: what was last said of each, how long that holds, and who waits to hear.
//!
//! However many ask for a name, one lookup is under way for it (single flight). An answer is used for a while
//! (`fresh_for`), a failure too (`negative_for`). Where a new lookup fails or does not come back in time, addresses that
//! are no longer fresh are better than none (RFC 8767) for `stale_for`, but never against a resolver that says that the
//! name does not exist. A lookup that is not back by its deadline is given up: the next one to ask begins another, under
//! another number, and when an answer does come late it is remembered all the same.
//!
//! Never: a thread, a socket, a clock. Lookups are begun by the engine, which is told to; time comes in. What is
//! remembered is bounded; what is waited for is bounded by the connections that wait.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use slab::Slab;

use crate::config::Lookups;
use crate::error::ResolveError;
use crate::time::Time;

/// The addresses of a name, in the order in which they are tried; at least one.
pub(crate) type Addresses = Arc<[SocketAddr]>;

/// What a lookup came to.
pub(crate) type Outcome = Result<Addresses, ResolveError>;

/// Names an entry; of one that was forgotten it finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameKey {
    index: u32,
    born: u64,
}

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It was answered not long ago.
    Known(Outcome),
    /// The lookup under way will answer it.
    Joined,
    /// A lookup is to be begun under this number, in place of one that is not back in time.
    Begin { job: u64, in_place_of: Option<u64> },
}

/// What one who waits no longer leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GivenUp {
    /// Addresses that were good once, which it may make do with.
    pub(crate) addresses: Option<Addresses>,
    /// A lookup for which nobody waits now, or nobody should.
    pub(crate) abandoned: Option<u64>,
}

/// Bits of a job's number that name the entry; the rest counts lookups.
const INDEX_BITS: u32 = 30;

/// The names of one engine.
#[derive(Debug)]
pub(crate) struct Names {
    rules: Lookups,
    entries: Slab<Entry>,
    by_target: BTreeMap<Box<str>, u32>,
    lookups: u64,
}

#[derive(Debug)]
struct Entry {
    target: Box<str>,
    /// How many lookups had begun when it was made: answers to those are another name's.
    born: u64,
    addresses: Option<Addresses>,
    resolved_at: Time,
    fresh_until: Time,
    failure: Option<ResolveError>,
    /// Until then no new lookup is begun after one that failed.
    retry_at: Time,
    /// The end of the lookup under way, and its number.
    under_way: Option<(Time, u64)>,
    waiters: Vec<u64>,
    asked_at: Time,
    /// The address that was connected to last, and until when it goes first.
    winner: Option<(SocketAddr, Time)>,
}

impl Names {
    pub(crate) fn new(rules: Lookups) -> Names {
        Names {
            rules,
            entries: Slab::new(),
            by_target: BTreeMap::new(),
            lookups: 0,
        }
    }

    /// `waiter` asks for `target` (`host:port`), and waits until `until` if it is to wait at all.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        target: &str,
        waiter: u64,
        until: Time,
    ) -> (NameKey, Asked) {
        let index = match self.by_target.get(target) {
            Some(index) => *index,
            None => self.remember(target, now),
        };
        let entry = &mut self.entries[index as usize];
        entry.asked_at = now;
        let born = entry.born;
        let key = NameKey { index, born };
        if let Some(outcome) = entry.known(now, self.rules) {
            return (key, Asked::Known(outcome));
        }
        entry.waiters.push(waiter);
        if entry.under_way.is_some_and(|(end, _)| end > now) {
            return (key, Asked::Joined);
        }
        self.lookups += 1;
        let job = self.lookups << INDEX_BITS | u64::from(index);
        let late = entry.under_way.replace((until, job));
        let in_place_of = late.map(|(_, job)| job);
        (key, Asked::Begin { job, in_place_of })
    }

    /// A lookup has ended: `told` gets who is to hear of it, and what.
    pub(crate) fn handle_resolved(
        &mut self,
        now: Time,
        job: u64,
        answer: Result<Vec<SocketAddr>, ResolveError>,
        told: &mut Vec<(u64, Outcome)>,
    ) {
        let key = (job & ((1 << INDEX_BITS) - 1)) as usize;
        let begun = job >> INDEX_BITS;
        let Some(entry) = self.entries.get_mut(key).filter(|it| it.born < begun) else {
            return;
        };
        let is_awaited = entry.under_way.is_some_and(|(_, awaited)| awaited == job);
        if answer.is_err() && !is_awaited {
            // Given up; another lookup may be under way, and may do better.
            return;
        }
        entry.under_way = None;
        let outcome = entry.learn(now, answer, self.rules);
        told.extend(
            entry
                .waiters
                .drain(..)
                .map(|waiter| (waiter, outcome.clone())),
        );
        self.forget_some();
    }

    /// `waiter` waits no longer.
    pub(crate) fn give_up(&mut self, now: Time, key: NameKey, waiter: u64) -> GivenUp {
        let rules = self.rules;
        let Some(entry) = self.entry(key) else {
            return GivenUp::default();
        };
        let Some(place) = entry.waiters.iter().position(|it| *it == waiter) else {
            return GivenUp::default();
        };
        entry.waiters.swap_remove(place);
        let addresses = entry.stale(now, rules);
        let is_late = entry.under_way.is_some_and(|(end, _)| end <= now);
        if is_late && addresses.is_some() {
            // The next to ask need not wait in vain as well.
            entry.retry_at = now.after(rules.negative_for);
        }
        let nobody_waits = is_late || entry.waiters.is_empty();
        let abandoned = entry.under_way.filter(|_| nobody_waits).map(|(_, job)| job);
        self.forget_some();
        GivenUp {
            addresses,
            abandoned,
        }
    }

    /// None of its addresses could be connected to: what is known of it may have changed, and is asked for anew, but
    /// not at once each time.
    pub(crate) fn doubt(&mut self, key: NameKey) {
        let negative_for = self.rules.negative_for;
        if let Some(entry) = self.entry(key) {
            let soon = entry.resolved_at.after(negative_for);
            entry.fresh_until = entry.fresh_until.min(soon);
        }
    }

    /// One of its addresses was connected to.
    pub(crate) fn handle_connected(&mut self, now: Time, key: NameKey, address: SocketAddr) {
        let until = now.after(self.rules.winner_for);
        if let Some(entry) = self.entry(key) {
            entry.winner = Some((address, until));
        }
    }

    /// The address that should be tried before the others.
    pub(crate) fn favourite(&mut self, now: Time, key: NameKey) -> Option<SocketAddr> {
        let (address, until) = self.entry(key)?.winner?;
        (now < until).then_some(address)
    }

    fn entry(&mut self, key: NameKey) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(key.index as usize);
        entry.filter(|entry| entry.born == key.born)
    }

    fn remember(&mut self, target: &str, now: Time) -> u32 {
        let entry = Entry {
            target: target.into(),
            born: self.lookups,
            addresses: None,
            resolved_at: Time::ZERO,
            fresh_until: Time::ZERO,
            failure: None,
            retry_at: Time::ZERO,
            under_way: None,
            waiters: Vec::new(),
            asked_at: now,
            winner: None,
        };
        let index = self.entries.insert(entry) as u32;
        self.by_target.insert(target.into(), index);
        index
    }

    /// Keeps to the bound: forgets whom nobody waits for, the longest unasked first.
    fn forget_some(&mut self) {
        while self.entries.len() > self.rules.names_max {
            let idle = self.entries.iter().filter(|(_, it)| it.waiters.is_empty());
            let Some((key, _)) = idle.min_by_key(|(_, it)| it.asked_at) else {
                return;
            };
            let entry = self.entries.remove(key);
            self.by_target.remove(&entry.target);
        }
    }
}

impl Entry {
    /// What is answered without a lookup.
    fn known(&self, now: Time, rules: Lookups) -> Option<Outcome> {
        if let Some(addresses) = self.addresses.as_ref().filter(|_| now < self.fresh_until) {
            return Some(Ok(addresses.clone()));
        }
        if now >= self.retry_at {
            return None;
        }
        match (self.stale(now, rules), self.failure) {
            (Some(addresses), _) => Some(Ok(addresses)),
            (None, failure) => failure.map(Err),
        }
    }

    fn stale(&self, now: Time, rules: Lookups) -> Option<Addresses> {
        let until = self
            .resolved_at
            .after(rules.fresh_for)
            .after(rules.stale_for);
        self.addresses.clone().filter(|_| now < until)
    }

    /// Takes in what a lookup came to, and says what those who wait for it are told.
    fn learn(
        &mut self,
        now: Time,
        answer: Result<Vec<SocketAddr>, ResolveError>,
        rules: Lookups,
    ) -> Outcome {
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                let addresses: Addresses = addresses.into();
                self.addresses = Some(addresses.clone());
                (self.resolved_at, self.fresh_until) = (now, now.after(rules.fresh_for));
                (self.failure, self.retry_at) = (None, Time::ZERO);
                Ok(addresses)
            }
            answer => {
                let why = answer.err().unwrap_or(ResolveError::NotFound);
                if why == ResolveError::NotFound {
                    // An answer, and not the lack of one: what was known before is wrong now.
                    self.addresses = None;
                }
                // What this machine lacked says nothing of the name: it answers for nobody else.
                if !matches!(why, ResolveError::Os(_)) {
                    (self.failure, self.retry_at) = (Some(why), now.after(rules.negative_for));
                }
                self.stale(now, rules).ok_or(why)
            }
        }
    }
}
