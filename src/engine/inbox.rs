//! The receive buffers of all connections, beside their slots and under the same indices.
//!
//! Kept apart from everything that sends, so that a program can hold received bytes while it queues an answer. An
//! entry's generation moves on when its slot is reaped: a frame of an earlier connection finds nothing.

use crate::buffer::{Pool, ReceiveBuffer};
use crate::config::Limits;
use crate::event::Frame;

#[derive(Debug)]
pub(crate) struct Inbox {
    entries: Vec<Entry>,
    pub(super) pool: Pool,
    pub(super) read_bytes: usize,
}

#[derive(Debug, Default)]
struct Entry {
    generation: u32,
    buffer: ReceiveBuffer,
}

impl Inbox {
    pub(super) fn new(limits: &Limits) -> Inbox {
        let pool = Pool::new(limits.read_bytes, limits.pool_bytes_max);
        Inbox {
            entries: Vec::new(),
            pool,
            read_bytes: limits.read_bytes,
        }
    }

    /// The buffer of a slot, and the pool it draws from.
    pub(super) fn buffer(&mut self, index: u32) -> (&mut ReceiveBuffer, &mut Pool) {
        let index = index as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, Entry::default);
        }
        (&mut self.entries[index].buffer, &mut self.pool)
    }

    pub(crate) fn bytes(&self, frame: &Frame) -> Option<&[u8]> {
        let entry = self.entries.get(frame.connection.index as usize)?;
        match entry.generation == frame.connection.generation {
            true => entry.buffer.bytes(frame.offset, frame.len as usize),
            false => None,
        }
    }

    /// The event of a frame was pulled.
    pub(super) fn pull(&mut self, frame: Frame) {
        let (buffer, _) = self.buffer(frame.connection.index);
        buffer.pull(frame.offset + u64::from(frame.len));
    }

    /// A frame of a slot is told to nobody; its bytes go with the next release.
    pub(super) fn discard(&mut self, index: u32) {
        let (buffer, _) = self.buffer(index);
        buffer.discard();
    }

    /// Gives up what was pulled.
    pub(super) fn release(&mut self, index: u32) {
        let read_bytes = self.read_bytes;
        let (buffer, pool) = self.buffer(index);
        buffer.release(read_bytes, pool);
    }

    /// The buffer of a slot, if it ever had one.
    #[cfg(test)]
    pub(super) fn looked_at(&self, index: u32) -> Option<&ReceiveBuffer> {
        self.entries.get(index as usize).map(|entry| &entry.buffer)
    }

    /// Received bytes in all buffers.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.buffer.held()).sum()
    }

    /// The slot was reaped.
    pub(super) fn reset(&mut self, index: u32) {
        let (buffer, pool) = self.buffer(index);
        buffer.reset(pool);
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
    }
}
