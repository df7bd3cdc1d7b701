//! Writing a line with a session on it: what the session says itself, then the program's bytes, sealed as they leave.
//!
//! Bytes of the program are sealed only when all that was sealed before has left, and count as written when the kernel
//! took the first byte of their seal: of what it refused at once, nothing was sent.

use std::io;

use crate::engine::core::Core;
use crate::error::{Source, TlsFault};
use crate::kernel::Kernel;

impl<K: Kernel> Core<K> {
    /// Writes what the kernel takes.
    pub(in crate::engine) fn transmit_secured(&mut self, index: u32) {
        if let Err(source) = self.push_line(index) {
            self.handle_line_broken(index, source);
        }
    }

    /// A write has failed.
    fn handle_line_broken(&mut self, index: u32, source: Source) {
        let slot = &mut self.slots[index as usize];
        if let Some(secured) = slot.secured_mut() {
            secured.abandon();
        }
        slot.conn.handle_write_error(source);
        slot.readable = true;
        self.push_ready(index);
    }

    fn push_line(&mut self, index: u32) -> Result<(), Source> {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        let (Some(socket), Some(secure)) = (slot.socket.as_ref(), slot.secure.as_mut()) else {
            return Ok(());
        };
        let Some(secured) = secure.secured.as_mut() else {
            return Ok(());
        };
        let pool = &mut self.send_pool;
        // Sealed, and not a byte of the seal has left.
        let mut fresh = 0;
        loop {
            if secured.pending().is_empty() {
                let plain = slot.conn.poll_transmit();
                if plain.is_empty() || !secured.may_seal() {
                    return Ok(());
                }
                if secured.is_used_up() {
                    return Err(Source::Tls(TlsFault::KeysUsedUp));
                }
                if secured.is_crowded()
                    && let Ok(info) = self.kernel.info(socket)
                {
                    let acked = info.acked_of(secured.line_written());
                    secured.forget(acked.unwrap_or(secured.line_written()));
                }
                fresh = secured.seal(plain, slot.conn.written_bytes(), pool);
            }
            let asked = secured.pending().len();
            let outcome = self.kernel.write(socket, secured.pending());
            let fresh = std::mem::take(&mut fresh);
            match outcome {
                Ok(n) => {
                    secured.written(n, pool);
                    if fresh > 0 {
                        slot.conn.transmitted(now, fresh, pool);
                        self.counts.bytes_written += fresh as u64;
                    }
                    slot.conn.handle_line_written(now, n < asked);
                    if n < asked && K::SHORT_IS_ALL {
                        slot.writable = false;
                        return Ok(());
                    }
                }
                Err(error) if would_wait(&error) => {
                    // It cannot be unsealed: it leaves when there is room.
                    if fresh > 0 {
                        slot.conn.transmitted(now, fresh, pool);
                        self.counts.bytes_written += fresh as u64;
                    }
                    slot.conn.handle_line_full(now);
                    if error.kind() == io::ErrorKind::WouldBlock {
                        slot.writable = false;
                        return Ok(());
                    }
                }
                Err(error) => return Err(Source::of(&error)),
            }
        }
    }

    /// Ends our half of the session, before that of the line. Whether it has left.
    pub(in crate::engine) fn close_session(&mut self, index: u32) -> bool {
        match self.slots[index as usize].secured_mut() {
            Some(secured) => secured.close(&mut self.send_pool),
            None => return true,
        }
        if let Err(source) = self.push_line(index) {
            self.handle_line_broken(index, source);
            return false;
        }
        let slot = &self.slots[index as usize];
        slot.secured().is_none_or(|it| it.is_shut())
    }

    /// The socket is about to be closed in peace: the peer is told so within the session, as far as the kernel takes it
    /// at once, or why it is given up. Where bytes of ours are missing, it is not told that these were all.
    pub(in crate::engine) fn say_farewell(&mut self, index: u32, socket: &K::Socket) {
        let slot = &mut self.slots[index as usize];
        let is_whole = slot.conn.queued() == 0 && !slot.conn.is_broken();
        let Some(secured) = slot.secured_mut() else {
            return;
        };
        if is_whole && secured.may_seal() {
            secured.close(&mut self.send_pool);
        }
        if !secured.pending().is_empty()
            && let Ok(n) = self.kernel.write(socket, secured.pending())
        {
            secured.written(n, &mut self.send_pool);
        }
    }
}

fn would_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// A program that lets go of its client has its peers told so, where nothing of theirs is missing.
impl<K: Kernel> Drop for Core<K> {
    fn drop(&mut self) {
        let indices: Vec<usize> = self.slots.iter().map(|(index, _)| index).collect();
        for index in indices {
            if let Some(socket) = self.slots[index].socket.take() {
                self.say_farewell(index as u32, &socket);
                self.kernel.close(socket, false);
            }
        }
    }
}
