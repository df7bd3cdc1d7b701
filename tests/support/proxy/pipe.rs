//! One direction of a proxied connection: bytes wait here until they may be passed on.
//!
//! A pipe holds what came and when it came, and never when it leaves: that follows from the faults of the moment, so
//! that lifting one lets go at once what it held. Bytes leave in the order in which they came; an end leaves last.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::{Tape, Way};
use crate::support::End;

/// Bytes held before the source is no longer read.
const BYTES_MAX: usize = 256 << 10;

/// How a source ended, and when.
#[derive(Clone, Copy)]
struct Ended {
    at: Instant,
    end: End,
}

/// What one step did.
#[derive(Default)]
pub(super) struct Step {
    pub(super) moved: bool,
    /// When to look again, though no socket is ready.
    pub(super) again_at: Option<Instant>,
    /// The connection ends like this, both ways.
    pub(super) cut: Option<End>,
}

#[derive(Default)]
pub(super) struct Pipe {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    ended: Option<Ended>,
    /// The end was passed on.
    pub(super) is_over: bool,
    /// The sink takes nothing more.
    pub(super) is_broken: bool,
    /// The last write: when, and how many bytes.
    last_write: Option<(Instant, usize)>,
    pub(super) came: u64,
    pub(super) passed: u64,
    /// All that came is written down there.
    pub(super) tape: Option<Tape>,
}

impl Pipe {
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Drops what it holds and all that still comes.
    pub(super) fn discard(&mut self) {
        (self.is_broken, self.is_over) = (true, true);
        self.chunks.clear();
        self.held = 0;
    }

    pub(super) fn step(
        &mut self,
        now: Instant,
        way: &Way,
        source: &mut TcpStream,
        sink: &mut TcpStream,
    ) -> Step {
        let mut step = Step::default();
        self.take(now, source, &mut step);
        if !way.stalled {
            self.pass(now, way, sink, &mut step);
        }
        step
    }

    /// Reads all there is, up to the bound.
    fn take(&mut self, now: Instant, source: &mut TcpStream, step: &mut Step) {
        let mut buffer = [0; 16 << 10];
        while self.ended.is_none() && self.held < BYTES_MAX {
            let end = match source.read(&mut buffer) {
                Ok(0) => End::Fin,
                Ok(n) => {
                    self.came += n as u64;
                    if let Some(tape) = &self.tape {
                        tape.lock().unwrap().extend_from_slice(&buffer[..n]);
                    }
                    step.moved = true;
                    if !self.is_broken {
                        self.held += n;
                        self.chunks.push_back((now, buffer[..n].to_vec()));
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Not connected yet.
                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => End::Rst,
            };
            step.moved = true;
            self.ended = Some(Ended { at: now, end });
        }
    }

    fn pass(&mut self, now: Instant, way: &Way, sink: &mut TcpStream, step: &mut Step) {
        while let Some((came_at, chunk)) = self.chunks.front_mut() {
            let due = (*came_at + way.latency).max(
                self.last_write
                    .map_or(now, |(at, bytes)| at + way.pause_after(bytes)),
            );
            let room = chunk.len().min(way.bytes_at_once(self.passed));
            if room == 0 {
                break;
            }
            if due > now {
                step.again_at = Some(due);
                return;
            }
            match sink.write(&chunk[..room]) {
                Ok(n) => {
                    step.moved = true;
                    self.last_write = Some((now, n));
                    self.passed += n as u64;
                    self.held -= n;
                    chunk.drain(..n);
                    if chunk.is_empty() {
                        self.chunks.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::NotConnected
                    ) =>
                {
                    return;
                }
                Err(_) => {
                    step.moved = true;
                    self.discard();
                }
            }
        }
        if let Some((limit, end)) = way.limit
            && self.passed >= limit
        {
            step.cut = Some(end);
        } else {
            self.pass_end(now, way, sink, step);
        }
    }

    fn pass_end(&mut self, now: Instant, way: &Way, sink: &mut TcpStream, step: &mut Step) {
        let Some(Ended { at, end }) = self.ended else {
            return;
        };
        if self.is_over {
            return;
        }
        let due = at + way.latency.max(way.slow_close);
        match end {
            _ if due > now => step.again_at = Some(due),
            End::Fin if !way.resets_for_fin => {
                // A sink that has gone needs no FIN.
                let _ = sink.shutdown(std::net::Shutdown::Write);
                self.is_over = true;
                step.moved = true;
            }
            _ => step.cut = Some(End::Rst),
        }
    }
}

impl Way {
    /// Bytes that one write may take, after so many in the life of the connection.
    fn bytes_at_once(&self, passed: u64) -> usize {
        let slice = self.slices.map_or(usize::MAX, |(bytes, _)| bytes);
        // A hundredth of a second's bytes at a time.
        let share = self
            .bytes_per_second
            .map_or(usize::MAX, |rate| (rate as usize / 100).max(1));
        let left = self
            .limit
            .map_or(u64::MAX, |(limit, _)| limit.saturating_sub(passed));
        slice
            .min(share)
            .min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    fn pause_after(&self, bytes: usize) -> Duration {
        let gap = self.slices.map_or(Duration::ZERO, |(_, gap)| gap);
        let share = self.bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(bytes as f64 / f64::from(rate))
        });
        gap.max(share)
    }
}
