//! Requests that wait for a connection: first in, first out, bounded in number and in bytes.
//!
//! Payloads lie one behind the other in one piece of memory, so waiting allocates nothing in the steady state. A
//! request that gave up leaves its bytes behind until its turn comes: `bytes[head..]` are exactly the payloads of
//! `queue`, in order, but for those that are kept elsewhere. The queue is in the order in which requests were made: one
//! that was served and waits again has its old place.

use std::collections::VecDeque;

use crate::error::{Error, Limit};
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::asked::Asked;

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) asked: Asked,
    /// The end of its waiting.
    pub(crate) wait_until: Time,
    payload_bytes: usize,
    gave_up: bool,
}

impl Waiter {
    /// When it gives up.
    fn end(&self) -> Time {
        self.asked.deadline.min(self.wait_until)
    }
}

#[derive(Debug)]
pub(super) struct Waiting {
    queue: VecDeque<Waiter>,
    bytes: Vec<u8>,
    head: usize,
    /// Of those that have not given up.
    live: usize,
    requests_max: usize,
    bytes_max: usize,
    /// A lower bound of when the first gives up.
    earliest: Time,
}

impl Waiting {
    pub(super) fn new(requests_max: usize, bytes_max: usize) -> Waiting {
        let (queue, bytes) = (VecDeque::new(), Vec::new());
        Waiting {
            queue,
            bytes,
            head: 0,
            live: 0,
            requests_max,
            bytes_max,
            earliest: Time::NEVER,
        }
    }

    pub(super) fn push(
        &mut self,
        asked: Asked,
        wait_until: Time,
        payload: &[u8],
    ) -> Result<(), Error> {
        let is_full = self.queue.len() >= self.requests_max
            || self.bytes.len() - self.head + payload.len() > self.bytes_max;
        if is_full && self.live < self.queue.len() {
            self.compact();
        }
        if self.queue.len() >= self.requests_max {
            return Err(Error::full(Limit::WaitingRequests));
        }
        if self.bytes.len() - self.head + payload.len() > self.bytes_max {
            return Err(Error::full(Limit::WaitingBytes));
        }
        if self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        self.bytes.extend_from_slice(payload);
        let waiter = Waiter {
            asked,
            wait_until,
            payload_bytes: payload.len(),
            gave_up: false,
        };
        self.earliest = self.earliest.min(waiter.end());
        self.live += 1;
        self.queue.push_back(waiter);
        Ok(())
    }

    /// The one whose turn it is, with its payload.
    pub(super) fn front(&mut self) -> Option<(Waiter, &[u8])> {
        self.drop_front();
        let waiter = *self.queue.front()?;
        Some((
            waiter,
            &self.bytes[self.head..self.head + waiter.payload_bytes],
        ))
    }

    /// Its turn is done.
    pub(super) fn pop(&mut self) {
        if let Some(waiter) = self.queue.pop_front() {
            self.head += waiter.payload_bytes;
            self.live -= usize::from(!waiter.gave_up);
        }
        if self.queue.is_empty() {
            self.bytes.clear();
            self.head = 0;
            self.earliest = Time::NEVER;
        }
    }

    /// Forgets those in front that gave up.
    fn drop_front(&mut self) {
        while self.queue.front().is_some_and(|waiter| waiter.gave_up) {
            self.pop();
        }
    }

    /// Forgets those that gave up in the midst of others, with their bytes.
    fn compact(&mut self) {
        let (mut from, mut to) = (self.head, self.head);
        for waiter in &self.queue {
            let next = from + waiter.payload_bytes;
            if !waiter.gave_up {
                self.bytes.copy_within(from..next, to);
                to += waiter.payload_bytes;
            }
            from = next;
        }
        self.bytes.truncate(to);
        self.queue.retain(|waiter| !waiter.gave_up);
    }

    /// Panics when a figure is not what it counts, or a bound is broken.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let live = self.queue.iter().filter(|waiter| !waiter.gave_up);
        assert_eq!(live.clone().count(), self.live, "those that wait");
        let ends = live.map(Waiter::end);
        assert!(
            ends.min().is_none_or(|end| self.earliest <= end),
            "gives up late"
        );
        let bytes: usize = self.queue.iter().map(|waiter| waiter.payload_bytes).sum();
        assert_eq!(
            bytes,
            self.bytes.len() - self.head,
            "bytes of those that wait"
        );
        let made = self.queue.iter().map(|waiter| waiter.asked.request);
        assert!(made.is_sorted(), "not in the order in which they were made");
        assert!(self.queue.len() <= self.requests_max, "too many wait");
        assert!(bytes <= self.bytes_max, "too many bytes wait");
    }

    /// Those that wait and whose payloads are kept elsewhere.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let live = self.queue.iter().filter(|waiter| !waiter.gave_up);
        live.filter(|waiter| waiter.asked.again.kept.is_some())
            .count()
    }

    /// Those that wait and have not given up.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.earliest
    }

    /// Gives up those whose time has passed.
    pub(super) fn expire(&mut self, now: Time, mut fail: impl FnMut(Waiter, &[u8])) {
        let mut earliest = Time::NEVER;
        let mut from = self.head;
        for waiter in &mut self.queue {
            let payload = &self.bytes[from..from + waiter.payload_bytes];
            from += payload.len();
            if waiter.gave_up {
                continue;
            }
            let end = waiter.end();
            if end <= now {
                waiter.gave_up = true;
                self.live -= 1;
                fail(*waiter, payload);
            } else {
                earliest = earliest.min(end);
            }
        }
        self.earliest = earliest;
        self.drop_front();
    }

    /// Whether one more may wait whose bytes are kept elsewhere.
    pub(super) fn has_room(&mut self) -> bool {
        if self.queue.len() >= self.requests_max && self.live < self.queue.len() {
            self.compact();
        }
        self.queue.len() < self.requests_max
    }

    /// Whether all that wait were made before this one.
    pub(super) fn is_newest(&self, request: RequestId) -> bool {
        let newest = self.queue.back().map(|waiter| waiter.asked.request);
        newest.is_none_or(|newest| newest < request)
    }

    /// One that has been served waits again, in front of all that were made later, where there is room for it. Its
    /// bytes are kept elsewhere.
    pub(super) fn put_back(&mut self, asked: Asked, wait_until: Time) {
        debug_assert!(self.queue.len() < self.requests_max, "more than may wait");
        let waiter = Waiter {
            asked,
            wait_until,
            payload_bytes: 0,
            gave_up: false,
        };
        let is_before = |other: &Waiter| other.asked.request < asked.request;
        let place = self.queue.partition_point(is_before);
        self.earliest = self.earliest.min(waiter.end());
        self.live += 1;
        self.queue.insert(place, waiter);
    }

    /// Gives up this one, if it is here. Those that wait are in the order of their requests.
    pub(super) fn cancel(&mut self, request: RequestId) -> Option<Waiter> {
        let of = |waiter: &Waiter| waiter.asked.request;
        let place = self.queue.binary_search_by_key(&request, of).ok()?;
        let waiter = &mut self.queue[place];
        if std::mem::replace(&mut waiter.gave_up, true) {
            return None;
        }
        let waiter = *waiter;
        self.live -= 1;
        self.drop_front();
        Some(waiter)
    }

    /// Gives up all.
    pub(super) fn fail_all(&mut self, mut fail: impl FnMut(Waiter, &[u8])) {
        while let Some(waiter) = self.queue.front().copied() {
            if !waiter.gave_up {
                let end = self.head + waiter.payload_bytes;
                fail(waiter, &self.bytes[self.head..end]);
            }
            self.pop();
        }
    }
}
