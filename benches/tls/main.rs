//! TLS: taut beside tokio-rustls, with the same certificates, cryptography (ring), cipher and server, and what taut
//! allocates beside a bare session of rustls that does the same.
//!
//! All in one run, in interleaved rounds, as `benches/peers` does it, and with its report: clients are pinned to CPU 0,
//! the echo server is a child process pinned to CPU 1. `docs/benchmarks.md` has the commands.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench; pinning and the clock of CPU time call libc"
)]

mod allocations;
mod bare;
#[allow(dead_code, reason = "not each bench needs all of it")]
#[path = "../../tests/support/counting.rs"]
mod counting;
#[path = "../peers/effort.rs"]
mod effort;
mod exchanges;
mod handshakes;
#[allow(dead_code, reason = "the plain echo server is the other bench's")]
#[path = "../peers/machine.rs"]
mod machine;
mod material;
mod options;
mod peer;
#[allow(dead_code, reason = "not each bench needs all of it")]
#[path = "../peers/report.rs"]
mod report;
mod subjects;
mod table;

use options::{Mode, Options};
use table::Table;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// One message: its length, big-endian, and what follows; so many bytes in all.
fn message(bytes: usize) -> Vec<u8> {
    let mut message = vec![b'x'; bytes];
    message[..4].copy_from_slice(&(bytes as u32 - 4).to_be_bytes());
    message
}

type Scenario = fn(&Options, &mut Table);

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    match &options.mode {
        Mode::Serve { at, authority } => peer::serve(at, authority),
        Mode::Client(alone) => subjects::alone(alone),
        Mode::Compare => compare(&options),
    }
}

fn compare(options: &Options) {
    println!("{} at the start", machine::words());
    machine::raise_descriptors();
    machine::pin(0);
    let mut table = Table::default();
    let scenarios: [(&str, Scenario); 3] = [
        ("exchanges", exchanges::measure),
        ("handshakes", handshakes::measure),
        ("allocations", allocations::measure),
    ];
    for (_, measure) in scenarios
        .iter()
        .filter(|(name, _)| options.only.as_deref().is_none_or(|only| only == *name))
    {
        measure(options, &mut table);
    }
    table.print();
    println!("\n{} at the end", machine::words());
}
