//! The server's program: answers each line with the same line, in order, and now and then ends a
//! connection somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::promises::{payload, tag_of};
use crate::event::{ConnectionId, Event};
use crate::sim::faults::FaultKind;
use crate::sim::weather::Weather;
use crate::sim::world::SimEngine;

#[derive(Debug)]
pub(super) struct Peer {
    weather: Weather,
    /// Tags of the requests that it was told of.
    pub(super) seen: BTreeSet<u64>,
    /// The last one of each connection.
    last: BTreeMap<ConnectionId, u64>,
}

impl Peer {
    pub(super) fn new(weather: Weather) -> Peer {
        Peer {
            weather,
            seen: BTreeSet::new(),
            last: BTreeMap::new(),
        }
    }

    pub(super) fn serve(&mut self, engine: &mut SimEngine, event: &Event) {
        match event {
            Event::Frame { connection, frame } => {
                let mut line = engine
                    .bytes(frame)
                    .expect("held until the next turn")
                    .to_vec();
                self.see(*connection, &line);
                line.push(b'\n');
                self.answer(engine, *connection, &line);
            }
            // It was ended by either side: nothing more to say.
            Event::HalfClosed { connection } => _ = engine.core.close(*connection),
            _ => {}
        }
    }

    /// Whatever was on the wire twice, or out of order, is seen here.
    fn see(&mut self, connection: ConnectionId, line: &[u8]) {
        let tag = tag_of(line).expect("a line that the client sent");
        assert_eq!(line, payload(tag, line.len()), "another line came");
        assert!(self.seen.insert(tag), "request {tag} came twice");
        let last = self.last.insert(connection, tag);
        assert!(
            last.is_none_or(|last| last < tag),
            "{connection}: {tag} came after {last:?}"
        );
    }

    fn answer(&mut self, engine: &mut SimEngine, connection: ConnectionId, line: &[u8]) {
        if !self.weather.happens(FaultKind::ServerEnds) {
            // A connection that was ended meanwhile takes no answer.
            _ = engine.core.send(connection, line);
            return;
        }
        let all = line.len() as u64;
        let part = self.weather.within(FaultKind::ServerEnds, 0..=all) as usize;
        _ = engine.core.send(connection, &line[..part]);
        match self.weather.happens(FaultKind::ServerResets) {
            true => _ = engine.core.abort(connection),
            false => _ = engine.core.close(connection),
        }
    }
}
