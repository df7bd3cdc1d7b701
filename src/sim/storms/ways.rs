//! Where else a request may go: to other targets of its upstream, and to the upstream that is its fallback. Drawn, and held
//! against the wire: what was asked goes to one of those and nowhere else, and nobody new to a target that is left alone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::options::{Options, Party, pick};
use super::peer::Peer;
use super::run::Run;
use crate::sim::random::{Chance, Random};
use crate::time::Time;

/// Of a party.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways {
    /// Targets beside the first.
    pub(super) others: usize,
    /// A party before it, which speaks as it does.
    pub(super) fallback: Option<usize>,
    /// Nobody listens at its first target for so long, from the beginning on.
    pub(super) away: Option<Duration>,
}

impl Options {
    /// Drawn last: who draws none of it has the run that the seed had before there was any.
    pub(super) fn with_ways(mut self, random: &mut Random) -> Options {
        for number in 0..self.parties.len() {
            if number > 0 && random.happens(Chance(400)) {
                self.fall_back(number, random.within(0..=number as u64 - 1) as usize);
            }
            let is_benign = self.is_benign;
            self.parties[number].draw_ways(random, is_benign);
        }
        if random.happens(Chance(150)) {
            self.add_twin(random);
        }
        if self.parties.iter().any(|it| it.ways.others > 0) {
            let pool = &mut self.client.pool;
            let millis = pick(random, &[5, 100, 1_000]) as u64;
            pool.ejection_failures = pick(random, &[1, 2, 5]) as u32;
            pool.ejection_first_max = Duration::from_millis(millis);
            pool.ejection_max = Duration::from_secs(2);
        }
        self
    }

    /// A party more, as one of those that there are, which is its fallback.
    fn add_twin(&mut self, random: &mut Random) {
        let last = self.parties.len() as u64 - 1;
        let of = random.within(0..=last) as usize;
        let mut twin = self.parties[of].clone();
        twin.ways.fallback = Some(of);
        self.parties.push(twin);
        self.make_room();
    }

    /// Who has a fallback is not kept from connections of its own by that one's.
    fn make_room(&mut self) {
        let all = self.parties.iter().map(|it| *it.connections.end());
        let least = all.sum::<usize>() + 1;
        let connections_max = &mut self.client.limits.connections_max;
        *connections_max = least.max(*connections_max);
    }

    /// Both must speak alike.
    fn fall_back(&mut self, number: usize, to: usize) {
        let fallback = self.parties[to].clone();
        let party = &mut self.parties[number];
        party.dialect = fallback.dialect;
        party.skips_above_bytes = fallback.skips_above_bytes;
        party.bundled = fallback.bundled;
        party.heartbeat = fallback.heartbeat;
        party.ways.fallback = Some(to);
        self.make_room();
    }
}

impl Party {
    fn draw_ways(&mut self, random: &mut Random, is_benign: bool) {
        if random.happens(Chance(250)) {
            self.ways.others = random.within(1..=3) as usize;
        }
        let has_ways = self.ways.others > 0 || self.ways.fallback.is_some();
        if has_ways && !is_benign && random.happens(Chance(500)) {
            let millis = pick(random, &[5, 300, 600_000]) as u64;
            self.ways.away = Some(Duration::from_millis(millis));
        }
    }
}

/// Targets of an upstream that are left alone, and until when; and the connections that there were then.
#[derive(Debug, Default)]
pub(super) struct LeftAlone {
    targets: BTreeSet<(usize, usize)>,
    tokens: BTreeSet<u64>,
}

impl Run {
    // Who may have a request.

    /// A party, its fallback, and that one's own.
    fn chain(&self, party: usize) -> impl Iterator<Item = usize> {
        let fallback = |it: &usize| self.options.parties[*it].ways.fallback;
        std::iter::successors(Some(party), fallback)
    }

    /// Whether a party, or one that serves what it cannot, is so.
    pub(super) fn any_in_chain(&self, party: usize, is: impl Fn(usize) -> bool) -> bool {
        self.chain(party).any(is)
    }

    /// The hosts of a party, by target.
    pub(super) fn hosts_of(&self, party: usize) -> impl Iterator<Item = usize> {
        let first_of_others = self.upstreams.len() + 1;
        let others = self.others.iter().enumerate();
        let others = others.filter(move |(_, of)| **of == party);
        std::iter::once(party).chain(others.map(move |(nth, _)| first_of_others + nth))
    }

    /// Whose host it is: that of the raw connections is nobody's.
    pub(super) fn party_of(&self, host: usize) -> Option<usize> {
        match host.checked_sub(self.upstreams.len()) {
            None => Some(host),
            Some(0) => None,
            Some(nth) => Some(self.others[nth - 1]),
        }
    }

    /// The host that a connection leads to.
    fn host_at(&self, token: u64) -> Option<usize> {
        let tap = self.client.core.kernel.tap.as_ref()?;
        let port = tap.streams.get(&token)?.remote.port();
        self.hosts.iter().position(|it| it.address.port() == port)
    }

    /// Its program, unless it is the bundled server.
    pub(super) fn peer_at(&self, token: u64) -> Option<&Peer> {
        self.hosts[self.host_at(token)?].peer()
    }

    /// Those that may have been asked; none where they are bundled servers.
    pub(super) fn peers_of(&self, tag: u64) -> impl Iterator<Item = &Peer> {
        let parties = self.chain(self.asked[tag as usize].party);
        let hosts = parties.flat_map(|party| self.hosts_of(party));
        hosts.filter_map(|host| self.hosts[host].peer())
    }

    /// A request went where it was asked, or where that upstream's requests may go.
    pub(super) fn went_its_way(&self, tag: u64, token: u64) {
        let went = self.host_at(token).and_then(|host| self.party_of(host));
        let asked = self.asked[tag as usize].party;
        let may_have_it = |party| went == Some(party);
        assert!(
            self.any_in_chain(asked, may_have_it),
            "{tag} was asked of {asked} and went to {went:?}"
        );
    }

    /// The same of all that left, and of all that was answered.
    pub(super) fn all_went_their_ways(&self) {
        for (token, ends) in &self.wire.ends {
            ends.iter()
                .for_each(|(_, tag)| self.went_its_way(*tag, *token));
        }
        for (number, host) in self.hosts.iter().enumerate() {
            let party = self.party_of(number);
            let seen = host.peer().into_iter().flat_map(|peer| &peer.seen);
            for tag in seen {
                let asked = self.asked[*tag as usize].party;
                let may_come = self.any_in_chain(asked, |it| party == Some(it));
                assert!(may_come, "{tag} of {asked} came to {party:?}");
            }
        }
    }

    /// Whether its own upstream has served the last request, and not the fallback.
    pub(super) fn served_itself(&self) -> bool {
        let tag = self.asked.len() as u64 - 1;
        let place = self.wire.places.get(&tag);
        let host = place.and_then(|place| self.host_at(place.token));
        host.and_then(|host| self.party_of(host)) == Some(self.asked[tag as usize].party)
    }

    /// What a party's fallback has taken of it so far.
    pub(super) fn handed_over(&self, party: usize) -> u64 {
        let stats = self.client.core.upstream_stats(self.upstreams[party]);
        stats.map_or(0, |stats| stats.handed_over)
    }

    pub(super) fn all_handed_over(&self) -> u64 {
        let parties = 0..self.upstreams.len();
        parties.map(|party| self.handed_over(party)).sum()
    }

    /// What a party has, at most, taken of others.
    pub(super) fn taken_over(&self, party: usize) -> u64 {
        let parties = self.options.parties.iter().enumerate();
        let of_it = parties.filter(|(_, it)| it.ways.fallback == Some(party));
        of_it.map(|(number, _)| self.handed_over(number)).sum()
    }

    // Who is left alone.

    /// Who is left alone in this turn whatever happens in it.
    pub(super) fn left_alone(&self, now: Time) -> LeftAlone {
        let targets = self.client.left_alone();
        let targets = targets.filter(|(_, _, until)| *until > now);
        let targets: BTreeSet<_> = targets.map(|(of, target, _)| (of, target)).collect();
        let tokens = match targets.is_empty() {
            true => BTreeSet::new(),
            false => self.client.aims().map(|(token, ..)| token).collect(),
        };
        LeftAlone { targets, tokens }
    }

    /// No connection was begun to one that was left alone before.
    pub(super) fn were_left_alone(&mut self, before: &LeftAlone) {
        for (token, service, target) in self.client.aims() {
            let is_new = !before.tokens.contains(&token);
            let was_to_be = before.targets.contains(&(service, target));
            assert!(
                !is_new || !was_to_be,
                "a connection to {target} of {service}, which is left alone"
            );
        }
        let now = self.world.now();
        let alone = self.left_alone(now).targets;
        self.ejections += alone.difference(&before.targets).count() as u64;
        self.alone_since.retain(|it, _| alone.contains(it));
        for it in alone {
            self.alone_since.entry(it).or_insert(now);
        }
    }

    /// What has left to who is left alone was made before that.
    pub(super) fn nobody_new_went_to_the_left_alone(&self) {
        if self.alone_since.is_empty() {
            return;
        }
        for (token, service, target) in self.client.aims() {
            let asked = self.wire.ends.get(&token);
            let (Some(since), Some(asked)) = (self.alone_since.get(&(service, target)), asked)
            else {
                continue;
            };
            let is_new = |(_, tag): &&(usize, u64)| self.asked[*tag as usize].at > *since;
            let new = asked.iter().find(is_new);
            assert_eq!(
                new, None,
                "asked of {target} of {service}, which is left alone"
            );
        }
    }

    /// Each connection goes to its own upstream's targets, whatever was looked up besides, and of these there are no more
    /// than may be.
    pub(super) fn went_where_they_were_sent(&self) {
        let network = self.world.network.borrow();
        let host = self.client.core.kernel.host();
        let of_host = network.ends.values().filter(|end| end.host == host);
        let mut tokens = BTreeSet::new();
        for (token, end) in of_host.filter_map(|end| Some((end.token?, end))) {
            let Some(upstream) = self.client.upstream_of(token) else {
                continue;
            };
            let went = end.remote.port();
            let is_there = |host: usize| self.hosts[host].address.port() == went;
            let is_right = match upstream {
                Some(party) => self.hosts_of(party).any(is_there),
                None => is_there(self.upstreams.len()),
            };
            assert!(is_right, "a connection went to another's address");
            tokens.extend(upstream.map(|party| (party, token)));
        }
        for (party, options) in self.options.parties.iter().enumerate() {
            let of_party = tokens.range((party, 0)..=(party, u64::MAX)).count();
            let stats = self.client.core.upstream_stats(self.upstreams[party]);
            let lingering = stats.map_or(0, |stats| stats.lingering);
            let most = options.connections.end() + lingering;
            assert!(of_party <= most, "{of_party} connections, of {most}");
        }
    }
}
