//! Names: what was last said of each, how long that holds, and who waits to hear.
//!
//! However many ask for a name, one lookup is under way for it (single flight). An answer is used for a while
//! (`fresh_for`), a failure too (`negative_for`). Where a new lookup fails or does not come back in time, addresses that
//! are no longer fresh are better than none (RFC 8767) for `stale_for`, but never against a resolver that says that the
//! name does not exist. A lookup has a time of its own, whoever asked for it: past it another is begun in its place, for
//! whoever asks or still waits, and when its answer does come it is remembered all the same. But not without end: of a
//! name at most `stuck_threads_per_name_max` that were given up may hold a thread; then the last is waited for.
//!
//! Never: a thread, a socket, a clock. Lookups are begun by the engine, which is told to; time comes in. What is
//! remembered is bounded; what is waited for is bounded by the connections that wait. Always: for who waits, a lookup
//! is under way that was not given up for another.

#[cfg(test)]
mod check;
mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::config::Lookups;
use crate::error::{Class, ResolveError, Source};
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

/// What is to be done about lookups when one waits no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GivenUp {
    /// A lookup for which nobody waits now, or nobody should.
    pub(crate) abandoned: Option<u64>,
    /// The number of the one that is to be begun in its place, for the others that wait.
    pub(crate) begun: Option<u64>,
}

/// Bits of a job's number that name the entry; the rest counts lookups.
const INDEX_BITS: u32 = 30;

/// The names of one engine.
#[derive(Debug)]
pub(crate) struct Names {
    rules: Lookups,
    /// How long a lookup may take before another is begun in its place.
    lookup_timeout: Duration,
    entries: Slab<Entry>,
    by_target: BTreeMap<Box<str>, u32>,
    /// Those for which nobody waits, the longest unasked first.
    idle: BTreeSet<(Time, u32)>,
    lookups: u64,
}

#[derive(Debug)]
struct Entry {
    target: Box<str>,
    /// How many lookups had begun when it was made: answers to those are another name's.
    born: u64,
    /// The lookup whose answer is known. What one begun earlier still says is not news.
    answered: u64,
    addresses: Option<Addresses>,
    resolved_at: Time,
    fresh_until: Time,
    failure: Option<ResolveError>,
    /// Until then no new lookup is begun after one that failed.
    retry_at: Time,
    /// The end of the lookup under way, and its number.
    under_way: Option<(Time, u64)>,
    /// Those that were given up for another, and have not come back.
    stuck: Vec<u64>,
    waiters: BTreeSet<u64>,
    asked_at: Time,
    /// The address that was connected to last, and until when it goes first.
    winner: Option<(SocketAddr, Time)>,
}

impl Names {
    pub(crate) fn new(rules: Lookups, lookup_timeout: Duration) -> Names {
        Names {
            rules,
            lookup_timeout,
            entries: Slab::new(),
            by_target: BTreeMap::new(),
            idle: BTreeSet::new(),
            lookups: 0,
        }
    }

    /// `waiter` asks for `target` (`host:port`), and waits if it is not told at once.
    pub(crate) fn ask(&mut self, now: Time, target: &str, waiter: u64) -> (NameKey, Asked) {
        let index = match self.by_target.get(target) {
            Some(index) => *index,
            None => self.remember(target, now),
        };
        let entry = &mut self.entries[index as usize];
        self.idle.remove(&(entry.asked_at, index));
        entry.asked_at = now;
        let born = entry.born;
        let key = NameKey { index, born };
        if let Some(outcome) = entry.known(now, self.rules) {
            if entry.waiters.is_empty() {
                self.idle.insert((now, index));
            }
            return (key, Asked::Known(outcome));
        }
        entry.waiters.insert(waiter);
        if entry.is_to_be_awaited(now, self.rules) {
            return (key, Asked::Joined);
        }
        let in_place_of = entry.under_way.map(|(_, job)| job);
        let job = self.begin(now, index);
        (key, Asked::Begin { job, in_place_of })
    }

    /// A lookup has ended: `told` gets who is to hear of it, and what. Returns one that nobody waits for now.
    pub(crate) fn handle_resolved(
        &mut self,
        now: Time,
        job: u64,
        answer: Result<Vec<SocketAddr>, ResolveError>,
        told: &mut Vec<(u64, Outcome)>,
    ) -> Option<u64> {
        let (index, begun) = numbers_of(job);
        let rules = self.rules;
        let entry = self.entry_of(job)?;
        entry.stuck.retain(|other| *other != job);
        // Whoever says that there is none has answered; no address at all says the same.
        let answer = answer.and_then(|addresses| match addresses.is_empty() {
            true => Err(ResolveError::NotFound),
            false => Ok(addresses),
        });
        let is_awaited = entry.under_way.is_some_and(|(_, awaited)| awaited == job);
        if !is_awaited && (answer.is_err() || begun < entry.answered) {
            // Given up; another lookup may be under way, and may do better, or has done already.
            return None;
        }
        let other = entry.under_way.take().map(|(_, job)| job);
        let other = other.filter(|other| *other != job);
        entry.stuck.extend(other);
        let outcome = entry.learn(now, begun, answer, rules);
        let waiters = std::mem::take(&mut entry.waiters);
        let asked_at = entry.asked_at;
        told.extend(waiters.into_iter().map(|it| (it, outcome.clone())));
        self.rest((asked_at, index));
        other
    }

    /// A lookup that was abandoned had not been begun, and never will be.
    pub(crate) fn handle_dropped(&mut self, job: u64) {
        if let Some(entry) = self.entry_of(job) {
            entry.under_way = entry.under_way.filter(|(_, other)| *other != job);
            entry.stuck.retain(|other| *other != job);
        }
    }

    /// `waiter` waits no longer.
    pub(crate) fn give_up(&mut self, now: Time, key: NameKey, waiter: u64) -> GivenUp {
        let rules = self.rules;
        let Some(entry) = self.entry(key) else {
            return GivenUp::default();
        };
        if !entry.waiters.remove(&waiter) {
            return GivenUp::default();
        }
        let under_way = entry.under_way;
        let abandoned = under_way.map(|(_, job)| job);
        if entry.waiters.is_empty() {
            let place = (entry.asked_at, key.index);
            self.rest(place);
            let begun = None;
            return GivenUp { abandoned, begun };
        }
        match entry.is_to_be_awaited(now, rules) {
            true => GivenUp::default(),
            false => GivenUp {
                abandoned,
                begun: Some(self.begin(now, key.index)),
            },
        }
    }

    /// Addresses that were good once, for one that has waited for as long as it may. The next to ask need not wait in
    /// vain as well.
    pub(crate) fn make_do(&mut self, now: Time, key: NameKey) -> Option<Addresses> {
        let rules = self.rules;
        let entry = self.entry(key)?;
        let addresses = entry.stale(now, rules)?;
        entry.retry_at = now.after(rules.negative_for);
        Some(addresses)
    }

    /// `host:port`, as it was asked for.
    pub(crate) fn target(&self, key: NameKey) -> Option<&str> {
        let entry = self.entries.get(key.index as usize);
        let entry = entry.filter(|entry| entry.born == key.born);
        entry.map(|entry| &*entry.target)
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

    /// The entry that a lookup was begun for, unless it was forgotten.
    fn entry_of(&mut self, job: u64) -> Option<&mut Entry> {
        let (index, begun) = numbers_of(job);
        let entry = self.entries.get_mut(index as usize);
        entry.filter(|entry| entry.born < begun)
    }

    fn remember(&mut self, target: &str, now: Time) -> u32 {
        let entry = Entry {
            target: target.into(),
            born: self.lookups,
            answered: 0,
            addresses: None,
            resolved_at: Time::ZERO,
            fresh_until: Time::ZERO,
            failure: None,
            retry_at: Time::ZERO,
            under_way: None,
            stuck: Vec::new(),
            waiters: BTreeSet::new(),
            asked_at: now,
            winner: None,
        };
        let index = self.entries.insert(entry) as u32;
        self.by_target.insert(target.into(), index);
        index
    }

    /// Numbers a lookup, which is the one under way from now on.
    fn begin(&mut self, now: Time, index: u32) -> u64 {
        self.lookups += 1;
        let job = self.lookups << INDEX_BITS | u64::from(index);
        let end = now.after(self.lookup_timeout);
        let entry = &mut self.entries[index as usize];
        entry
            .stuck
            .extend(entry.under_way.map(|(_, given_up)| given_up));
        entry.under_way = Some((end, job));
        job
    }

    /// Nobody waits for it now. Of those there are as many as there may be: the longest unasked are forgotten.
    fn rest(&mut self, place: (Time, u32)) {
        self.idle.insert(place);
        while self.idle.len() > self.rules.names_max {
            if let Some((_, index)) = self.idle.pop_first() {
                let entry = self.entries.remove(index as usize);
                self.by_target.remove(&entry.target);
            }
        }
    }
}

/// The index of the entry that a lookup is for, and how many lookups had begun with it.
fn numbers_of(job: u64) -> (u32, u64) {
    let index = job & ((1 << INDEX_BITS) - 1);
    (index as u32, job >> INDEX_BITS)
}

impl Entry {
    /// Whether the lookup under way has time left, or may not have another in its place.
    fn is_to_be_awaited(&self, now: Time, rules: Lookups) -> bool {
        let is_last = self.stuck.len() >= rules.stuck_threads_per_name_max;
        self.under_way.is_some_and(|(end, _)| end > now || is_last)
    }

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
        begun: u64,
        answer: Result<Vec<SocketAddr>, ResolveError>,
        rules: Lookups,
    ) -> Outcome {
        match answer {
            Ok(addresses) => {
                let addresses = order::in_order(&addresses, rules.addresses_max);
                self.answered = begun;
                self.addresses = Some(addresses.clone());
                (self.resolved_at, self.fresh_until) = (now, now.after(rules.fresh_for));
                (self.failure, self.retry_at) = (None, Time::ZERO);
                Ok(addresses)
            }
            Err(why) => {
                if why == ResolveError::NotFound {
                    // An answer, and not the lack of one: what was known before is wrong now.
                    (self.answered, self.addresses) = (begun, None);
                }
                // What this machine lacked says nothing of the name: it answers for nobody else.
                if Source::Resolve(why).class() != Class::Resource {
                    (self.failure, self.retry_at) = (Some(why), now.after(rules.negative_for));
                }
                self.stale(now, rules).ok_or(why)
            }
        }
    }
}
