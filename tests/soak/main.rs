//! Two thousand connections for minutes on end through a proxy whose faults come and go: `probe load` grows neither in
//! memory nor in descriptors.
//!
//! `TAUT_SOAK_MINUTES=10 cargo test --release --test soak -- --ignored --nocapture`, a minute by default. The server is
//! `probe serve`, the proxy that of the tests, in this process; `probe load` is a process of its own, whose resident
//! memory and descriptors are read from /proc every ten seconds and printed. The weather is drawn from a seed.
#![cfg(all(target_os = "linux", feature = "probe"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../probe_cli/support.rs"]
mod probe;
#[path = "../support/proxy/mod.rs"]
mod proxy;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;

mod samples;
mod weather;

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use probe::Serving;
use proxy::Proxy;
use random::Random;
use samples::Samples;
use weather::Weather;

const CONNECTIONS: u64 = 2_000;

/// From one look at the process to the next.
const EVERY: Duration = Duration::from_secs(10);

fn minutes() -> u64 {
    let told = std::env::var("TAUT_SOAK_MINUTES");
    told.map_or(1, |it| it.parse().expect("whole minutes"))
}

#[test]
#[ignore = "takes minutes and a core; run it with --release"]
fn two_thousand_connections_in_bad_weather_grow_nothing() {
    // The proxy has two for each connection.
    allow_descriptors(3 * CONNECTIONS);
    let serving = Serving::start(&["echo", "--idle-timeout", "1h"]);
    let proxy = Proxy::new(serving.address.parse().unwrap());
    let (connections, seconds) = (CONNECTIONS.to_string(), (60 * minutes()).to_string() + "s");
    let target = proxy.target();
    let load = [
        "load",
        &target,
        "-c",
        &connections,
        "-d",
        &seconds,
        "--timeout",
        "3s",
        "--size",
        "200",
    ];
    let mut load = probe::probe(&[&load[..], &["--format", "json"]].concat())
        .spawn()
        .unwrap();

    let mut samples = Samples::of(load.id());
    let (mut random, mut weather, mut changes) = (Random::new(5), Weather::Calm, 0);
    let mut next_sample = Instant::now() + EVERY;
    while load.try_wait().unwrap().is_none() {
        weather.comes(&proxy);
        changes += 1;
        let until = Instant::now() + weather.lasts(&mut random);
        while Instant::now() < until && load.try_wait().unwrap().is_none() {
            support::stall_until(until.min(next_sample));
            if Instant::now() >= next_sample {
                next_sample += EVERY;
                samples.take();
            }
        }
        weather = weather.after(&mut random);
    }
    let ended = probe::end(load);
    println!("{}", samples.words());
    println!(
        "{} changes of weather, proxy: {:?}",
        changes,
        proxy.counts()
    );
    println!("{}\n{}", ended.out, ended.err);
    assert!(changes > 1, "it ended before the weather did");
    let requests = &ended.json()["requests"];
    let count = |name: &str| requests[name].as_u64().unwrap();
    assert!(count("ok") > 0, "nothing was answered");
    let ends = ["ok", "failed", "timed_out", "mismatched"].map(count);
    assert_eq!(ends.iter().sum::<u64>(), count("sent"), "each ends once");
    assert_eq!(count("mismatched"), 0);
    samples.assert_flat(CONNECTIONS);
}

fn allow_descriptors(count: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= count, "{count} descriptors are needed");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(count), hard).unwrap();
}
