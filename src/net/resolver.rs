//! Names, without blocking the loop: lookups run on a few helper threads, which wake it.
//!
//! getaddrinfo(3) blocks for as long as it likes and cannot be cancelled. So a lookup is a job with a number, which may
//! be abandoned: then it is not begun, or its thread counts as stuck and another may be started in its place. Threads
//! are started when there is work for them, up to `threads_max` that are not stuck, and are never joined. One that
//! comes back after all is used again, or ends where it was replaced.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Alarm, getaddrinfo};
use crate::config::Lookups;
use crate::error::ResolveError;
use crate::kernel::Resolved;

/// Looks names up, blocking. Called on helper threads of the client, several at a time.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, in the order in which they should be tried.
    ///
    /// # Errors
    /// Why there is none.
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError>;
}

/// The system's own resolver: getaddrinfo(3), with its order of addresses (RFC 6724).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        getaddrinfo::lookup(host, port)
    }
}

/// The helper threads and what they share with the loop.
pub(super) struct ResolverThreads {
    shared: Arc<Shared>,
    alarm: Alarm,
}

struct Shared {
    resolve: Arc<dyn Resolve>,
    lookups: Lookups,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// What is to be looked up. Numbers rise, so the first was asked first.
    jobs: BTreeMap<u64, (String, u16)>,
    done: VecDeque<Resolved>,
    /// What threads look up now; of these, what nobody waits for.
    running: Vec<u64>,
    stuck: Vec<u64>,
    threads: usize,
    idle: usize,
    ended: bool,
}

impl ResolverThreads {
    pub(super) fn new(
        resolve: Arc<dyn Resolve>,
        lookups: Lookups,
        alarm: Alarm,
    ) -> ResolverThreads {
        let shared = Shared {
            resolve,
            lookups,
            state: Mutex::default(),
            work: Condvar::new(),
        };
        ResolverThreads {
            shared: Arc::new(shared),
            alarm,
        }
    }

    pub(super) fn ask(&mut self, job: u64, host: &str, port: u16) {
        let mut state = self.shared.lock();
        state.jobs.insert(job, (host.to_owned(), port));
        self.find_a_thread(&mut state);
    }

    /// True when it had not begun: it never will.
    pub(super) fn abandon(&mut self, job: u64) -> bool {
        let mut state = self.shared.lock();
        if state.jobs.remove(&job).is_some() {
            return true;
        }
        if state.running.contains(&job) && !state.stuck.contains(&job) {
            state.stuck.push(job);
            self.find_a_thread(&mut state);
        }
        false
    }

    pub(super) fn poll(&mut self) -> Option<Resolved> {
        self.shared.lock().done.pop_front()
    }

    /// Wakes one for what is queued, or starts one where there may be another.
    fn find_a_thread(&self, state: &mut State) {
        if state.jobs.is_empty() {
            return;
        }
        let threads_max = self.shared.threads_max(state);
        if state.jobs.len() <= state.idle || state.threads >= threads_max {
            return self.shared.work.notify_one();
        }
        state.threads += 1;
        let (shared, alarm) = (self.shared.clone(), self.alarm.clone());
        let thread = std::thread::Builder::new().name("taut-resolver".into());
        if thread.spawn(move || shared.work(&alarm)).is_err() {
            state.threads -= 1;
            if state.threads == state.stuck.len() {
                // EAGAIN: no thread at all to look it up with. The jobs must not wait for one for ever.
                let jobs = std::mem::take(&mut state.jobs).into_keys();
                let failed = jobs.map(|job| (job, Err(ResolveError::TryAgain)));
                state.done.extend(failed);
                self.alarm.wake();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A resolver that panicked holds no lock then; what is here is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads there may be now: stuck ones are replaced, up to a bound.
    fn threads_max(&self, state: &State) -> usize {
        let replaced = state.stuck.len().min(self.lookups.stuck_threads_max);
        self.lookups.threads_max.saturating_add(replaced)
    }

    fn work(&self, alarm: &Alarm) {
        while let Some((job, host, port)) = self.next() {
            // A panicking resolver must not leave its job unanswered.
            let lookup = std::panic::AssertUnwindSafe(|| self.resolve.resolve(&host, port));
            let outcome = std::panic::catch_unwind(lookup).unwrap_or(Err(ResolveError::Failed(0)));
            let mut state = self.lock();
            state.running.retain(|other| *other != job);
            state.stuck.retain(|other| *other != job);
            state.done.push_back((job, outcome));
            drop(state);
            alarm.wake();
        }
    }

    /// The next job, waited for; `None` when the thread is to end.
    fn next(&self) -> Option<(u64, String, u16)> {
        let mut state = self.lock();
        loop {
            if state.ended || state.threads > self.threads_max(&state) {
                state.threads -= 1;
                // What woke it may have been meant for whoever is free.
                self.work.notify_one();
                return None;
            }
            if let Some((job, (host, port))) = state.jobs.pop_first() {
                state.running.push(job);
                return Some((job, host, port));
            }
            state.idle += 1;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

impl Drop for ResolverThreads {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_all();
    }
}

impl std::fmt::Debug for ResolverThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("ResolverThreads")
            .field("threads", &state.threads)
            .field("stuck", &state.stuck.len())
            .field("jobs", &state.jobs.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::net::Net;

    /// A lookup ends when the test lets one go.
    struct Held(Mutex<Receiver<()>>);

    impl Resolve for Held {
        fn resolve(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, ResolveError> {
            self.0.lock().unwrap().recv().unwrap();
            Err(ResolveError::TryAgain)
        }
    }

    fn threads(stuck_threads_max: usize) -> (ResolverThreads, Sender<()>) {
        threads_of(1, stuck_threads_max)
    }

    fn threads_of(threads_max: usize, stuck_threads_max: usize) -> (ResolverThreads, Sender<()>) {
        let (let_go, gate) = channel();
        let held = Arc::new(Held(Mutex::new(gate)));
        let lookups = Lookups {
            threads_max,
            stuck_threads_max,
            ..Lookups::default()
        };
        let alarm = Net::new(held.clone(), lookups).unwrap().alarm();
        (ResolverThreads::new(held, lookups, alarm), let_go)
    }

    fn until(threads: &ResolverThreads, holds: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !holds(&threads.shared.lock()) {
            assert!(Instant::now() < deadline, "never came: {threads:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_stuck_thread_is_replaced_and_ends_when_it_comes_back() {
        let (mut threads, let_go) = threads(1);
        threads.ask(1, "a", 1);
        threads.ask(2, "b", 1);
        until(&threads, |state| {
            state.running == [1] && state.jobs.len() == 1
        });
        threads.abandon(1);
        until(&threads, |state| {
            state.threads == 2 && state.running == [1, 2]
        });
        threads.ask(3, "c", 1);
        threads.abandon(2);
        // As many are stuck as may be: what is queued waits for one of them.
        assert_eq!(threads.shared.lock().threads, 2);
        let_go.send(()).unwrap();
        until(&threads, |state| state.running.contains(&3));
        let_go.send(()).unwrap();
        let_go.send(()).unwrap();
        until(&threads, |state| state.threads == 1 && state.idle == 1);
        assert!(threads.shared.lock().stuck.is_empty());
        assert_eq!(std::iter::from_fn(|| threads.poll()).count(), 3);
    }

    /// The sum of both bounds went round, and there was no thread at all.
    #[test]
    fn bounds_without_a_bound_are_bounds_too() {
        let (mut threads, let_go) = threads_of(usize::MAX, usize::MAX);
        threads.ask(1, "a", 1);
        until(&threads, |state| state.running == [1]);
        threads.abandon(1);
        threads.ask(2, "b", 1);
        until(&threads, |state| state.running.contains(&2));
        let_go.send(()).unwrap();
        let_go.send(()).unwrap();
        until(&threads, |state| state.idle == 2);
    }

    #[test]
    fn what_was_abandoned_before_it_began_is_not_begun() {
        let (mut threads, let_go) = threads(0);
        for job in 1..=3 {
            threads.ask(job, "a", 1);
        }
        until(&threads, |state| state.running == [1]);
        threads.abandon(2);
        let_go.send(()).unwrap();
        let_go.send(()).unwrap();
        until(&threads, |state| state.idle == 1);
        let ended: Vec<u64> = std::iter::from_fn(|| threads.poll())
            .map(|(job, _)| job)
            .collect();
        assert_eq!(ended, [1, 3]);
    }
}
