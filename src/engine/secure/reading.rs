//! Reading a line with a session on it: by the pump, and by the look before a write.
//!
//! What a look finds is decrypted at once, for a peer's farewell may lie behind tickets; what it holds of the program's
//! waits for the pump. One look brings in at most [`LINE_BYTES`], and there is none while the last one's is held.

use std::io;

use super::LINE_BYTES;
use crate::buffer::{Pool, ReceiveBuffer};
use crate::conn::Conn;
use crate::engine::core::Core;
use crate::engine::slot::Slot;
use crate::engine::{Engine, Quota};
use crate::error::Source;
use crate::kernel::Kernel;
use crate::session::LineEnd;
use crate::time::Time;

impl<K: Kernel> Engine<K> {
    /// Reads a line with a session once, or takes what a look has brought in; false when there is nothing more to read in
    /// this turn. There is room, and the connection wants to be read.
    pub(in crate::engine) fn read_secured(&mut self, index: u32, quota: &mut Quota) -> bool {
        let read_bytes = self.inbox.read_bytes;
        let (buffer, pool) = self.inbox.buffer(index);
        let core = &mut self.core;
        let slot = &mut core.slots[index as usize];
        let received = slot.conn.received_bytes();
        let mut inflow = Inflow {
            now: core.now,
            buffer,
            pool,
            read_bytes,
        };
        let (held, is_ending) = match slot.secured_mut() {
            Some(secured) => (secured.take_held(), secured.is_ending()),
            None => return false,
        };
        inflow.put(&mut slot.conn, &held);
        // Behind the end of the session nothing is read: the end of the line would be told in its place, unless that is
        // awaited.
        if held.is_empty() && (!is_ending || slot.awaits_line_end()) {
            let n = core.read_line(index, &mut |conn, bytes| inflow.put(conn, bytes));
            quota.bytes = quota.bytes.saturating_sub(n);
        }
        inflow.buffer.trim(inflow.pool);
        core.send_flight(index);
        core.heed_handshake(index);
        core.heed_line_end(index);
        let slot = &core.slots[index as usize];
        core.counts.bytes_received += slot.conn.received_bytes() - received;
        true
    }
}

/// What a look through the line has found.
pub(in crate::engine) enum Seen {
    /// What a session says to itself: tickets, key updates.
    Nothing,
    /// Bytes of the program.
    Words,
    /// The peer has ended its half.
    End,
    /// The session broke, or the line.
    Loss,
}

/// Where the program's bytes go.
struct Inflow<'a> {
    now: Time,
    buffer: &'a mut ReceiveBuffer,
    pool: &'a mut Pool,
    read_bytes: usize,
}

impl Inflow<'_> {
    /// As many of them as may be received; the others are dropped.
    fn put(&mut self, conn: &mut Conn, bytes: &[u8]) {
        let mut rest = &bytes[..bytes.len().min(conn.may_receive())];
        while !rest.is_empty() {
            let space = self.buffer.space(conn.wanted(), self.read_bytes, self.pool);
            let n = space.len().min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            self.buffer.received(n);
            conn.handle_received(self.now, n);
            rest = &rest[n..];
        }
    }
}

impl<K: Kernel> Core<K> {
    /// Reads the line once, and gives the session what came. Returns how much.
    fn read_line(&mut self, index: u32, put: &mut dyn FnMut(&mut Conn, &[u8])) -> usize {
        let now = self.now;
        let slot = &mut self.slots[index as usize];
        let (Some(socket), Some(secure)) = (slot.socket.as_ref(), slot.secure.as_mut()) else {
            return 0;
        };
        let Some(secured) = secure.secured.as_mut() else {
            return 0;
        };
        self.line.resize(LINE_BYTES, 0);
        match self.kernel.read(socket, &mut self.line) {
            Ok(0) => {
                slot.readable = false;
                self.handle_line_eof(index);
            }
            Ok(n) => {
                slot.conn.handle_line_received(now);
                let (conn, pool) = (&mut slot.conn, &mut self.send_pool);
                secured.receive(&self.line[..n], pool, &mut |bytes| put(conn, bytes));
                slot.readable = !slot.is_drained::<K>(n);
                return n;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.conn.handle_drained();
                slot.readable = false;
            }
            Err(error) => {
                slot.conn.handle_error(Source::of(&error));
                slot.readable = false;
            }
        }
        0
    }

    /// The line has ended. Where the session has not, that is no end the peer has meant.
    fn handle_line_eof(&mut self, index: u32) {
        self.note_end_read(index, false);
        let slot = &mut self.slots[index as usize];
        match slot.secured().and_then(|it| it.known_end()) {
            Some(LineEnd::Closed) => slot.conn.handle_eof(),
            _ => slot.conn.handle_cut(),
        }
    }

    /// The end of the session, when all before it was handed on.
    fn heed_line_end(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Some(end) = slot.secured().and_then(|it| it.end()) else {
            return;
        };
        match end {
            LineEnd::Closed => {
                self.note_end_read(index, true);
                let slot = &mut self.slots[index as usize];
                if slot.awaits_line_end() {
                    slot.conn.handle_farewell();
                } else {
                    slot.readable = false;
                    slot.conn.handle_eof();
                }
            }
            LineEnd::Failed(source) => {
                slot.readable = false;
                slot.conn.handle_session_error(source);
            }
        }
    }

    /// The end of the peer's half was read: of the session, or of the line.
    fn note_end_read(&mut self, index: u32, is_farewell: bool) {
        let slot = &mut self.slots[index as usize];
        let (written, is_broken) = (slot.line_written(), slot.conn.is_broken());
        if let Some(socket) = slot.socket.as_ref() {
            slot.ends
                .handle_end_within(&self.kernel, socket, written, is_farewell, is_broken);
        }
    }

    /// Bytes lie in the line, and a write waits: they are looked through for the peer's end.
    pub(in crate::engine) fn look_through(&mut self, index: u32) -> Seen {
        let slot = &mut self.slots[index as usize];
        // Whatever came is for the pump, too: it reads on.
        slot.readable = true;
        let (Some(socket), Some(secure)) = (slot.socket.as_ref(), slot.secure.as_mut()) else {
            return Seen::Nothing;
        };
        if let Some(secured) = secure.secured.as_mut()
            && !secured.holds()
            && !secured.is_ending()
        {
            self.line.resize(LINE_BYTES, 0);
            match self.kernel.read(socket, &mut self.line) {
                Ok(n @ 1..) => {
                    secured.look(&self.line[..n], &mut self.send_pool);
                    slot.conn.handle_line_received(self.now);
                }
                // Told once: the pump would not hear of it again.
                Err(error) if is_loss(&error) => {
                    slot.conn.handle_error(Source::of(&error));
                    return Seen::Loss;
                }
                // The end of the line is read again.
                Ok(_) | Err(_) => {}
            }
        }
        let slot = &self.slots[index as usize];
        let (Some(socket), Some(secured)) = (slot.socket.as_ref(), slot.secured()) else {
            return Seen::Nothing;
        };
        match secured.known_end() {
            Some(LineEnd::Failed(_)) => Seen::Loss,
            Some(LineEnd::Closed) => Seen::End,
            None if self.kernel.peer_has_shut(socket) => Seen::End,
            None if secured.holds() => Seen::Words,
            None => Seen::Nothing,
        }
    }
}

impl<S> Slot<S> {
    /// Both have ended their halves of the session. Whether the peer has read ours, which a program may ask, the end of the
    /// line tells: a FIN, or a RST.
    fn awaits_line_end(&self) -> bool {
        let is_over = self.secured().and_then(|it| it.known_end()) == Some(LineEnd::Closed);
        is_over && self.ends.is_asked_for && self.conn.is_shut()
    }

    /// Whether a read of so many bytes has emptied the line: behind data that came together with a FIN no further edge
    /// comes.
    fn is_drained<K: Kernel>(&self, n: usize) -> bool {
        n < LINE_BYTES && K::SHORT_IS_ALL && !self.read_closed && !self.conn.is_broken()
    }
}

fn is_loss(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
