//! One seed: a shipper, its sinks, a time of bad weather, and the peace after it in which everything ends.

use std::time::Duration;

use super::draws::{options, weather};
use super::sink::{Sink, Temper};
use crate::ship::{Ack, Driver, OnUncertain, ShipConfig, ShipCounts, ShipEvent};
use crate::sim::faults::FaultKind;
use crate::sim::kernel::SimKernel;
use crate::sim::random::{Chance, Random};
use crate::sim::world::World;
use crate::time::Time;

/// In peace everything ends within this: pauses of 10 s, deadlines of a second, and what the kernels take to give up.
const PEACE: Duration = Duration::from_secs(240);

/// What came of a seed, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) confirmed: u64,
    pub(super) uncertain: u64,
    pub(super) undelivered: u64,
    pub(super) resent: u64,
    pub(super) deaths: u64,
    /// Connections, most of which a commit has ended.
    pub(super) commits: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.confirmed += other.confirmed;
        self.uncertain += other.uncertain;
        self.undelivered += other.undelivered;
        self.resent += other.resent;
        self.deaths += other.deaths;
        self.commits += other.commits;
    }
}

struct Trial {
    seed: u64,
    random: Random,
    world: World,
    driver: Driver<SimKernel>,
    config: ShipConfig,
    sinks: Vec<Sink>,
    /// What a dying sink has read and not handled is told apart: no packet of one of its connections overtakes those of
    /// another by more than the witness's grace.
    is_even: bool,
    /// How often the shipper's program is held up, and until when it is.
    stalls: Chance,
    stalled_until: Time,
    lines: u64,
    /// The fate of each line that was told: of the first so many.
    told: u64,
    delivered: Vec<(u64, u64)>,
    is_finished: bool,
}

impl Trial {
    fn new(seed: u64) -> Trial {
        let mut random = Random::new(seed ^ 0x5149_7073);
        let faults = weather(&mut random);
        let world = World::new(seed, faults.clone());
        let buffer_bytes = [600, 4_000, 64 << 10][random.within(0..=2) as usize];
        world.network.borrow_mut().buffer_bytes = buffer_bytes;
        let mut config = options(&mut random, buffer_bytes as u64);
        let temper = Temper {
            closes: Chance([0, 100, 400][random.within(0..=2) as usize]),
            dies: Chance([0, 0, 1][random.within(0..=2) as usize]),
            dozes: Chance([0, 2, 10][random.within(0..=2) as usize]),
            handles: Chance([0, 500][random.within(0..=1) as usize]),
        };
        let count = random.within(1..=2);
        let sinks: Vec<Sink> = (0..count)
            .map(|_| Sink::new(&world.network, config.wire, temper, random.fork()))
            .collect();
        config.sinks = sinks.iter().map(|sink| sink.at.to_string()).collect();
        Driver::<SimKernel>::check(&config).unwrap();
        let spread = *faults.latency_nanos.end() - *faults.latency_nanos.start();
        let delays = [
            FaultKind::Hole,
            FaultKind::HoleStays,
            FaultKind::ShutWindow,
            FaultKind::Mute,
        ];
        let is_even = u128::from(spread) < config.witness_grace.as_nanos() * 3 / 4
            && delays.iter().all(|kind| faults.chance(*kind) == Chance(0));
        let stalls = Chance([0, 0, 5][random.within(0..=2) as usize]);
        let driver = Driver::new(SimKernel::new(&world.network), config.clone());
        Trial {
            seed,
            lines: random.within(1..=400),
            random,
            world,
            driver,
            config,
            sinks,
            is_even,
            stalls,
            stalled_until: Time::ZERO,
            told: 0,
            delivered: Vec::new(),
            is_finished: false,
        }
    }

    /// Turns the shipper, unless its program is held up, and pulls.
    fn turn_driver(&mut self) {
        let now = self.world.now();
        if now < self.stalled_until {
            return;
        }
        if self.random.happens(self.stalls) {
            let stall = Duration::from_millis(self.random.within(1..=50));
            self.stalled_until = now.after(stall);
            return;
        }
        let outcome = self.driver.turn(Some(Duration::ZERO));
        assert!(
            outcome.is_ok() || !self.is_in_peace(),
            "{}: {outcome:?}",
            self.name()
        );
        self.pull();
    }

    /// Turns everything once.
    fn round(&mut self) {
        self.turn_driver();
        let now = self.world.now();
        let mut has_acted = false;
        for sink in &mut self.sinks {
            has_acted |= sink.step(now);
        }
        self.world.step();
        if !has_acted {
            self.rest();
        }
    }

    fn is_in_peace(&self) -> bool {
        self.world.weather.faults().chance(FaultKind::CallFails) == Chance(0)
    }

    /// Moves the clock to the next thing that happens.
    fn rest(&mut self) {
        let now = self.world.now();
        let network = self.world.network.borrow();
        let kernel = &self.driver.engine.core.kernel;
        let is_stalled = now < self.stalled_until;
        if !is_stalled && network.is_ready(kernel.host()) {
            return;
        }
        let timeout = self.driver.next_timeout();
        let of_driver = match is_stalled {
            true => self.stalled_until,
            false => timeout.map_or(Time::NEVER, |it| now.after(it)),
        };
        let of_sinks = self.sinks.iter().map(|it| it.next(now)).min();
        let arrival = network.next_arrival().unwrap_or(Time::NEVER);
        let pulse = now.after(Duration::from_millis(5));
        drop(network);
        let next = of_driver
            .min(arrival)
            .min(of_sinks.unwrap_or(Time::NEVER))
            .min(pulse);
        self.world.network.borrow_mut().advance(next.max(now));
    }

    fn pull(&mut self) {
        let name = self.name();
        while let Some(event) = self.driver.next_event() {
            assert!(!self.is_finished, "{name}: {event:?} after the end");
            let (from, to) = match event {
                ShipEvent::Delivered { upto } => {
                    self.delivered.push((self.told + 1, upto));
                    (self.told + 1, upto)
                }
                ShipEvent::Uncertain { from, to } | ShipEvent::Undelivered { from, to } => {
                    (from, to)
                }
                ShipEvent::Refused { .. } => panic!("{name}: {event:?}"),
                ShipEvent::Finished => {
                    self.is_finished = true;
                    continue;
                }
                _ => continue,
            };
            assert_eq!(from, self.told + 1, "{name}: {event:?}");
            assert!(to >= from);
            self.told = to;
        }
        self.check_delivered();
    }

    /// At each step: what was told as delivered is where its rung says.
    fn check_delivered(&self) {
        let is_promised = |line: u64| -> bool {
            let read = self.sinks.iter().any(|it| it.read.contains_key(&line));
            let handled = self.sinks.iter().any(|it| it.handled.contains(&line));
            match self.config.ack {
                Ack::None | Ack::Peek => true,
                Ack::Commit if self.config.witness && self.is_even => handled,
                Ack::Kernel | Ack::Commit => read,
                Ack::Relp => handled,
            }
        };
        let Some(&(from, to)) = self.delivered.last() else {
            return;
        };
        for line in from..=to {
            assert!(
                is_promised(line),
                "{}: line {line} was not there",
                self.name()
            );
        }
    }

    /// At the end.
    fn check(&self) {
        let (name, counts) = (self.name(), self.driver.counts());
        let ShipCounts {
            read,
            confirmed,
            uncertain,
            undelivered,
            refused,
            ..
        } = counts;
        assert_eq!(
            read,
            confirmed + uncertain + undelivered + refused,
            "{name}: {counts:?}"
        );
        assert_eq!(
            (self.told, read),
            (self.lines, self.lines),
            "{name}: {counts:?}"
        );
        assert_eq!(undelivered, 0, "{name}: {counts:?}");
        for sink in &self.sinks {
            assert_eq!(sink.disorder, None, "{name}: out of order on a connection");
        }
        if self.config.on_uncertain == OnUncertain::Report || self.config.ack < Ack::Kernel {
            for line in 1..=self.lines {
                let times: u32 = self.sinks.iter().filter_map(|it| it.read.get(&line)).sum();
                assert!(times <= 1, "{name}: line {line} came {times} times");
            }
        }
        let open = self.driver.engine.core.connections();
        assert!(
            open <= 1 + self.config.client.limits.connecting_max,
            "{name}: {open} connections"
        );
    }

    fn name(&self) -> String {
        format!(
            "seed {} ({:?}, {:?})",
            self.seed, self.config.ack, self.config.on_uncertain
        )
    }
}

pub(super) fn run(seed: u64) -> Tally {
    let mut trial = Trial::new(seed);
    let mut offered = 0;
    let rough = trial
        .world
        .now()
        .after(Duration::from_millis(trial.random.within(10..=20_000)));
    let mut next_burst = Time::ZERO;
    while trial.world.now() < rough || offered < trial.lines {
        let now = trial.world.now();
        assert!(
            now < rough.after(PEACE),
            "{}: {offered} lines were taken: {:?}",
            trial.name(),
            trial.driver
        );
        if now >= rough {
            calm(&mut trial);
        }
        if now >= next_burst {
            for _ in 0..trial.random.within(1..=40).min(trial.lines - offered) {
                let pad = "x".repeat(trial.random.within(0..=60) as usize);
                let line = format!("{}.{pad}", offered + 1);
                match trial.driver.offer(line.as_bytes()) {
                    Ok(number) => assert_eq!(number, offered + 1),
                    Err(error) => {
                        assert!(error.is_full(), "{error}");
                        break;
                    }
                }
                offered += 1;
            }
            next_burst = now.after(Duration::from_millis(trial.random.within(0..=50)));
        }
        trial.round();
    }
    calm(&mut trial);
    let deadline = trial.world.now().after(PEACE);
    trial.driver.finish(deadline);
    while !trial.is_finished {
        trial.round();
        assert!(
            trial.world.now() < deadline,
            "{}: {:?}",
            trial.name(),
            trial.driver
        );
    }
    trial.check();
    let counts = trial.driver.counts();
    Tally {
        confirmed: counts.confirmed,
        uncertain: counts.uncertain,
        undelivered: counts.undelivered,
        resent: counts.resent,
        deaths: trial.sinks.iter().map(|it| it.deaths).sum(),
        commits: counts.connections,
    }
}

/// The weather clears, and the sinks are good ones.
fn calm(trial: &mut Trial) {
    trial.world.network.borrow_mut().heal();
    for sink in &mut trial.sinks {
        sink.temper = Temper {
            handles: sink.temper.handles,
            ..Temper::default()
        };
    }
}
