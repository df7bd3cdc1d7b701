//! Writing lines: which link takes them, how many, and when its epoch is sealed.

use super::Driver;
use crate::kernel::Kernel;
use crate::ship::config::Ack;
use crate::ship::link::{Link, Stage, seal_timeout};
use crate::time::Time;

/// Bytes of lines that are handed to a connection's queue at a time.
const CHUNK_BYTES: usize = 128 << 10;

impl<K: Kernel> Driver<K> {
    /// Writes what the links take.
    pub(super) fn write(&mut self, now: Time) {
        while let Some(at) = self.writer(now) {
            if !self.write_chunk(at, now) {
                return;
            }
            self.seal_due(now);
        }
    }

    /// The link that takes lines: the one whose epoch has begun and is not sealed, and only where there is none, a fresh
    /// one. So one epoch at most is being written, and one awaits its commit.
    fn writer(&self, now: Time) -> Option<usize> {
        if self.lines.backlog.is_empty() {
            return None;
        }
        let takes = |link: &Link| self.takes_lines(link, now);
        let begun = |link: &Link| link.is_open() && !link.epoch.is_empty();
        match self.links.iter().position(begun) {
            Some(at) => takes(&self.links[at]).then_some(at),
            None => self.links.iter().position(takes),
        }
    }

    fn takes_lines(&self, link: &Link, now: Time) -> bool {
        if !link.is_open() || link.awaits_room || !self.keeps_order(link) {
            return false;
        }
        let waits = self.links.iter().any(Link::is_unconfirmed);
        match self.config.ack {
            // The next connection is not there yet: the stream goes on for a while.
            Ack::Commit if link.epoch.end() >= self.config.commit_bytes.saturating_mul(2) => false,
            // Its seal waits for that of the epoch before; or nothing is written at all until that is confirmed.
            Ack::Commit if waits && (self.config.ordered || link.is_due(now, &self.config, 1)) => {
                false
            }
            Ack::Commit => !self.awaits_witness(link),
            // What the one before gives back goes before what is new.
            _ if waits => false,
            Ack::Relp => link.session.as_ref().is_some_and(|session| {
                link.epoch.lines() < self.config.window && !session.is_used_up()
            }),
            _ => true,
        }
    }

    /// Whether the next line comes after those of a link. Those that an epoch before has given back do not: they have
    /// another one.
    pub(super) fn keeps_order(&self, link: &Link) -> bool {
        let first = self.lines.backlog.first();
        first.is_none_or(|run| link.epoch.precedes(run.from))
    }

    /// Queues as many lines as a chunk, the queue and the epoch have room for; whether another may follow.
    fn write_chunk(&mut self, at: usize, now: Time) -> bool {
        let core = &mut self.engine.core;
        let link = &mut self.links[at];
        let Some(run) = self.lines.backlog.first() else {
            return false;
        };
        let queued = core.queued(link.id).unwrap_or(usize::MAX);
        let room = core
            .config
            .limits
            .send_queue_bytes_max
            .saturating_sub(queued);
        let lines_max = match self.config.ack {
            Ack::Relp => self.config.window - link.epoch.lines(),
            _ => usize::MAX,
        };
        let bytes_max = match self.config.ack {
            Ack::Commit => self.config.commit_bytes.saturating_sub(link.epoch.end()),
            _ => u64::MAX,
        };
        let chunk = &mut self.chunk;
        chunk.clear();
        let was_empty = link.epoch.is_empty();
        let mut next = run.from;
        while next <= run.to && ((next - run.from) as usize) < lines_max {
            let before = chunk.len();
            if before >= CHUNK_BYTES || before > 0 && before as u64 >= bytes_max {
                break;
            }
            let line = self.lines.journal.get(next);
            if before + self.config.wire.bytes_max(line.len()) > room {
                link.awaits_room = true;
                break;
            }
            let txnr = match &mut link.session {
                None => 0,
                Some(session) => match session.next_txnr() {
                    Some(txnr) => txnr,
                    None => break,
                },
            };
            self.config.wire.put(line, txnr, chunk);
            link.epoch
                .put(next, chunk.len() - before, txnr, run.in_doubt);
            next += 1;
        }
        let lines = next - run.from;
        self.lines.backlog.advance(lines);
        if run.again {
            self.lines.counts.resent += lines;
        }
        if was_empty && lines > 0 {
            link.first_at = now;
        }
        if link.session.is_some() && lines > 0 {
            link.answer_by = link.answer_by.min(now.after(self.config.commit_timeout));
        }
        link.owes_ack &= lines == 0;
        link.poll.handle_written(now, &self.config);
        let id = link.id;
        if !self.chunk.is_empty() {
            let queued = core.send(id, &self.chunk);
            debug_assert!(queued.is_ok(), "room was asked for: {queued:?}");
        }
        if self.links[at].awaits_room {
            let _ = core.notify_writable(id);
        }
        lines > 0
    }

    /// Asks the kernel what was acknowledged, where that may have changed; counts, and settles what that is enough for.
    pub(super) fn ask_for_acks(&mut self, now: Time) {
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            if link.is_being_made() || link.has_ended() {
                continue;
            }
            let core = &mut self.engine.core;
            let Some(left) = core.left(link.id) else {
                continue;
            };
            if link.poll.at <= now {
                let before = link.poll.acked;
                // Where the system does not tell, no more is known than before.
                let acked = core.acked(link.id).unwrap_or(before);
                let queued = link.epoch.end();
                link.poll.handle_answer(now, acked, queued, &self.config);
                if acked > before {
                    link.handle_progress(now, &self.config);
                }
            }
            self.count(at, left);
            self.settle_standing(at, left);
        }
    }

    /// Counts lines as written, where they have left whole, and as acknowledged.
    pub(super) fn count(&mut self, at: usize, left: u64) {
        let link = &mut self.links[at];
        let (lines, acked) = link.epoch.count(left, link.poll.acked);
        self.lines.counts.written += lines;
        self.lines.counts.kernel_acked += acked;
    }

    /// Seals the epochs that are large or old enough, where the one before is confirmed and the next can begin.
    pub(super) fn seal_due(&mut self, now: Time) {
        if self.links.iter().any(Link::is_unconfirmed) {
            return;
        }
        let is_due = |link: &Link| link.is_open() && self.is_to_be_sealed(link, now);
        let Some(at) = self.links.iter().position(is_due) else {
            return;
        };
        let fresh = |link: &Link| link.is_open() && link.epoch.is_empty();
        let is_ready = self.config.ordered
            || self.lines.backlog.is_empty()
            || self.links.iter().any(fresh)
            // None is being made: it could not be, and its sink has a pause.
            || !self.links.iter().any(Link::is_being_made);
        if is_ready {
            self.seal(at, now);
        }
    }

    fn is_to_be_sealed(&self, link: &Link, now: Time) -> bool {
        // The journal is full of lines that are all written: only an end makes room, and no line makes the epoch due.
        let is_stuck =
            self.lines.wants_room() && self.lines.backlog.is_empty() && !link.epoch.is_empty();
        match self.config.ack {
            Ack::Commit => {
                let is_over =
                    is_stuck || link.is_due(now, &self.config, 1) || !self.keeps_order(link);
                is_over && !self.awaits_witness(link)
            }
            Ack::Kernel => is_stuck,
            Ack::None | Ack::Peek | Ack::Relp => false,
        }
    }

    /// Sends our FIN behind the last line, and awaits the peer's.
    pub(super) fn seal(&mut self, at: usize, now: Time) {
        let link = &mut self.links[at];
        link.stage = Stage::Sealed {
            until: now.after(seal_timeout(&self.config)),
        };
        let _ = self.engine.core.close(link.id);
    }
}
