//! Several names at a time while the resolver hangs, fails, is late and names dead hosts: whoever waits for a name has
//! a lookup that can still come back, every connect ends once, and when the name servers are back all names are found.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bench, ms};
use crate::config::Config;
use crate::error::{Phase, ResolveError, Source};
use crate::event::{ConnectionId, Event};
use crate::frame::Framing;
use crate::sim::faults::{FaultKind, Faults};
use crate::sim::names::Lookup;
use crate::sim::random::{Chance, Random};
use crate::sim::weather::Weather;

const NAMES: u64 = 12;
const SEEDS: u64 = 60;

/// Raw connections by name, each of which ends once.
struct Callers {
    bench: Bench,
    random: Random,
    /// Which name each was for; gone when it has ended.
    open: BTreeMap<ConnectionId, u64>,
    connected: u64,
}

impl Callers {
    fn new(seed: u64, config: Config) -> Callers {
        let mut random = Random::new(seed);
        let mut faults = Faults::NONE;
        for (kind, thousandths_max) in [
            (FaultKind::NameHangs, 300),
            (FaultKind::NameFails, 300),
            (FaultKind::NameIsLate, 500),
            (FaultKind::NameHasDead, 500),
        ] {
            let thousandths = random.within(0..=thousandths_max) as u32;
            faults = faults.with(kind, Chance(thousandths));
        }
        let mut bench = Bench::in_weather(config, Weather::new(seed, faults));
        let here = bench.at.ip();
        for name in 0..NAMES {
            let after = ms(name * 40);
            let found = Lookup::Found(vec![here]);
            let mut network = bench.world.network.borrow_mut();
            network.name(&format!("name{name}"), after, found);
        }
        bench.peer.set_backlog_max(bench.at, usize::MAX);
        Callers {
            bench,
            random,
            open: BTreeMap::new(),
            connected: 0,
        }
    }

    fn connect(&mut self, name: u64) -> ConnectionId {
        let target = format!("name{name}:{}", self.bench.at.port());
        let core = &mut self.bench.engine.core;
        let connection = core.connect(&target, &Framing::line()).unwrap();
        self.open.insert(connection, name);
        connection
    }

    /// One that is chosen by chance is given up by the program.
    fn abort_one(&mut self) {
        let last = (self.open.len() as u64).saturating_sub(1);
        let nth = self.random.within(0..=last) as usize;
        if let Some(connection) = self.open.keys().nth(nth).copied() {
            // Its end may have come already, and wait to be pulled.
            _ = self.bench.engine.core.abort(connection);
        }
    }

    /// Time passes; who waits for a name must have a lookup that can come back. Returns who connected.
    fn pass(&mut self, time: Duration) -> Vec<ConnectionId> {
        let mut stand = Vec::new();
        for event in self.bench.events(time) {
            match event {
                Event::Connected { connection, .. } => {
                    assert!(self.open.contains_key(&connection));
                    self.bench.engine.core.abort(connection).unwrap();
                    self.connected += 1;
                    stand.push(connection);
                }
                Event::Closed {
                    connection, error, ..
                } => {
                    let name = self.open.remove(&connection);
                    assert!(name.is_some(), "{connection} ended twice: {error:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        let host = self.bench.engine.core.kernel.host();
        let network = self.bench.world.network.borrow();
        for job in self.bench.engine.lookups_awaited() {
            let may_resolve = network.may_resolve(host, job);
            assert!(may_resolve, "lookup {job:x} is waited for in vain");
        }
        stand
    }

    fn storm(&mut self) {
        for _ in 0..300 {
            for _ in 0..self.random.within(0..=3) {
                let name = self.random.within(0..=NAMES - 1);
                self.connect(name);
            }
            if self.random.within(0..=2) == 0 {
                self.abort_one();
            }
            let pause = self.random.within(0..=200);
            self.pass(ms(pause));
        }
    }

    /// The name servers are back: after a while every name is found, and nothing is left behind.
    fn heals(&mut self) {
        self.bench.world.network.borrow_mut().heal();
        self.pass(Duration::from_secs(10));
        // The ends of those that stood at last.
        self.pass(ms(10));
        assert!(self.open.is_empty(), "never ended: {:?}", self.open);
        for name in 0..NAMES {
            let connection = self.connect(name);
            let stand = self.pass(Duration::from_secs(6));
            assert_eq!(stand, [connection], "name{name} is lost");
        }
        self.pass(ms(10));
        let core = &self.bench.engine.core;
        assert_eq!((core.connections(), core.kernel.descriptors()), (0, 0));
        let network = self.bench.world.network.borrow();
        assert_eq!(network.lookups_under_way(core.kernel.host()), 0);
    }
}

#[test]
fn whoever_waits_for_a_name_has_a_lookup_that_can_still_come_back() {
    let mut connected = 0;
    for seed in 0..SEEDS {
        let mut config = Config::default();
        // Every second one keeps next to nothing.
        if seed % 2 == 1 {
            config.lookups.fresh_for = ms(50);
            config.lookups.negative_for = ms(seed % 5);
            config.lookups.stale_for = ms(100 * (seed % 3));
            config.lookups.names_max = (seed % 7) as usize;
        }
        let mut callers = Callers::new(seed, config);
        callers.storm();
        callers.heals();
        connected += callers.connected;
    }
    // Some find what they look for, and some don't.
    assert!(connected > 30 * SEEDS, "{connected}");
}

/// Eight threads hang, and the ninth name waits with them: none is lost when they come back.
#[test]
fn with_all_threads_stuck_names_that_are_known_are_connected_to_and_the_others_when_they_are_back()
{
    let mut bench = Bench::new(Config::default());
    let port = bench.at.port();
    let connect = |bench: &mut Bench, name: &str| {
        let target = format!("{name}:{port}");
        bench
            .engine
            .core
            .connect(&target, &Framing::line())
            .unwrap()
    };
    let found = Lookup::Found(vec![bench.at.ip()]);
    let name = |bench: &Bench, name: &str, lookup: &Lookup| {
        let mut network = bench.world.network.borrow_mut();
        network.name(name, Duration::ZERO, lookup.clone());
    };
    name(&bench, "known", &found);
    connect(&mut bench, "known");
    assert_eq!(bench.events(ms(2)).len(), 1);
    for n in 0..8 {
        name(&bench, &format!("hung{n}"), &Lookup::Hangs);
    }
    (0..4).for_each(|n| _ = connect(&mut bench, &format!("hung{n}")));
    bench.events(ms(2_010));
    // Others have taken the places of the threads that hang ...
    name(&bench, "early", &found);
    connect(&mut bench, "early");
    assert_eq!(bench.events(ms(5)).len(), 1);
    // ... and hang now as well.
    (4..8).for_each(|n| _ = connect(&mut bench, &format!("hung{n}")));
    bench.events(Duration::from_secs(33));
    // Its answer is no longer fresh, and there is no thread to ask with.
    name(&bench, "new", &found);
    for (at, to, expected) in [
        (ms(1_990), "known", None),
        (ms(20), "known", Some(true)),
        (ms(2_010), "new", Some(false)),
    ] {
        if expected != Some(true) {
            connect(&mut bench, to);
        }
        let told = bench.events(at);
        let stands = told.iter().find_map(|event| match event {
            Event::Connected { .. } => Some(true),
            Event::Closed { error, .. } => {
                let error = error.unwrap();
                assert_eq!(error.phase, Phase::Resolve);
                assert_eq!(error.source, Source::Timeout(Duration::from_secs(2)));
                Some(false)
            }
            _ => None,
        });
        assert_eq!(stands, expected, "{to}: {told:?}");
    }
    bench.world.network.borrow_mut().heal();
    connect(&mut bench, "new");
    let told = bench.events(ms(5));
    assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}");
}

/// Fault 22: what else a resolver may say.
#[test]
fn each_answer_of_a_resolver_is_told_as_what_it_is_and_the_next_name_is_served() {
    let nowhere = Source::Resolve(ResolveError::NotFound);
    let away = ResolveError::TryAgain;
    for (lookup, expected) in [
        (Lookup::Fails(ResolveError::NotFound), nowhere),
        (Lookup::Found(Vec::new()), nowhere),
        (Lookup::Fails(away), Source::Resolve(away)),
        (Lookup::Hangs, Source::Timeout(Duration::from_secs(2))),
    ] {
        let mut bench = Bench::new(Config::default());
        let port = bench.at.port();
        {
            let mut network = bench.world.network.borrow_mut();
            network.name("bad", ms(1), lookup);
            network.name("good", ms(1), Lookup::Found(vec![bench.at.ip()]));
        }
        for name in ["bad", "good"] {
            let target = format!("{name}:{port}");
            bench
                .engine
                .core
                .connect(&target, &Framing::line())
                .unwrap();
        }
        let told = bench.events(Duration::from_secs(3));
        let mut errors = told.iter().filter_map(|event| match event {
            Event::Closed { error, .. } => error.map(|error| error.source),
            _ => None,
        });
        assert_eq!((errors.next(), errors.next()), (Some(expected), None));
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
