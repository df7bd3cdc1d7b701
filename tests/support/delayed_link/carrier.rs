//! The thread that carries packets from one device to the other.
//!
//! A packet's time follows from when it entered and from how its lane is at the moment, so a change of delay holds for
//! what is on its way too; nothing overtakes. What is no TCP over IPv4 (the kernel's own IPv6 chatter) is not carried.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::{Lane, OnTheWay, Packet, Wire};

/// Carries until it is told to stop.
pub(super) fn carry(ends: &[File; 2], rings: &UnixStream, wire: &Mutex<Wire>) {
    rings.set_nonblocking(true).unwrap();
    let mut wait = None;
    loop {
        let watched = [ends[0].as_fd(), ends[1].as_fd(), rings.as_fd()];
        let mut watched = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match ppoll(&mut watched, wait.map(TimeSpec::from), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => panic!("ppoll: {errno}"),
        }
        while matches!((&*rings).read(&mut [0; 64]), Ok(1..)) {}
        let mut wire = wire.lock().unwrap();
        if wire.stop {
            return;
        }
        let mut next: Option<Instant> = None;
        for (from, lane) in wire.lanes.iter_mut().enumerate() {
            lane.take_in(&ends[from]);
            let due = lane.hand_out(&ends[1 - from]);
            next = next.into_iter().chain(due).min();
        }
        wait = next.map(|at| at.saturating_duration_since(Instant::now()));
    }
}

impl Lane {
    /// Takes all that the one end has put on the wire.
    fn take_in(&mut self, mut end: &File) {
        let mut buffer = [0; 64 << 10];
        loop {
            let n = match end.read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("reading a device: {error}"),
            };
            let Some(packet) = Packet::parse(&buffer[..n]) else {
                continue;
            };
            self.counts.entered.add(&packet);
            if self.blocked || self.draws_a_loss() {
                self.counts.lost.add(&packet);
                continue;
            }
            self.on_the_way.push_back(OnTheWay {
                entered_at: Instant::now(),
                packet,
                bytes: buffer[..n].to_vec(),
                is_kept: self.keeps.as_ref().is_some_and(|keeps| keeps(&packet)),
            });
        }
    }

    /// Hands to the other end what is due; when to look again.
    fn hand_out(&mut self, mut end: &File) -> Option<Instant> {
        while let Some(first) = self.on_the_way.front().filter(|it| !it.is_kept) {
            let now = Instant::now();
            let due = (first.entered_at + self.delay).max(self.busy_until);
            if due > now {
                return Some(due);
            }
            end.write_all(&first.bytes).unwrap();
            self.counts.left.add(&first.packet);
            self.busy_until = match self.bytes_per_second {
                Some(rate) => {
                    now + Duration::from_secs_f64(first.bytes.len() as f64 / f64::from(rate))
                }
                None => now,
            };
            self.on_the_way.pop_front();
        }
        None
    }

    /// xorshift64: any seed but 0 will do.
    fn draws_a_loss(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < self.loss_percent
    }
}
