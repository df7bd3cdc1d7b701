//! Names, without blocking the loop: lookups run on a few helper threads, which wake it.
//!
//! getaddrinfo(3) blocks for as long as it likes and cannot be cancelled. So a lookup is a job with a number; its
//! deadline is the engine's, and an answer that comes after it is for a number nobody asks for any more. Threads are
//! started when there is work for them, up to four, and are never joined: one may be stuck in a lookup.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Alarm, getaddrinfo};
use crate::error::ResolveError;
use crate::kernel::Resolved;
use crate::time::Time;

const THREADS_MAX: usize = 4;

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
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with the time until which somebody waits for it.
    jobs: VecDeque<(u64, String, u16, Time)>,
    done: VecDeque<Resolved>,
    threads: usize,
    idle: usize,
    ended: bool,
}

impl ResolverThreads {
    pub(super) fn new(resolve: Arc<dyn Resolve>, alarm: Alarm) -> ResolverThreads {
        let shared = Shared {
            resolve,
            state: Mutex::default(),
            work: Condvar::new(),
        };
        ResolverThreads {
            shared: Arc::new(shared),
            alarm,
        }
    }

    pub(super) fn ask(&mut self, job: u64, host: &str, port: u16, until: Time, now: Time) {
        let mut state = self.shared.lock();
        // While all threads are stuck, what was given up must not pile up, nor be looked up before this.
        while state.jobs.front().is_some_and(|(.., until)| *until <= now) {
            state.jobs.pop_front();
        }
        state.jobs.push_back((job, host.to_owned(), port, until));
        if state.jobs.len() <= state.idle || state.threads == THREADS_MAX {
            self.shared.work.notify_one();
            return;
        }
        state.threads += 1;
        let (shared, alarm) = (self.shared.clone(), self.alarm.clone());
        let thread = std::thread::Builder::new().name("taut-resolver".into());
        if thread.spawn(move || shared.work(&alarm)).is_err() {
            state.threads -= 1;
            if state.threads == 0 {
                // EAGAIN: no thread at all to look it up with. The job must not wait for one for ever.
                state.jobs.retain(|(other, ..)| *other != job);
                state.done.push_back((job, Err(ResolveError::TryAgain)));
                self.alarm.wake();
            }
        }
    }

    pub(super) fn poll(&mut self) -> Option<Resolved> {
        self.shared.lock().done.pop_front()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A resolver that panicked holds no lock then; what is here is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, alarm: &Alarm) {
        while let Some((job, host, port)) = self.next() {
            // A panicking resolver must not leave its job unanswered.
            let lookup = std::panic::AssertUnwindSafe(|| self.resolve.resolve(&host, port));
            let outcome = std::panic::catch_unwind(lookup).unwrap_or(Err(ResolveError::Failed(0)));
            self.lock().done.push_back((job, outcome));
            alarm.wake();
        }
    }

    fn next(&self) -> Option<(u64, String, u16)> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some((job, host, port, _)) = state.jobs.pop_front() {
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
            .field("jobs", &state.jobs.len())
            .finish()
    }
}
