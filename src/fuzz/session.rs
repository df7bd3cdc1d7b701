//! A connection with a session on its line, whatever the line brings: a fake session speaks on the other end, what it says
//! is cut, looked at, read, and damaged, and what the kernel takes of ours is drawn as well.
//!
//! The connection machine and what lies between it and its line are driven as the engine drives them. However the line is:
//! what is told is what was said, in order and once; nothing is sealed before the handshake is over; an end is told behind
//! what came before it, and once.

use std::sync::Arc;
use std::time::Duration;

use super::input::Input;
use crate::buffer::{Pool, ReceiveBuffer};
use crate::config::Timeouts;
use crate::conn::{Conn, ConnEvent, Cut, Profile};
use crate::error::Source;
use crate::frame::Framing;
use crate::session::{LineEnd, Secured, Session};
use crate::sim::random::Random;
use crate::sim::session::{Book, FakeSession, FakeSessions, Habits, Side};
use crate::time::Time;

const SEND_QUEUE_BYTES_MAX: usize = 300;
/// A byte of the program takes a record at most, and there are tickets and other keys beside it.
const WAITING_BYTES_MAX: usize = 32 * SEND_QUEUE_BYTES_MAX;
/// What a read of the line brings in.
const READ_BYTES: usize = 64;

/// One input of the target `session`.
pub fn session(data: &[u8]) {
    let mut input = Input::new(data);
    let mut run = Run::draw(&mut input);
    while !input.is_empty() && !run.conn.is_closed() {
        run.step(&mut input);
        run.check();
    }
    run.heal();
}

struct Run {
    secured: Secured,
    conn: Conn,
    buffer: ReceiveBuffer,
    receive_pool: Pool,
    send_pool: Pool,
    now: Time,
    peer: FakeSession,
    is_peer_broken: bool,
    has_peer_closed: bool,
    /// What the peer has said, and not yet brought; and all that its program has said.
    line: Vec<u8>,
    said: Vec<u8>,
    told: Vec<u8>,
    /// What our program has queued, how much of it was sealed, and what the peer's was told.
    queued: Vec<u8>,
    sealed: usize,
    heard: Vec<u8>,
    /// In the kernel, on its way to the peer.
    sent: Vec<u8>,
    is_closed_told: bool,
}

impl Run {
    fn draw(input: &mut Input) -> Run {
        let seed = input.number() as u64;
        let mut habits = Habits::drawn(&mut Random::new(seed));
        habits.refuses.0 = if input.flag() { 400 } else { 0 };
        habits.breaks.0 = if input.flag() { 400 } else { 0 };
        let book = Book::default();
        let of = |side| FakeSessions::new(side, habits.clone(), seed, &book).next();
        let profile = Arc::new(Profile {
            timeouts: Timeouts::default(),
            half_close: input.flag(),
            reads_pause_above_bytes: usize::MAX,
            send_queue_bytes_max: SEND_QUEUE_BYTES_MAX,
            read_bytes_max: u64::MAX,
        });
        let now = Time::from_nanos(1_000_000);
        let decoder = Framing::raw().decoder(1 << 16);
        let mut conn = Conn::resolving(now, profile, decoder);
        conn.handle_connecting();
        conn.handle_handshaking(now, false);
        let mut send_pool = Pool::new(READ_BYTES, 1 << 16);
        Run {
            secured: Secured::new(Box::new(of(Side::Client)), input.flag(), &mut send_pool),
            conn,
            buffer: ReceiveBuffer::default(),
            receive_pool: Pool::new(READ_BYTES, 1 << 16),
            send_pool,
            now,
            peer: of(Side::Server),
            is_peer_broken: false,
            has_peer_closed: false,
            line: Vec::new(),
            said: Vec::new(),
            told: Vec::new(),
            queued: Vec::new(),
            sealed: 0,
            heard: Vec::new(),
            sent: Vec::new(),
            is_closed_told: false,
        }
    }

    fn step(&mut self, input: &mut Input) {
        match input.below(16) {
            0 => {
                self.now = self
                    .now
                    .after(Duration::from_millis(input.below(256) as u64))
            }
            1 => self.conn.handle_timeout(self.now),
            2 | 3 => self.say(input),
            4..=6 => self.read(input.number() % 700),
            7 => self.look(input.number() % 700),
            8 => self.take_held(),
            9 => self.damage(input),
            10 => self.send(input.below(100)),
            11 | 12 => self.flush(input.number() % 700),
            13 => self.hear(input.number() % 700),
            14 => self.end(input),
            _ => self.hear(usize::MAX),
        }
        self.pump();
    }

    // What the peer does.

    fn say(&mut self, input: &mut Input) {
        let may_say = !self.peer.is_handshaking() && !self.is_peer_broken && !self.has_peer_closed;
        match input.below(6) {
            _ if !may_say => {}
            0 => self.peer.ticket(),
            1 => self.peer.update_key(input.flag()),
            2 if input.below(4) == 0 => {
                self.peer.close();
                self.has_peer_closed = true;
            }
            _ => {
                let bytes = input.below(200);
                let bytes = input.take(bytes);
                self.peer.seal(bytes, &mut self.line);
                self.said.extend_from_slice(bytes);
            }
        }
        self.peer.transmit(&mut self.line);
    }

    /// So much of what our kernel has for it comes.
    fn hear(&mut self, bytes_max: usize) {
        let n = bytes_max.min(self.sent.len());
        let bytes: Vec<u8> = self.sent.drain(..n).collect();
        if self.is_peer_broken || self.peer.is_peer_closed() {
            return;
        }
        let heard = &mut self.heard;
        let received = self
            .peer
            .receive(&bytes, &mut |it| heard.extend_from_slice(it));
        self.is_peer_broken = received.is_err();
        self.peer.transmit(&mut self.line);
    }

    fn damage(&mut self, input: &mut Input) {
        let line = std::mem::take(&mut self.line);
        self.line = input.damage(line);
    }

    // As the engine does.

    /// Bytes of the line that may be read now.
    fn arrived(&mut self, bytes_max: usize) -> Vec<u8> {
        let n = bytes_max.min(self.line.len());
        self.line.drain(..n).collect()
    }

    fn read(&mut self, bytes_max: usize) {
        if !self.conn.wants_read() {
            return;
        }
        if self.secured.holds() {
            return self.take_held();
        }
        if self.secured.is_ending() {
            return self.heed_end();
        }
        let bytes = self.arrived(bytes_max);
        if bytes.is_empty() {
            return;
        }
        self.conn.handle_line_received(self.now);
        let mut came = Vec::new();
        let mut put = |bytes: &[u8]| came.extend_from_slice(bytes);
        self.secured.receive(&bytes, &mut self.send_pool, &mut put);
        self.receive(&came);
        self.heed_handshake();
        self.heed_end();
    }

    fn look(&mut self, bytes_max: usize) {
        if self.conn.wants_read() && !self.secured.holds() && !self.secured.is_ending() {
            let bytes = self.arrived(bytes_max);
            self.secured.look(&bytes, &mut self.send_pool);
            self.heed_handshake();
        }
    }

    fn take_held(&mut self) {
        if self.conn.wants_read() {
            let held = self.secured.take_held();
            self.receive(&held);
            self.heed_end();
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (wanted, pool) = (self.conn.wanted(), &mut self.receive_pool);
            let space = self.buffer.space(wanted, READ_BYTES, pool);
            let n = space.len().min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            self.buffer.received(n);
            self.conn.handle_received(self.now, n);
            rest = &rest[n..];
        }
        self.buffer.trim(&mut self.receive_pool);
    }

    fn heed_handshake(&mut self) {
        if self.conn.is_handshaking() && !self.secured.is_handshaking() {
            self.conn.handle_connected(self.now);
        }
    }

    fn heed_end(&mut self) {
        match self.secured.end() {
            None => {}
            Some(LineEnd::Closed) => self.conn.handle_eof(),
            Some(LineEnd::Failed(source)) => self.conn.handle_error(source),
        }
    }

    fn send(&mut self, bytes: usize) {
        if self.conn.is_closed() || !self.conn.can_send() {
            return;
        }
        let from = self.queued.len();
        let payload: Vec<u8> = (from..from + bytes).map(|it| it as u8).collect();
        let range = self.conn.send(self.now, &payload, &mut self.send_pool);
        if range.is_some() && !self.conn.is_broken() {
            self.queued.extend(payload);
        }
    }

    /// The kernel takes so many bytes at most.
    fn flush(&mut self, bytes_max: usize) {
        if self.conn.is_closed() || self.conn.is_broken() {
            return;
        }
        if self.secured.pending().is_empty() && self.secured.may_seal() {
            let plain = self.conn.poll_transmit().to_vec();
            if !plain.is_empty() {
                assert!(!self.conn.is_handshaking(), "sealed too early");
                let before = self.conn.written_bytes();
                let n = self.secured.seal(&plain, before, &mut self.send_pool);
                self.conn.transmitted(self.now, n, &mut self.send_pool);
                self.sealed += n;
            }
        }
        if self.conn.poll_transmit().is_empty() && self.conn.poll_shutdown() {
            self.secured.close(&mut self.send_pool);
        }
        let (waiting, n) = (self.secured.pending(), bytes_max);
        if waiting.is_empty() {
            return self.shut();
        }
        let n = n.min(waiting.len());
        if n == 0 {
            return self.conn.handle_line_full(self.now);
        }
        self.sent.extend_from_slice(&waiting[..n]);
        let more = n < waiting.len();
        self.secured.written(n, &mut self.send_pool);
        self.conn.handle_line_written(self.now, more);
        self.shut();
    }

    fn shut(&mut self) {
        if self.conn.poll_shutdown() && self.secured.is_shut() {
            self.conn.handle_shut(self.now);
        }
    }

    fn end(&mut self, input: &mut Input) {
        match input.below(8) {
            0 => self.conn.abort(Source::Closed),
            1 | 2 => self.conn.close(),
            3 if self.conn.wants_read() && self.line.is_empty() && !self.secured.is_ending() => {
                self.take_held();
                self.conn.handle_cut();
            }
            4 if !self.conn.is_closed() && !self.secured.pending().is_empty() => {
                self.secured.abandon();
                self.conn.handle_write_error(Source::Os(32));
            }
            5 if self.conn.wants_read() => self.conn.handle_drained(),
            _ => {}
        }
    }

    fn pump(&mut self) {
        while let Some(cut) = self.conn.poll_frame(&mut self.buffer) {
            let Cut::Frame { offset, len } = cut else {
                panic!("{cut:?} of a raw stream")
            };
            let frame = self.buffer.bytes(offset, len as usize);
            self.told.extend_from_slice(frame.expect("it was just cut"));
            self.buffer.pull(offset + u64::from(len));
        }
        self.buffer.release(READ_BYTES, &mut self.receive_pool);
        while let Some(event) = self.conn.poll_event() {
            assert!(!self.is_closed_told, "{event:?} behind the end");
            self.is_closed_told = matches!(event, ConnEvent::Closed(_));
        }
    }

    fn check(&self) {
        assert!(self.said.starts_with(&self.told), "not what was said");
        let sealed = &self.queued[..self.sealed];
        assert!(sealed.starts_with(&self.heard), "not what was sealed");
        let is_early = self.secured.end().is_some() && self.secured.holds();
        assert!(!is_early, "an end before what came before it");
        let is_silent = self.conn.is_handshaking();
        assert!(!is_silent || self.sealed == 0 && self.told.is_empty());
        let waiting = self.secured.pending().len();
        assert!(waiting <= WAITING_BYTES_MAX, "{waiting} bytes wait");
        assert_eq!(self.is_closed_told, self.conn.is_closed());
    }

    /// Whatever was said comes, the line ends, and then time passes.
    fn heal(&mut self) {
        for _ in 0..100 {
            self.flush(usize::MAX);
            self.hear(usize::MAX);
            self.read(usize::MAX);
            self.pump();
            self.check();
        }
        if self.conn.wants_read() && !self.secured.is_ending() {
            self.conn.handle_cut();
        }
        self.pump();
        for _ in 0..10 {
            self.now = self.now.after(Duration::from_secs(30));
            self.conn.handle_timeout(self.now);
            self.pump();
        }
        assert!(self.conn.is_closed(), "it never ends");
        self.check();
    }
}
