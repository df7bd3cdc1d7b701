//! The send queue of one connection: bytes that wait for the kernel, in one piece.
//!
//! TCP writes are partial: [`SendQueue::pending`] looks, [`SendQueue::written`] advances. Offsets count the bytes of
//! the connection's life: `written_bytes() <= offset of anything still here`.

use std::ops::Range;

use super::Pool;

#[derive(Debug)]
pub(crate) struct SendQueue {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that the kernel has taken.
    head: usize,
    /// Bytes the kernel has taken in the connection's life.
    written: u64,
    bytes_max: usize,
}

impl SendQueue {
    pub(crate) fn new(bytes_max: usize) -> SendQueue {
        SendQueue {
            bytes: Vec::new(),
            head: 0,
            written: 0,
            bytes_max,
        }
    }

    /// Queues bytes, all or none: `None` when they would go beyond the bound. An empty queue takes one payload of any
    /// size up to the bound. Returns the range of the stream they take.
    pub(crate) fn push(&mut self, payload: &[u8], pool: &mut Pool) -> Option<Range<u64>> {
        if payload.len() > self.bytes_max - self.len().min(self.bytes_max) {
            return None;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
            self.bytes.clear();
        }
        if self.head > 0 && self.bytes.len() + payload.len() > self.bytes.capacity() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        let start = self.queued_bytes();
        self.bytes.extend_from_slice(payload);
        Some(start..start + payload.len() as u64)
    }

    /// What waits for the kernel.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.head..]
    }

    /// The kernel took `n` bytes.
    pub(crate) fn written(&mut self, n: usize, pool: &mut Pool) {
        self.head += n;
        self.written += n as u64;
        assert!(self.head <= self.bytes.len(), "wrote more than was queued");
        if self.head == self.bytes.len() {
            self.clear(pool);
        }
    }

    /// Takes a payload out again of which the kernel has nothing yet. What is behind it moves forward.
    pub(crate) fn withdraw(&mut self, range: Range<u64>, pool: &mut Pool) {
        debug_assert!(
            range.start >= self.written && range.end <= self.queued_bytes(),
            "withdrew what has left"
        );
        let from = self.head + (range.start - self.written) as usize;
        let to = self.head + (range.end - self.written) as usize;
        self.bytes.drain(from..to);
        if self.is_empty() {
            self.clear(pool);
        }
    }

    /// Drops what waits; gives the storage back.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        self.head = 0;
        if self.bytes.capacity() > 0 {
            pool.give(std::mem::take(&mut self.bytes));
        }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Storage that it has borrowed.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bound.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes the kernel has taken in the connection's life.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written
    }

    /// Bytes queued in the connection's life: the offset of the next payload.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.written + self.len() as u64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn partial_writes_keep_the_rest_and_its_offsets() {
        let (mut queue, mut pool) = (SendQueue::new(100), Pool::new(16, 1 << 20));
        assert_eq!(queue.push(b"hello", &mut pool), Some(0..5));
        queue.written(2, &mut pool);
        assert_eq!(queue.push(b"world", &mut pool), Some(5..10));
        assert_eq!(queue.pending(), b"lloworld");
        assert_eq!((queue.written_bytes(), queue.queued_bytes()), (2, 10));
        queue.written(8, &mut pool);
        assert!(
            queue.is_empty() && queue.bytes.capacity() == 0,
            "the storage is given back"
        );
    }

    #[test]
    fn the_bound_holds_at_the_byte_and_nothing_is_queued_in_part() {
        let (mut queue, mut pool) = (SendQueue::new(8), Pool::new(16, 1 << 20));
        assert!(queue.push(&[0; 9], &mut pool).is_none());
        assert!(queue.push(&[0; 5], &mut pool).is_some());
        assert!(queue.push(&[0; 4], &mut pool).is_none());
        assert!(queue.push(&[0; 3], &mut pool).is_some());
        assert_eq!(queue.len(), 8);
    }

    #[test]
    fn a_withdrawn_payload_leaves_no_byte_behind() {
        let (mut queue, mut pool) = (SendQueue::new(100), Pool::new(16, 1 << 20));
        queue.push(b"aaa", &mut pool);
        let b = queue.push(b"bbb", &mut pool).unwrap();
        queue.push(b"ccc", &mut pool);
        queue.written(1, &mut pool);
        queue.withdraw(b, &mut pool);
        assert_eq!(queue.pending(), b"aaccc");
        assert_eq!(queue.queued_bytes(), 6);
    }
}
