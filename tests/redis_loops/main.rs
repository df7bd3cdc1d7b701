//! A real Redis on its bad days: it ends idle connections, kills some or all, is killed and started again, sleeps and
//! pauses, under load.
//!
//! Whatever it does: each request ends exactly once, none is answered by another's reply, what was answered was done
//! exactly once, what was told as not sent was not done at all, and nothing was done twice. Redis itself is asked
//! afterwards (`traffic`). `cargo test --test redis_loops -- --ignored` needs redis-server; `TAUT_REDIS_ROUNDS` says how
//! many rounds of harm each test makes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/redis.rs"]
mod redis;

mod harm;
mod traffic;

use harm::Harm;
use random::Random;
use redis::Redis;
use taut::{Framing, Upstream};
use traffic::{Outcomes, Traffic};

/// How a client speaks with the server.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Four to eight connections, four requests on each.
    Pooled,
    /// One request at a time on one connection.
    OneByOne,
    /// As `Pooled`, in RESP3, with the server telling of each key that changes in between.
    WithPushes,
}

impl Shape {
    fn upstream(self, redis: &Redis) -> Upstream {
        let upstream = Upstream::new(redis.address().to_string());
        match self {
            Shape::Pooled => upstream
                .framing(Framing::resp())
                .connections(4..=8)
                .depth(4),
            Shape::OneByOne => upstream.framing(Framing::resp()),
            Shape::WithPushes => upstream
                .framing(Framing::resp3())
                .connections(4..=8)
                .depth(4),
        }
    }
}

fn rounds() -> usize {
    let told = std::env::var("TAUT_REDIS_ROUNDS");
    told.map_or(20, |it| it.parse().expect("a number of rounds"))
}

/// Rounds of traffic, each with one of these harms in its midst; then Redis is asked what it did.
#[track_caller]
fn survives(name: &str, options: &[&str], shape: Shape, harms: &[Harm]) -> Outcomes {
    let mut redis = Redis::start(&format!("{name}-{shape:?}"), options);
    let mut control = redis.control();
    let mut random = Random::new(7);
    let mut traffic = Traffic::new(shape.upstream(&redis), matches!(shape, Shape::WithPushes));
    for _ in 0..rounds() {
        traffic.ask(random.below(60));
        let harm = random.of(harms);
        harm.is_done(&mut redis, &mut control, &mut traffic, &mut random);
        traffic.ask(random.below(60));
        traffic.until_served();
    }
    drop(control);
    let outcomes = traffic.judge(&redis);
    println!("{name}, {shape:?}: {outcomes:?}");
    outcomes
}

/// The same in each shape at once, each with a server of its own.
fn each_shape_survives(
    name: &str,
    options: &[&str],
    harms: &[Harm],
    holds: impl Fn(Shape, &Outcomes) -> bool + Sync,
) {
    std::thread::scope(|scope| {
        for shape in [Shape::Pooled, Shape::OneByOne, Shape::WithPushes] {
            let holds = &holds;
            scope.spawn(move || {
                let outcomes = survives(name, options, shape, harms);
                assert!(holds(shape, &outcomes), "{name}, {shape:?}: {outcomes:?}");
            });
        }
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_ends_idle_connections_is_asked_again_as_if_nothing_had_been() {
    each_shape_survives("idle", &["--timeout", "1"], &[Harm::Quiet], |_, it| {
        // Some deadlines are short, and an end may cross a request on its way.
        it.losses > 0 && it.replies * 10 >= it.asked * 9
    });
}

#[test]
#[ignore = "needs redis-server"]
fn connections_that_the_server_kills_cost_no_request_its_one_end() {
    let kills = [Harm::KillsOne, Harm::KillsAll];
    each_shape_survives("kills", &[], &kills, |_, it| it.losses > 0);
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_is_killed_or_shut_down_and_comes_back_did_what_it_answered_and_nothing_twice() {
    let ends = [Harm::Killed, Harm::ShutDown];
    each_shape_survives("restarts", &[], &ends, |_, it| it.losses > 0);
}

#[test]
#[ignore = "needs redis-server"]
fn late_replies_of_a_server_that_slept_answer_nobody_else() {
    let naps = [Harm::Sleeps, Harm::Pauses];
    each_shape_survives("sleeps", &[], &naps, |shape, it| {
        let has_pushes = it.pushes > 0;
        // Some were too late; and where the server tells of its own accord it did so between the replies.
        it.replies < it.asked && has_pushes == matches!(shape, Shape::WithPushes)
    });
}

#[test]
#[ignore = "needs redis-server"]
fn all_of_it_in_turns() {
    let all = [
        Harm::Quiet,
        Harm::KillsOne,
        Harm::KillsAll,
        Harm::Killed,
        Harm::ShutDown,
        Harm::Sleeps,
        Harm::Pauses,
    ];
    each_shape_survives("all", &["--timeout", "1"], &all, |_, it| it.losses > 0);
}
