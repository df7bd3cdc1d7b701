//! Adding an upstream, and making its connections.
//!
//! Which member is to connect, and when, the upstream's own machine says; here it gets a slot, where there is one and not
//! too many are being made (`Limits::connecting_max`). Where that is not so, upstreams stand in a queue, each once, and
//! get their turns from the front, a connection a turn. Nobody in it polls: a turn is given when the release of a pass
//! finds that there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::commands::check_target;
use super::core::{Core, TimerOwner, profile};
use super::lines::Lines;
use super::slot::Owner;
use super::tick_of;
use crate::config::Timeouts;
use crate::conn::Conn;
use crate::error::{Error, Limit, Phase, Source};
use crate::event::{Event, UpstreamId};
use crate::kernel::Kernel;
use crate::time::Time;
use crate::upstream::{Change, Service, Upstream};

/// Upstreams that may make a connection, and for which there is no room.
#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: VecDeque<u32>,
    /// By upstream.
    is_queued: Vec<bool>,
}

impl Turns {
    fn put(&mut self, service: u32) {
        if !std::mem::replace(&mut self.is_queued[service as usize], true) {
            self.queue.push_back(service);
        }
    }

    fn take(&mut self) -> Option<u32> {
        let service = self.queue.pop_front()?;
        self.is_queued[service as usize] = false;
        Some(service)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn has(&self, service: u32) -> bool {
        self.is_queued[service as usize]
    }
}

impl<K: Kernel> Core<K> {
    /// Adds a managed service and starts to connect its members.
    pub(crate) fn add(&mut self, upstream: Upstream) -> Result<UpstreamId, Error> {
        self.admits_work()?;
        upstream.validate()?;
        // So no request comes back to an upstream that has handed it over.
        if let Some(UpstreamId(fallback)) = upstream.fallback
            && fallback as usize >= self.services.len()
        {
            let why = "a fallback that is no upstream of this client; add it first";
            return Err(Error::new(Phase::Connect, Source::Invalid(why)));
        }
        for target in upstream.targets() {
            check_target(target, upstream.sessions.as_ref())?;
        }
        if let Some(timeouts) = &upstream.timeouts {
            self.config.validate_kernels(timeouts)?;
        }
        self.check(&upstream.framing)?;
        if let Some(heartbeat) = &upstream.heartbeat {
            self.check_size(&heartbeat.payload)?;
        }
        let free = self.config.limits.connections_max
            - self.slots.len().min(self.config.limits.connections_max);
        if upstream.first() > free {
            return Err(Error::new(
                Phase::Connect,
                Source::Full {
                    limit: Limit::Connections,
                },
            ));
        }
        let service = self.services.len() as u32;
        let it = Service::new(upstream, &self.config);
        // How long one may rest the service itself says.
        let timeouts = Timeouts {
            idle: Duration::MAX,
            ..it.timeouts
        };
        let profile = profile(&self.config, timeouts, false);
        self.service_profiles.push(Arc::new(profile));
        self.services.push(it);
        self.service_timers
            .push(self.wheel.insert(TimerOwner::Service(service)));
        self.service_bytes.push((0, 0));
        self.turns.is_queued.push(false);
        self.service_lines.push(Lines::default());
        self.now = self.kernel.now();
        self.connect_members(service);
        Ok(UpstreamId(service))
    }

    /// Starts the connections an upstream wants now, or has it wait for its turn.
    pub(super) fn connect_members(&mut self, service: u32) {
        while self.services[service as usize].next_connect() <= self.now {
            if !self.turns.is_empty() || !self.has_room() {
                self.turns.put(service);
                break;
            }
            self.connect_member(service);
        }
        self.file_service(service);
    }

    /// Starts a connection, where there is room for it.
    fn connect_member(&mut self, service: u32) {
        let it = &mut self.services[service as usize];
        let Some(member) = it.poll_connect(self.now) else {
            return;
        };
        let (now, profile) = (self.now, self.service_profiles[service as usize].clone());
        let decoder = it
            .options
            .framing
            .decoder(self.config.limits.frame_bytes_max);
        let owner = Owner::Service { service, member };
        let Ok(index) = self.open(owner, || Conn::resolving(now, profile, decoder)) else {
            debug_assert!(false, "there is a slot");
            return;
        };
        self.watch(index, service);
        let it = &mut self.services[service as usize];
        self.slots[index as usize].frames = it.frames_in();
        let target = it.aim(now, member).to_owned();
        let sessions = it.options.sessions.clone();
        it.handle_connecting(member, index);
        self.secure(index, &target, sessions.as_ref());
        self.look_up(index, &target);
    }

    /// Whether an upstream may make a connection: there is a slot, and not too many are being made.
    fn has_room(&self) -> bool {
        let limits = &self.config.limits;
        self.slots.len() < limits.connections_max && self.connecting < limits.connecting_max
    }

    /// Whether a turn can be given.
    pub(super) fn has_turn(&self) -> bool {
        !self.turns.is_empty() && self.has_room()
    }

    /// Gives the upstreams that wait their turns, while there is room.
    pub(super) fn give_turns(&mut self) {
        if self.has_turn() {
            self.now = self.kernel.now();
        }
        while self.has_room()
            && let Some(service) = self.turns.take()
        {
            let now = self.now;
            if self.services[service as usize].next_connect() <= now {
                self.connect_member(service);
            }
            if self.services[service as usize].next_connect() <= now {
                self.turns.put(service);
            }
            self.file_service(service);
        }
    }

    /// The program wants an upstream to be tried now.
    pub(crate) fn retry_now(&mut self, upstream: UpstreamId) -> Result<(), Error> {
        self.admits_work()?;
        let it = self.services.get_mut(upstream.0 as usize);
        let it = it.ok_or(Error::new(Phase::Connect, Source::NotOpen))?;
        self.now = self.kernel.now();
        it.retry_now(self.now);
        self.connect_members(upstream.0);
        Ok(())
    }

    /// Tells what has changed in an upstream's state. What a drain makes of it is told of the drain.
    pub(super) fn tell_changes(&mut self, service: u32) {
        if !self.services[service as usize].has_news() {
            return;
        }
        while let Some(change) = self.services[service as usize].poll_noted() {
            self.note_change(service, change);
        }
        if self.drain.is_some() {
            return;
        }
        let upstream = UpstreamId(service);
        while let Some(change) = self.services[service as usize].poll_change() {
            self.events.push_back(match change {
                Change::Up => Event::Up { upstream },
                Change::Down { error, retry_at } => Event::Down {
                    upstream,
                    error,
                    retry_at: self.kernel.instant(retry_at),
                },
                Change::BreakerOpen { until } => Event::BreakerOpen {
                    upstream,
                    retry_at: self.kernel.instant(until),
                },
                Change::BreakerClosed => Event::BreakerClosed { upstream },
            });
        }
        self.services[service as usize].handle_told();
    }

    /// The program has pulled a change of an upstream's state: the next is told.
    pub(super) fn state_pulled(&mut self, upstream: UpstreamId, is_of_breaker: bool) {
        self.services[upstream.0 as usize].handle_change_pulled(is_of_breaker);
        self.tell_changes(upstream.0);
    }

    /// Files an upstream's nearest deadline. A connect that is due and waits for its turn needs no timer.
    pub(super) fn file_service(&mut self, service: u32) {
        self.drain_service(service);
        let (timer, it) = (
            self.service_timers[service as usize],
            &self.services[service as usize],
        );
        let deadline = it.poll_timeout();
        match deadline.is_never() {
            true => self.wheel.clear(timer),
            false if it.next_wait_end() <= self.now => {
                self.wheel.schedule(timer, deadline.tick_ceil());
            }
            false if deadline <= self.now && self.turns.has(service) => match it.next_wait_end() {
                Time::NEVER => self.wheel.clear(timer),
                wait_end => self.wheel.schedule(timer, wait_end.tick_ceil()),
            },
            false => self.wheel.schedule(timer, tick_of(deadline, self.now)),
        }
    }
}
