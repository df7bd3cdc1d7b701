//! What is held against the wire once more at the end of a run, when nothing can come any more.

use std::collections::BTreeMap;

use super::dialect::{is_idempotent, tag_of};
use super::host::Host;
use super::promises::Asked;
use super::run::Run;
use crate::error::{Sent, Source};
use crate::time::Time;

impl Run {
    /// What was said not to have been sent must not turn up later either, and what went out on one
    /// connection went in the order in which it was asked.
    pub(super) fn kept_its_word(&self) {
        for (tag, asked) in self.asked.iter().enumerate() {
            let tag = tag as u64;
            if let Some(Err(error)) = asked.ended.filter(|e| e.is_err_and(|e| e.sent == Sent::No)) {
                let has_left = self.wire.places.contains_key(&tag);
                assert!(!has_left, "{tag} was sent: {error}");
                let came = |host: &Host| host.peer().is_some_and(|it| it.seen.contains(&tag));
                assert!(!self.hosts.iter().any(came), "{tag} came: {error}");
            }
        }
        self.kept_the_rates();
        self.kept_the_budgets();
        self.left_in_order();
        self.left_in_part();
        self.all_went_their_ways();
    }

    /// Of what left on one connection the older went first; but one that was made again, or handed over, may go behind the
    /// younger.
    fn left_in_order(&self) {
        let (mut last, mut overtaken) = (BTreeMap::new(), 0);
        let mut places: Vec<_> = self.wire.places.iter().collect();
        places.sort_by_key(|(_, place)| (place.token, place.nth));
        for (tag, place) in places {
            let Some(request) = self.asked[*tag as usize].request else {
                continue;
            };
            let before = last.insert(place.token, request);
            overtaken += u64::from(before.is_some_and(|before| before > request));
        }
        let moved = self.retries() + self.all_handed_over();
        assert!(
            overtaken <= moved,
            "{overtaken} left behind younger ones, and {moved} were made again or handed over"
        );
    }

    /// What left in part on a connection that was lost left on another only where that does no harm.
    fn left_in_part(&self) {
        for (token, tail) in self.wire.tails() {
            let place = tag_of(tail).and_then(|tag| Some((tag, self.wire.places.get(&tag)?)));
            let Some((tag, place)) = place else { continue };
            let is_once = place.token == token || is_idempotent(tag);
            assert!(is_once, "{tag} was sent twice, once in part");
        }
    }

    /// Requests that were made again.
    pub(super) fn retries(&self) -> u64 {
        let core = &self.client.core;
        let stats = self.upstreams.iter().map(|it| core.upstream_stats(*it));
        stats.flatten().map(|stats| stats.retries).sum()
    }

    /// No more was made again than was saved up at first, and came in with requests and with time.
    fn kept_the_budgets(&self) {
        let retry = self.options.client.retry;
        let micros = self.world.now().since(Time::ZERO).as_micros() as u64;
        for (number, upstream) in self.upstreams.iter().enumerate() {
            let asked = self.asked.iter().filter(|it| it.party == number).count() as u64;
            let asked = asked + self.taken_over(number);
            let from_time = micros * u64::from(retry.per_second) / 1_000_000;
            let most =
                u64::from(retry.burst_max) + asked * u64::from(retry.percent) / 100 + from_time + 1;
            let stats = self.client.core.upstream_stats(*upstream);
            let made = stats.map_or(0, |stats| stats.retries);
            assert!(made <= most, "{made} were made again, of {most} at most");
        }
    }

    /// Replies, a reply that was too long and skipped among them, and failures.
    pub(super) fn count(&self) -> (usize, usize) {
        let is_reply = |asked: &&Asked| match asked.ended {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                let party = &self.options.parties[asked.party];
                let skips = party.skips_above_bytes.is_some();
                skips && matches!(error.source, Source::Oversize { .. })
            }
            None => false,
        };
        let replies = self.asked.iter().filter(is_reply).count();
        (replies, self.asked.len() - replies)
    }
}
