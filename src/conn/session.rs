//! What a connection learns of a session above TCP: its handshake, the bytes of its line, and a line that ends before it.

use std::sync::Arc;

use super::ending::Ending;
use super::{Conn, Profile, State};
use crate::config::Timeouts;
use crate::frame::Decoder;
use crate::time::Time;

impl Conn {
    /// One that was accepted, with a session that does not stand yet.
    pub(crate) fn accepted_to_handshake(
        now: Time,
        profile: Arc<Profile>,
        decoder: Decoder,
    ) -> Conn {
        let state = handshaking(now, Time::NEVER, &profile.timeouts);
        Conn::new(state, now, profile, decoder)
    }

    /// The TCP connection stands, and a session is begun on it.
    pub(crate) fn handle_handshaking(&mut self, now: Time, has_next_address: bool) {
        self.has_next_address = has_next_address;
        if let State::Connecting { connect_deadline } = self.state {
            self.state = handshaking(now, connect_deadline, &self.profile.timeouts);
        }
    }

    /// Bytes of the session came in, whatever they hold.
    pub(crate) fn handle_line_received(&mut self, now: Time) {
        (self.received_at, self.quiet_since) = (now, now);
    }

    /// The line has ended, and the session on it has not.
    pub(crate) fn handle_cut(&mut self) {
        self.end_with(Ending::Cut);
    }

    /// The kernel took bytes of the session; whether more of them wait.
    pub(crate) fn handle_line_written(&mut self, now: Time, more: bool) {
        (self.wrote_at, self.quiet_since) = (now, now);
        self.is_sealed = more;
    }

    /// The kernel took nothing of what the session has to say. What waits does so from now on.
    pub(crate) fn handle_line_full(&mut self, now: Time) {
        if !self.is_writing() {
            self.wrote_at = now;
        }
        self.is_sealed = true;
    }
}

/// A handshake that begins now.
fn handshaking(now: Time, connect_deadline: Time, timeouts: &Timeouts) -> State {
    State::Handshaking {
        deadline: now.after(timeouts.handshake).min(connect_deadline),
        connect_deadline,
    }
}
