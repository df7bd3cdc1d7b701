//! One round of a run: a turn of each loop that is not stalled, what the programs do then, and all
//! that must hold between two turns.

use std::time::Duration;

use super::looks::{nobody_waits_for_ever, with_room};
use super::run::Run;
use super::wire::{delivered, no_edge_is_lost};
use crate::error::Error;
use crate::event::Event;
use crate::sim::faults::FaultKind;
use crate::sim::world::{STEP, SimEngine};
use crate::time::Time;

/// Many times what a run takes that goes on.
const ROUNDS_MAX: u64 = 200_000;
/// So often in a row a loop may be turned at once again although nothing has moved.
const IDLE_ROUNDS_MAX: u64 = 1_000;

impl Run {
    /// A turn of each loop that is not stalled; then the clock moves, to `until` at most.
    pub(super) fn round(&mut self, until: Time) {
        let rounds = self.world.rounds;
        assert!(rounds < ROUNDS_MAX, "it spins: {ROUNDS_MAX} rounds");
        let now = self.world.now();
        let moved = self.moved();
        self.meet_weather(now);
        if self.client_stalls_until <= now {
            self.turn_client();
        }
        for host in self.hosts.iter_mut().filter(|host| host.is_turned(now)) {
            may_lack_memory(host.turn(now));
            nobody_waits_for_ever(&self.world.network.borrow(), host);
        }
        // A step of time for all of it.
        self.world.step();
        let streams = &self.streams;
        if let Some(tap) = &mut self.client.core.kernel.tap {
            let is_raw = |token| streams.keys().any(|id| id.token() == token);
            let attempts_max = self.options.client.retry.attempts_max;
            self.wire.read(tap, attempts_max, is_raw);
        }
        self.looked_before_writing();
        self.nobody_new_went_to_the_left_alone();
        if !self.world.weather.happens(FaultKind::ClientLags) {
            self.pull();
        }
        self.act();
        self.still_held();
        self.check();
        self.rest(until);
        let is_idle = self.moved() == moved && self.world.now() <= now.after(STEP);
        self.idle_rounds = if is_idle { self.idle_rounds + 1 } else { 0 };
        let idle = self.idle_rounds;
        assert!(
            idle < IDLE_ROUNDS_MAX,
            "it spins: {idle} rounds for nothing"
        );
    }

    /// Grows with whatever is sent, read, asked or told.
    fn moved(&self) -> (u64, u64, usize, usize) {
        let network = self.world.network.borrow();
        let told = self.client.core.events.len();
        (network.made, network.moved, self.asked.len(), told)
    }

    fn meet_weather(&mut self, now: Time) {
        let weather = &self.world.weather;
        let nanos_max = *self.options.stall_nanos.end();
        if weather.happens(FaultKind::ClientStalls) {
            let nanos = weather.within(FaultKind::ClientStalls, 1..=nanos_max);
            self.client_stalls_until = now.after(Duration::from_nanos(nanos));
        }
        for host in &mut self.hosts {
            host.meet(weather, now, nanos_max);
        }
    }

    /// Whatever lies in the kernel when the loop is turned counts before whatever is due.
    fn turn_client(&mut self) {
        self.held.clear();
        self.turned_at.push(self.world.now());
        let host = self.client.core.kernel.host();
        let tap = self.client.core.kernel.tap.as_ref();
        let here = delivered(&self.world.network.borrow(), host, tap);
        let roomy = with_room(&self.world.network.borrow(), host);
        let told = self.client.core.events.len();
        let missed = self.heartbeats().1;
        let parties = 0..self.upstreams.len();
        let were_open: Vec<bool> = parties.map(|it| self.is_breaker_open(it)).collect();
        if let Some(tap) = &mut self.client.core.kernel.tap {
            tap.ended.clear();
        }
        let alone = self.left_alone(self.world.now());
        may_lack_memory(self.client.turn(Some(Duration::ZERO)));
        self.were_left_alone(&alone);
        for event in self.client.core.events.range(told..) {
            if let Event::Failed { tag, error, .. } = event {
                let party = self.asked[*tag as usize].party;
                // A trial's reply may have closed it behind those whom it refused.
                self.is_refused(party, error, &were_open);
                self.is_over_its_rate(party, error);
                self.was_not_here(*tag, error, &here);
                self.was_ended_so(*tag, error);
                self.was_stalled(error, &roomy);
            }
        }
        self.heard_before_giving_up(missed);
        no_edge_is_lost(&self.world.network.borrow(), host, &self.client);
        self.went_where_they_were_sent();
    }

    fn pull(&mut self) {
        while let Some(event) = self.client.next_event() {
            // Instants are those of this process; times are the same in each.
            match event.state_of() {
                Some((upstream, _)) => self.world.note(&format!("{upstream:?} has changed")),
                None => self.world.note(&format!("{event:?}")),
            }
            self.told(&event);
        }
        while let Ok(answer) = self.answers.1.try_recv() {
            self.world.note(&format!("{answer:?}"));
            self.answered_elsewhere(answer);
        }
    }

    /// What was pulled is there until the next turn, whatever the program does.
    fn still_held(&self) {
        for (frame, bytes) in &self.held {
            let held = self.client.bytes(frame);
            assert_eq!(held, Some(&bytes[..]), "{frame:?} was given up too early");
        }
    }

    fn check(&mut self) {
        self.client.check();
        self.hosts.iter().for_each(|host| host.engine().check());
        let descriptors = self.client.core.kernel.descriptors();
        assert_eq!(descriptors, self.client.sockets(), "descriptors in slots");
        let generations = self.client.generations();
        let mut pairs = self.generations.iter().zip(generations);
        assert!(pairs.all(|(old, new)| old <= new), "a generation came back");
        self.generations = generations.to_vec();
    }

    fn rest(&mut self, until: Time) {
        let now = self.world.now();
        let acts = self.hosts.iter().map(|host| host.next_act()).min();
        let mut until = until.min(acts.unwrap_or(Time::NEVER)).min(self.next_act());
        let mut engines: Vec<&mut SimEngine> = Vec::new();
        match self.client_stalls_until <= now {
            true => engines.push(&mut self.client),
            false => until = until.min(self.client_stalls_until),
        }
        for host in self.hosts.iter_mut().filter(|host| host.is_turned(now)) {
            engines.push(host.engine_mut());
        }
        let more = self.world.rest(&engines, until);
        assert!(
            more || self.open == 0,
            "nothing will ever happen, and requests are open"
        );
    }
}

/// A turn fails when the wait does, which the weather may make fail.
fn may_lack_memory(turned: Result<(), Error>) {
    if let Err(error) = turned {
        assert_eq!(error.errno(), Some(libc::ENOMEM), "{error}");
    }
}
