//! A scripted server: answers requests in its dialect and manner, or says what its tape says, and now
//! and then ends a connection somewhere, hangs, or says what it should not.
//!
//! Whatever a client must not send is seen here: a request that comes twice, or in pieces that do not
//! fit. What is said when is kept in one list, by time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use super::dialect::{Dialect, HEARTBEAT, HEARTBEAT_LINE, is_idempotent, payload, tag_of};
use super::options::Manner;
use super::tape::Tape;
use crate::error::Source;
use crate::event::{ConnectionId, Event};
use crate::sim::faults::FaultKind;
use crate::sim::random::{Chance, Random};
use crate::sim::weather::Weather;
use crate::sim::world::SimEngine;
use crate::time::Time;

/// What a server is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// To answer requests; what is over so many bytes is skipped.
    Answers {
        dialect: Dialect,
        is_plain: bool,
        frame_bytes_max: usize,
    },
    /// To say so many bytes of its tape.
    Plays { tape: Tape, bytes: usize },
}

pub(super) struct Peer {
    role: Role,
    pub(super) manner: Manner,
    weather: Weather,
    random: Random,
    lines: BTreeMap<ConnectionId, Line>,
    /// What is to be done, and when.
    due: BTreeMap<(Time, u64), (ConnectionId, Act)>,
    acts: u64,
    /// Tags of the requests that it was told of.
    pub(super) seen: BTreeSet<u64>,
    /// Of each request that was answered: to which port, and where in that stream the answer ends.
    pub(super) answered: BTreeMap<u64, (u16, u64)>,
    /// Ports to which it said what answers nothing: from then on anything may be taken for anything.
    pub(super) rude_to: BTreeSet<u16>,
    /// To whom it was rude in whatever way: its connection ends at that word, and is told to have ended in peace when
    /// the peer has gone as well.
    pub(super) spoke_unasked_to: BTreeSet<u16>,
    /// Those of them to which it said what is no frame: what is behind it may be part of that.
    pub(super) unclear_to: BTreeSet<u16>,
}

/// One connection of it.
#[derive(Debug)]
struct Line {
    /// The client's.
    port: u16,
    /// No whole line yet.
    unparsed: Vec<u8>,
    said_bytes: u64,
    pushes: u64,
    /// When the last of what is to be said is said.
    busy_until: Time,
    /// It answers nothing, for now: tags and sizes.
    hangs: bool,
    withheld: Vec<(u64, usize)>,
    /// It is being ended: nothing more is answered.
    is_ending: bool,
}

#[derive(Debug)]
enum Act {
    /// Says something; with the last of an answer, whose it is.
    Say(Vec<u8>, Option<u64>),
    Close,
    /// The same, if it has said no more than this since, and nothing is to be answered.
    CloseIdle(u64),
    Abort,
}

impl Line {
    fn is_idle(&self, now: Time, said_bytes: u64) -> bool {
        let owes = !self.unparsed.is_empty() || !self.withheld.is_empty() || self.busy_until > now;
        !owes && self.said_bytes == said_bytes
    }
}

impl Peer {
    pub(super) fn new(role: Role, manner: Manner, weather: Weather, random: Random) -> Peer {
        Peer {
            role,
            manner,
            weather,
            random,
            lines: BTreeMap::new(),
            due: BTreeMap::new(),
            acts: 0,
            seen: BTreeSet::new(),
            answered: BTreeMap::new(),
            rude_to: BTreeSet::new(),
            spoke_unasked_to: BTreeSet::new(),
            unclear_to: BTreeSet::new(),
        }
    }

    pub(super) fn serve(&mut self, engine: &mut SimEngine, now: Time, event: &Event) {
        match *event {
            Event::Connected { connection, peer } => self.welcome(now, connection, peer.port()),
            Event::Frame { connection, frame } => {
                let bytes = engine.bytes(&frame).expect("held until the next turn");
                let Some(line) = self.lines.get_mut(&connection) else {
                    panic!("{connection} was never told of");
                };
                if let Role::Answers { .. } = self.role {
                    line.unparsed.extend_from_slice(bytes);
                    self.parse(now, connection);
                }
            }
            // It was ended by the client: what is to be said is said, and no more.
            Event::HalfClosed { connection } => {
                let at = self.lines[&connection].busy_until.max(now);
                self.at(at, connection, Act::Close);
            }
            Event::Closed {
                connection, error, ..
            } => {
                self.lines.remove(&connection);
                let tap = engine.core.kernel.tap.as_ref();
                let ended = tap.and_then(|tap| tap.streams.get(&connection.token())?.ended);
                let is_peace = error.is_none_or(|error| error.source == Source::Eof);
                let has_fin = ended.is_none_or(|ended| ended.has_fin);
                assert!(!is_peace || has_fin, "{connection} was reset: {error:?}");
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub(super) fn act(&mut self, engine: &mut SimEngine, now: Time) {
        let ends_idle = self.manner.idle_nanos.is_some();
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let (connection, act) = entry.remove();
            // It may have ended meanwhile.
            let Some(line) = self.lines.get_mut(&connection) else {
                continue;
            };
            match act {
                Act::Say(bytes, answers) => {
                    if engine.core.send(connection, &bytes).is_err() {
                        continue;
                    }
                    line.said_bytes += bytes.len() as u64;
                    let said_bytes = line.said_bytes;
                    if let Some(tag) = answers {
                        self.answered.insert(tag, (line.port, said_bytes));
                        self.end_when_idle(now, connection, said_bytes);
                    }
                }
                Act::CloseIdle(said_bytes) if !ends_idle || !line.is_idle(now, said_bytes) => {}
                Act::Close | Act::CloseIdle(_) => _ = engine.core.close(connection),
                Act::Abort => _ = engine.core.abort(connection),
            }
        }
    }

    /// When there is something to do again.
    pub(super) fn next_act(&self) -> Time {
        self.due.keys().next().map_or(Time::NEVER, |(at, _)| *at)
    }

    /// It no longer hangs: what was withheld is answered, late as it is.
    pub(super) fn heal(&mut self, now: Time) {
        self.manner.ignores_heartbeats = false;
        self.manner.idle_nanos = None;
        let hanging: Vec<ConnectionId> = self.lines.keys().copied().collect();
        for connection in hanging {
            let Some(line) = self.lines.get_mut(&connection) else {
                continue;
            };
            line.hangs = false;
            for (tag, bytes) in std::mem::take(&mut line.withheld) {
                self.answer(now, connection, tag, bytes);
            }
        }
    }

    fn welcome(&mut self, now: Time, connection: ConnectionId, port: u16) {
        let line = Line {
            port,
            unparsed: Vec::new(),
            said_bytes: 0,
            pushes: 0,
            busy_until: now,
            hangs: self.weather.happens(FaultKind::ServerHangs),
            withheld: Vec::new(),
            is_ending: false,
        };
        let hangs = line.hangs;
        self.lines.insert(connection, line);
        if let (Role::Plays { tape, bytes }, false) = (self.role, hangs) {
            let script = tape.script(port, bytes).bytes;
            let parts = 1 + script.len() / 400;
            self.say(now, connection, &script, None, parts as u64);
            if self.random.happens(Chance(500)) {
                let at = self.lines[&connection].busy_until;
                self.at(at, connection, Act::Close);
            }
        }
    }

    /// Each whole line is a request. Whatever was on the wire twice, or is none, is seen here.
    fn parse(&mut self, now: Time, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else {
            return;
        };
        let mut unparsed = std::mem::take(&mut line.unparsed);
        while let Some(end) = unparsed.iter().position(|byte| *byte == b'\n') {
            let request: Vec<u8> = unparsed.drain(..=end).take(end).collect();
            if request == HEARTBEAT_LINE {
                if !self.manner.ignores_heartbeats {
                    self.answer(now, connection, HEARTBEAT, end);
                }
                continue;
            }
            let tag = tag_of(&request).expect("a line that the client sent");
            assert_eq!(request, payload(tag, end), "another line came");
            let is_new = self.seen.insert(tag);
            assert!(is_new || is_idempotent(tag), "request {tag} came twice");
            self.answer(now, connection, tag, end);
        }
        if let Some(line) = self.lines.get_mut(&connection) {
            line.unparsed = unparsed;
        }
    }

    fn answer(&mut self, now: Time, connection: ConnectionId, tag: u64, bytes: usize) {
        let (
            Role::Answers {
                dialect, is_plain, ..
            },
            Some(line),
        ) = (self.role, self.lines.get_mut(&connection))
        else {
            return;
        };
        if line.is_ending {
            return;
        }
        if line.hangs {
            return line.withheld.push((tag, bytes));
        }
        if dialect.has_pushes() && self.random.happens(self.manner.pushes) {
            line.pushes += 1;
            let push = dialect.push(line.pushes - 1).wire;
            self.say(now, connection, &push, None, 1);
        }
        let wire = match tag {
            HEARTBEAT => dialect.heartbeat().wire,
            _ => dialect.reply(tag, bytes, is_plain).wire,
        };
        if self.weather.happens(FaultKind::ServerEnds) {
            return self.end(now, connection, tag, &wire);
        }
        let is_rude = self.weather.happens(FaultKind::ServerIsRude);
        let is_rude_first = is_rude && self.weather.within(FaultKind::ServerIsRude, 0..=1) == 0;
        if is_rude_first {
            self.be_rude(now, connection, &wire);
        }
        let parts = match dialect {
            // Answers that overtake each other leave whole.
            Dialect::ById => 1,
            _ => self.random.within(1..=self.manner.parts_max),
        };
        self.say(now, connection, &wire, Some(tag), parts);
        if is_rude && !is_rude_first {
            self.be_rude(now, connection, &wire);
        }
    }

    /// Ends a connection at a byte of an answer, or right behind it: with a FIN, a RST, or a RST behind the bytes.
    fn end(&mut self, now: Time, connection: ConnectionId, tag: u64, wire: &[u8]) {
        if let Some(line) = self.lines.get_mut(&connection) {
            line.is_ending = true;
        }
        let all = wire.len();
        let beyond = all as u64 * 3 / 2;
        let part = self.weather.within(FaultKind::ServerEnds, 0..=beyond) as usize;
        let part = part.min(all);
        let answers = (part == all).then_some(tag);
        self.say(now, connection, &wire[..part], answers, 1);
        let at = self.lines[&connection].busy_until;
        match self.weather.happens(FaultKind::ServerResets) {
            true => {
                let pause = self.weather.within(FaultKind::ServerResets, 0..=1);
                let at = at.after(Duration::from_micros(100 * pause));
                self.at(at, connection, Act::Abort);
            }
            false => self.at(at, connection, Act::Close),
        }
    }

    fn end_when_idle(&mut self, now: Time, connection: ConnectionId, said_bytes: u64) {
        if let Some(nanos) = self.manner.idle_nanos {
            let at = now.after(Duration::from_nanos(nanos));
            self.at(at, connection, Act::CloseIdle(said_bytes));
        }
    }

    fn be_rude(&mut self, now: Time, connection: ConnectionId, wire: &[u8]) {
        let (
            Role::Answers {
                dialect,
                frame_bytes_max,
                ..
            },
            Some(line),
        ) = (self.role, self.lines.get(&connection))
        else {
            return;
        };
        let how = self.weather.within(FaultKind::ServerIsRude, 0..=3);
        let bytes = match how {
            0 => dialect.unsolicited().wire,
            1 => wire.to_vec(),
            2 => dialect.oversize(frame_bytes_max),
            _ => {
                let length = self.random.within(1..=40);
                (0..length).map(|_| self.random.next() as u8).collect()
            }
        };
        self.spoke_unasked_to.insert(line.port);
        // Where there are ids a doubled reply, or one that nobody asked for, is known for what it is.
        if dialect != Dialect::ById || how > 1 {
            self.rude_to.insert(line.port);
        }
        if how > 1 {
            self.unclear_to.insert(line.port);
        }
        self.say(now, connection, &bytes, None, 1);
    }

    /// Says something after a while, in parts; behind what is to be said before it, if order matters.
    fn say(
        &mut self,
        now: Time,
        connection: ConnectionId,
        bytes: &[u8],
        answers: Option<u64>,
        parts: u64,
    ) {
        let overtakes = matches!(
            self.role,
            Role::Answers {
                dialect: Dialect::ById,
                ..
            }
        );
        let Some(line) = self.lines.get(&connection) else {
            return;
        };
        let mut at = if line.is_ending || !overtakes {
            line.busy_until
        } else {
            now
        };
        let mut from = 0;
        for part in 1..=parts {
            let to = match part == parts {
                true => bytes.len(),
                false => self.random.within(from as u64..=bytes.len() as u64) as usize,
            };
            let delay = self.random.within(self.manner.delay_nanos.clone());
            at = at.max(now).after(Duration::from_nanos(delay));
            let answers = answers.filter(|_| part == parts);
            let Range { start, end } = from..to;
            self.at(
                at,
                connection,
                Act::Say(bytes[start..end].to_vec(), answers),
            );
            from = to;
        }
        if let Some(line) = self.lines.get_mut(&connection) {
            line.busy_until = line.busy_until.max(at);
        }
    }

    fn at(&mut self, at: Time, connection: ConnectionId, act: Act) {
        self.due.insert((at, self.acts), (connection, act));
        self.acts += 1;
    }
}
