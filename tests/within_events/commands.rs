//! What the program may do between two events: each is drawn, and so is the connection that it is done to.

use std::time::Duration;

use taut::{ConnectionId, Deadline, Framing, Limit, Source};

use super::program::{Program, Told};
use super::support::ms;

impl Program<'_> {
    /// Does one drawn thing, mostly to the connection of the event.
    pub(super) fn act(&mut self, of_event: Option<ConnectionId>) {
        match self.random.below(12) {
            0 => self.connect(),
            1..=3 => self.request(),
            4 if self.random.once_in(3) => self.call(),
            5 => self.client.flush(),
            6 => self.answer_from_split(),
            _ => {
                let other = self.random.below(self.raw.len().max(1));
                let other = self.raw.keys().nth(other).copied();
                let chosen = match self.random.once_in(3) {
                    true => other,
                    false => of_event.or(other),
                };
                if let Some(connection) = chosen.filter(|it| self.raw.contains_key(it)) {
                    self.command(connection);
                }
            }
        }
    }

    fn connect(&mut self) {
        match self
            .client
            .connect(&self.raw_peers.target(), Framing::line())
        {
            Ok(connection) => {
                let new = self.raw.insert(connection, Told::Nothing);
                assert_eq!(new, None, "a name used twice");
            }
            Err(error) => {
                assert!(error.is_full(), "{error}");
                self.seen.refused += 1;
            }
        }
    }

    fn command(&mut self, connection: ConnectionId) {
        let payload = self.random.of(&[&b"a line\n"[..], b"half", &[b'y'; 3_000]]);
        let outcome = match self.random.below(10) {
            0 => self.client.close(connection),
            1 if self.random.once_in(2) => self.client.abort(connection),
            2 => self.client.notify_writable(connection),
            3 => {
                let _ = self.client.tcp_info(connection);
                let known = self.client.queued(connection).is_some();
                assert_eq!(known, self.client.transferred(connection).is_some());
                return;
            }
            _ => self.client.send(connection, payload),
        };
        if let Err(error) = outcome {
            self.seen.refused += 1;
            let named = matches!(
                error.source,
                Source::NotOpen | Source::Full { .. } | Source::Invalid(_)
            );
            assert!(named, "{error}");
        } else {
            assert_ne!(self.raw[&connection], Told::Closed, "done to what is over");
        }
    }

    fn request(&mut self) {
        self.made += 1;
        let (upstream, line) = match self.random.once_in(2) {
            true => (self.echo, format!("echo {}\n", self.made)),
            false => (self.shout, format!("shout {}\n", self.made)),
        };
        let micros = self.random.of(&[300, 5_000, 1_000_000]);
        let deadline = Deadline::after(Duration::from_micros(micros));
        match self.client.request(upstream, line.as_bytes(), deadline) {
            Ok(request) => {
                let reply = match upstream == self.echo {
                    true => line.trim_end().to_owned(),
                    false => line.trim_end().to_uppercase(),
                };
                assert_eq!(self.open.insert(request, reply.into_bytes()), None);
            }
            Err(error) => {
                assert!(error.is_full(), "{error}");
                self.seen.refused += 1;
            }
        }
    }

    /// Turns the loop within, so what was pulled before is given up.
    fn call(&mut self) {
        let outcome = self
            .client
            .call(self.shout, b"called\n", Deadline::after(ms(5)));
        self.give_up_frames();
        match outcome {
            Ok(frame) => {
                assert_eq!(self.client.bytes(&frame), b"CALLED");
                self.held.push((frame, b"CALLED".to_vec()));
                self.seen.calls += 1;
            }
            Err(error) => {
                // It goes on then, and ends as an event.
                let limit = Limit::Events;
                self.calls_left += usize::from(error.source == Source::Full { limit });
                self.seen.refused += 1;
            }
        }
    }

    /// Sends received bytes on, without copying them out.
    fn answer_from_split(&mut self) {
        let Some((frame, _)) = self.held.last() else {
            return;
        };
        let Some((connection, _)) = self.raw.iter().find(|(_, told)| **told != Told::Closed) else {
            return;
        };
        let (received, mut out) = self.client.split();
        if out.send(*connection, received.bytes(frame)).is_ok() {
            self.seen.answered_from_split += 1;
        }
    }
}
