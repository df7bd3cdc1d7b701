//! The bytes of a connection: what came in and is not yet released, what goes out and is not yet written.
//!
//! Both kinds borrow their storage from a [`Pool`] only while they hold bytes, so an idle connection costs no buffer
//! and a busy loop allocates nothing. Positions are offsets of the stream (`u64`), which never move; where a byte lies
//! in memory is known here alone. Never: a socket, a frame's meaning.

mod receive;
mod send;

pub(crate) use receive::ReceiveBuffer;
pub(crate) use send::SendQueue;

/// Bytes a receive buffer may grow ahead of what has been received, whatever length a peer claims.
pub(crate) const GROW_AHEAD_BYTES_MAX: usize = 64 << 10;

/// Free storage, last in, first out, so that the warm one is used again.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Vec<Vec<u8>>,
    free_bytes: usize,
    free_bytes_max: usize,
    /// Capacity of new storage.
    buffer_bytes: usize,
}

impl Pool {
    pub(crate) fn new(buffer_bytes: usize, free_bytes_max: usize) -> Pool {
        Pool {
            free: Vec::new(),
            free_bytes: 0,
            free_bytes_max,
            buffer_bytes,
        }
    }

    /// Bytes of storage that is kept for reuse.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// Storage of at least `buffer_bytes` capacity, with whatever length it was given up with.
    fn take(&mut self) -> Vec<u8> {
        match self.free.pop() {
            Some(storage) => {
                self.free_bytes -= storage.capacity();
                storage
            }
            None => Vec::with_capacity(self.buffer_bytes),
        }
    }

    /// Takes storage back, or frees it when enough is kept or it is so large that keeping it would crowd out others.
    fn give(&mut self, storage: Vec<u8>) {
        let bytes = storage.capacity();
        let fits = self.free_bytes + bytes <= self.free_bytes_max;
        if bytes >= self.buffer_bytes && bytes <= self.free_bytes_max / 8 && fits {
            self.free_bytes += bytes;
            self.free.push(storage);
        }
    }
}
