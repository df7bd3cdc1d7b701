//! What a run asks of a client that is asked nothing any more: everything is given back, on both sides.

use std::time::Duration;

use super::run::{HEALED_WITHIN, Run};
use super::streams::Stream;
use crate::sim::world::SETTLED_AFTER;

/// More than a heartbeat and its answer take in good weather, or a connection's end and its successor's beginning.
const RESTING_ROUNDS_MAX: usize = 2_000;

impl Run {
    /// When nothing is asked any more, everything is given back.
    pub(super) fn rests(&mut self) {
        let timeouts = self.options.client.timeouts;
        self.pass(
            timeouts.idle * 2
                + timeouts.connect.min(HEALED_WITHIN)
                + timeouts.linger
                + SETTLED_AFTER,
        );
        // A heartbeat may be under way, and where lifetimes are short a connection may be taking another's place.
        for _ in 0..RESTING_ROUNDS_MAX {
            // Longer than a step: a round in which nothing but that passes counts as one for nothing.
            self.round(self.world.now().after(Duration::from_millis(1)));
            if self.holds_nothing() && self.slots_are_back() {
                break;
            }
        }
        for upstream in &self.upstreams {
            let stats = self.client.core.upstream_stats(*upstream).unwrap();
            assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
            let was_told = self.up.get(upstream) == Some(&true);
            assert!(was_told || stats.open == 0, "nobody was told: {stats:?}");
        }
        assert_eq!(self.client.held_bytes(), (0, 0), "bytes are held");
        assert_eq!(self.client.borrowed_bytes(), 0, "storage is held");
        assert!(
            self.streams.values().all(Stream::is_over),
            "a connection has not ended"
        );
        assert!(self.slots_are_back(), "slots are left: {:?}", self.slots());
        assert_eq!(self.client.core.kernel.descriptors(), self.client.sockets());
        for (number, host) in self.hosts.iter().enumerate() {
            assert_eq!(host.engine().held_bytes(), (0, 0), "bytes are held");
            let descriptors = host.engine().core.kernel.descriptors();
            assert_eq!(descriptors, host.engine().sockets(), "server {number}");
        }
    }

    fn holds_nothing(&self) -> bool {
        let mut held = self.hosts.iter().map(|host| host.engine().held_bytes());
        self.client.borrowed_bytes() == 0 && held.all(|held| held == (0, 0))
    }

    /// Whether no more slots are in use than stand for warm connections; the client has each of those. The slot of a
    /// connection that has ended is given back in the next turn.
    fn slots_are_back(&self) -> bool {
        let slots = self.slots();
        let (client, warm) = slots[0];
        // The bundled server ends what is idle, and it is made again after a pause.
        let mut parties = self.options.parties.iter();
        let may_lack = parties.any(|party| party.bundled.is_some());
        slots.iter().all(|(left, warm)| left <= warm) && (may_lack || client == warm)
    }

    /// Of the client and of each server: its slots, and how many there may be. A connection whose lifetime is over waits
    /// for its peer's end while another takes its place.
    fn slots(&self) -> Vec<(usize, usize)> {
        let stats = |party: usize| self.client.core.upstream_stats(self.upstreams[party]);
        let lingering = |party| stats(party).map_or(0, |stats| stats.lingering);
        let may_be = |party: usize| self.options.parties[party].warm() + lingering(party);
        let all = (0..self.upstreams.len()).map(may_be).sum();
        let of_hosts = self.hosts.iter().enumerate().map(|(number, host)| {
            let most = self.party_of(number).map_or(0, may_be);
            (host.engine().core.connections(), most)
        });
        let client = (self.client.core.connections(), all);
        std::iter::once(client).chain(of_hosts).collect()
    }
}
