//! What is on its way from an upstream that cannot serve it to its fallback: requests whose waiting has failed.
//!
//! It is filled by one call into the upstream's machine and emptied by the engine right after it, which places each at
//! the fallback, or lets it fail as it would have without one. Always: whatever is here is also among the failed that
//! the same call gave, in the same order; and nothing is here between two calls.

use std::collections::VecDeque;

use crate::upstream::asked::Asked;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Each with its end in `bytes`.
    queue: VecDeque<(Asked, usize)>,
    bytes: Vec<u8>,
    /// Where the payload of the first begins.
    head: usize,
}

impl Outbox {
    pub(super) fn put(&mut self, asked: Asked, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.queue.push_back((asked, self.bytes.len()));
    }

    /// The first, with its payload.
    pub(crate) fn front(&self) -> Option<(Asked, &[u8])> {
        let (asked, end) = *self.queue.front()?;
        Some((asked, &self.bytes[self.head..end]))
    }

    pub(crate) fn pop(&mut self) {
        if let Some((_, end)) = self.queue.pop_front() {
            self.head = end;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
