//! What a loop could have known: what lay in the line when it wrote, in the kernel when it judged, in the backlog when
//! it went to sleep.
//!
//! Each of these is held against the network, which knows; nothing here asks the engine to judge itself.

use std::collections::{BTreeMap, BTreeSet};

use super::dialect::Dialect;
use super::host::Host;
use super::peer::Peer;
use super::promises::RESETS;
use super::run::Run;
use crate::config::Peek;
use crate::error::{Error, Phase, Source};
use crate::sim::endpoint::State;
use crate::sim::faults::FaultKind;
use crate::sim::network::Network;
use crate::sim::random::Chance;
use crate::sim::tap::Blind;
use crate::time::Time;

/// Connections of a host on which a write would not wait: by their tokens.
pub(super) fn with_room(network: &Network, host: usize) -> BTreeSet<u64> {
    let of_host = network.ends.values().filter(|end| end.host == host);
    let stands = of_host.filter(|end| end.state == State::Established && end.is_writable());
    stands.filter_map(|end| end.token).collect()
}

/// Whoever waits to be accepted is told of, or will be: the kernel tells once.
pub(super) fn nobody_waits_for_ever(network: &Network, host: &Host) {
    let Some(listener) = network.listeners.get(&host.address) else {
        return;
    };
    let is_told = listener.has_edge || listener.backlog.is_empty();
    assert!(
        is_told || host.engine().core.accepts_again(listener.token),
        "{} wait to be accepted, and nothing will tell of them",
        listener.backlog.len()
    );
}

impl Run {
    /// Where there is a look before each write, none goes to a peer that has gone, and no request behind words that
    /// answer none.
    pub(super) fn looked_before_writing(&mut self) {
        let tap = self.client.core.kernel.tap.as_mut();
        let blind = tap.map_or_else(Vec::new, |tap| std::mem::take(&mut tap.blind));
        if self.options.client.peek != Peek::Always {
            return;
        }
        for line in blind {
            let is_raw = self.streams.keys().any(|id| id.token() == line.token);
            let may_be_half_closed = is_raw && self.options.client.half_close;
            assert!(
                !line.has_fin || may_be_half_closed,
                "it was written to although its peer had gone: {line:?}"
            );
            assert!(
                !self.answers_nothing(&line),
                "a request was written behind what answers none: {line:?}"
            );
        }
    }

    /// Whether all was answered and read that was asked before this write, and yet something lay in the line.
    fn answers_nothing(&self, line: &Blind) -> bool {
        let Some(asked) = self.wire.ends.get(&line.token) else {
            return false;
        };
        let before = asked.iter().filter(|(end, _)| *end <= line.at);
        let Some((last, tag)) = before.clone().max() else {
            return false;
        };
        let party = self.asked[*tag as usize].party;
        let is_told_apart = self.options.parties[party].dialect == Dialect::ById;
        let Some(peer) = self.peer_at(line.token).filter(|_| !is_told_apart) else {
            return false;
        };
        let is_read = |(_, tag): &(usize, u64)| {
            let answer = peer.answered.get(tag);
            answer.is_some_and(|(port, end)| {
                *end <= line.read_bytes && !peer.unclear_to.contains(port)
            })
        };
        *last == line.at
            && self.options.does_all()
            && line.unread_bytes > 0
            && before.clone().all(is_read)
    }

    /// Nobody is given up for his silence whose sign of life lay in the kernel when the loop was turned.
    pub(super) fn heard_before_giving_up(&self, missed_before: u64) {
        let Some(tap) = self.client.core.kernel.tap.as_ref() else {
            return;
        };
        if self.heartbeats().1 > missed_before && self.options.does_all() {
            let was_silent = tap.ended.iter().any(|ended| ended.unread_bytes == 0);
            assert!(was_silent, "it had spoken: {:?}", tap.ended);
        }
    }

    /// A write does not stall on a connection that had room when the loop was turned.
    pub(super) fn was_stalled(&self, error: &Error, roomy: &BTreeSet<u64>) {
        // What awaits a reply on the same connection may have timed out instead, and its error is told to all.
        let timeouts = self.options.client.timeouts;
        let others = [timeouts.first_byte, timeouts.read_stall];
        let is_its_own = |after| after == timeouts.write_stall && !others.contains(&after);
        let has_timed_out = matches!(error.source, Source::Timeout(after) if is_its_own(after));
        let is_stall = error.phase == Phase::Write && has_timed_out;
        // A kernel that lacks memory takes nothing although there is room.
        let lacks = self.options.faults.chance(FaultKind::ShortWrite) != Chance(0);
        let Some(tap) = self.client.core.kernel.tap.as_ref() else {
            return;
        };
        if is_stall && !lacks && !tap.ended.is_empty() {
            let had_room = tap.ended.iter().all(|ended| roomy.contains(&ended.token));
            assert!(!had_room, "its peer had made room: {error}");
        }
    }

    /// A request whose whole answer lay in the kernel when the loop was turned has not timed out, and not been lost
    /// with what lay behind its answer.
    pub(super) fn was_not_here(&self, tag: u64, error: &Error, here: &BTreeMap<u16, u64>) {
        // What comes in faster than it may is left in the kernel, whatever becomes of its request.
        let is_slow = |it: usize| self.options.parties[it].bounds.frames_per_second.is_some();
        let is_held_back = self.any_in_chain(self.asked[tag as usize].party, is_slow);
        let is_late = match error.source {
            Source::Deadline | Source::ShuttingDown if is_held_back => false,
            Source::Deadline | Source::Eof | Source::ShuttingDown => true,
            Source::Timeout(_) => error.phase == Phase::Read,
            Source::Os(errno) => RESETS.contains(&errno),
            _ => false,
        };
        let is_here = |peer: &Peer| {
            let Some((port, end)) = peer.answered.get(&tag) else {
                return false;
            };
            let come = here.get(port).copied().unwrap_or(0);
            let is_broken_off = error.source == Source::Eof && peer.spoke_unasked_to.contains(port);
            come >= *end && !peer.rude_to.contains(port) && !is_broken_off
        };
        let was_here =
            is_late && !self.was_read_first(tag, error) && self.peers_of(tag).any(is_here);
        assert!(!was_here, "{tag} was answered by then: {error}");
    }

    /// What lies here is read before anything ends, for so long and no longer from the turn on in which it was due: a loop
    /// that reads little in a turn, and is stalled between two, has not read all by then.
    fn was_read_first(&self, tag: u64, error: &Error) -> bool {
        let due = match error.source {
            Source::Deadline => self.asked[tag as usize].deadline,
            Source::ShuttingDown => self.drained_at,
            _ => Time::NEVER,
        };
        let is_slow = !self.options.does_all() && !self.options.is_prompt();
        let read_first = self.options.client.timeouts.read_first;
        let turn = self.turned_at.partition_point(|at| *at < due);
        let known_at = self.turned_at.get(turn);
        is_slow && known_at.is_some_and(|known_at| self.world.now().since(*known_at) >= read_first)
    }
}
