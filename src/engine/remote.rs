//! Requests from other threads: a bounded mailbox, emptied by the loop when it is woken.
//!
//! The mailbox's lock is held for a push and for a swap, never during I/O. A request that names a channel gets its
//! outcome there, once, in whatever way it ends; also when the loop itself ends.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::core::Core;
use super::requests::Terms;
use crate::error::{Error, Limit, Phase, Sent, Source};
use crate::event::{Event, RequestId, UpstreamId};
use crate::kernel::Kernel;
use crate::time::Time;

/// How a request that was made from another thread ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The tag it was given.
    pub tag: u64,
    /// The reply's payload, or why there is none.
    pub result: Result<Vec<u8>, Error>,
}

/// A request on its way into the loop.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) upstream: UpstreamId,
    pub(crate) payload: Vec<u8>,
    /// `None`: the upstream's own timeout.
    pub(crate) deadline: Option<Time>,
    pub(crate) terms: Terms,
    /// `None`: it ends as an event of the loop.
    pub(crate) reply_to: Option<Sender<Outcome>>,
}

/// What other threads put in and the loop takes out.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    submissions_max: usize,
}

#[derive(Debug, Default)]
struct State {
    submissions: Vec<Submission>,
    /// Nothing is taken any more, for this reason.
    refuses: Option<Error>,
}

impl Mailbox {
    pub(super) fn new(submissions_max: usize) -> Mailbox {
        Mailbox {
            state: Mutex::default(),
            submissions_max,
        }
    }

    /// Puts a request in; whether the loop has to be woken for it.
    pub(crate) fn put(&self, submission: Submission) -> Result<bool, Error> {
        let mut state = self.lock();
        if let Some(error) = state.refuses {
            return Err(error);
        }
        if state.submissions.len() >= self.submissions_max {
            return Err(Error::full(Limit::Submissions));
        }
        state.submissions.push(submission);
        Ok(state.submissions.len() == 1)
    }

    /// Requests that the loop has not taken.
    pub(super) fn len(&self) -> usize {
        self.lock().submissions.len()
    }

    /// Takes nothing from now on.
    pub(super) fn refuse(&self, error: Error) {
        self.lock().refuses = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's side: the mailbox, and who waits for an outcome.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) mailbox: std::sync::Arc<Mailbox>,
    waiting: HashMap<RequestId, (u64, Sender<Outcome>)>,
    /// The list that is swapped with the mailbox's.
    taken: Vec<Submission>,
}

impl Remote {
    pub(super) fn new(submissions_max: usize) -> Remote {
        let mailbox = std::sync::Arc::new(Mailbox::new(submissions_max));
        Remote {
            mailbox,
            waiting: HashMap::new(),
            taken: Vec::new(),
        }
    }

    /// Whether a request's outcome goes to a channel.
    pub(super) fn awaits(&self, request: RequestId) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&request)
    }

    /// Sends an outcome to the channel that waits for it.
    pub(super) fn tell(&mut self, request: RequestId, result: Result<Vec<u8>, Error>) {
        if let Some((tag, reply_to)) = self.waiting.remove(&request) {
            // Who no longer listens needs no answer.
            let _ = reply_to.send(Outcome { tag, result });
        }
    }
}

impl<K: Kernel> Core<K> {
    /// Makes the requests that other threads have put in.
    pub(super) fn take_submissions(&mut self) {
        let mut taken = std::mem::take(&mut self.remote.taken);
        std::mem::swap(&mut taken, &mut self.remote.mailbox.lock().submissions);
        for Submission {
            upstream,
            payload,
            deadline,
            terms,
            reply_to,
        } in taken.drain(..)
        {
            let tag = terms.tag;
            let made = self.request(upstream, &payload, terms, |now, service, _| {
                deadline.unwrap_or(now.after(service.timeouts.request))
            });
            match (made, reply_to) {
                (Ok(request), Some(reply_to)) => {
                    self.remote.waiting.insert(request, (tag, reply_to));
                }
                (Ok(_), None) => {}
                (Err(error), Some(reply_to)) => {
                    let _ = reply_to.send(Outcome {
                        tag,
                        result: Err(error),
                    });
                }
                (Err(error), None) => {
                    self.requests_made += 1;
                    self.events.push_back(Event::Failed {
                        request: RequestId(self.requests_made),
                        tag,
                        error,
                    });
                }
            }
        }
        self.remote.taken = taken;
    }

    /// Tells that a request failed, to whom it concerns.
    pub(super) fn tell_failure(&mut self, request: RequestId, tag: u64, error: Error) {
        self.counts.failed(&error);
        self.watch.handle_ended(self.now, request, tag, Err(error));
        match self.remote.awaits(request) {
            true => self.remote.tell(request, Err(error)),
            false => self.events.push_back(Event::Failed {
                request,
                tag,
                error,
            }),
        }
    }
}

/// The loop ends: nobody is left waiting.
impl Drop for Remote {
    fn drop(&mut self) {
        let submissions = {
            let mut state = self.mailbox.lock();
            state.refuses = Some(Error::new(Phase::Write, Source::NotOpen));
            std::mem::take(&mut state.submissions)
        };
        let error = Error::new(Phase::Drain, Source::Closed);
        for Submission {
            terms, reply_to, ..
        } in submissions
        {
            if let Some(reply_to) = reply_to {
                let _ = reply_to.send(Outcome {
                    tag: terms.tag,
                    result: Err(error),
                });
            }
        }
        for (tag, reply_to) in std::mem::take(&mut self.waiting).into_values() {
            let _ = reply_to.send(Outcome {
                tag,
                result: Err(Error {
                    sent: Sent::Maybe,
                    ..error
                }),
            });
        }
    }
}
