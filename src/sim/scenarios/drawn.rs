//! Scripts that are drawn from a seed: what a client and a peer do, step by step, in both worlds.
//!
//! Everything that one of both is told is compared: the client's events by connection and by request,
//! and what the peer's calls came back with. Bytes of a stream without frames may be cut differently.
//! `TAUT_SCRIPTS` sets how many scripts are run, `TAUT_SCRIPT` runs a single one and shows it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::hand::Hand;
use super::stage::{Real, Stage};
use super::{AN_HOUR, like_loopback, patient};
use crate::config::{Config, Peek, Reconnect};
use crate::frame::Framing;
use crate::sim::random::{Chance, Random};
use crate::sim::world::World;
use crate::upstream::Upstream;

const SCRIPTS: u64 = 300;
const CONNECTIONS_MAX: usize = 4;

/// One step of a script. Numbers choose among the connections and ends that there are by then; where
/// there is none, the step does nothing.
#[derive(Clone, Copy, Debug)]
enum Step {
    // The client.
    Connect,
    Send(usize, &'static str),
    Close(usize),
    Abort(usize),
    NotifyWritable(usize),
    Request,
    /// Queued bytes leave, and nothing is read.
    Flush,
    /// Until nothing happens any more.
    Turn,
    // The peer.
    Accept,
    Write(usize, &'static str),
    Read(usize, usize),
    Shut(usize),
    PeerClose(usize),
    Reset(usize),
}

const WORDS: [&str; 7] = [
    "line\n",
    "part",
    "\n",
    "two\nlines\n",
    "end\nand more",
    "x",
    "\r\n",
];

/// A drawn script, with what does not change while it runs.
#[derive(Clone, Debug)]
struct Drawn {
    config: Config,
    is_raw: bool,
    upstream: Option<(usize, usize)>,
    steps: Vec<Step>,
}

impl Drawn {
    fn new(seed: u64) -> Drawn {
        let mut random = Random::new(seed);
        // Of two that are made at once, mio's poll(2) backend tells in an order of its own.
        let is_in_order = cfg!(not(mio_unsupported_force_poll_poll));
        let connections = random.within(1..=1 + u64::from(is_in_order));
        // Made again at once, or never: pauses are random. Of two that are made again at once, one
        // would always be under way, and requests would wait for it.
        let pause = if connections == 1 {
            Duration::ZERO
        } else {
            AN_HOUR
        };
        let config = Config {
            half_close: random.happens(Chance(400)),
            peek: match random.within(0..=2) {
                0 => Peek::Always,
                1 => Peek::Idle(Duration::ZERO),
                _ => Peek::Never,
            },
            reconnect: Reconnect {
                first_pause_max: pause,
                pause_max: pause,
                ..Reconnect::default()
            },
            ..patient()
        };
        let has_upstream = random.happens(Chance(500));
        let depth = random.within(1..=3);
        let steps = random.within(10..=40);
        Drawn {
            config,
            is_raw: random.happens(Chance(400)),
            upstream: has_upstream.then_some((connections as usize, depth as usize)),
            steps: (0..steps)
                .map(|_| step(&mut random, has_upstream))
                .collect(),
        }
    }

    fn framing(&self) -> Framing {
        match self.is_raw {
            true => Framing::raw(),
            false => Framing::line(),
        }
    }

    /// Runs it; what both were told.
    fn run<S: Stage>(&self, stage: S) -> (Vec<Vec<String>>, Vec<String>, Vec<String>) {
        let mut hand = Hand::new(stage, self.config.clone());
        if let Some((connections, depth)) = self.upstream {
            let upstream = Upstream::new(hand.at.to_string());
            hand.add(upstream.connections(connections).depth(depth));
            hand.settle();
        }
        for step in &self.steps {
            self.take(&mut hand, *step);
            hand.settle();
        }
        self.end(&mut hand);
        let requests = hand.log.requests.iter();
        let requests = requests.map(|(tag, outcome)| format!("{tag}: {outcome}"));
        let requests = requests.collect();
        let mut connections = hand.log.connections;
        if self.is_raw {
            for told in &mut connections {
                *told = merged(told);
            }
        }
        (connections, requests, hand.told)
    }

    fn take<S: Stage>(&self, hand: &mut Hand<S>, step: Step) {
        let (connections, ends) = (hand.connections.len(), hand.ends());
        // Which one of those there are by then.
        let of = |number: usize, count: usize| number.checked_rem(count);
        match step {
            Step::Connect if connections < CONNECTIONS_MAX => hand.connect(&self.framing()),
            Step::Connect => {}
            Step::Send(n, words) => _ = of(n, connections).map(|n| hand.send(n, words.as_bytes())),
            Step::Close(n) => _ = of(n, connections).map(|n| hand.close(n)),
            Step::Abort(n) => _ = of(n, connections).map(|n| hand.abort(n)),
            Step::NotifyWritable(n) => _ = of(n, connections).map(|n| hand.notify_writable(n)),
            Step::Request => hand.request(),
            Step::Flush => hand.flush(),
            Step::Turn => hand.turn(),
            Step::Accept => hand.accept(),
            Step::Write(n, words) => {
                _ = of(n, ends).map(|n| hand.peer_writes(n, words.as_bytes()));
            }
            Step::Read(n, bytes) => _ = of(n, ends).map(|n| hand.peer_reads(n, bytes)),
            Step::Shut(n) => _ = of(n, ends).map(|n| hand.peer_shuts(n)),
            Step::PeerClose(n) => _ = of(n, ends).map(|n| hand.peer_closes(n, false)),
            Step::Reset(n) => _ = of(n, ends).map(|n| hand.peer_closes(n, true)),
        }
    }

    /// Everything ends.
    fn end<S: Stage>(&self, hand: &mut Hand<S>) {
        hand.turn();
        hand.stop_listening();
        for end in 0..hand.ends() {
            hand.peer_reads(end, 1 << 16);
            hand.peer_closes(end, false);
        }
        hand.turn();
        for connection in 0..hand.connections.len() {
            hand.close(connection);
        }
        hand.turn();
        for told in &hand.log.connections {
            let is_over = told.last().is_some_and(|last| last.starts_with("closed"));
            assert!(is_over, "it has not ended: {told:#?}");
        }
        let (ended, asked) = (hand.log.requests.len() as u64, hand.requests);
        let is_made_again = self.config.reconnect.pause_max.is_zero();
        assert!(ended == asked || !is_made_again, "{ended} of {asked}");
    }
}

fn step(random: &mut Random, has_upstream: bool) -> Step {
    let number = random.within(0..=11) as usize;
    let words = WORDS[random.within(0..=WORDS.len() as u64 - 1) as usize];
    match random.within(0..=99) {
        0..=9 => Step::Connect,
        10..=19 if has_upstream => Step::Request,
        10..=24 => Step::Send(number, words),
        25..=27 => Step::Close(number),
        28..=29 => Step::Abort(number),
        30..=31 => Step::NotifyWritable(number),
        32..=36 => Step::Flush,
        37..=54 => Step::Turn,
        55..=66 => Step::Accept,
        67..=80 => Step::Write(number, words),
        81..=89 => Step::Read(number, [1, 3, 1 << 16][random.within(0..=2) as usize]),
        90..=93 => Step::Shut(number),
        94..=96 => Step::PeerClose(number),
        _ => Step::Reset(number),
    }
}

/// Neighbouring pieces of a stream as one.
fn merged(told: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for what in told {
        match (all.last_mut(), what.strip_prefix("frame ")) {
            (Some(last), Some(bytes)) if last.starts_with("frame ") => last.push_str(bytes),
            _ => all.push(what.clone()),
        }
    }
    all
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn drawn_scripts_are_told_alike_in_both_worlds() {
    let seeds = match number("TAUT_SCRIPT") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TAUT_SCRIPTS").unwrap_or(SCRIPTS),
    };
    for seed in seeds {
        let drawn = Drawn::new(seed);
        if number("TAUT_SCRIPT").is_some() {
            eprintln!("{drawn:#?}");
        }
        let run = || {
            let simulated = drawn.run(World::new(seed, like_loopback()));
            assert_eq!(simulated, drawn.run(Real::default()));
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            eprintln!("script {seed} differs, simulated and over loopback (TAUT_SCRIPT={seed})");
            resume_unwind(panic);
        }
    }
}
