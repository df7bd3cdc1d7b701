//! A deadline of 300 us on a request that nobody answers: when it is told, without and with spinning.
//!
//! The connection is taken by a request that never ends; the one that is measured waits behind it, so its deadline ends
//! nothing but itself.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use taut::{Client, Config, Deadline, Event, Timeouts, Upstream, UpstreamId};
use tokio::runtime::Runtime;

use crate::clients::{HOUR, runtime, taut_config};
use crate::options::Options;
use crate::report::{Figures, asked, line, percentile, title};

/// As a thread has it that nobody has asked.
const LINUX_SLACK: Duration = Duration::from_micros(50);

const DEADLINE: Duration = Duration::from_micros(300);

trait Deadlines {
    /// How long it took until a deadline was told.
    fn one(&mut self) -> Duration;
}

struct Taut {
    client: Client,
    upstream: UpstreamId,
}

impl Taut {
    fn new(address: &str, config: Config) -> Taut {
        let mut client = Client::new(Config {
            timeouts: Timeouts {
                first_byte: HOUR,
                ..config.timeouts
            },
            ..config
        })
        .unwrap();
        let upstream = client.add(Upstream::new(address)).unwrap();
        client
            .request(upstream, b"for ever\n", Deadline::after(HOUR))
            .unwrap();
        while client.upstream_stats(upstream).unwrap().in_flight == 0 {
            client.turn(None).unwrap();
        }
        Taut { client, upstream }
    }
}

impl Deadlines for Taut {
    fn one(&mut self) -> Duration {
        let started = Instant::now();
        self.client
            .request(self.upstream, b"x\n", Deadline::after(DEADLINE))
            .unwrap();
        loop {
            match self.client.next_event() {
                None => self.client.turn(None).unwrap(),
                Some(Event::Failed { .. }) => return started.elapsed(),
                Some(other) => panic!("{other:?}"),
            }
        }
    }
}

/// With a client that gives the thread back the slack it had before others were turned on it.
struct Tokio(Runtime, Client);

impl Deadlines for Tokio {
    fn one(&mut self) -> Duration {
        self.1.turn(Some(Duration::ZERO)).unwrap();
        self.0.block_on(async {
            let started = Instant::now();
            let never = std::future::pending::<()>();
            assert!(tokio::time::timeout(DEADLINE, never).await.is_err());
            started.elapsed()
        })
    }
}

/// Begins each at another place within a tick: otherwise one end would set the beginning of the next, and all would be
/// late by the same.
fn drift(n: u64) {
    let (started, pause) = (Instant::now(), Duration::from_micros(n * 37 % 1_021));
    while started.elapsed() < pause {
        std::hint::spin_loop();
    }
}

pub(crate) fn measure(options: &Options) {
    // The kernel completes the connections; nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let spin = Config {
        spin: 2 * DEADLINE,
        ..taut_config()
    };
    let slack = |slack| Config {
        timer_slack: Some(slack),
        ..taut_config()
    };
    let tokio = Tokio(runtime(), Client::new(slack(LINUX_SLACK)).unwrap());
    let mut subjects: Vec<(&str, Box<dyn Deadlines>)> = vec![
        ("tokio::time::timeout", Box::new(tokio)),
        ("taut", Box::new(Taut::new(&at, taut_config()))),
        ("taut, spin", Box::new(Taut::new(&at, spin))),
        (
            "taut, slack of 50 us",
            Box::new(Taut::new(&at, slack(LINUX_SLACK))),
        ),
        (
            "taut, slack of 1 ns",
            Box::new(Taut::new(&at, slack(Duration::from_nanos(1)))),
        ),
    ];
    let count = options.effort.amount(2_000);
    let percents = [0.0, 50.0, 90.0, 99.0, 100.0];
    let mut figures = vec![vec![Figures::default(); percents.len()]; subjects.len()];
    let mut within = vec![Figures::default(); subjects.len()];
    for round in 0..options.effort.rounds {
        for turn in 0..subjects.len() {
            let which = (turn + round) % subjects.len();
            let subject = &mut subjects[which].1;
            let mut sorted: Vec<f64> = (0..count)
                .map(|n| {
                    drift(n);
                    subject.one().as_nanos() as f64 / 1e3
                })
                .collect();
            sorted.sort_by(f64::total_cmp);
            for (figures, percent) in figures[which].iter_mut().zip(percents) {
                figures.push(percentile(&sorted, percent));
            }
            let on_time = sorted.iter().filter(|us| (300.0..=450.0).contains(*us));
            within[which].push(on_time.count() as f64 * 100.0 / count as f64);
        }
    }
    title(&format!(
        "a deadline of 300 us: {count} a round, {} rounds",
        options.effort.rounds
    ));
    for (which, (name, _)) in subjects.iter().enumerate() {
        let words = ["least", "p50", "p90", "p99", "most"];
        for (place, word) in words.into_iter().enumerate() {
            let name = if place == 0 { name } else { "" };
            line(name, &format!("{word}, us"), &figures[which][place]);
        }
        line("", "% in 300 to 450", &within[which]);
    }
    asked("taut: p50", "us", &figures[1][1], 300.0, 450.0);
    asked("taut: p99", "us", &figures[1][3], 300.0, 450.0);
    // A tick is 65.5 us.
    asked("taut, spin: p50", "us", &figures[2][1], 300.0, 366.0);
    asked("taut, spin: p99", "us", &figures[2][3], 300.0, 366.0);
}
