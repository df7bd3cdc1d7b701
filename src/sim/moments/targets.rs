//! An upstream of two targets of which now and then one dies and comes back, drawn by seed: every request ends once and
//! is asked of one target, the totals hold, and of who is left alone nobody wants anything but one trial at a time.
//!
//! What a target saw and what connects are under way is read off the targets and the network, never off the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::ms;
use crate::config::{Breaker, Config, Pool, Reconnect, Timeouts};
use crate::engine::Terms;
use crate::error::Sent;
use crate::event::{Event, UpstreamId};
use crate::kernel::Kernel;
use crate::sim::endpoint::{EndpointKey, State};
use crate::sim::faults::Faults;
use crate::sim::kernel::{SimKernel, SimListener, SimSocket};
use crate::sim::random::{Chance, Random};
use crate::sim::world::{SimEngine, World};
use crate::time::Time;
use crate::upstream::{Upstream, UpstreamStats};

const SEEDS: u64 = 60;
/// Longer than any request, timeout, ejection and lifetime that is drawn, taken together.
const SETTLED: Duration = Duration::from_secs(8);
/// A refused connect goes to the next target at once; some round trips.
const TAKEN_OVER: Duration = Duration::from_millis(5);

/// How a target is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Its connections are reset, and nobody listens.
    Killed,
    /// It reads nothing, and SYNs to it are lost.
    Silent,
}

/// A server that says each line again.
struct Target {
    kernel: SimKernel,
    listener: SimListener,
    death: Option<Death>,
    sockets: Vec<(SimSocket, Vec<u8>)>,
    /// Tags, as they came.
    seen: Vec<u64>,
}

impl Target {
    fn new(world: &World) -> Target {
        let mut kernel = SimKernel::new(&world.network);
        let listener = kernel.listen(kernel.address(0), 0).unwrap();
        Target {
            kernel,
            listener,
            death: None,
            sockets: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.kernel.listener_addr(&self.listener).unwrap()
    }

    fn serve(&mut self) {
        if self.death.is_some() {
            return;
        }
        while let Ok((socket, _)) = self.kernel.accept(&self.listener) {
            self.sockets.push((socket, Vec::new()));
        }
        for (socket, mut unparsed) in std::mem::take(&mut self.sockets) {
            let mut some = [0; 256];
            let has_ended = loop {
                match self.kernel.read(&socket, &mut some) {
                    Ok(0) => break true,
                    Ok(n) => unparsed.extend(&some[..n]),
                    Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
                }
            };
            while let Some(end) = unparsed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unparsed.drain(..=end).collect();
                self.seen.push(tag_of(&line[..end]));
                _ = self.kernel.write(&socket, &line);
            }
            match has_ended {
                true => self.kernel.close(socket, false),
                false => self.sockets.push((socket, unparsed)),
            }
        }
    }
}

fn tag_of(line: &[u8]) -> u64 {
    std::str::from_utf8(line).unwrap().parse().unwrap()
}

struct Pair {
    world: World,
    random: Random,
    client: SimEngine,
    upstream: UpstreamId,
    connections: usize,
    targets: [Target; 2],
    /// By tag: when it is to have ended, and how it did.
    asked: Vec<(Time, Option<bool>)>,
    /// None of these may fail.
    sure: BTreeSet<u64>,
    /// Since when who is dead has been left alone: connects to it that were begun before.
    before: Option<BTreeSet<EndpointKey>>,
    ejections: u64,
    trials: u64,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, Faults::NONE);
        let mut client = world.engine(config(&mut random));
        let targets = [Target::new(&world), Target::new(&world)];
        let [one, other] = [&targets[0], &targets[1]].map(|it| it.address().to_string());
        let connections = random.within(2..=6) as usize;
        let upstream = Upstream::new(one).and(other).connections(connections);
        let upstream = upstream.depth(random.within(1..=4) as usize);
        let upstream = client.core.add(upstream).unwrap();
        Pair {
            world,
            random,
            client,
            upstream,
            connections,
            targets,
            asked: Vec::new(),
            sure: BTreeSet::new(),
            before: None,
            ejections: 0,
            trials: 0,
        }
    }

    fn stats(&self) -> UpstreamStats {
        self.client.core.upstream_stats(self.upstream).unwrap()
    }

    fn ask(&mut self, is_sure: bool) {
        let tag = self.asked.len() as u64;
        let deadline = self.world.now().after(ms(2_000));
        let terms = Terms {
            tag,
            is_idempotent: false,
        };
        let line = format!("{tag}\n");
        let core = &mut self.client.core;
        let made = core.request(self.upstream, line.as_bytes(), terms, |_, _, _| deadline);
        made.unwrap();
        self.asked.push((deadline, None));
        if is_sure {
            self.sure.insert(tag);
        }
    }

    /// For so long the program asks now and then; the targets that are well answer.
    fn pass(&mut self, time: Duration, is_sure: impl Fn(Time) -> bool) {
        let until = self.world.now().after(time);
        let mut next = self.world.now();
        while self.world.now() < until {
            if self.world.now() >= next {
                let is_sure = is_sure(self.world.now());
                (0..self.random.within(1..=3)).for_each(|_| self.ask(is_sure));
                let micros = self.random.within(100..=40_000);
                next = self.world.now().after(Duration::from_micros(micros));
            }
            self.round(until.min(next));
        }
    }

    fn round(&mut self, until: Time) {
        self.targets.iter_mut().for_each(Target::serve);
        self.world.turn(&mut [&mut self.client]).unwrap();
        while let Some(event) = self.client.next_event() {
            self.told(&event);
        }
        self.client.check();
        self.keeps_the_totals();
        self.tries_one_at_a_time();
        self.world.rest(&[&mut self.client], until);
    }

    fn told(&mut self, event: &Event) {
        let (tag, is_reply) = match *event {
            Event::Reply { tag, frame, .. } => {
                let bytes = self.client.bytes(&frame).unwrap();
                assert_eq!(tag_of(bytes), tag, "another's reply");
                (tag, true)
            }
            Event::Failed { tag, error, .. } => {
                assert!(!self.sure.contains(&tag), "{tag} had a target: {error}");
                let came = self.targets.iter().any(|it| it.seen.contains(&tag));
                assert!(!came || error.sent != Sent::No, "{tag} came: {error}");
                (tag, false)
            }
            _ => panic!("{event:?}"),
        };
        let (deadline, ended) = &mut self.asked[tag as usize];
        assert_eq!(*ended, None, "{tag} ended twice");
        *ended = Some(is_reply);
        assert!(self.world.now() <= deadline.after(ms(1)), "{tag} is late");
    }

    fn keeps_the_totals(&self) {
        let stats = self.stats();
        assert!(
            stats.open + stats.connecting <= self.connections,
            "{stats:?}"
        );
        assert!(stats.lingering <= self.connections, "{stats:?}");
        let sockets = self.client.core.kernel.descriptors();
        assert!(sockets <= 2 * self.connections, "{sockets} sockets");
        assert!(stats.ejected <= 1, "more than half of two are left alone");
    }

    /// Once who is dead is left alone.
    fn tries_one_at_a_time(&mut self) {
        let dead = self.targets.iter().find(|it| it.death.is_some());
        let Some(at) = dead.map(Target::address) else {
            return;
        };
        let network = self.world.network.borrow();
        let host = self.client.core.kernel.host();
        let ends = network.ends.iter();
        let ends = ends.filter(|(_, end)| end.host == host && end.remote == at);
        let begun = ends.filter(|(_, end)| end.state == State::Connecting && !end.is_orphan);
        let begun: BTreeSet<_> = begun.map(|(key, _)| *key).collect();
        match &self.before {
            None if self.stats().ejected == 1 => {
                self.ejections += 1;
                self.before = Some(begun);
            }
            None => {}
            Some(before) => {
                let trials = begun.difference(before).count();
                assert!(trials <= 1, "{trials} trials at a time");
                self.trials += trials as u64;
            }
        }
    }

    fn die(&mut self, target: usize, death: Death) {
        let it = &mut self.targets[target];
        it.death = Some(death);
        let at = it.address();
        match death {
            Death::Killed => {
                for (socket, _) in it.sockets.drain(..) {
                    it.kernel.close(socket, true);
                }
                let mut network = self.world.network.borrow_mut();
                network.send_away(at, Time::NEVER);
            }
            Death::Silent => self.world.network.borrow_mut().black_hole(at),
        }
    }

    fn come_back(&mut self, target: usize) {
        let it = &mut self.targets[target];
        let at = it.address();
        it.death = None;
        self.before = None;
        let now = self.world.now();
        let mut network = self.world.network.borrow_mut();
        network.send_away(at, now);
        network.black_holes.clear();
    }

    /// One dies, is left alone, and comes back.
    fn dies_and_comes_back(&mut self) {
        let target = self.random.within(0..=1) as usize;
        let death = match self.random.happens(Chance(500)) {
            true => Death::Killed,
            false => Death::Silent,
        };
        self.die(target, death);
        let taken_over = self.world.now().after(TAKEN_OVER);
        let dead_for = ms(self.random.within(1..=6_000));
        let is_sure = |now| death == Death::Killed && now > taken_over;
        self.pass(dead_for, is_sure);
        self.come_back(target);
        self.pass(SETTLED, |_| false);
        let asked_before = self.targets.each_ref().map(|it| it.seen.len());
        self.pass(SETTLED, |_| true);
        let asked = self.targets.each_ref().map(|it| it.seen.len());
        for (before, after) in asked_before.iter().zip(asked) {
            assert!(after > *before, "nothing is asked of one that is well");
        }
    }

    fn ends(&mut self) {
        let until = self.world.now().after(SETTLED);
        while self.world.now() < until {
            self.round(until);
        }
        assert!(self.asked.iter().all(|(_, ended)| ended.is_some()));
        let mut times = BTreeMap::new();
        for tag in self.targets.iter().flat_map(|it| &it.seen) {
            *times.entry(*tag).or_insert(0) += 1;
        }
        let twice = times.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "a request was asked twice");
        for (tag, (_, ended)) in (0..).zip(&self.asked) {
            let came = times.contains_key(&tag);
            assert!(came || *ended != Some(true), "{tag} was answered by nobody");
        }
    }
}

/// Connections are made anew often, so that who is back gets a share again.
fn config(random: &mut Random) -> Config {
    Config {
        timeouts: Timeouts {
            connect: ms(300),
            first_byte: ms(200),
            wait: ms(1_500),
            ..Timeouts::default()
        },
        reconnect: Reconnect {
            first_pause_max: ms(10),
            pause_max: ms(50),
            ..Reconnect::default()
        },
        pool: Pool {
            ejection_failures: random.within(1..=5) as u32,
            ejection_first_max: ms(random.within(10..=500)),
            ejection_max: ms(1_000),
            lifetime: ms(random.within(50..=1_000)),
            ..Pool::default()
        },
        breaker: Breaker::off(),
        ..Config::default()
    }
}

#[test]
fn whichever_of_two_targets_dies_the_other_serves_and_the_dead_one_is_found_by_one_trial_at_a_time()
{
    let (mut ejections, mut trials) = (0, 0);
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut pair = Pair::new(seed);
        pair.pass(ms(100), |_| true);
        for _ in 0..3 {
            pair.dies_and_comes_back();
        }
        pair.ends();
        ejections += pair.ejections;
        trials += pair.trials;
    }
    assert!(ejections > SEEDS && trials > SEEDS, "{ejections}, {trials}");
}
