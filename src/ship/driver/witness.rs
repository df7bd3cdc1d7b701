//! The witnesses: a second, idle connection to each sink that has epochs under way.
//!
//! A server that was killed after it had read everything still sends a FIN, for its kernel does; its other connections
//! end with it. So an epoch's end counts only while the witness, which stood before the epoch was sealed, stands.

use std::net::SocketAddr;
use std::time::Duration;

use super::Driver;
use crate::event::ConnectionId;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::ship::config::Ack;
use crate::ship::link::Link;
use crate::time::Time;

/// From one attempt at a witness to the next.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Witnesses {
    all: Vec<Witness>,
}

#[derive(Debug)]
struct Witness {
    peer: SocketAddr,
    state: State,
    /// When the present one was begun.
    begun: Time,
}

#[derive(Debug)]
enum State {
    Connecting(ConnectionId),
    Standing(ConnectionId),
    /// It ended, or could not be made; another one is tried then.
    Gone {
        again_at: Time,
    },
}

impl Witnesses {
    pub(super) fn handle_connected(&mut self, connection: ConnectionId) {
        for it in &mut self.all {
            if matches!(it.state, State::Connecting(id) if id == connection) {
                it.state = State::Standing(connection);
            }
        }
    }

    pub(super) fn handle_ended(&mut self, connection: ConnectionId, now: Time) {
        let is_it = |it: &State| matches!(it, State::Standing(id) | State::Connecting(id) if *id == connection);
        for it in self.all.iter_mut().filter(|it| is_it(&it.state)) {
            // One that stood for a while is made again at once, one that could not be made or kept after a pause.
            let again_at = now.max(it.begun.after(AGAIN_AFTER));
            it.state = State::Gone { again_at };
        }
    }

    /// A link to a peer stands, so it takes connections: one that was started again has a witness at once, however soon
    /// after the last one's making that ended.
    pub(super) fn handle_link(&mut self, peer: SocketAddr, now: Time) {
        for it in self.all.iter_mut().filter(|it| it.peer == peer) {
            if let State::Gone { again_at } = &mut it.state {
                *again_at = now;
            }
        }
    }

    /// The one of a peer that stands.
    fn of(&self, peer: SocketAddr) -> Option<ConnectionId> {
        self.all.iter().find_map(|it| match it.state {
            State::Standing(id) if it.peer == peer => Some(id),
            _ => None,
        })
    }

    pub(super) fn stands(&self, connection: ConnectionId) -> bool {
        let is_it = |it: &Witness| matches!(it.state, State::Standing(id) if id == connection);
        self.all.iter().any(is_it)
    }

    /// Whether one of a peer is being made.
    fn is_awaited(&self, peer: Option<SocketAddr>) -> bool {
        let is_it =
            |it: &Witness| Some(it.peer) == peer && matches!(it.state, State::Connecting(_));
        self.all.iter().any(is_it)
    }

    /// When another is to be tried.
    pub(super) fn next(&self, now: Time) -> Time {
        let times = self.all.iter().filter_map(|it| match it.state {
            State::Gone { again_at } => Some(again_at.max(now)),
            _ => None,
        });
        times.min().unwrap_or(Time::NEVER)
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.all.iter().filter_map(|it| match it.state {
            State::Connecting(id) | State::Standing(id) => Some(id),
            State::Gone { .. } => None,
        })
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}

impl<K: Kernel> Driver<K> {
    /// Has a witness for each peer that links stand to.
    pub(super) fn keep_witnesses(&mut self, now: Time) {
        if self.config.ack != Ack::Commit || !self.config.witness || self.finish.is_over() {
            return;
        }
        self.let_witnesses_go();
        for link in &mut self.links {
            let Some(peer) = link.peer else {
                continue;
            };
            if link.is_open() {
                // One that its sink has closed for being idle may be followed by another, until the seal.
                link.witness = self.witnesses.of(peer).or(link.witness);
            }
            let place = self.witnesses.all.iter().position(|it| it.peer == peer);
            let is_due = |at: usize| matches!(self.witnesses.all[at].state, State::Gone { again_at } if again_at <= now);
            if place.is_some_and(|at| !is_due(at)) {
                continue;
            }
            let state = match self.engine.core.connect(&peer.to_string(), &Framing::raw()) {
                Ok(id) => State::Connecting(id),
                Err(_) => State::Gone {
                    again_at: now.after(AGAIN_AFTER),
                },
            };
            let begun = now;
            let witness = Witness { peer, state, begun };
            match place {
                Some(at) => self.witnesses.all[at] = witness,
                None => self.witnesses.all.push(witness),
            }
        }
    }

    /// Its witness is being made: until it stands or has failed no epoch is begun there, and none is sealed.
    pub(super) fn awaits_witness(&self, link: &Link) -> bool {
        self.config.witness && self.witnesses.is_awaited(link.peer)
    }

    /// Those of peers to which nothing stands any more; but the last one that stands is kept, for the next epoch most
    /// likely goes there, too.
    fn let_witnesses_go(&mut self) {
        let is_last = self.witnesses.all.len() == 1;
        let (links, core) = (&self.links, &mut self.engine.core);
        self.witnesses.all.retain(|it| {
            let has_links = links.iter().any(|link| link.peer == Some(it.peer));
            match it.state {
                State::Standing(_) if is_last => true,
                State::Connecting(id) | State::Standing(id) if !has_links => {
                    let _ = core.leave(id);
                    false
                }
                _ => has_links,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO.after(Duration::from_millis(ms))
    }

    #[test]
    fn one_that_was_lost_soon_is_made_again_after_a_pause_or_when_its_peer_takes_a_link() {
        let id = ConnectionId {
            generation: 0,
            index: 7,
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 6514));
        let mut witnesses = Witnesses::default();
        witnesses.all.push(Witness {
            peer,
            state: State::Connecting(id),
            begun: at(100),
        });
        witnesses.handle_connected(id);
        assert!(witnesses.stands(id));
        witnesses.handle_ended(id, at(150));
        assert!(!witnesses.stands(id));
        assert_eq!(witnesses.next(at(150)), at(1_100));
        witnesses.handle_link(SocketAddr::from(([127, 0, 0, 2], 6514)), at(200));
        assert_eq!(witnesses.next(at(200)), at(1_100), "another peer's");
        witnesses.handle_link(peer, at(300));
        assert_eq!(witnesses.next(at(300)), at(300));
    }
}
