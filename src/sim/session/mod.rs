//! The fake session: what TLS does to the engine, without cryptography, for simulation and fuzz.
//!
//! A handshake of several flights, records that cut the program's bytes anywhere, tickets, key updates and their
//! answers, close_notify, alerts, refusals and silence, all of it drawn from a seed. What is on the line is scrambled by a
//! key that both sides know only when they have spoken, so it can be told from what the program said. `book` has what was
//! really said, `overheard` reads a line along and finds what must not be on it.

mod book;
mod fake;
mod habits;
mod handshake;
mod overheard;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use book::{Book, Page};
pub(crate) use fake::FakeSession;
pub(crate) use habits::Habits;
#[cfg(test)]
pub(crate) use habits::{How, Refusal};
pub(crate) use overheard::Overheard;

use crate::error::Source;
use crate::session::{Session, Sessions};
use crate::sim::random::Random;

/// Which side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Begins fake sessions of one kind.
#[derive(Debug)]
pub(crate) struct FakeSessions {
    side: Side,
    habits: Arc<Habits>,
    seed: u64,
    begun: AtomicU64,
    /// From here on none is unwell.
    is_well: AtomicBool,
    book: Book,
}

impl FakeSessions {
    pub(crate) fn new(side: Side, habits: Habits, seed: u64, book: &Book) -> FakeSessions {
        FakeSessions {
            side,
            habits: Arc::new(habits),
            seed,
            begun: AtomicU64::new(0),
            is_well: AtomicBool::new(false),
            book: book.clone(),
        }
    }

    /// The next one, for who drives it himself.
    pub(crate) fn next(&self) -> FakeSession {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let number = 2 * number + u64::from(self.side == Side::Client);
        let seed = Random::new(self.seed ^ number.rotate_left(40)).next();
        let habits = match self.is_well.load(Ordering::Relaxed) {
            true => Arc::new(self.habits.well()),
            false => Arc::clone(&self.habits),
        };
        FakeSession::new(self.side, habits, Random::new(seed), &self.book)
    }

    /// None is unwell from here on.
    pub(crate) fn heal(&self) {
        self.is_well.store(true, Ordering::Relaxed);
    }
}

impl Sessions for FakeSessions {
    fn begin(&self, _host: &str) -> Result<Box<dyn Session>, Source> {
        Ok(Box::new(self.next()))
    }

    fn check(&self, _host: &str) -> Result<(), Source> {
        Ok(())
    }
}
