//! Ten thousand upstreams on which nothing happens cost nothing: the loop sleeps until a deadline that somebody has.
//!
//! What is counted is the turns that end without a reason the program gave. What the thread used of its CPU meanwhile is
//! printed. `TAUT_IDLE_SECONDS` says for how long it is watched.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::*;
use taut::{Client, Config, Upstream};

const UPSTREAMS: usize = 10_000;

/// Upstreams a peer, which accepts none of them: fewer than a listener lets wait.
const EACH: usize = 100;

/// Of those that are given up: so few that all are made before the first has been idle for long.
const GIVEN_UP: usize = 1_000;

/// Wakes that are nobody's deadline: a signal, a wheel that re-files what is far away.
const WAKES_MAX: usize = 8;

fn watched() -> Duration {
    let told = std::env::var("TAUT_IDLE_SECONDS");
    Duration::from_secs(told.map_or(2, |it| it.parse().expect("whole seconds")))
}

/// Turns for so long as a program does that has nothing to ask: how often it was woken before that.
fn wakes(client: &mut Client, what: &str, time: Duration) -> usize {
    let (end, used) = (Instant::now() + time, cpu());
    let mut wakes = 0;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        client.turn(Some(rest)).unwrap();
        while client.next_event().is_some() {}
        if Instant::now() >= end {
            break;
        }
        wakes += 1;
    }
    let used = cpu() - used;
    println!("upstreams {what}: {wakes} wakes and {used:?} of CPU in {time:?}");
    wakes
}

/// What this thread has used of a CPU so far: the first figure of proc_pid_schedstat(5), in nanoseconds.
fn cpu() -> Duration {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = figures.split(' ').next().and_then(|it| it.parse().ok());
    Duration::from_nanos(first.unwrap_or(0))
}

/// Turns, and drops what is told, until it holds.
#[track_caller]
fn until(client: &mut Client, what: &str, mut condition: impl FnMut(&Client) -> bool) {
    let deadline = Instant::now() + 6 * PATIENCE;
    while !condition(client) {
        assert!(Instant::now() < deadline, "never came: {what}");
        turn(client, ms(50));
        while client.next_event().is_some() {}
    }
}

#[test]
fn ten_thousand_upstreams_without_a_connection_wake_nobody() {
    let (mut client, peer) = (client(), Peer::new());
    for _ in 0..UPSTREAMS {
        let upstream = Upstream::new(peer.target()).connections(0..=4);
        client.add(upstream).unwrap();
    }
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.next_timeout(), None);
    let woken = wakes(
        &mut client,
        "without a connection, 10,000 of them",
        watched(),
    );
    assert!(woken <= WAKES_MAX, "{woken}");
    assert_eq!(client.connections(), 0);
}

#[test]
fn ten_thousand_connected_upstreams_wake_nobody() {
    allow_descriptors(UPSTREAMS as u64 + 300);
    let mut config = Config::default();
    config.timeouts.idle = Duration::from_secs(3600);
    let (mut client, _peers) = connected(config, UPSTREAMS);
    until(&mut client, "no deadline soon", |client| {
        client.next_timeout().is_none_or(|next| next > watched())
    });
    let woken = wakes(&mut client, "connected, 10,000 of them", watched());
    assert!(woken <= WAKES_MAX, "{woken}");
    assert_eq!(client.connections(), UPSTREAMS);
}

/// At most a wake for each timeout that they have, and none when all are gone.
#[test]
fn upstreams_that_are_given_up_as_idle_wake_nobody_when_they_are() {
    let mut config = Config::default();
    config.timeouts.connect = Duration::from_secs(1);
    config.timeouts.idle = Duration::from_secs(3);
    config.timeouts.linger = ms(100);
    let (mut client, _peers) = connected(config, GIVEN_UP);
    let mut woken = 0;
    let deadline = Instant::now() + 6 * PATIENCE;
    while client.connections() > 0 || client.next_timeout().is_some() {
        assert!(Instant::now() < deadline, "they are not given up");
        let what = "being given up";
        woken += wakes(&mut client, what, Duration::from_secs(1));
    }
    // When they should be connected, when they are idle, and when the peer has not ended its side.
    assert!(woken <= 3 * GIVEN_UP + WAKES_MAX, "{woken}");
    let woken = wakes(&mut client, "given up", watched());
    assert!(woken <= WAKES_MAX, "{woken}");
}

fn connected(config: Config, upstreams: usize) -> (Client, Vec<Peer>) {
    let mut client = Client::new(config).unwrap();
    let peers: Vec<Peer> = (0..upstreams / EACH).map(|_| Peer::new()).collect();
    for peer in &peers {
        let add = |_| client.add(Upstream::new(peer.target())).unwrap();
        let all: Vec<_> = (0..EACH).map(add).collect();
        until(&mut client, "their connections", |client| {
            let is_open = |id| client.upstream_stats(id).unwrap().open == 1;
            all.iter().all(|id| is_open(*id))
        });
    }
    assert_eq!(client.connections(), upstreams);
    (client, peers)
}

fn allow_descriptors(count: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(hard >= count, "{count} descriptors are needed");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(count), hard).unwrap();
}
