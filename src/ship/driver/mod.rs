//! Shipping over the loop: what the pure rooms say of lines, epochs and sinks is done here, with raw connections.
//!
//! One pass ([`Driver::act`]) follows each turn of the loop. An open line is to be written or on exactly one link; a link
//! leaves the list only when its lines were settled or given back.

mod connecting;
mod ending;
mod finishing;
mod frames;
mod witness;
mod writing;

use std::collections::VecDeque;
use std::time::Duration;

use super::config::{Ack, ShipConfig};
use super::event::{ShipCounts, ShipEvent};
use super::journal::Journal;
use super::lines::Lines;
use super::link::{Link, Stage};
use super::sinks::Sinks;
use crate::config::{Config, Peek};
use crate::engine::{Engine, check_target};
use crate::error::{Error, Source};
use crate::event::{ConnectionId, Event};
use crate::kernel::Kernel;
use crate::time::Time;
use finishing::Finish;
use witness::Witnesses;

/// Years: a timeout that this room keeps itself.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[derive(Debug)]
pub(crate) struct Driver<K: Kernel> {
    pub(crate) engine: Engine<K>,
    config: ShipConfig,
    lines: Lines,
    links: Vec<Link>,
    witnesses: Witnesses,
    sinks: Sinks,
    finish: Finish,
    /// What became of connections, to be told before lines.
    told: VecDeque<ShipEvent>,
    /// Lines on their way into a connection's queue.
    chunk: Vec<u8>,
    /// Witnesses in a row that had ended with their epochs, epochs that had none, and those that were reset behind our FIN
    /// by a sink that lives.
    unproven: u32,
    /// The last witness that had ended with its epoch.
    last_dead: Option<ConnectionId>,
}

impl<K: Kernel> Driver<K> {
    /// Over this kernel, with settings that were validated.
    pub(crate) fn new(kernel: K, config: ShipConfig) -> Driver<K> {
        let engine = Engine::new(kernel, Driver::<K>::of_engine(&config));
        let journal = Journal::new(config.journal_bytes_max, config.journal_lines_max);
        let events_max = config.client.limits.events_max;
        Driver {
            engine,
            lines: Lines::new(journal, events_max),
            links: Vec::new(),
            witnesses: Witnesses::default(),
            sinks: Sinks::new(
                config.sinks.clone(),
                config.sessions().as_ref(),
                config.client.reconnect,
            ),
            finish: Finish::default(),
            told: VecDeque::new(),
            chunk: Vec::new(),
            unproven: 0,
            last_dead: None,
            config,
        }
    }

    /// What can be known to be wrong before a connection is tried.
    pub(crate) fn check(config: &ShipConfig) -> Result<(), Error> {
        config.validate()?;
        let sessions = config.sessions();
        config
            .sinks
            .iter()
            .try_for_each(|sink| check_target(sink, sessions.as_ref()))?;
        Driver::<K>::of_engine(config).validate()
    }

    /// The loop's settings: an idle connection and a long commit are this room's matter.
    fn of_engine(config: &ShipConfig) -> Config {
        let mut client = config.client.clone();
        client.peek = match config.ack {
            Ack::None => Peek::Never,
            _ => client.peek,
        };
        client.timeouts.idle = NEVER;
        client.timeouts.linger = NEVER;
        client.half_close = false;
        let longest = config.wire.bytes_max(config.line_bytes_max());
        // That there is room is told at half of the queue: the longest line has it then.
        let queue = &mut client.limits.send_queue_bytes_max;
        *queue = longest.saturating_mul(2).max(*queue);
        client
    }

    // The loop.

    /// One pass, waiting at most so long.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.act();
        let timeout = match self.has_events() {
            true => Some(Duration::ZERO),
            false => [timeout, self.next_work()].into_iter().flatten().min(),
        };
        let looked_at = self.now();
        self.engine.turn(timeout)?;
        while let Some(event) = self.engine.next_event() {
            self.handle(event);
        }
        self.judge_ended(looked_at);
        self.act();
        Ok(())
    }

    /// Does all that is due, or possible, now.
    fn act(&mut self) {
        let now = self.now();
        self.ask_for_acks(now);
        self.give_up_overdue(now);
        self.keep_witnesses(now);
        self.seal_due(now);
        self.connect_wanted(now);
        self.write(now);
        self.acknowledge_answers();
        self.go_on_finishing(now);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected { connection, peer } => match self.place(connection) {
                Some(at) => self.connected(at, peer),
                None => self.witnesses.handle_connected(connection, peer),
            },
            Event::Frame { connection, frame } => {
                if let Some(at) = self.place(connection) {
                    self.heard(at, frame);
                }
            }
            Event::Writable { connection } => {
                if let Some(at) = self.place(connection) {
                    self.links[at].awaits_room = false;
                }
            }
            Event::Closed {
                connection, error, ..
            } => match self.place(connection) {
                Some(at) => self.ended(at, error),
                None => self.witness_ended(connection, error),
            },
            _ => {}
        }
    }

    fn place(&self, connection: ConnectionId) -> Option<usize> {
        let is_it = |link: &Link| link.id == connection && !link.has_ended();
        self.links.iter().position(is_it)
    }

    pub(super) fn now(&self) -> Time {
        self.engine.core.kernel.now()
    }

    // What the program asks.

    /// Takes a line.
    pub(crate) fn offer(&mut self, line: &[u8]) -> Result<u64, Error> {
        if self.finish.is_asked() {
            return Err(Error::new(crate::error::Phase::Write, Source::ShuttingDown));
        }
        let check = self.config.wire.check(line, self.config.line_bytes_max());
        self.lines.offer(line, check.err()).map_err(Error::full)
    }

    /// What is to be told next.
    pub(crate) fn next_event(&mut self) -> Option<ShipEvent> {
        let told = self.told.pop_front().or_else(|| self.lines.poll());
        told.or_else(|| self.finish.poll())
    }

    pub(crate) fn counts(&self) -> ShipCounts {
        let mut counts = self.lines.counts;
        for link in self.links.iter().filter(|link| !link.has_ended()) {
            let transferred = self.engine.core.transferred(link.id);
            counts.bytes_written += transferred.map_or(0, |(written, _)| written);
            counts.bytes_acked += link.poll.acked;
        }
        counts
    }

    /// Tells what became of a connection; a program that pulls nothing misses some of that.
    fn tell(&mut self, event: ShipEvent) {
        if self.told.len() < self.config.client.limits.events_max {
            self.told.push_back(event);
        }
    }

    pub(super) fn config(&self) -> &ShipConfig {
        &self.config
    }

    // When there is something to do.

    /// How long a loop around this one may wait.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let of_engine = self.engine.core.next_timeout();
        match self.has_events() {
            true => Some(Duration::ZERO),
            false => [of_engine, self.next_work()].into_iter().flatten().min(),
        }
    }

    fn has_events(&self) -> bool {
        !self.told.is_empty() || self.lines.has_events() || self.finish.has_event()
    }

    /// How long the loop may wait on this room's account; `None`: it knows of no deadline.
    pub(crate) fn next_work(&self) -> Option<Duration> {
        let now = self.now();
        let of_links = self.links.iter().map(|link| self.next_of(link, now)).min();
        let times = [
            of_links.unwrap_or(Time::NEVER),
            self.next_connect(now),
            self.next_witness(now),
            self.finish.next(),
        ];
        let next = times.into_iter().min().unwrap_or(Time::NEVER);
        (!next.is_never()).then(|| next.since(now))
    }

    /// When something of a link is due; never, where that is what it waits with.
    fn next_of(&self, link: &Link, now: Time) -> Time {
        let of_stage = match link.stage {
            Stage::Open if self.config.ack == Ack::Commit => {
                let ages_at = |part| link.ages_at(&self.config, part);
                let ahead = [ages_at(2), ages_at(1)].into_iter().find(|it| *it > now);
                ahead.unwrap_or(Time::NEVER)
            }
            Stage::Ended { judge_at, .. } => judge_at,
            _ => Time::NEVER,
        };
        of_stage.min(link.gives_up_at()).min(link.poll.at)
    }
}
