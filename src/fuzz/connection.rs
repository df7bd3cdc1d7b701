//! The connection machine, whatever happens to it: a byte program of what the kernel, the peer, the clock and the
//! program may do in that state, drained as the engine drains it, then healed until it ends.
//!
//! Only what the engine can do is done: nothing is read that is not wanted, nothing more written than is pending, no
//! time runs backwards. All else is drawn. What must hold is in `connection/ledger.rs`.

mod cutter;
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use super::input::Input;
use crate::buffer::{Pool, ReceiveBuffer};
use crate::config::Timeouts;
use crate::conn::{Conn, Profile};
use crate::error::{Error, Phase, Source};
use crate::time::Time;
use cutter::Cutter;
use ledger::Ledger;

const READ_BYTES: usize = 64;
const SEND_QUEUE_BYTES_MAX: usize = 100;
/// Received bytes that the program has not pulled, before nothing is read any more.
const UNPULLED_BYTES_MAX: usize = 256;
const CAPACITY_BYTES_MAX: usize = 1024;
/// Far more than any connection needs to end when nothing happens to it any more.
const HEALING_STEPS_MAX: usize = 100;

/// One input of the target `connection`.
pub fn connection(data: &[u8]) {
    let mut input = Input::new(data);
    let mut run = Run::draw(&mut input);
    while !input.is_empty() {
        run.step(&mut input);
        run.check();
    }
    run.heal();
}

struct Run {
    cutter: Cutter,
    conn: Conn,
    buffer: ReceiveBuffer,
    receive_pool: Pool,
    send_pool: Pool,
    now: Time,
    /// The kernel has told its error: reads find an end from now on, writes and all else fail.
    is_dead: bool,
    /// All frames received were cut: only then it is read on.
    is_cut: bool,
    ledger: Ledger,
}

fn nanos(n: usize) -> Duration {
    Duration::from_nanos(n as u64)
}

fn timeouts() -> Timeouts {
    Timeouts {
        resolve: nanos(2_000),
        connect: nanos(5_000),
        connect_address: nanos(3_000),
        first_byte: nanos(5_100),
        read_stall: nanos(5_200),
        write_stall: nanos(5_300),
        idle: nanos(20_000),
        linger: nanos(1_000),
        ..Timeouts::default()
    }
}

impl Run {
    fn draw(input: &mut Input) -> Run {
        let cutter = Cutter::draw(input);
        let is_server = input.flag();
        let profile = Arc::new(Profile {
            timeouts: timeouts(),
            half_close: is_server || input.flag(),
            reads_pause_above_bytes: if is_server { 40 } else { usize::MAX },
            send_queue_bytes_max: SEND_QUEUE_BYTES_MAX,
            read_bytes_max: match is_server && input.flag() {
                true => 1 + input.byte() as u64,
                false => u64::MAX,
            },
        });
        let now = Time::from_nanos(1_000_000);
        let decoder = cutter.framing.decoder(cutter.limit);
        let conn = match is_server {
            true => Conn::accepted(now, profile.clone(), decoder),
            false => Conn::resolving(now, profile.clone(), decoder),
        };
        Run {
            cutter,
            conn,
            buffer: ReceiveBuffer::default(),
            receive_pool: Pool::new(READ_BYTES, 1 << 16),
            send_pool: Pool::new(READ_BYTES, 1 << 16),
            now,
            is_dead: false,
            is_cut: true,
            ledger: Ledger::new(now, profile),
        }
    }

    fn step(&mut self, input: &mut Input) {
        match input.below(20) {
            0 | 1 => self.now = self.now.after(nanos(input.below(256) * 16)),
            2 => self.pass_timeout(),
            3 if self.conn.is_connecting() => self.connect(input),
            4 if !self.conn.is_closed() && self.conn.can_send() => self.send(input),
            5 | 6 => {
                let bytes = input.below(64);
                let bytes = input.take(bytes);
                self.receive(bytes);
            }
            7 => {
                let bytes = input.below(32);
                let payload = input.take(bytes);
                let shape = self.cutter.shape.as_ref();
                if let Some((frame, _)) = shape.and_then(|shape| shape.encode(payload)) {
                    self.receive(&frame);
                }
            }
            8 if self.may_read() && !self.is_dead => self.conn.handle_drained(),
            9 if self.may_read() => self.end_reading(None),
            10 if self.may_read() && !self.is_dead => self.end_reading(Some(Source::Os(104))),
            11 | 12 => self.write(1 + input.below(64)),
            13 if self.may_write() => self.fail_write(),
            14 => self.shut(input.below(4) > 0),
            15 => self.close(input),
            16 if !self.conn.is_closed() => self.reply(input),
            17 => self.withdraw(),
            18 if self.may_write() && !self.is_dead => self.fail_look(),
            19 => self.pull(input.below(8), input.flag()),
            _ => {}
        }
        let frames_max = if input.below(8) == 0 { 1 } else { usize::MAX };
        self.pump(frames_max);
    }

    // What the kernel and the peer do.

    fn may_read(&self) -> bool {
        let is_stalled = self.buffer.unpulled() > 0 && self.buffer.held() >= UNPULLED_BYTES_MAX;
        self.conn.wants_read() && self.is_cut && !is_stalled
    }

    fn may_write(&self) -> bool {
        !self.conn.poll_transmit().is_empty()
    }

    fn connect(&mut self, input: &mut Input) {
        match input.below(4) {
            0 => {
                self.ledger.failed(111);
                let error = Error::new(Phase::Connect, Source::Os(111));
                self.conn.handle_connect_failed(error);
            }
            1 if !self.conn.is_resolving() => {
                self.ledger.connected(self.now);
                self.conn.handle_connected(self.now);
            }
            _ => {
                self.ledger.connecting(self.now);
                self.conn.handle_connecting();
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.ledger.has_pulled() {
            // A turn begins with it: nothing is read between.
            self.release();
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            if !self.is_cut {
                self.pump(usize::MAX);
            }
            if !self.may_read() || self.is_dead {
                return;
            }
            let wanted = self.conn.wanted();
            let pool = &mut self.receive_pool;
            let space = self.buffer.space(wanted, READ_BYTES, pool);
            let room = space.len().min(self.conn.may_receive());
            let n = room.min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            self.buffer.received(n);
            self.conn.handle_received(self.now, n);
            self.buffer.trim(pool);
            self.ledger.received(self.now, &rest[..n]);
            rest = &rest[n..];
            self.is_cut = false;
        }
    }

    fn end_reading(&mut self, failure: Option<Source>) {
        match failure {
            None => self.conn.handle_eof(),
            Some(source) => {
                self.is_dead = true;
                self.ledger.failed(104);
                self.conn.handle_error(source);
            }
        }
    }

    fn write(&mut self, bytes_max: usize) {
        if self.may_write() && self.is_dead {
            self.fail_write();
        } else if self.may_write() {
            let n = self.conn.poll_transmit().len().min(bytes_max);
            self.ledger.written(self.now, n);
            self.conn.transmitted(self.now, n, &mut self.send_pool);
        }
    }

    fn fail_write(&mut self) {
        self.ledger.failed(32);
        self.ledger.broke();
        self.conn.handle_write_error(Source::Os(32));
    }

    /// The look before a write finds an error.
    fn fail_look(&mut self) {
        self.is_dead = true;
        self.ledger.failed(110);
        self.conn.handle_error(Source::Os(110));
    }

    fn shut(&mut self, succeeds: bool) {
        if !self.conn.poll_shutdown() {
            return;
        }
        if succeeds && !self.is_dead {
            self.ledger.shut(self.now);
            self.conn.handle_shut(self.now);
        } else {
            self.is_dead = true;
            self.ledger.failed(107);
            self.conn.handle_error(Source::Os(107));
        }
    }

    /// The wheel says that something may be due: it is, or nothing happens.
    fn pass_timeout(&mut self) {
        let (deadline, was_closed) = (self.conn.poll_timeout(), self.conn.is_closed());
        let is_due = deadline <= self.now;
        self.conn.handle_timeout(self.now);
        assert_eq!(self.conn.is_closed(), was_closed || is_due, "early or late");
    }

    // What the program does.

    fn send(&mut self, input: &mut Input) {
        let bytes = input.below(SEND_QUEUE_BYTES_MAX + 2);
        let payload = vec![bytes as u8; bytes];
        let range = self.conn.send(self.now, &payload, &mut self.send_pool);
        self.ledger.sent(self.now, &payload, range.clone());
        if range.is_none() {
            self.ledger.asks_writable = true;
            self.conn.refused();
        }
    }

    fn close(&mut self, input: &mut Input) {
        if self.conn.is_closed() {
            return;
        }
        match input.below(4) {
            0 => self.conn.abort(Source::Closed),
            1 => {
                self.ledger.asks_writable = true;
                self.conn.notify_writable();
            }
            _ => self.conn.close(),
        }
    }

    fn reply(&mut self, input: &mut Input) {
        match input.flag() {
            true => self.conn.await_reply(self.now),
            false => self.conn.handle_reply(self.now, input.flag()),
        }
        self.ledger.acted(self.now);
    }

    fn withdraw(&mut self) {
        if let Some(range) = self.ledger.withdrawn() {
            self.conn
                .withdraw(std::iter::once(range), &mut self.send_pool);
        }
    }

    fn pull(&mut self, frames: usize, releases: bool) {
        for end in self.ledger.pulled(frames) {
            self.buffer.pull(end);
        }
        if releases {
            self.release();
        }
    }

    fn release(&mut self) {
        self.ledger.released();
        self.buffer.release(READ_BYTES, &mut self.receive_pool);
    }

    // As the engine does.

    fn pump(&mut self, frames_max: usize) {
        let mut frames = 0;
        self.is_cut = loop {
            if frames == frames_max {
                break false;
            }
            let Some(cut) = self.conn.poll_frame(&mut self.buffer) else {
                break true;
            };
            self.ledger.cut(cut, &self.buffer);
            frames += 1;
        };
        while let Some(event) = self.conn.poll_event() {
            self.ledger.told(self.now, event, &self.conn, &self.cutter);
        }
    }

    fn check(&self) {
        self.ledger.check(&self.conn, &self.buffer);
        let capacity = self.buffer.capacity();
        assert!(capacity <= CAPACITY_BYTES_MAX, "{capacity} bytes held");
        if self.conn.is_closed() {
            assert!(self.conn.poll_timeout().is_never() && self.conn.poll_transmit().is_empty());
            assert!(!self.conn.wants_read() && !self.conn.poll_shutdown() && !self.conn.can_send());
        }
    }

    /// The program pulls everything, the kernel takes everything, the peer ends, time passes: then it is over.
    fn heal(&mut self) {
        for _ in 0..HEALING_STEPS_MAX {
            self.pump(usize::MAX);
            self.pull(usize::MAX, true);
            self.check();
            if self.conn.is_closed() {
                break;
            }
            if self.may_write() {
                self.write(usize::MAX);
            } else if self.conn.poll_shutdown() {
                self.shut(true);
            } else if self.may_read() {
                self.end_reading(None);
            } else {
                let deadline = self.conn.poll_timeout();
                assert!(!deadline.is_never(), "nothing will ever end it");
                self.now = self.now.max(deadline);
                self.pass_timeout();
            }
        }
        assert!(self.ledger.closed.is_some(), "it never ends");
        self.conn.release(&mut self.send_pool);
        self.buffer.reset(&mut self.receive_pool);
        assert_eq!(self.buffer.capacity(), 0);
    }
}
