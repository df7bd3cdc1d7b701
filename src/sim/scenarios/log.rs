//! What a program was told, as text that can be compared, by connection and by request.
//!
//! It holds what every program is promised: a connection says nothing after its end, and a request
//! ends once.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::error::Error;
use crate::event::{ConnectionId, Event};
use crate::kernel::Kernel;

/// What a program was told.
#[derive(Debug, Default)]
pub(in crate::sim) struct Log {
    /// Of each raw connection, in the order in which they were first heard of.
    pub(in crate::sim) connections: Vec<Vec<String>>,
    /// By tag.
    pub(in crate::sim) requests: BTreeMap<u64, String>,
    /// Tags of the replies of each of an upstream's connections.
    pub(in crate::sim) replies: BTreeMap<ConnectionId, Vec<u64>>,
    pub(in crate::sim) numbers: BTreeMap<ConnectionId, usize>,
    /// The errors among all that, in the order in which they were told.
    pub(in crate::sim) errors: Vec<Error>,
}

impl Log {
    pub(in crate::sim) fn note<K: Kernel>(&mut self, engine: &Engine<K>, event: &Event) {
        match event {
            Event::Connected { connection, .. } => self.say(*connection, "connected".into()),
            Event::Writable { connection } => self.say(*connection, "writable".into()),
            Event::HalfClosed { connection } => self.say(*connection, "half closed".into()),
            Event::Closed {
                connection,
                error,
                written,
            } => {
                self.errors.extend(*error);
                self.say(*connection, format!("closed after {written}: {error:?}"));
            }
            Event::Frame { connection, frame }
            | Event::Push {
                connection, frame, ..
            } => {
                let bytes = engine.bytes(frame).expect("held until the next turn");
                self.say(*connection, format!("frame {}", bytes.escape_ascii()));
            }
            Event::Skipped { connection, bytes } => {
                self.say(*connection, format!("skipped {bytes}"));
            }
            Event::Reply { tag, frame, .. } => {
                let bytes = engine.bytes(frame).expect("held until the next turn");
                let told = self
                    .requests
                    .insert(*tag, format!("reply {}", bytes.escape_ascii()));
                assert_eq!(told, None, "request {tag} ended twice");
                self.replies
                    .entry(frame.connection())
                    .or_default()
                    .push(*tag);
            }
            // When an upstream is up is a matter of chance in what is compared here.
            Event::Up { .. }
            | Event::Down { .. }
            | Event::BreakerOpen { .. }
            | Event::BreakerClosed { .. }
            | Event::Draining { .. }
            | Event::Drained { .. } => {}
            Event::Failed { tag, error, .. } => {
                self.errors.push(*error);
                let told = self.requests.insert(*tag, format!("failed: {error:?}"));
                assert_eq!(told, None, "request {tag} ended twice");
            }
        }
    }

    /// A connection of which something will be heard.
    pub(in crate::sim) fn begin(&mut self, connection: ConnectionId) {
        self.numbers.insert(connection, self.connections.len());
        self.connections.push(Vec::new());
    }

    /// What its program does itself, between what it is told. An end that is over stays the last.
    pub(in crate::sim) fn say_of(&mut self, number: usize, what: String) {
        let told = &mut self.connections[number];
        let at = told.len() - usize::from(is_over(told));
        told.insert(at, what);
    }

    fn say(&mut self, connection: ConnectionId, what: String) {
        let next = self.connections.len();
        let number = *self.numbers.entry(connection).or_insert(next);
        if number == next {
            self.connections.push(Vec::new());
        }
        let told = &mut self.connections[number];
        assert!(!is_over(told), "{connection} has ended, and then {what}");
        told.push(what);
    }

    /// Connections that have ended.
    pub(in crate::sim) fn closed(&self) -> usize {
        let ends = self.connections.iter().filter(|told| is_over(told));
        ends.count()
    }
}

fn is_over(told: &[String]) -> bool {
    told.last().is_some_and(|last| last.starts_with("closed"))
}
