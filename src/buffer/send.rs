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
    /// Nothing of it leaves any more: it counts as empty, and what was in it can still be looked at.
    is_abandoned: bool,
}

impl SendQueue {
    pub(crate) fn new(bytes_max: usize) -> SendQueue {
        SendQueue {
            bytes: Vec::new(),
            head: 0,
            written: 0,
            bytes_max,
            is_abandoned: false,
        }
    }

    /// Queues bytes, all or none: `None` when they would go beyond the bound. An empty queue takes one payload of any
    /// size up to the bound. Returns the range of the stream they take.
    pub(crate) fn push(&mut self, payload: &[u8], pool: &mut Pool) -> Option<Range<u64>> {
        if payload.len() > self.bytes_max - self.len().min(self.bytes_max) {
            return None;
        }
        let start = self.queued_bytes();
        let range = start..start + payload.len() as u64;
        if self.is_abandoned {
            return Some(range);
        }
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
            self.bytes.clear();
        }
        if self.head > 0 && self.bytes.len() + payload.len() > self.bytes.capacity() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        self.bytes.extend_from_slice(payload);
        Some(range)
    }

    /// Queues what is written behind what waits. Its bound is the writer's own.
    pub(crate) fn append(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>)) {
        if self.is_abandoned {
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
            self.bytes.clear();
        }
        write(&mut self.bytes);
        if self.bytes.len() == self.head {
            self.clear(pool);
        }
    }

    /// What waits for the kernel.
    pub(crate) fn pending(&self) -> &[u8] {
        match self.is_abandoned {
            true => &[],
            false => &self.bytes[self.head..],
        }
    }

    /// These bytes of the stream: all, or none when some have left.
    pub(crate) fn pending_of(&self, range: &Range<u64>) -> Option<&[u8]> {
        let from = usize::try_from(range.start.checked_sub(self.written)?).ok()?;
        let bytes = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        self.bytes[self.head..].get(from..)?.get(..bytes)
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

    /// Takes payloads out again of which the kernel has nothing yet, in the order of the stream. What is behind each
    /// moves forward, once for all of them: half of a long queue may go in one tick.
    pub(crate) fn withdraw(&mut self, ranges: impl Iterator<Item = Range<u64>>, pool: &mut Pool) {
        let (written, queued) = (self.written, self.queued_bytes());
        let place = |offset: u64| self.head + (offset - written) as usize;
        // Bytes up to `kept` stay, those from `behind` on are not looked at yet.
        let mut gap: Option<(usize, usize)> = None;
        for range in ranges {
            debug_assert!(
                range.start >= written && range.start <= range.end && range.end <= queued,
                "withdrew what has left"
            );
            let (from, to) = (place(range.start), place(range.end));
            let (kept, behind) = gap.unwrap_or((from, from));
            debug_assert!(behind <= from, "out of order");
            self.bytes.copy_within(behind..from, kept);
            gap = Some((kept + (from - behind), to));
        }
        if let Some((kept, behind)) = gap {
            self.bytes.drain(kept..behind);
        }
        if self.bytes.len() == self.head {
            self.clear(pool);
        }
    }

    /// Nothing of it will leave.
    pub(crate) fn abandon(&mut self) {
        self.is_abandoned = true;
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
        self.pending().len()
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
        self.written + (self.bytes.len() - self.head) as u64
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
    fn what_was_abandoned_is_empty_for_who_writes_and_there_for_who_takes_it_elsewhere() {
        let (mut queue, mut pool) = (SendQueue::new(100), Pool::new(16, 1 << 20));
        let ranges = [&b"aaa"[..], b"bbb", b"ccc"].map(|it| queue.push(it, &mut pool).unwrap());
        queue.written(4, &mut pool);
        queue.abandon();
        assert!(queue.is_empty() && queue.pending().is_empty());
        let of = |queue: &SendQueue, n: usize| queue.pending_of(&ranges[n]).map(<[u8]>::to_vec);
        assert_eq!(
            (of(&queue, 0), of(&queue, 1)),
            (None, None),
            "they have left in part"
        );
        assert_eq!(of(&queue, 2), Some(b"ccc".to_vec()));
        assert_eq!(queue.pending_of(&(6..10)), None, "there are not so many");
        assert!(queue.push(b"late", &mut pool).is_some() && queue.is_empty());
        queue.clear(&mut pool);
        assert_eq!((of(&queue, 2), queue.capacity()), (None, 0));
    }

    #[test]
    fn a_withdrawn_payload_leaves_no_byte_behind() {
        let (mut queue, mut pool) = (SendQueue::new(100), Pool::new(16, 1 << 20));
        queue.push(b"aaa", &mut pool);
        let b = queue.push(b"bbb", &mut pool).unwrap();
        queue.push(b"ccc", &mut pool);
        queue.written(1, &mut pool);
        queue.withdraw(std::iter::once(b), &mut pool);
        assert_eq!(queue.pending(), b"aaccc");
        assert_eq!(queue.queued_bytes(), 6);
    }

    #[test]
    fn payloads_withdrawn_together_leave_those_between_them_in_order() {
        // Each choice of 7 payloads, the first byte having left already.
        for chosen in 0..1_u32 << 7 {
            let (mut queue, mut pool) = (SendQueue::new(100), Pool::new(16, 1 << 20));
            queue.push(b"-", &mut pool);
            let payloads = ["a", "bb", "ccc", "d", "eeee", "f", "gg"];
            let ranges = payloads.map(|it| queue.push(it.as_bytes(), &mut pool).unwrap());
            queue.written(1, &mut pool);
            let goes = |n: &usize| chosen >> n & 1 == 1;
            queue.withdraw((0..7).filter(goes).map(|n| ranges[n].clone()), &mut pool);
            let stays: String = (0..7).filter(|n| !goes(n)).map(|n| payloads[n]).collect();
            assert_eq!(queue.pending(), stays.as_bytes(), "{chosen:b}");
            assert_eq!(queue.queued_bytes(), 1 + stays.len() as u64);
        }
    }
}
