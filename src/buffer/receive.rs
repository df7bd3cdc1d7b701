//! The receive buffer of one connection.
//!
//! ```text
//!            start        parsed        filled      storage.len()
//!   released |  in frames   |  no frame yet |  free      |
//! ```
//! Invariant: `start <= parsed <= filled <= storage.len()`. Bytes before `parsed` belong to frames that were told to
//! the program; they stay where they are until [`ReceiveBuffer::release`], at the one moment of a turn when nothing is
//! borrowed. All of `storage` is initialised, so reading needs no `unsafe`.

use super::{GROW_AHEAD_BYTES_MAX, Pool};

#[derive(Debug, Default)]
pub(crate) struct ReceiveBuffer {
    storage: Vec<u8>,
    /// The stream's offset of `storage[0]`.
    base: u64,
    start: usize,
    parsed: usize,
    filled: usize,
    /// Frames told and not yet pulled.
    unpulled: u32,
    /// The end, in the stream, of the last frame that was pulled.
    pulled: u64,
}

impl ReceiveBuffer {
    /// Room for the next read: at least one byte. `wanted` bytes from the first unparsed one are known to be needed;
    /// the buffer grows towards that, but never more than 64 KiB ahead of what has come.
    pub(crate) fn space(&mut self, wanted: usize, read_bytes: usize, pool: &mut Pool) -> &mut [u8] {
        if self.storage.is_empty() {
            debug_assert!(self.filled == 0, "bytes without storage");
            self.storage = pool.take();
            if self.storage.len() < read_bytes {
                self.storage.resize(read_bytes, 0);
            }
        }
        if self.filled == self.storage.len() {
            let missing = (self.parsed + wanted).saturating_sub(self.filled);
            let more = missing.clamp(read_bytes.min(GROW_AHEAD_BYTES_MAX), GROW_AHEAD_BYTES_MAX);
            self.storage.reserve_exact(more);
            self.storage.resize(self.filled + more, 0);
        }
        &mut self.storage[self.filled..]
    }

    /// `n` bytes were read into the space.
    pub(crate) fn received(&mut self, n: usize) {
        self.filled += n;
        assert!(self.filled <= self.storage.len(), "read beyond the buffer");
    }

    /// The bytes that belong to no frame yet.
    pub(crate) fn unparsed(&self) -> &[u8] {
        &self.storage[self.parsed..self.filled]
    }

    /// A frame with the payload `start..end` of the unparsed bytes uses up `consumed` of them. Returns the payload's
    /// offset in the stream. The frame is pinned until [`ReceiveBuffer::pull`].
    pub(crate) fn take_frame(&mut self, start: usize, consumed: usize) -> u64 {
        let offset = self.base + (self.parsed + start) as u64;
        self.skip(consumed);
        self.unpulled += 1;
        offset
    }

    /// Uses up bytes that no frame is told of.
    fn skip(&mut self, consumed: usize) {
        self.parsed += consumed;
        debug_assert!(self.parsed <= self.filled, "consumed more than there is");
    }

    /// Makes room of all bytes that belong to no frame yet. No frame may be told after this: offsets stand still.
    pub(crate) fn drop_all_unparsed(&mut self) {
        self.filled = self.parsed;
    }

    /// Drops bytes that no frame is told of, and takes their room for the next read. Offsets do not count them.
    pub(crate) fn drop_unparsed(&mut self, n: usize) {
        let room = self.storage.len() - self.parsed;
        // Behind frames that are held there may be so little room that the next reads would be tiny.
        if n == self.filled - self.parsed && room >= self.storage.len() / 4 {
            self.filled = self.parsed;
        } else {
            self.skip(n);
        }
    }

    /// The program pulled the event of a frame that ends at `end`.
    pub(crate) fn pull(&mut self, end: u64) {
        debug_assert!(self.unpulled > 0, "more pulled than told");
        self.unpulled -= 1;
        self.pulled = self.pulled.max(end);
    }

    /// A frame that was cut is told to nobody. What stands before it stays as long as it is wanted.
    pub(crate) fn discard(&mut self) {
        debug_assert!(self.unpulled > 0, "more discarded than cut");
        self.unpulled -= 1;
    }

    /// Frames told and not yet pulled.
    pub(crate) fn unpulled(&self) -> u32 {
        self.unpulled
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Bytes held: of frames and of what is to become one.
    pub(crate) fn held(&self) -> usize {
        self.filled - self.start
    }

    /// The payload of a frame, while it is held.
    pub(crate) fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.base)?).ok()?;
        let to = from.checked_add(len)?;
        if from < self.start || to > self.parsed {
            return None;
        }
        self.storage.get(from..to)
    }

    /// Gives up what was pulled, and the storage with it when nothing is left; otherwise moves the rest to the front
    /// when the room behind it has become short, or most of the storage lies before it: so the storage is at most
    /// twice what is held, and a read. Nothing else moves bytes.
    pub(crate) fn release(&mut self, read_bytes: usize, pool: &mut Pool) {
        self.start = match self.unpulled {
            0 => self.parsed,
            _ => self
                .start
                .max((self.pulled.saturating_sub(self.base)) as usize),
        };
        debug_assert!(self.start <= self.parsed, "released bytes of no frame");
        let room = self.storage.len() - self.filled;
        let is_short = self.start > 0 && room < read_bytes / 2;
        if self.start == self.filled {
            self.give_back(pool);
        } else if is_short || self.start > self.storage.len() / 2 {
            self.storage.copy_within(self.start..self.filled, 0);
            self.base += self.start as u64;
            self.parsed -= self.start;
            self.filled -= self.start;
            self.start = 0;
        }
    }

    /// Gives the storage back when it holds nothing at all; moves nothing.
    pub(crate) fn trim(&mut self, pool: &mut Pool) {
        if self.start == self.filled {
            self.give_back(pool);
        }
    }

    fn give_back(&mut self, pool: &mut Pool) {
        self.base += self.filled as u64;
        (self.start, self.parsed, self.filled) = (0, 0, 0);
        pool.give(std::mem::take(&mut self.storage));
    }

    /// Forgets all bytes, for the next connection of this slot.
    pub(crate) fn reset(&mut self, pool: &mut Pool) {
        let storage = std::mem::take(self).storage;
        if !storage.is_empty() {
            pool.give(storage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: usize = 64;

    fn receive(buffer: &mut ReceiveBuffer, pool: &mut Pool, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = buffer.space(1, READ, pool);
            let n = space.len().min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            buffer.received(n);
            rest = &rest[n..];
        }
    }

    #[test]
    fn a_pulled_frame_stays_until_release_and_an_unpulled_one_beyond_it() {
        let (mut buffer, mut pool) = (ReceiveBuffer::default(), Pool::new(READ, 1 << 20));
        receive(&mut buffer, &mut pool, b"one\ntwo\nthr");
        let one = buffer.take_frame(0, 4);
        let two = buffer.take_frame(0, 4);
        buffer.pull(one + 3);
        assert_eq!(buffer.bytes(one, 3), Some(&b"one"[..]));
        buffer.release(READ, &mut pool);
        assert_eq!(buffer.bytes(one, 3), None);
        assert_eq!(buffer.bytes(two, 3), Some(&b"two"[..]));
        buffer.pull(two + 3);
        buffer.release(READ, &mut pool);
        assert_eq!(buffer.unparsed(), b"thr");
        assert_eq!(buffer.bytes(two, 3), None);
    }

    #[test]
    fn an_empty_buffer_gives_its_storage_back_and_the_offsets_go_on() {
        let (mut buffer, mut pool) = (ReceiveBuffer::default(), Pool::new(READ, 1 << 20));
        for round in 0..100u64 {
            receive(&mut buffer, &mut pool, b"abcd");
            let offset = buffer.take_frame(1, 4);
            assert_eq!(offset, round * 4 + 1);
            buffer.pull(offset + 2);
            buffer.release(READ, &mut pool);
            assert!(buffer.storage.is_empty());
            assert_eq!(pool.free.len(), 1, "the same storage goes round");
        }
    }

    #[test]
    fn a_claim_grows_the_buffer_by_at_most_64_kib_ahead_of_the_data() {
        let (mut buffer, mut pool) = (ReceiveBuffer::default(), Pool::new(READ, 1 << 20));
        let claim = 1 << 30;
        let mut received = 0;
        for _ in 0..8 {
            let n = buffer.space(claim, READ, &mut pool).len();
            assert!(n <= GROW_AHEAD_BYTES_MAX);
            buffer.received(n);
            received += n;
            assert!(buffer.storage.capacity() <= received + GROW_AHEAD_BYTES_MAX);
        }
    }

    #[test]
    fn dropped_bytes_give_their_room_back_also_behind_a_frame_that_is_held() {
        let (mut buffer, mut pool) = (ReceiveBuffer::default(), Pool::new(READ, 1 << 20));
        for frame_bytes in [0, 10, 60] {
            receive(&mut buffer, &mut pool, &vec![7; frame_bytes]);
            let offset = (frame_bytes > 0).then(|| buffer.take_frame(0, frame_bytes));
            for _ in 0..10_000 {
                let n = buffer.space(1, READ, &mut pool).len();
                buffer.received(n);
                buffer.drop_unparsed(n);
                assert!(buffer.storage.capacity() <= 2 * READ);
            }
            receive(&mut buffer, &mut pool, b"xxnext");
            buffer.drop_unparsed(2);
            let next = buffer.take_frame(0, 4);
            assert_eq!(buffer.bytes(next, 4), Some(&b"next"[..]));
            if let Some(offset) = offset {
                assert_eq!(
                    buffer.bytes(offset, frame_bytes),
                    Some(&vec![7; frame_bytes][..])
                );
                buffer.pull(offset + frame_bytes as u64);
            }
            buffer.pull(next + 4);
            buffer.release(READ, &mut pool);
            assert!(buffer.storage.is_empty());
        }
    }

    #[test]
    fn a_long_tail_is_moved_to_the_front_when_room_is_short() {
        let (mut buffer, mut pool) = (ReceiveBuffer::default(), Pool::new(READ, 1 << 20));
        receive(&mut buffer, &mut pool, &[7; 60]);
        let offset = buffer.take_frame(0, 50);
        buffer.pull(offset + 50);
        buffer.release(READ, &mut pool);
        assert_eq!(buffer.space(1, READ, &mut pool).len(), 54);
        assert_eq!(buffer.unparsed(), [7; 10]);
        assert_eq!(buffer.take_frame(0, 10), 50);
    }

    /// A read that filled the room was followed by one that left half a read's room: nothing was moved, and the next
    /// turn grew the buffer again, at last by all that ever came.
    #[test]
    fn bytes_that_were_released_do_not_stay_for_ever_before_an_unfinished_frame() {
        let (mut buffer, mut pool) = (ReceiveBuffer::default(), Pool::new(READ, 1 << 20));
        for turn in 0..1000 {
            let bytes = if turn == 0 { READ + READ / 2 } else { READ };
            receive(&mut buffer, &mut pool, &vec![7; bytes]);
            let whole = buffer.unparsed().len() - 1;
            let end = buffer.take_frame(0, whole) + whole as u64;
            buffer.pull(end);
            buffer.release(READ, &mut pool);
            assert_eq!(buffer.held(), 1);
            assert!(buffer.capacity() <= 4 * READ, "{}", buffer.capacity());
        }
    }
}
