//! The requests that await their replies on one connection, in the order they were sent, which is the order in which
//! replies come.
//!
//! A request that timed out after bytes of it had left stays as a *tombstone*: it swallows its late reply, so that its
//! neighbours' replies are not taken for it. `earliest` is a lower bound of the deadlines here: it is exact after a
//! scan and never late in between.

use std::collections::VecDeque;
use std::ops::Range;

use crate::error::{Phase, Sent};
use crate::event::RequestId;
use crate::time::Time;

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) request: RequestId,
    pub(crate) tag: u64,
    pub(crate) deadline: Time,
    /// Its bytes in the stream.
    pub(crate) range: Range<u64>,
    /// It has failed; only its reply is still to be swallowed.
    pub(crate) is_tombstone: bool,
}

/// How far a connection's stream is known to have come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Bytes handed to the kernel.
    pub(crate) written: u64,
    /// Bytes of an unfinished reply have come.
    pub(crate) reply_begun: bool,
}

/// Which requests may expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Those of which nothing was written: no reply of theirs can be here unread.
    Unsent,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    queue: VecDeque<InFlight>,
    tombstones: usize,
    earliest: Time,
}

impl Pipeline {
    pub(super) fn new() -> Pipeline {
        Pipeline {
            queue: VecDeque::new(),
            tombstones: 0,
            earliest: Time::NEVER,
        }
    }

    pub(super) fn push(&mut self, request: InFlight) {
        self.earliest = self.earliest.min(request.deadline);
        self.queue.push_back(request);
    }

    /// Whether a reply may come: the kernel has taken some of the oldest request, so the peer may have it.
    pub(super) fn has_begun(&self, written: u64) -> bool {
        self.queue
            .front()
            .is_some_and(|oldest| oldest.range.start < written)
    }

    /// The request that the next reply answers: never one of which not a byte was written.
    pub(super) fn complete(&mut self, written: u64) -> Option<InFlight> {
        if !self.has_begun(written) {
            return None;
        }
        let request = self.queue.pop_front()?;
        self.tombstones -= usize::from(request.is_tombstone);
        if self.queue.is_empty() {
            self.earliest = Time::NEVER;
        }
        Some(request)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether any request here timed out: the connection then takes no new one.
    pub(super) fn is_doomed(&self) -> bool {
        self.tombstones > 0
    }

    /// Whether nobody waits for a reply any more.
    pub(super) fn is_forsaken(&self) -> bool {
        self.tombstones == self.queue.len()
    }

    /// A lower bound of the next deadline.
    pub(super) fn next_deadline(&self) -> Time {
        self.earliest
    }

    /// Takes the requests whose deadline has passed: those of which nothing was written leave the queue (and the
    /// caller withdraws their bytes, last one first), the others leave a tombstone.
    pub(super) fn expire(
        &mut self,
        now: Time,
        which: Which,
        progress: Progress,
        expired: &mut Vec<(InFlight, Sent)>,
    ) {
        let from = expired.len();
        for (position, request) in self.queue.iter_mut().enumerate() {
            let may = which == Which::All || request.range.start >= progress.written;
            if may && request.deadline <= now && !request.is_tombstone {
                expired.push((request.clone(), sent(position, &request.range, progress)));
                request.is_tombstone = true;
                self.tombstones += 1;
            }
        }
        for (unsent, _) in expired[from..]
            .iter()
            .rev()
            .filter(|(_, sent)| *sent == Sent::No)
        {
            self.withdraw(unsent.request);
        }
        let live = self.live().map(|request| request.deadline);
        self.earliest = live.min().unwrap_or(Time::NEVER);
    }

    /// Takes all requests that still wait, with what was sent of each, when the connection is lost.
    pub(super) fn lose(&mut self, progress: Progress, mut fail: impl FnMut(InFlight, Phase, Sent)) {
        for (position, request) in std::mem::take(&mut self.queue).into_iter().enumerate() {
            if !request.is_tombstone {
                let phase = if request.range.end > progress.written {
                    Phase::Write
                } else {
                    Phase::Read
                };
                let sent = sent(position, &request.range, progress);
                fail(request, phase, sent);
            }
        }
        *self = Pipeline::new();
    }

    fn live(&self) -> impl Iterator<Item = &InFlight> {
        self.queue.iter().filter(|request| !request.is_tombstone)
    }

    fn withdraw(&mut self, request: RequestId) {
        let Some(position) = self.queue.iter().position(|other| other.request == request) else {
            return;
        };
        let Some(gone) = self.queue.remove(position) else {
            return;
        };
        self.tombstones -= 1;
        let bytes = gone.range.end - gone.range.start;
        for later in self.queue.range_mut(position..) {
            later.range = later.range.start - bytes..later.range.end - bytes;
        }
    }
}

fn sent(position: usize, range: &Range<u64>, progress: Progress) -> Sent {
    match range.start >= progress.written {
        true => Sent::No,
        false if position == 0 && progress.reply_begun => Sent::Yes,
        false => Sent::Maybe,
    }
}
