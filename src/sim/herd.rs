//! Ten thousand clients whose server is away for a minute, and a few whose server refuses some: how they come back.
//!
//! Each client is the machine of one upstream; nothing but time, the server's answer and the draws of each decides. The
//! figures are printed; what is asked for is the share of the busiest 10 ms, wherever they begin, and how long it takes
//! until all connections of a client stand.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use super::random::Random;
use crate::config::Config;
use crate::error::{Error, Phase, Source};
use crate::time::Time;
use crate::upstream::{Progress, Service, Upstream};

const CLIENTS: usize = 10_000;
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

struct Server {
    absence: Absence,
    /// From when to when it is away.
    away: (Time, Time),
    /// Of a hundred connections it refuses so many when it is back.
    refused_percent: u64,
    /// How many it takes in 10 ms; it refuses the others.
    taken_max: u32,
    /// The present 10 ms, and how many have come in it.
    came: (u128, u32),
}

impl Server {
    /// Away for a minute.
    fn away(absence: Absence) -> Server {
        let went = Time::ZERO.after(Duration::from_secs(100));
        Server {
            absence,
            away: (went, went.after(AWAY)),
            refused_percent: 0,
            taken_max: u32::MAX,
            came: (0, 0),
        }
    }

    /// When an attempt that is begun now ends, and whether its connection stands then.
    fn answer(&mut self, now: Time, random: u64) -> (Time, bool) {
        let (_, back) = self.away;
        if now >= back {
            let slot = now.since(Time::ZERO).as_millis() / 10;
            self.came = match self.came.0 == slot {
                true => (slot, self.came.1 + 1),
                false => (slot, 1),
            };
            let is_refused = random % 100 < self.refused_percent || self.came.1 > self.taken_max;
            return (now.after(ROUND_TRIP), !is_refused);
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
}

struct Herd {
    random: Random,
    services: Vec<Service>,
    server: Server,
    /// When which client is to be looked at.
    due: BTreeSet<(Time, u32)>,
    /// Attempts by client: when each ends, its member, and whether it stands then.
    attempts: Vec<BTreeSet<(Time, u32, bool)>>,
    /// When connections stood again.
    returns: Vec<Time>,
    /// By client: how long after the server was back all stood.
    whole: Vec<Duration>,
    tries: u64,
}

impl Herd {
    /// All stand, and for so long that it is stable.
    fn new(clients: usize, connections: usize, server: Server) -> Herd {
        let upstream = Upstream::new("peer:1").connections(connections..=connections);
        let mut herd = Herd {
            random: Random::new(1),
            services: Vec::new(),
            server,
            due: BTreeSet::new(),
            attempts: vec![BTreeSet::new(); clients],
            returns: Vec::new(),
            whole: vec![Duration::ZERO; clients],
            tries: 0,
        };
        for _ in 0..clients {
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
        let (went, _) = self.server.away;
        for client in 0..self.services.len() as u32 {
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
                self.whole[client as usize] = now.since(self.server.away.1);
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
            let random = self.random.next();
            let (ends, stands) = self.server.answer(now, random);
            self.attempts[client as usize].insert((ends, member, stands));
        }
        let ends = self.attempts[client as usize].first().map(|it| it.0);
        let next = self.services[client as usize].poll_timeout();
        let next = next.min(ends.unwrap_or(Time::NEVER));
        if !next.is_never() {
            self.due.insert((next, client));
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
        let last = self.returns.last().unwrap().since(self.server.away.1);
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
        let mut herd = Herd::new(CLIENTS, connections, Server::away(absence));
        herd.run();
        let all = CLIENTS * connections;
        assert_eq!(herd.returns.len(), all, "not all are back");
        let (percent, last) = herd.busiest(Duration::from_millis(10));
        let in_vain = (herd.tries - all as u64) as f64 / CLIENTS as f64;
        println!(
            "{absence:?}, {connections} a client: {percent:.3} % in the busiest 10 ms, the last after {last:.1?}; \
             {in_vain:.1} attempts in vain a client"
        );
        assert!(percent < 0.6, "{percent} % come back within 10 ms");
    }
}

/// Refused for most of their attempts, they come again, and neither hammer it nor leave it idle.
#[test]
fn a_server_that_takes_less_than_come_back_is_busy_and_not_met_by_many_more() {
    let mut herd = Herd::new(
        CLIENTS,
        8,
        Server {
            taken_max: 20,
            ..Server::away(Absence::Refuses)
        },
    );
    herd.run();
    let (_, last) = herd.busiest(Duration::from_millis(10));
    let in_vain = herd.tries as f64 / CLIENTS as f64 - 8.0;
    println!("2,000 a second: the last after {last:.1?}, {in_vain:.1} attempts in vain a client");
    assert!(last < Duration::from_secs(60), "40 s is all it can");
    assert!(in_vain < 40.0, "17 of them while it is away");
}

/// Each miss doubled the pause, whatever had succeeded meanwhile, and the row ended with ten seconds without one: a
/// hundred connections took three minutes.
#[test]
fn a_server_that_refuses_one_in_three_while_others_stand_is_soon_fully_connected() {
    for (connections, away, median_max) in [
        (8, Duration::ZERO, 2),
        (100, Duration::ZERO, 20),
        (8, AWAY, 10),
        (100, AWAY, 30),
    ] {
        let mut server = Server::away(Absence::Refuses);
        server.refused_percent = 30;
        server.away.1 = server.away.0.after(away);
        let mut herd = Herd::new(301, connections, server);
        herd.run();
        herd.whole.sort_unstable();
        let [median, most] = [150, 297].map(|nth| herd.whole[nth]);
        println!(
            "{connections}, away for {away:?}: all stand after {median:.1?}, 99 % after {most:.1?}"
        );
        assert!(median < Duration::from_secs(median_max), "{median:?}");
    }
}
