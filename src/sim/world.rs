//! Turning several engines on one simulated network: one after the other, with a timeout of zero,
//! and the clock moves when none of them has anything to do.
//!
//! A turn costs a step of time, so that a loop which spins is seen to take time. Everything told is
//! hashed: the same seed must give the same hash.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::faults::Faults;
use super::kernel::SimKernel;
use super::network::{Network, Shared};
use super::weather::Weather;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::time::Time;

/// What one round of turns takes.
pub(crate) const STEP: Duration = Duration::from_micros(2);

/// In good weather no kernel waits longer than this for what it will not get: what is late is here, and
/// keepalive (15 s, then every 5 s, 3 times, by default) has found who is gone.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(40);

const NOTES_MAX: usize = 40;

pub(crate) type SimEngine = Engine<SimKernel>;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) network: Shared,
    /// Decides every fault, the programs' too.
    pub(crate) weather: Weather,
    /// Rounds so far.
    pub(crate) rounds: u64,
    trace: u64,
    /// The last notes, to be shown when a run fails.
    pub(crate) notes: VecDeque<String>,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> World {
        World::under(Weather::new(seed, faults))
    }

    /// A world in which this weather decides what goes wrong.
    pub(crate) fn under(weather: Weather) -> World {
        let network = Rc::new(RefCell::new(Network::new(weather.clone())));
        World {
            network,
            weather,
            rounds: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            notes: VecDeque::new(),
        }
    }

    /// An engine on a host of its own.
    pub(crate) fn engine(&mut self, config: Config) -> SimEngine {
        Engine::new(SimKernel::new(&self.network), config)
    }

    pub(crate) fn now(&self) -> Time {
        self.network.borrow().now()
    }

    /// One turn of each engine.
    pub(crate) fn turn(&mut self, engines: &mut [&mut SimEngine]) -> Result<(), Error> {
        for engine in engines.iter_mut() {
            engine.turn(Some(Duration::ZERO))?;
        }
        self.rounds += 1;
        let mut network = self.network.borrow_mut();
        let next = network.now().after(STEP);
        network.advance(next);
        Ok(())
    }

    /// Moves the clock to the next thing that happens, when no engine has anything to do before, and
    /// no further than `until`. False when nothing will ever happen.
    pub(crate) fn rest(&mut self, engines: &[&mut SimEngine], until: Time) -> bool {
        let mut network = self.network.borrow_mut();
        let now = network.now();
        let mut next = network.next_arrival().unwrap_or(Time::NEVER).min(until);
        for engine in engines {
            if network.is_ready(engine.core.kernel.host()) {
                return true;
            }
            // The engine asks its kernel for the time.
            drop(network);
            let timeout = engine.core.next_timeout();
            network = self.network.borrow_mut();
            next = next.min(timeout.map_or(Time::NEVER, |timeout| now.after(timeout)));
        }
        if next.is_never() {
            return false;
        }
        network.advance(next.max(now));
        true
    }

    /// Adds to the trace.
    pub(crate) fn note(&mut self, what: &str) {
        let line = format!("{} {what}\n", self.now().since(Time::ZERO).as_nanos());
        // FNV-1a, 64 bits.
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.notes.push_back(line);
        if self.notes.len() > NOTES_MAX {
            self.notes.pop_front();
        }
    }

    pub(crate) fn trace_hash(&self) -> u64 {
        self.trace
    }
}
