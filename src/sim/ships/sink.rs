//! A sink in the simulation: a program that reads lines, handles them a while later, and sometimes closes, dies, or
//! does not listen.
//!
//! What it has read is in its memory; what it has handled outlives it. It handles what a connection has brought before
//! it closes that connection. When it is killed, its kernel closes for it: with a FIN where all was read, with a RST
//! otherwise, and what it had not handled is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::kernel::Kernel;
use crate::ship::Wire;
use crate::sim::kernel::{SimKernel, SimListener, SimSocket};
use crate::sim::network::Shared;
use crate::sim::random::{Chance, Random};
use crate::time::Time;

/// How badly a sink behaves, in thousandths of its steps or connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Temper {
    /// It closes a connection at a random byte.
    pub(super) closes: Chance,
    /// It is killed.
    pub(super) dies: Chance,
    /// It reads nothing for a while.
    pub(super) dozes: Chance,
    /// It handles what it reads at once, and not only at the end of a connection.
    pub(super) handles: Chance,
}

#[derive(Debug)]
struct Caller {
    socket: SimSocket,
    /// Read, and not a whole line yet.
    torn: Vec<u8>,
    /// Read, and not handled.
    in_memory: Vec<u64>,
    /// Answers that the kernel has not taken.
    answers: Vec<u8>,
    read_bytes: u64,
    /// It is closed after so many bytes.
    closes_after: Option<u64>,
    last_line: u64,
}

pub(super) struct Sink {
    kernel: SimKernel,
    pub(super) at: SocketAddr,
    listener: Option<SimListener>,
    callers: Vec<Caller>,
    wire: Wire,
    random: Random,
    pub(super) temper: Temper,
    /// How often each line was read.
    pub(super) read: BTreeMap<u64, u32>,
    pub(super) handled: BTreeSet<u64>,
    asleep_until: Time,
    /// What a connection brought out of its order.
    pub(super) disorder: Option<(u64, u64)>,
    pub(super) deaths: u64,
}

impl Sink {
    pub(super) fn new(network: &Shared, wire: Wire, temper: Temper, random: Random) -> Sink {
        let mut kernel = SimKernel::new(network);
        let listener = kernel.listen(kernel.address(0), 0).unwrap();
        let at = kernel.listener_addr(&listener).unwrap();
        Sink {
            kernel,
            at,
            listener: Some(listener),
            callers: Vec::new(),
            wire,
            random,
            temper,
            read: BTreeMap::new(),
            handled: BTreeSet::new(),
            asleep_until: Time::ZERO,
            disorder: None,
            deaths: 0,
        }
    }

    /// When it does something of its own accord.
    pub(super) fn next(&self, now: Time) -> Time {
        match self.asleep_until > now {
            true => self.asleep_until,
            false => Time::NEVER,
        }
    }

    /// One step: true when it did anything.
    pub(super) fn step(&mut self, now: Time) -> bool {
        if self.asleep_until > now {
            return false;
        }
        if self.listener.is_none() {
            self.listener = self.kernel.listen(self.at, 0).ok();
        }
        if self.random.happens(self.temper.dies) {
            self.die(now);
            return true;
        }
        if self.random.happens(self.temper.dozes) {
            self.asleep_until = now.after(Duration::from_millis(self.random.within(1..=300)));
            return true;
        }
        let mut has_acted = self.accept();
        for at in (0..self.callers.len()).rev() {
            has_acted |= self.serve(at);
        }
        has_acted
    }

    fn accept(&mut self) -> bool {
        let mut has_acted = false;
        while let Some(Ok((mut socket, _))) =
            self.listener.as_ref().map(|it| self.kernel.accept(it))
        {
            has_acted = true;
            let token = 1 + self.random.within(0..=1 << 20);
            let options = crate::socket_options::SocketOptions::default();
            if self.kernel.register(&mut socket, &options, token).is_err() {
                self.kernel.close(socket, false);
                continue;
            }
            let closes = self.random.happens(self.temper.closes);
            let closes_after = closes.then(|| self.random.within(0..=3_000));
            self.callers.push(Caller {
                socket,
                torn: Vec::new(),
                in_memory: Vec::new(),
                answers: Vec::new(),
                read_bytes: 0,
                closes_after,
                last_line: 0,
            });
        }
        has_acted
    }

    /// Reads once from a connection; true when that was of use.
    fn serve(&mut self, at: usize) -> bool {
        let caller = &mut self.callers[at];
        let left = caller.closes_after.map(|bytes| bytes - caller.read_bytes);
        if left == Some(0) {
            self.hang_up(at);
            return true;
        }
        let room = self.random.within(1..=2_000).min(left.unwrap_or(u64::MAX));
        let mut bytes = vec![0; room as usize];
        let outcome = self.kernel.read(&caller.socket, &mut bytes);
        let is_of_use = match outcome {
            Ok(0) => {
                self.answer(at);
                self.hang_up(at);
                return true;
            }
            Ok(n) => {
                caller.read_bytes += n as u64;
                caller.torn.extend(&bytes[..n]);
                self.take_lines(at);
                true
            }
            Err(error) if is_passing(&error) => error.kind() != io::ErrorKind::WouldBlock,
            Err(_) => {
                self.hang_up(at);
                return true;
            }
        };
        self.answer(at) || is_of_use
    }

    /// Takes whole lines from what was read.
    fn take_lines(&mut self, at: usize) {
        let caller = &mut self.callers[at];
        while let Some((number, txnr, consumed)) = first_line(self.wire, &caller.torn) {
            caller.torn.drain(..consumed);
            match txnr {
                Some((txnr, "open")) => {
                    let offers = "200 OK\nrelp_version=0\ncommands=syslog";
                    let answer = format!("{txnr} rsp {} {offers}\n", offers.len());
                    caller.answers.extend(answer.bytes());
                    continue;
                }
                Some((txnr, "close")) => {
                    caller.answers.extend(format!("{txnr} rsp 0\n").bytes());
                    continue;
                }
                Some((txnr, _)) => {
                    self.handled.insert(number);
                    caller
                        .answers
                        .extend(format!("{txnr} rsp 6 200 OK\n").bytes());
                }
                None => caller.in_memory.push(number),
            }
            *self.read.entry(number).or_default() += 1;
            if number <= caller.last_line {
                self.disorder = Some((caller.last_line, number));
            }
            caller.last_line = number;
        }
        if self.random.happens(self.temper.handles) {
            self.handled.extend(caller.in_memory.drain(..));
        }
    }

    fn answer(&mut self, at: usize) -> bool {
        let caller = &mut self.callers[at];
        if caller.answers.is_empty() {
            return false;
        }
        match self.kernel.write(&caller.socket, &caller.answers) {
            Ok(n) => {
                caller.answers.drain(..n);
                n > 0
            }
            Err(_) => false,
        }
    }

    /// Handles what a connection has brought, and closes it.
    fn hang_up(&mut self, at: usize) {
        let caller = self.callers.remove(at);
        self.handled.extend(caller.in_memory);
        self.kernel.close(caller.socket, false);
    }

    /// It is killed: its kernel closes, and what was in its memory is gone.
    fn die(&mut self, now: Time) {
        self.deaths += 1;
        for caller in self.callers.drain(..) {
            self.kernel.close(caller.socket, false);
        }
        if let Some(listener) = self.listener.take() {
            self.kernel.close_listener(listener);
        }
        self.asleep_until = now.after(Duration::from_millis(self.random.within(1..=800)));
    }
}

fn is_passing(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::WouldBlock
        || kind == io::ErrorKind::Interrupted
        || error.raw_os_error() == Some(libc::ENOMEM)
}

/// A whole line: its number; with RELP its frame's number and command; and the bytes it takes.
type Whole = (u64, Option<(u32, &'static str)>, usize);

/// The first whole line.
fn first_line(wire: Wire, bytes: &[u8]) -> Option<Whole> {
    let text = std::str::from_utf8(bytes).unwrap();
    match wire {
        Wire::Lf { .. } => {
            let end = text.find('\n')?;
            Some((number(&text[..end]), None, end + 1))
        }
        Wire::Octet => {
            let (len, rest) = text.split_once(' ')?;
            let len: usize = len.parse().unwrap();
            let line = rest.get(..len)?;
            Some((number(line), None, text.len() - rest.len() + len))
        }
        Wire::Relp => {
            let mut parts = text.splitn(3, ' ');
            let (txnr, command, rest) = (parts.next()?, parts.next()?, parts.next()?);
            let digits = rest.find(|it: char| !it.is_ascii_digit())?;
            let len: usize = rest[..digits].parse().unwrap();
            let data = if len == 0 { digits } else { digits + 1 };
            let line = rest.get(data..data + len)?;
            let consumed = text.len() - rest.len() + data + len + 1;
            let txnr = txnr.parse().unwrap();
            let frame = |command| Some((txnr, command));
            bytes.get(consumed - 1)?;
            Some(match command {
                "syslog" => (number(line), frame("syslog"), consumed),
                "open" => (0, frame("open"), consumed),
                "close" => (0, frame("close"), consumed),
                other => panic!("{other}"),
            })
        }
    }
}

/// A line says its number first.
fn number(line: &str) -> u64 {
    line.split('.').next().unwrap().parse().unwrap()
}
