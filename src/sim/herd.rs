//! Ten thousand clients whose server is away for a minute: how they come back.
//!
//! Each client is the machine of one upstream; nothing but time, the server's answer and the draws of each decides. The
//! figures are printed; what is asked for is the share of the busiest 10 ms, wherever they begin.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use super::random::Random;
use crate::config::Config;
use crate::error::{Error, Phase, Source};
use crate::time::Time;
use crate::upstream::{Progress, Service, Upstream};

const CLIENTS: u32 = 10_000;
const AWAY: Duration = Duration::from_secs(60);
/// Until a SYN is answered, by a SYN-ACK or by a RST.
const ROUND_TRIP: Duration = Duration::from_micros(500);
/// When Linux sends a SYN again, from the first one.
const SYN_AT_SECONDS: [u64; 4] = [0, 1, 3, 7];

/// How a server is away.
#[derive(Clone, Copy, Debug)]
enum Absence {
    /// Its machine says that nobody listens.
    Refuses,
    /// Nobody says anything.
    Silent,
}

struct Herd {
    random: Random,
    services: Vec<Service>,
    absence: Absence,
    /// From when to when the server is away.
    away: (Time, Time),
    /// When which client is to be looked at.
    due: BTreeSet<(Time, u32)>,
    /// Attempts by client: when each ends, its member, and whether it stands then.
    attempts: Vec<BTreeSet<(Time, u32, bool)>>,
    /// When connections stood again.
    returns: Vec<Time>,
    tries: u64,
}

impl Herd {
    /// All stand, and for so long that it is stable.
    fn new(seed: u64, connections: usize, absence: Absence) -> Herd {
        let went = Time::ZERO.after(Duration::from_secs(100));
        let upstream = Upstream::new("peer:1").connections(connections..=connections);
        let mut herd = Herd {
            random: Random::new(seed),
            services: Vec::new(),
            absence,
            away: (went, went.after(AWAY)),
            due: BTreeSet::new(),
            attempts: vec![BTreeSet::new(); CLIENTS as usize],
            returns: Vec::new(),
            tries: 0,
        };
        for _ in 0..CLIENTS {
            let mut service = Service::new(upstream.clone(), &Config::default());
            while let Some(member) = service.poll_connect(Time::ZERO) {
                service.handle_connecting(member, 0);
                service.handle_connected(Time::ZERO, member);
            }
            herd.services.push(service);
        }
        herd
    }

    /// Until all are back.
    fn run(&mut self) {
        let (went, _) = self.away;
        for client in 0..CLIENTS {
            for member in 0..self.services[client as usize].options.connections.max {
                self.fails(went, client, member as u32, Phase::Read);
            }
            self.look(went, client);
        }
        while let Some((now, client)) = self.due.pop_first() {
            let over = |it: &&(Time, u32, bool)| it.0 <= now;
            let attempts = &mut self.attempts[client as usize];
            if let Some(&attempt) = attempts.first().filter(over) {
                attempts.remove(&attempt);
                self.end(now, client, attempt);
            }
            self.look(now, client);
        }
    }

    fn end(&mut self, now: Time, client: u32, (_, member, stands): (Time, u32, bool)) {
        match stands {
            true => {
                self.services[client as usize].handle_connected(now, member);
                self.returns.push(now);
            }
            false => self.fails(now, client, member, Phase::Connect),
        }
    }

    fn fails(&mut self, now: Time, client: u32, member: u32, phase: Phase) {
        let progress = Progress {
            written: 0,
            reply_begun: false,
        };
        let error = Error::new(phase, Source::Os(libc::ECONNREFUSED));
        let (random, failed) = (self.random.next(), &mut Vec::new());
        self.services[client as usize].handle_closed(now, member, random, progress, error, failed);
    }

    /// Begins what may be begun, and says when there is more to do.
    fn look(&mut self, now: Time, client: u32) {
        while let Some(member) = self.services[client as usize].poll_connect(now) {
            self.services[client as usize].handle_connecting(member, 0);
            self.tries += 1;
            let (ends, stands) = self.attempt(now);
            self.attempts[client as usize].insert((ends, member, stands));
        }
        let ends = self.attempts[client as usize].first().map(|it| it.0);
        let next = self.services[client as usize].poll_timeout();
        let next = next.min(ends.unwrap_or(Time::NEVER));
        if !next.is_never() {
            self.due.insert((next, client));
        }
    }

    /// When an attempt that is begun now ends, and whether its connection stands then.
    fn attempt(&self, now: Time) -> (Time, bool) {
        let (_, back) = self.away;
        if now >= back {
            return (now.after(ROUND_TRIP), true);
        }
        if let Absence::Refuses = self.absence {
            return (now.after(ROUND_TRIP), false);
        }
        let timeout = Config::default().timeouts.connect;
        let syns = SYN_AT_SECONDS.map(|seconds| now.after(Duration::from_secs(seconds)));
        let heard = syns.into_iter().find(|syn| *syn >= back);
        match heard.map(|syn| syn.after(ROUND_TRIP)) {
            Some(stands) if stands.since(now) < timeout => (stands, true),
            _ => (now.after(timeout), false),
        }
    }

    /// The share of those that came within the busiest such time, wherever it begins, in percent; and when the last came.
    fn busiest(&mut self, within: Duration) -> (f64, Duration) {
        self.returns.sort_unstable();
        let (mut most, mut first) = (0, 0);
        for (nth, at) in self.returns.iter().enumerate() {
            while at.since(self.returns[first]) >= within {
                first += 1;
            }
            most = most.max(nth - first + 1);
        }
        let last = self.returns.last().unwrap().since(self.away.1);
        (100.0 * most as f64 / self.returns.len() as f64, last)
    }
}

#[test]
fn ten_thousand_clients_whose_server_was_away_for_a_minute_come_back_spread_in_time() {
    for (connections, absence) in [
        (1, Absence::Refuses),
        (1, Absence::Silent),
        (8, Absence::Refuses),
    ] {
        let mut herd = Herd::new(1, connections, absence);
        herd.run();
        let all = CLIENTS as usize * connections;
        assert_eq!(herd.returns.len(), all, "not all are back");
        let (percent, last) = herd.busiest(Duration::from_millis(10));
        let in_vain = (herd.tries - all as u64) as f64 / f64::from(CLIENTS);
        println!(
            "{absence:?}, {connections} a client: {percent:.3} % in the busiest 10 ms, the last after {last:.1?}; \
             {in_vain:.1} attempts in vain a client"
        );
        assert!(percent < 0.6, "{percent} % come back within 10 ms");
    }
}
