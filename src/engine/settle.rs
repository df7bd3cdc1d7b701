//! Acting for a connection: the one place that does what a connection wants.
//!
//! Whatever happened to it, afterwards its events are told, its bytes are on the way to the flush list, its end is
//! carried out and its timer is filed.

use super::core::Core;
use super::slot::Owner;
use crate::conn::ConnEvent;
use crate::error::{Error, Phase, Source};
use crate::event::Event;
use crate::kernel::Kernel;
use crate::upstream::{Failed, Progress};

impl<K: Kernel> Core<K> {
    /// Does what a connection wants after something happened to it.
    pub(super) fn settle(&mut self, index: u32) {
        self.heed_end(index);
        self.wind_up(index);
        loop {
            let slot = &mut self.slots[index as usize];
            let connection = slot.id;
            match slot.conn.poll_event() {
                Some(ConnEvent::HandshakeLost(error)) => {
                    return self.try_next_address(index, error);
                }
                Some(ConnEvent::Writable) => match slot.owner {
                    Owner::Program => self.tell(index, Event::Writable { connection }),
                    Owner::Service { service, .. } => self.serve_waiting(service),
                    Owner::Parted { .. } => {}
                },
                Some(ConnEvent::HalfClosed) => self.tell(index, Event::HalfClosed { connection }),
                Some(ConnEvent::Closed(error)) => return self.finish(index, error),
                None => break,
            }
        }
        let slot = &self.slots[index as usize];
        if slot.conn.is_closed() {
            return;
        }
        if slot.writable && slot.wants_write() {
            self.push_dirty(index);
        }
        let slot = &self.slots[index as usize];
        if !slot.is_stalled && slot.wants_read() {
            self.push_ready(index);
        }
        self.file(index);
    }

    /// Where the end of an upstream's connection is known, requests go elsewhere, and those that wait for room on it too.
    pub(super) fn heed_end(&mut self, index: u32) {
        let Some((service, member)) = self.slots[index as usize].ending_member() else {
            return;
        };
        self.services[service as usize].handle_ending(member);
        if self.services[service as usize].has_waiting() {
            self.connect_members(service);
            self.serve_waiting(service);
        }
    }

    /// Files the nearest deadline of a connection and its requests. One that is due stays due: filed a tick later each
    /// time, it would never come up while something happens in each tick.
    pub(super) fn file(&mut self, index: u32) {
        let deadline = self.deadline_of(&self.slots[index as usize]);
        let slot = &mut self.slots[index as usize];
        if deadline > self.now {
            slot.overdue_since = None;
        }
        match deadline.is_never() {
            true => self.wheel.clear(slot.timer),
            false => self.wheel.schedule(slot.timer, deadline.tick_ceil()),
        }
    }

    /// Queues an event of a connection; raw ones only reach the program that owns it.
    pub(super) fn tell(&mut self, index: u32, event: Event) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(
            slot.owner == Owner::Program,
            "an upstream's connection speaks through its requests"
        );
        slot.unpulled += 1;
        self.events.push_back(event);
    }

    /// Carries out the end of a connection: the socket goes, its owner is told once.
    fn finish(&mut self, index: u32, error: Option<Error>) {
        let slot = &mut self.slots[index as usize];
        let written = slot.conn.written_bytes();
        self.connecting -= usize::from(std::mem::take(&mut slot.is_connecting));
        let misses_heartbeat = slot.conn.has_missed_heartbeat();
        log::debug!("{} closed after {written} bytes out: {error:?}", slot.id);
        self.close_socket(index, error);
        let slot = &mut self.slots[index as usize];
        if let Some(dial) = slot.dial.take() {
            dial.give_up(&mut self.kernel);
        }
        self.wheel.clear(slot.timer);
        self.leave_name(index, error);
        if let Some(drain) = &mut self.drain {
            drain.handle_ended();
        }
        self.note_ended(index, error);
        let slot = &self.slots[index as usize];
        let connection = slot.id;
        match slot.owner {
            Owner::Program => self.tell(
                index,
                Event::Closed {
                    connection,
                    error,
                    written,
                },
            ),
            Owner::Service { service, member } => {
                self.count_bytes(index, service);
                let progress = self.progress(index);
                let quiet_since = self.slots[index as usize].conn.quiet_since();
                let error = error.unwrap_or(Error::new(Phase::Drain, Source::Closed));
                let (now, random) = (self.now, self.kernel.random());
                let error = self.make_again(index, service, member, error);
                let mut failed = std::mem::take(&mut self.failed);
                if misses_heartbeat {
                    let it = &mut self.services[service as usize];
                    it.handle_heartbeat_missed(now, random, &mut failed);
                }
                self.services[service as usize].handle_closed(
                    now,
                    member,
                    random,
                    progress,
                    error,
                    &mut failed,
                );
                self.end_failed(service, failed);
                self.tell_changes(service);
                self.heed_outage(service, member, &error, quiet_since);
                self.connect_members(service);
                // Who waited for room on this one may find it on another.
                if self.services[service as usize].has_waiting() {
                    self.serve_waiting(service);
                }
                self.push_pulled(index);
            }
            Owner::Parted { service } => {
                self.count_bytes(index, service);
                self.parted(index, service);
            }
        }
    }

    /// What an ended connection has written and received is its upstream's from now on.
    fn count_bytes(&mut self, index: u32, service: u32) {
        let conn = &self.slots[index as usize].conn;
        let bytes = &mut self.service_bytes[service as usize];
        *bytes = (
            bytes.0 + conn.written_bytes(),
            bytes.1 + conn.received_bytes(),
        );
    }

    /// Tells the failures of requests; keeps the list for the next time.
    pub(super) fn tell_failed(&mut self, mut failed: Vec<Failed>) {
        for (request, tag, error) in failed.drain(..) {
            self.tell_failure(request, tag, error);
        }
        self.failed = failed;
    }

    /// An empty list for failures.
    pub(super) fn take_failed(&mut self) -> Vec<Failed> {
        std::mem::take(&mut self.failed)
    }

    /// How far the stream of a connection has come.
    pub(super) fn progress(&self, index: u32) -> Progress {
        let conn = &self.slots[index as usize].conn;
        Progress {
            written: conn.written_bytes(),
            reply_begun: conn.reply_begun(),
        }
    }
}
