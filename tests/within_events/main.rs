//! Anything may be asked between two events, of the connection that the event is of and of every other, in whatever
//! state: send, close, abort, request, call, connect, drop. Drawn sequences, against peers that are drawn as well.
//!
//! Alone in its process: it counts the descriptors of the whole process. `TAUT_DRAWN_SEEDS` asks for more seeds, a
//! failing one is named.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod commands;
mod peers;
mod program;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use support::eventually;

const SEEDS: u64 = 60;
const ROUNDS: usize = 60;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn whatever_is_asked_between_two_events_each_request_and_each_connection_ends_once() {
    let seeds = std::env::var("TAUT_DRAWN_SEEDS").map_or(SEEDS, |it| it.parse().unwrap());
    let mut seen = program::Seen::default();
    let before = descriptors();
    for seed in 0..seeds {
        let run = || program::run(seed, ROUNDS, &mut seen);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            eprintln!("seed {seed}");
            resume_unwind(panic);
        }
        eventually("all descriptors", || descriptors() == before);
    }
    eprintln!("{seen:?}");
    assert!(seen.is_all(seeds), "too little has happened: {seen:?}");
}
