//! The witnesses: a second, idle connection to each sink that has epochs under way.
//!
//! A server that was killed after it had read everything still sends a FIN, for its kernel does; its other connections
//! end with it. So an epoch's end counts only while the witness, which was made before the epoch's connection, or at
//! least stood before the epoch was sealed, stands.

use std::net::SocketAddr;
use std::time::Duration;

use super::Driver;
use crate::error::{Error, Phase, Source};
use crate::event::ConnectionId;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::ship::config::Ack;
use crate::ship::link::Link;
use crate::ship::verdict::End;
use crate::time::Time;

/// The pause before another is tried, after one that could not be made or after too many that could not be kept.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// So many in a row may be lost within that time and be made again at once, as when a server is killed and started; and
/// so many links may be turned away beside one that stands.
const LOSSES_MAX: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Witnesses {
    /// At most one for each sink.
    all: Vec<Witness>,
}

#[derive(Debug)]
struct Witness {
    sink: usize,
    /// Whom the present or last one stood to.
    peer: Option<SocketAddr>,
    state: State,
    /// When it was begun.
    begun: Time,
    /// In a row, soon after they were begun, and before they had outlived an epoch.
    losses: u32,
    /// Links in a row of which nothing was taken.
    turned_away: u32,
    /// Links and epochs wait for it while it is being made: the attempt before did not take long to fail.
    is_waited_for: bool,
}

#[derive(Debug)]
enum State {
    /// The link waits for it, or has none yet.
    Connecting(ConnectionId),
    Standing(ConnectionId),
    /// It ended, or could not be made; another one is tried then.
    Gone {
        again_at: Time,
    },
}

impl Witness {
    fn id(&self) -> Option<ConnectionId> {
        match self.state {
            State::Connecting(id) | State::Standing(id) => Some(id),
            State::Gone { .. } => None,
        }
    }

    fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting(_))
    }

    fn is_awaited(&self) -> bool {
        self.is_connecting() && self.is_waited_for
    }

    /// Its sink has closed too many, or lets too few in: links go without.
    fn cannot_be_had(&self, now: Time) -> bool {
        self.losses > LOSSES_MAX && !self.is_due(now) || !self.is_waited_for
    }

    fn is_due(&self, now: Time) -> bool {
        matches!(self.state, State::Gone { again_at } if again_at <= now)
    }
}

impl Witnesses {
    pub(super) fn handle_connected(&mut self, connection: ConnectionId, peer: SocketAddr) {
        let made = |it: &&mut Witness| it.id() == Some(connection);
        if let Some(it) = self.all.iter_mut().find(made) {
            (it.state, it.peer) = (State::Standing(connection), Some(peer));
            it.is_waited_for = true;
        }
    }

    /// One could not be made. Where no link stands to its sink either, that one's own pause holds the next one off. Where
    /// it took long to fail (its SYN was dropped), nothing waits for the next, which may take as long.
    fn handle_failed(&mut self, sink: usize, now: Time, has_links: bool) {
        if let Some(it) = self.all.iter_mut().find(|it| it.sink == sink) {
            it.is_waited_for = now < it.begun.after(AGAIN_AFTER);
            let again_at = if has_links {
                now.after(AGAIN_AFTER)
            } else {
                now
            };
            it.state = State::Gone { again_at };
        }
    }

    /// One that stood has ended.
    fn handle_ended(&mut self, sink: usize, now: Time) {
        if let Some(it) = self.all.iter_mut().find(|it| it.sink == sink) {
            let is_soon = now < it.begun.after(AGAIN_AFTER);
            it.losses = if is_soon { it.losses + 1 } else { 0 };
            let again_at = match it.losses <= LOSSES_MAX {
                true => now,
                false => now.after(AGAIN_AFTER),
            };
            it.state = State::Gone { again_at };
        }
    }

    /// Another one is made, or could not be begun.
    fn begin(&mut self, sink: usize, begun: Option<ConnectionId>, now: Time) {
        let again_at = now.after(AGAIN_AFTER);
        let state = begun.map_or(State::Gone { again_at }, State::Connecting);
        match self.all.iter_mut().find(|it| it.sink == sink) {
            Some(it) => (it.state, it.begun) = (state, now),
            None => self.all.push(Witness {
                sink,
                peer: None,
                state,
                begun: now,
                losses: 0,
                turned_away: 0,
                is_waited_for: true,
            }),
        }
    }

    /// One has outlived an epoch: it can be kept.
    pub(super) fn handle_alive(&mut self, sink: usize) {
        if let Some(it) = self.all.iter_mut().find(|it| it.sink == sink) {
            it.losses = 0;
        }
    }

    /// The one of a peer that stands.
    fn of(&self, peer: SocketAddr) -> Option<ConnectionId> {
        self.all.iter().find_map(|it| match it.state {
            State::Standing(id) if it.peer == Some(peer) => Some(id),
            _ => None,
        })
    }

    pub(super) fn stands(&self, connection: ConnectionId) -> bool {
        let is_it = |it: &Witness| matches!(it.state, State::Standing(id) if id == connection);
        self.all.iter().any(is_it)
    }

    /// Whether one is being made that a link waits for.
    pub(super) fn is_awaited(&self) -> bool {
        self.all.iter().any(Witness::is_awaited)
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.all.iter().filter_map(Witness::id)
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}

impl<K: Kernel> Driver<K> {
    /// Ends of epochs count with a witness only.
    pub(super) fn wants_witnesses(&self) -> bool {
        self.config.ack == Ack::Commit && self.config.witness && !self.finish.is_over()
    }

    /// Where a link to a sink is to be made: to whom its witness stands. `None`: that is begun first. A server that dies
    /// closes its connections in the order of their descriptors, and the older has the lower one.
    pub(super) fn link_target(&mut self, sink: usize, now: Time) -> Option<String> {
        let target = self.sinks.target(sink);
        let place = self.witnesses.all.iter().find(|it| it.sink == sink);
        match place {
            Some(Witness {
                state: State::Standing(_),
                peer: Some(peer),
                ..
            }) => return Some(peer.to_string()),
            Some(it) if it.is_awaited() => return None,
            Some(it) if it.cannot_be_had(now) => return Some(target.to_owned()),
            _ if !self.wants_witnesses() => return Some(target.to_owned()),
            // The sink's own pause is over.
            _ => {}
        }
        let target = target.to_owned();
        let begun = self.connect(sink, &target, &Framing::raw());
        self.witnesses.begin(sink, begun.ok(), now);
        if let Err(error) = begun {
            self.failed(sink, now, error);
        }
        None
    }

    /// Has a witness for each link that stands, and none for sinks that have no link any more.
    pub(super) fn keep_witnesses(&mut self, now: Time) {
        if !self.wants_witnesses() {
            return;
        }
        self.let_witnesses_go(now);
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            let (sink, Some(peer)) = (link.sink, link.peer.filter(|_| link.is_open())) else {
                continue;
            };
            // One that its sink has closed for being idle may be followed by another, until the seal.
            link.witness = self.witnesses.of(peer).or(link.witness);
            let is_due = |it: &Witness| it.sink == sink && it.is_due(now);
            if self.witnesses.all.iter().any(is_due) {
                let begun = self.connect(sink, &peer.to_string(), &Framing::raw());
                self.witnesses.begin(sink, begun.ok(), now);
            }
        }
    }

    /// One has ended. Where it could not be made, and no link stands, its sink is not there.
    pub(super) fn witness_ended(&mut self, connection: ConnectionId, error: Option<Error>) {
        let now = self.now();
        let ended = |it: &&Witness| it.id() == Some(connection);
        let Some(it) = self.witnesses.all.iter().find(ended) else {
            return;
        };
        let (sink, was_made) = (it.sink, !it.is_connecting());
        if was_made {
            return self.witnesses.handle_ended(sink, now);
        }
        let of_it = |link: &Link| link.sink == sink && link.peer.is_some();
        let has_links = self.links.iter().any(of_it);
        self.witnesses.handle_failed(sink, now, has_links);
        if !has_links {
            let error = error.unwrap_or(Error::new(Phase::Connect, Source::Closed));
            self.failed(sink, now, error);
        }
    }

    /// A link has ended. Where several in a row are let in and closed before anything of them was taken, the witness may
    /// have the only place.
    pub(super) fn heed_turned_away(&mut self, at: usize, end: &End, now: Time) {
        let sink = self.links[at].sink;
        let is_it = |it: &&mut Witness| it.sink == sink;
        let Some(it) = self.witnesses.all.iter_mut().find(is_it) else {
            return;
        };
        let is_turned_away = end.acked == 0 && !end.is_commit();
        it.turned_away = if is_turned_away {
            it.turned_away + 1
        } else {
            0
        };
        if it.turned_away > LOSSES_MAX {
            it.turned_away = 0;
            self.give_witness_up(sink, now);
        }
    }

    /// Links go without one to this sink, until one is let in beside them.
    pub(super) fn give_witness_up(&mut self, sink: usize, now: Time) {
        let is_it = |it: &&mut Witness| it.sink == sink;
        let it = self.witnesses.all.iter_mut().find(is_it);
        if let Some(it) = it
            && let State::Standing(id) = it.state
        {
            let again_at = now.after(AGAIN_AFTER);
            (it.state, it.is_waited_for) = (State::Gone { again_at }, false);
            let _ = self.engine.core.leave(id);
        }
    }

    /// When another is to be tried, where a link waits for it.
    pub(super) fn next_witness(&self, now: Time) -> Time {
        let stands = |it: &Witness| {
            let of_it = |link: &Link| link.is_open() && link.sink == it.sink;
            self.links.iter().any(of_it)
        };
        let times = self.witnesses.all.iter().filter_map(|it| match it.state {
            State::Gone { again_at } if stands(it) => Some(again_at.max(now)),
            _ => None,
        });
        times.min().unwrap_or(Time::NEVER)
    }

    /// Its witness is being made: until it stands or has failed no epoch is begun there, and none is sealed.
    pub(super) fn awaits_witness(&self, link: &Link) -> bool {
        let is_it = |it: &Witness| it.sink == link.sink && it.is_awaited();
        self.config.witness && self.witnesses.all.iter().any(is_it)
    }

    /// Those of sinks to which nothing stands any more; but the last one that stands is kept, for the next epoch most
    /// likely goes there, too.
    fn let_witnesses_go(&mut self, now: Time) {
        let stands = |it: &&Witness| matches!(it.state, State::Standing(_));
        if self.witnesses.all.iter().filter(stands).count() < 2 {
            return;
        }
        for it in &mut self.witnesses.all {
            let has_links = self.links.iter().any(|link| link.sink == it.sink);
            if let (State::Standing(id), false) = (&it.state, has_links) {
                let _ = self.engine.core.leave(*id);
                it.state = State::Gone { again_at: now };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::ZERO.after(Duration::from_millis(ms))
    }

    #[test]
    fn one_that_is_lost_soon_is_made_again_at_once_but_not_for_ever() {
        let id = |index| ConnectionId {
            generation: 0,
            index,
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 6514));
        let mut witnesses = Witnesses::default();
        for nth in 0..LOSSES_MAX {
            witnesses.begin(0, Some(id(nth)), at(100));
            witnesses.handle_connected(id(nth), peer);
            assert_eq!(witnesses.of(peer), Some(id(nth)));
            witnesses.handle_ended(0, at(150));
            assert!(!witnesses.stands(id(nth)) && witnesses.all[0].is_due(at(150)));
        }
        witnesses.begin(0, Some(id(9)), at(150));
        witnesses.handle_connected(id(9), peer);
        witnesses.handle_ended(0, at(200));
        assert!(!witnesses.all[0].is_due(at(1_199)) && witnesses.all[0].is_due(at(1_200)));
        witnesses.begin(0, Some(id(10)), at(1_200));
        witnesses.handle_connected(id(10), peer);
        witnesses.handle_ended(0, at(2_200));
        assert!(
            witnesses.all[0].is_due(at(2_200)),
            "it was kept for a while"
        );
    }

    #[test]
    fn one_that_could_not_be_made_has_a_pause_of_its_own_where_links_stand() {
        let id = ConnectionId {
            generation: 0,
            index: 7,
        };
        let mut witnesses = Witnesses::default();
        witnesses.begin(1, Some(id), at(0));
        assert!(witnesses.is_awaited());
        witnesses.handle_failed(1, at(10), true);
        assert!(!witnesses.all[0].is_due(at(1_009)) && witnesses.all[0].is_due(at(1_010)));
        witnesses.handle_failed(1, at(10), false);
        assert!(witnesses.all[0].is_due(at(10)) && witnesses.all[0].is_waited_for);
    }

    #[test]
    fn nothing_waits_for_one_after_an_attempt_that_took_long_to_fail() {
        let id = |index| ConnectionId {
            generation: 0,
            index,
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 6514));
        let mut witnesses = Witnesses::default();
        witnesses.begin(0, Some(id(1)), at(0));
        witnesses.handle_failed(0, at(5_000), false);
        witnesses.begin(0, Some(id(2)), at(6_000));
        assert!(!witnesses.is_awaited() && witnesses.all[0].cannot_be_had(at(6_000)));
        witnesses.handle_connected(id(2), peer);
        assert!(witnesses.all[0].is_waited_for, "it is let in");
    }
}
