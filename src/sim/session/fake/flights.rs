//! The handshake of a fake session: flight by flight, until it is over or one side ends it.

use super::{BAD_RECORD, FakeSession};
use crate::error::{Source, TlsFault};
use crate::sim::session::Side;
use crate::sim::session::habits::How;
use crate::sim::session::handshake::{MISBEHAVED, Message};
use crate::sim::session::record::{self, Cipher, Kind};

impl FakeSession {
    /// A flight, in records as they are drawn.
    pub(super) fn say(&mut self, step: u8, body: &[u8]) {
        let filler = self.random.within(self.habits.flight_bytes.clone()) as usize;
        let body = [body, &vec![step; filler]].concat();
        let message = Message { step, body }.encoded();
        let mut rest = &message[..];
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(self.habits.record(&mut self.random, rest.len()));
            record::put(Kind::Handshake, part, &mut self.words);
            rest = behind;
        }
    }

    /// A flight of the peer's is there.
    pub(super) fn handle(&mut self, message: &Message) -> Result<(), Source> {
        if message.step != self.awaited || self.is_over {
            return Err(MISBEHAVED);
        }
        self.awaited += 2;
        if message.step < 2 {
            self.meet(message)?;
        }
        if self.is_silent {
            return Ok(());
        }
        if let Some(refusal) = self.refusal.filter(|it| it.step == message.step) {
            return self.end_by(refusal.how);
        }
        let (finish, next) = (self.plan.finish(), message.step + 1);
        if next > self.plan.last() || self.side == Side::Server && message.step == finish {
            return self.finish(message);
        }
        match next == finish {
            true => {
                let both = [self.drawn, self.peer.unwrap_or_default()];
                self.say(next, &both.map(u64::to_be_bytes).concat());
                if !self.plan.is_twelve {
                    self.take_over();
                }
            }
            // The server's first one says what it has drawn; the others say nothing.
            false if next == 1 => self.say(next, &self.drawn.to_be_bytes()),
            false => self.say(next, &[]),
        }
        Ok(())
    }

    /// The first flight of the peer's: what it has drawn, and of a client what it asks for.
    fn meet(&mut self, message: &Message) -> Result<(), Source> {
        let peer = message.number(0)?;
        self.peer = Some(peer);
        self.note(|page| page.peer = Some(peer));
        let (client, server) = match self.side {
            Side::Client => (self.drawn, peer),
            Side::Server => {
                self.plan = message.plan()?;
                (peer, self.drawn)
            }
        };
        let is_client = self.side == Side::Client;
        self.seals = Some(Cipher::of(client, server, is_client));
        self.opens = Some(Cipher::of(client, server, !is_client));
        Ok(())
    }

    /// The peer's last flight is there.
    fn finish(&mut self, message: &Message) -> Result<(), Source> {
        if self.side == Side::Server {
            let both = (message.number(0)?, message.number(8)?);
            if Some(both.0) != self.peer || both.1 != self.drawn {
                return Err(BAD_RECORD);
            }
            if self.plan.is_twelve {
                self.say(message.step + 1, &[]);
            }
        }
        self.take_over();
        Ok(())
    }

    fn end_by(&mut self, how: How) -> Result<(), Source> {
        let place = self.place();
        self.note(|page| page.has_failed = true);
        match how {
            How::Certificate(fault) => return Err(Source::Certificate(fault)),
            How::Alert(number) => {
                record::put(Kind::Alert, &[number], &mut self.words);
                self.is_silent = true;
                return Err(Source::Tls(TlsFault::NothingInCommon));
            }
            How::Gibberish => self.words.extend(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            How::Oversize => self.words.extend([Kind::Handshake.byte(), 0xff, 0xff]),
            How::Silence => {}
        }
        self.note(|page| page.broken_at = Some(place));
        self.is_silent = true;
        Ok(())
    }

    fn take_over(&mut self) {
        self.is_over = true;
        let place = self.place();
        self.note(|page| page.over_at = Some(place));
        if self.side == Side::Server && self.random.happens(self.habits.tickets) {
            self.ticket();
        }
    }
}
