//! The requests that await their replies on one connection, in the order they were sent. That is the order in which
//! replies come, unless they carry ids: then any may be taken out of its turn, in constant time.
//!
//! A request that timed out after bytes of it had left stays as a *tombstone*: it swallows its late reply, so that its
//! neighbours' replies are not taken for it. `earliest` is a lower bound of the deadlines here: it is exact after a
//! scan and never late in between.
//!
//! A heartbeat has a place in that order and is no request: it is not counted, has no deadline, and is lost in silence.

use std::ops::Range;

use slab::Slab;

use crate::error::{Phase, Sent};
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::asked::{Again, Asked};

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) request: RequestId,
    pub(crate) tag: u64,
    pub(crate) deadline: Time,
    pub(crate) again: Again,
    /// Its bytes in the stream.
    pub(crate) range: Range<u64>,
    /// It has failed; only its reply is still to be swallowed.
    pub(crate) is_tombstone: bool,
}

impl InFlight {
    /// What goes with it wherever it is.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            request: self.request,
            tag: self.tag,
            deadline: self.deadline,
            again: self.again,
        }
    }
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

/// No entry.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Entry {
    request: InFlight,
    /// Sent before it and after it.
    older: u32,
    newer: u32,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    entries: Slab<Entry>,
    oldest: u32,
    newest: u32,
    tombstones: usize,
    earliest: Time,
    /// Where the heartbeat begins in the stream whose answer has not come.
    heartbeat: Option<u64>,
}

impl Pipeline {
    pub(super) fn new() -> Pipeline {
        Pipeline {
            entries: Slab::new(),
            oldest: NONE,
            newest: NONE,
            tombstones: 0,
            earliest: Time::NEVER,
            heartbeat: None,
        }
    }

    /// The newest request. Returns the key by which it can be taken out of its turn.
    pub(super) fn push(&mut self, request: InFlight) -> u32 {
        self.earliest = self.earliest.min(request.deadline);
        let older = self.newest;
        let key = self.entries.insert(Entry {
            request,
            older,
            newer: NONE,
        }) as u32;
        match self.entries.get_mut(older as usize) {
            Some(older) => older.newer = key,
            None => self.oldest = key,
        }
        self.newest = key;
        key
    }

    /// Whether a reply may come: the kernel has taken some of the oldest request or of a heartbeat, so the peer may have
    /// it.
    pub(super) fn has_begun(&self, written: u64) -> bool {
        let oldest = self.entries.get(self.oldest as usize);
        let oldest = oldest.map(|oldest| oldest.request.range.start);
        oldest.is_some_and(|start| start < written) || self.heartbeat_has_begun(written)
    }

    /// A heartbeat is queued behind all that is here.
    pub(super) fn put_heartbeat(&mut self, start: u64) {
        debug_assert!(self.heartbeat.is_none(), "one at a time");
        self.heartbeat = Some(start);
    }

    /// It is answered.
    pub(super) fn take_heartbeat(&mut self) {
        self.heartbeat = None;
    }

    pub(super) fn has_heartbeat(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// Whether the answer to a heartbeat may come.
    pub(super) fn heartbeat_has_begun(&self, written: u64) -> bool {
        self.heartbeat.is_some_and(|start| start < written)
    }

    /// The request that the next reply answers: never one of which not a byte was written.
    pub(super) fn complete(&mut self, written: u64) -> Option<InFlight> {
        self.complete_out_of_turn(self.oldest, written)
    }

    /// The request of this key, if a reply may come to it.
    pub(super) fn complete_out_of_turn(&mut self, key: u32, written: u64) -> Option<InFlight> {
        let entry = self.entries.get(key as usize)?;
        (entry.request.range.start < written).then(|| self.remove(key))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Requests that timed out and whose late replies are still to be swallowed.
    pub(super) fn tombstones(&self) -> usize {
        self.tombstones
    }

    /// A lower bound of the next deadline.
    pub(super) fn next_deadline(&self) -> Time {
        self.earliest
    }

    /// Takes the requests whose deadline has passed; see `give_up`.
    pub(super) fn expire(
        &mut self,
        now: Time,
        which: Which,
        progress: Progress,
        expired: &mut Vec<(InFlight, Sent)>,
    ) {
        let is_due = |request: &InFlight, sent| {
            (which == Which::All || sent == Sent::No) && request.deadline <= now
        };
        self.give_up(progress, is_due, expired);
    }

    /// Takes requests that nobody waits for any more: those of which nothing was written leave the pipeline (and the
    /// caller withdraws their bytes), the others leave a tombstone.
    pub(super) fn give_up(
        &mut self,
        progress: Progress,
        is_given_up: impl Fn(&InFlight, Sent) -> bool,
        given_up: &mut Vec<(InFlight, Sent)>,
    ) {
        let progress = self.of_requests(progress);
        let (mut bytes_gone, mut bytes_gone_before_heartbeat) = (0, 0);
        let mut next = self.oldest;
        while let Some(entry) = self.entries.get_mut(next as usize) {
            let key = std::mem::replace(&mut next, entry.newer);
            let request = &mut entry.request;
            let sent = sent(entry.older == NONE, &request.range, progress);
            let is_given_up = !request.is_tombstone && is_given_up(request, sent);
            if is_given_up {
                given_up.push((request.clone(), sent));
                request.again.kept = None;
            }
            if is_given_up && sent == Sent::No {
                let range = request.range.clone();
                bytes_gone += range.end - range.start;
                if self.heartbeat.is_some_and(|start| range.start < start) {
                    bytes_gone_before_heartbeat = bytes_gone;
                }
                self.remove(key);
                continue;
            }
            request.range = request.range.start - bytes_gone..request.range.end - bytes_gone;
            request.is_tombstone |= is_given_up;
            self.tombstones += usize::from(is_given_up);
        }
        self.heartbeat = self.heartbeat.map(|it| it - bytes_gone_before_heartbeat);
        let live = self.in_order().filter(|request| !request.is_tombstone);
        let nearest = live.map(|request| request.deadline).min();
        self.earliest = nearest.unwrap_or(Time::NEVER);
    }

    /// Takes requests out of a connection that is lost, with what was sent of each; those that are wanted.
    pub(super) fn take_out(
        &mut self,
        progress: Progress,
        mut is_wanted: impl FnMut(&InFlight, Sent) -> bool,
    ) {
        let progress = self.of_requests(progress);
        let mut is_oldest = true;
        let mut next = self.oldest;
        while let Some(entry) = self.entries.get(next as usize) {
            let key = std::mem::replace(&mut next, entry.newer);
            let request = &entry.request;
            let sent = sent(is_oldest, &request.range, progress);
            is_oldest = false;
            if !request.is_tombstone && is_wanted(request, sent) {
                self.remove(key);
            }
        }
    }

    /// Takes all requests that still wait, with what was sent of each, when the connection is lost.
    pub(super) fn lose(
        &mut self,
        progress: Progress,
        mut fail: impl FnMut(&InFlight, Phase, Sent),
    ) {
        let progress = self.of_requests(progress);
        for (place, request) in self.in_order().enumerate() {
            if !request.is_tombstone {
                let phase = if request.range.end > progress.written {
                    Phase::Write
                } else {
                    Phase::Read
                };
                fail(request, phase, sent(place == 0, &request.range, progress));
            }
        }
        *self = Pipeline::new();
    }

    /// What has begun to come is the answer to a heartbeat before it is that to a request.
    fn of_requests(&self, progress: Progress) -> Progress {
        let oldest = self.in_order().next();
        let is_behind = |start| oldest.is_none_or(|it| it.range.start > start);
        Progress {
            reply_begun: progress.reply_begun && !self.heartbeat.is_some_and(is_behind),
            ..progress
        }
    }

    /// All, tombstones too, the oldest first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &InFlight> {
        let entry = |key: u32| self.entries.get(key as usize);
        std::iter::successors(entry(self.oldest), move |it| entry(it.newer))
            .map(|entry| &entry.request)
    }

    /// Panics when a figure is not what it counts.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(
            self.in_order().count(),
            self.entries.len(),
            "linked in order"
        );
        let tombstones = self.in_order().filter(|request| request.is_tombstone);
        assert_eq!(tombstones.count(), self.tombstones, "tombstones");
        let live = self.in_order().filter(|request| !request.is_tombstone);
        let nearest = live.map(|request| request.deadline).min();
        assert!(
            nearest.is_none_or(|nearest| self.earliest <= nearest),
            "expires late"
        );
        let mut starts = self.in_order().map(|request| request.range.clone());
        let mut end = starts.next().map_or(0, |range| range.end);
        for range in starts {
            assert!(range.start >= end, "requests overlap in the stream");
            end = range.end;
        }
    }

    fn remove(&mut self, key: u32) -> InFlight {
        let Entry {
            request,
            older,
            newer,
        } = self.entries.remove(key as usize);
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        self.tombstones -= usize::from(request.is_tombstone);
        if self.entries.is_empty() {
            self.earliest = Time::NEVER;
        }
        request
    }
}

fn sent(is_oldest: bool, range: &Range<u64>, progress: Progress) -> Sent {
    match range.start >= progress.written {
        true => Sent::No,
        false if is_oldest && progress.reply_begun => Sent::Yes,
        false => Sent::Maybe,
    }
}
