//! The loop: joins the pure side with the kernel side.
//!
//! [`Engine::turn`] is one pass: release, flush, wait, mark, pump, flush, expire, flush. Two halves, so that a program may
//! read what came in while it queues what goes out: the [`Inbox`] holds received bytes, the [`Core`] everything else.
//! After whatever happened to a connection, `Core::settle` asks it for all it wants; nothing else acts on its behalf.

#[cfg(test)]
pub(crate) mod check;
mod commands;
mod core;
mod counts;
mod dial;
mod drain;
mod expire;
mod fallback;
mod flush;
mod getters;
mod heartbeat;
mod inbox;
mod lines;
mod listen;
mod members;
mod parting;
mod pump;
mod remote;
mod requests;
mod retire;
mod secure;
mod settle;
mod slot;
mod watch;

use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, Limit, Phase};
use crate::event::{Event, Frame, RequestId};
use crate::kernel::Kernel;
use crate::time::Time;

#[cfg(test)]
pub(crate) use self::check::Waiting;
pub(crate) use self::core::Core;
pub(crate) use commands::check_target;
pub(crate) use inbox::Inbox;
pub(crate) use listen::ListenerId;
pub use remote::Outcome;
pub(crate) use remote::{Mailbox, Submission};
pub(crate) use requests::Terms;

/// A loop with its connections.
#[derive(Debug)]
pub(crate) struct Engine<K: Kernel> {
    pub(crate) inbox: Inbox,
    pub(crate) core: Core<K>,
}

impl<K: Kernel> Engine<K> {
    /// The config has been validated.
    pub(crate) fn new(kernel: K, config: Config) -> Engine<K> {
        Engine {
            inbox: Inbox::new(&config.limits),
            core: Core::new(kernel, config),
        }
    }

    /// One pass of the loop, waiting at most `timeout` (`None`: until something happens). It does not wait while
    /// events are to be pulled or anything is left from the last pass.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let timeout = if self.core.events.is_empty() {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        self.pass(timeout)
    }

    fn pass(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.release();
        let told = self.core.events.len();
        self.core.flush();
        let core = &mut self.core;
        // What the flush has told (room in a queue, an end) is to be pulled first.
        let timeout = match core.events.len() > told {
            true => Some(Duration::ZERO),
            false => timeout,
        };
        let timeout = [timeout, core.next_work()].into_iter().flatten().min();
        let spin = core.config.spin;
        let woken = core.kernel.wait(timeout, spin, &mut core.readiness);
        let has_missed = std::mem::replace(&mut core.wait_failed, woken.is_err());
        let woken = woken.map_err(|error| Error::os(Phase::Idle, &error))?;
        core.mark();
        core.now = core.kernel.now();
        if woken.by_waker || has_missed {
            core.take_resolved();
            core.take_submissions();
        }
        self.pump_ready();
        self.core.accept_ready();
        // A peer that has made room is written to before its stall is judged, as one that has answered is read.
        self.core.flush_at(self.core.now);
        self.core.expire();
        self.core.flush_at(self.core.now);
        self.core.tell_drain();
        Ok(())
    }

    /// The next event. What it refers to stays valid until the next turn.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.core.events.pop_front()?;
        if let Event::Frame { frame, .. } | Event::Reply { frame, .. } | Event::Push { frame, .. } =
            &event
        {
            self.inbox.pull(*frame);
        }
        if let Some(connection) = event.connection() {
            self.core.pulled(connection);
        }
        if let Some((upstream, is_of_breaker)) = event.state_of() {
            self.core.state_pulled(upstream, is_of_breaker);
        }
        if let Event::Draining { .. } = event {
            self.core.drain_pulled();
        }
        Some(event)
    }

    /// Turns until a request has ended, and takes its event out of its place among the others.
    pub(crate) fn wait_for(&mut self, wanted: RequestId) -> Result<Frame, Error> {
        let mut seen = 0;
        loop {
            let events = &mut self.core.events;
            let place = events.range(seen..).position(|event| event.ends(wanted));
            match place.and_then(|place| events.remove(seen + place)) {
                Some(Event::Reply { frame, .. }) => {
                    // Frames before it may still be unpulled: those must stay where they are.
                    self.inbox.discard(frame.connection.index);
                    self.core.pulled(frame.connection);
                    return Ok(frame);
                }
                Some(Event::Failed { error, .. }) => return Err(error),
                _ => seen = self.core.events.len(),
            }
            if seen >= self.core.config.limits.events_max {
                return Err(Error::full(Limit::Events));
            }
            self.core.in_call = true;
            let passed = self.pass(None);
            self.core.in_call = false;
            passed?;
        }
    }

    /// Step 1 of a turn: what was pulled is given up, closed slots are reaped. At no other moment.
    pub(crate) fn release(&mut self) {
        let mut pulled = std::mem::take(&mut self.core.pulled);
        for index in pulled.drain(..) {
            let Some(slot) = self.core.slots.get_mut(index as usize) else {
                continue;
            };
            slot.in_pulled = false;
            if slot.is_reapable() {
                self.core.reap(index);
                self.inbox.reset(index);
                continue;
            }
            self.inbox.release(index);
        }
        self.core.pulled = pulled;
        self.core.give_turns();
    }

    /// Step 6: each connection that is ready, or was cut by its quota in the last turn.
    fn pump_ready(&mut self) {
        let mut ready = std::mem::replace(
            &mut self.core.ready,
            std::mem::take(&mut self.core.ready_spare),
        );
        for index in ready.drain(..) {
            // A slot that was given up while on the list may be another's by now, who is not on it.
            let slot = self.core.slots.get_mut(index as usize);
            if slot.is_some_and(|slot| std::mem::take(&mut slot.in_ready)) {
                self.pump(index);
            }
        }
        self.core.ready_spare = ready;
        self.core.carry_out_outages();
    }

    /// The payload of a frame, while it is held.
    pub(crate) fn bytes(&self, frame: &Frame) -> Option<&[u8]> {
        self.inbox.bytes(frame)
    }
}

/// What a connection may still do in this turn.
struct Quota {
    bytes: usize,
    frames: usize,
}

/// The tick of a deadline, or the next one when it is not ahead.
fn tick_of(deadline: Time, now: Time) -> u64 {
    deadline.tick_ceil().max(now.tick_floor() + 1)
}
