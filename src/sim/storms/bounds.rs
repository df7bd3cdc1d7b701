//! How often a party may be asked, and how fast it is read: drawn, and held against what was let through.
//!
//! What is checked here is the bound itself, over every span of a run; nothing counts as the engine counts.

use std::time::Duration;

use super::options::{Options, pick};
use super::promises::Asked;
use super::run::Run;
use crate::config::Rate;
use crate::error::{Error, Limit, Source};
use crate::sim::random::{Chance, Random};
use crate::upstream::Upstream;

/// Of a party, or none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) rate: Option<Rate>,
    /// On each of its connections.
    pub(super) frames_per_second: Option<u32>,
}

impl Bounds {
    /// None so low that in good weather a program which asks ten times a second is refused.
    pub(super) fn drawn(random: &mut Random, is_benign: bool) -> Bounds {
        let has_rate = random.happens(Chance(150)) && !is_benign;
        let rate = Rate {
            requests_per_second: pick(random, &[20, 1_000, 100_000]) as u32,
            burst: pick(random, &[1, 5, 30]) as u32,
        };
        let frames = random.happens(Chance(150));
        let frames_per_second = pick(random, &[20, 200, 20_000]) as u32;
        Bounds {
            rate: has_rate.then_some(rate),
            frames_per_second: frames.then_some(frames_per_second),
        }
    }

    pub(super) fn of(&self, mut upstream: Upstream) -> Upstream {
        if let Some(rate) = self.rate {
            upstream = upstream.rate(rate);
        }
        match self.frames_per_second {
            Some(n) => upstream.frames_per_second(n),
            None => upstream,
        }
    }
}

/// From one request to the next, evenly.
fn interval(rate: Rate) -> Duration {
    Duration::from_nanos(1_000_000_000u64.div_ceil(rate.requests_per_second.into()))
}

impl Run {
    /// Who is refused by a rate has one, and may ask again when one more would have been let through.
    pub(super) fn is_over_its_rate(&self, party: usize, error: &Error) {
        let Source::Full {
            limit: Limit::RequestRate { retry_after },
        } = error.source
        else {
            return;
        };
        let rate = self.options.parties[party].bounds.rate;
        let rate = rate.expect("a rate that refuses");
        assert!(retry_after > Duration::ZERO && retry_after <= interval(rate));
    }

    /// In no span of time more was let through than the burst and what the span is worth. Of what comes through the
    /// mailbox it is not known when it was.
    pub(super) fn kept_the_rates(&self) {
        let Options {
            by_mailbox,
            parties,
            ..
        } = &self.options;
        if *by_mailbox != Chance(0) {
            return;
        }
        for (number, party) in parties.iter().enumerate() {
            let Some(rate) = party.bounds.rate else {
                continue;
            };
            // What was handed over at once is another's, and what was handed to this one comes on top.
            let is_made =
                |it: &&Asked| it.party == number && it.request.is_some() && !it.is_handed_over;
            let made: Vec<_> = self.asked.iter().filter(is_made).map(|it| it.at).collect();
            for (from, first) in made.iter().enumerate() {
                for (count, last) in (1..).zip(&made[from..]) {
                    let worth = last.since(*first).as_nanos() / interval(rate).as_nanos();
                    let most = u128::from(rate.burst) + worth;
                    assert!(count <= most, "{count} from {first:?} to {last:?}");
                }
            }
        }
    }
}
