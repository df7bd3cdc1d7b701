//! The end of a socket: whether its peer gets a reset, and what the kernel knew of it before it was closed.
//!
//! What is known is taken for connections that the program made itself, and for no others: it costs a system call, or
//! three. Of the peer's end the errno tells less than it seems: after our own FIN both of its ends are ECONNRESET.

use super::core::Core;
use super::slot::Owner;
use crate::errno;
use crate::error::{Class, Error, Phase, Source};
use crate::event::ConnectionId;
use crate::kernel::{Kernel, Peeked, TcpInfo};
use crate::parting::Parting;

/// Of what a spared peer has said and nobody will read, so much is dropped before the close. More than a receive buffer
/// holds by default (tcp_rmem: 6 MiB); a peer that never stops is reset.
const READ_OUT_BYTES_MAX: usize = 8 << 20;

/// What has been noted of a connection for its end.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The program made it itself, and may ask.
    pub(super) is_asked_for: bool,
    /// Its peer gets no reset, however it ends.
    pub(super) is_spared: bool,
    /// Our FIN was handed to the kernel.
    pub(super) fin_sent: bool,
    /// The peer's was read; and ours had been acknowledged by then, or by its close_notify.
    fin_read: bool,
    fin_acked: bool,
    /// The peer's close_notify was read.
    has_farewell: bool,
    /// What was known when it ended.
    parting: Option<Box<Parting>>,
}

impl Ends {
    /// The stream's end was read. After an error was told, that is what every read says, and no FIN.
    pub(super) fn handle_eof<K: Kernel>(
        &mut self,
        kernel: &K,
        socket: &K::Socket,
        written: u64,
        is_broken: bool,
    ) {
        if !self.is_asked_for || is_broken || self.fin_read {
            return;
        }
        self.fin_read = true;
        if self.fin_sent {
            // Our SYN and our FIN count as one byte each.
            let info = kernel.info(socket);
            self.fin_acked = info.is_ok_and(|info| info.bytes_acked == written + 2);
        }
    }

    /// With a session: its end was read (`is_farewell`), or that of the line. Our own end of it lies in the line, before
    /// our FIN: whoever has read it may close before that comes, and what was acknowledged says the same. Of the peer's
    /// two ends the first counts: what it acknowledged behind its close_notify it may have dropped unread.
    pub(super) fn handle_end_within<K: Kernel>(
        &mut self,
        kernel: &K,
        socket: &K::Socket,
        line_written: u64,
        is_farewell: bool,
        is_broken: bool,
    ) {
        if !self.is_asked_for {
            return;
        }
        let is_first = !self.has_farewell && !self.fin_read && !is_broken;
        if self.fin_sent && is_first {
            let info = kernel.info(socket);
            self.fin_acked = info.is_ok_and(|info| info.bytes_acked > line_written);
        }
        // After an error the end of the line is no FIN; what the session says is said.
        self.has_farewell |= is_farewell;
        self.fin_read |= !is_farewell && !is_broken;
    }
}

impl<K: Kernel> Core<K> {
    /// What was known of a raw connection when it ended, until the turn after its end was pulled.
    pub(crate) fn parting(&self, id: ConnectionId) -> Option<Parting> {
        self.slot(id)?.ends.parting.as_deref().copied()
    }

    /// From now on no reset is sent on a connection by choice, however it ends.
    pub(crate) fn spare(&mut self, id: ConnectionId) -> Result<(), Error> {
        let slot = self.slots.get_mut(id.index as usize);
        let slot = slot.filter(|slot| slot.id == id && !slot.conn.is_closed());
        let slot = slot.ok_or(Error::new(Phase::Drain, Source::NotOpen))?;
        slot.ends.is_spared = true;
        Ok(())
    }

    /// Ends at once, without a reset: what the kernel has of ours still leaves, and a FIN behind it.
    pub(crate) fn leave(&mut self, id: ConnectionId) -> Result<(), Error> {
        self.spare(id)?;
        self.abort(id)
    }

    /// The socket of a connection that has ended goes.
    pub(super) fn close_socket(&mut self, index: u32, error: Option<Error>) {
        let Some(socket) = self.slots[index as usize].socket.take() else {
            return;
        };
        self.note_parting(index, &socket, error);
        let slot = &self.slots[index as usize];
        if slot.ends.is_spared {
            self.say_farewell(index, &socket);
            self.read_out(&socket);
            return self.kernel.close(socket, false);
        }
        // One that was let go is no reason for a reset, however long its peer lingers.
        let has_lingered = matches!(slot.owner, Owner::Parted { .. })
            && matches!(error, Some(error) if matches!(error.source, Source::Timeout(_)));
        let is_given_up = error.is_some_and(|error| resets(&error)) && !has_lingered;
        let resets = slot.conn.has_missed_heartbeat() || is_given_up;
        if !resets {
            self.say_farewell(index, &socket);
        }
        self.kernel.close(socket, resets);
    }

    /// Keeps what is known of a connection that the program made.
    fn note_parting(&mut self, index: u32, socket: &K::Socket, error: Option<Error>) {
        let slot = &self.slots[index as usize];
        if !slot.ends.is_asked_for {
            return;
        }
        let info = self.kernel.info(socket).ok();
        let has_fin = slot.ends.fin_read || self.has_fin(index, socket, info);
        let slot = &mut self.slots[index as usize];
        let (written, left) = (slot.conn.written_bytes(), slot.left_bytes());
        let acked = info.and_then(|info| slot.acked(&info));
        let is_secure = slot.secure.is_some();
        let ends = &mut slot.ends;
        // A RST behind a FIN is EPIPE (tcp_reset in Linux's net/ipv4/tcp_input.c), as long as we have not ended our half.
        let is_pipe = matches!(error, Some(error) if error.source == Source::Os(errno::EPIPE));
        ends.parting = Some(Box::new(Parting {
            written,
            left,
            acked,
            fin_sent: ends.fin_sent,
            fin_first: has_fin || is_pipe && !ends.fin_sent,
            fin_acked: ends.fin_acked,
            close_notify: is_secure.then_some(ends.has_farewell),
            error,
        }));
    }

    /// Whether the peer's FIN has come, though it was not read. It counts as a byte received; so does one that was not
    /// read either, and then only the state tells, as long as no RST has come.
    fn has_fin(&mut self, index: u32, socket: &K::Socket, info: Option<TcpInfo>) -> bool {
        let read = self.slots[index as usize].line_received();
        match info {
            Some(info) if info.fin_received => true,
            Some(info) if info.bytes_received == read + 1 => {
                matches!(self.kernel.peek(socket), Peeked::Fin)
            }
            _ => false,
        }
    }

    /// Reads what is there and drops it: Linux resets where it was not read (RFC 2525 §2.17).
    fn read_out(&mut self, socket: &K::Socket) {
        let mut dropped = [0; 4 << 10];
        let mut left = READ_OUT_BYTES_MAX;
        while left > 0 {
            match self.kernel.read(socket, &mut dropped) {
                Ok(n @ 1..) => left = left.saturating_sub(n),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

/// Whether the peer should get a RST: it was given up, not agreed with. Ending what is idle gives nothing up.
fn resets(error: &Error) -> bool {
    match error.source {
        Source::Timeout(_) => error.phase != Phase::Idle,
        Source::Deadline | Source::Cancelled | Source::Closed | Source::ShuttingDown => true,
        // This machine failed, and the peer must not take what it was told for all of it.
        Source::Os(_) | Source::Option { .. } => error.class != Class::Transient,
        _ => false,
    }
}
