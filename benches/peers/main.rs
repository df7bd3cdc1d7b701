//! taut beside what a program would take instead: blocking std, a hand-written epoll loop, a spinning `recv` loop, tokio
//! with a timeout a request, and tokio-util's length-delimited codec.
//!
//! All in one run, in interleaved rounds: each round measures every subject once, a ratio is taken within its round, and
//! what is told is the median of the rounds with the least and the most. Clients are pinned to CPU 0, the echo server
//! is a child process pinned to CPU 1. `docs/benchmarks.md` has the commands.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench; pinning, the clock of CPU time and the hand-written loop call libc"
)]

mod allocation;
mod clients;
mod effort;
mod idle;
mod lateness;
mod load;
mod machine;
mod managed;
mod options;
#[allow(dead_code, reason = "not each bench needs all of it")]
mod report;
mod round_trip;

use options::{Mode, Options};

#[global_allocator]
static ALLOCATOR: allocation::Live = allocation::Live;

/// The size of each message on the wire: a length of four bytes and what follows.
const MESSAGE_BYTES: usize = 64;

/// One message: its length, big-endian, and 60 bytes.
fn message() -> [u8; MESSAGE_BYTES] {
    let mut message = [b'x'; MESSAGE_BYTES];
    message[..4].copy_from_slice(&(MESSAGE_BYTES as u32 - 4).to_be_bytes());
    message
}

type Scenario = fn(&Options);

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    match &options.mode {
        Mode::Serve { at } => machine::serve(at, machine::echo_config()),
        Mode::Client(alone) => load::alone(alone),
        Mode::Compare => compare(&options),
    }
}

fn compare(options: &Options) {
    println!("{} at the start", machine::words());
    machine::raise_descriptors();
    machine::pin(0);
    let scenarios: [(&str, Scenario); 5] = [
        ("round-trip", round_trip::measure),
        ("load", load::measure),
        ("managed", managed::measure),
        ("idle", idle::measure),
        ("deadline", lateness::measure),
    ];
    for (_, measure) in scenarios
        .iter()
        .filter(|(name, _)| options.only.as_deref().is_none_or(|only| only == *name))
    {
        measure(options);
    }
}
