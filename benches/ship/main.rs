//! Shipping: lines a second to the bundled sink under each rung that needs no RELP, and RELP to a rsyslogd beside
//! rsyslog's own omrelp.
//!
//! All in one run, in interleaved rounds, as `benches/peers` does it, and with its report. Each measurement is a process
//! of its own, so that its peak of memory is its own too. `docs/benchmarks.md` has the commands.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench; pinning and the clock of CPU time call libc"
)]

#[path = "../peers/effort.rs"]
mod effort;
#[allow(dead_code, reason = "the echo server is the other bench's")]
#[path = "../peers/machine.rs"]
mod machine;
mod options;
mod relp;
#[allow(dead_code, reason = "not each bench needs all of it")]
#[path = "../peers/report.rs"]
mod report;
mod rsyslogd;
mod rungs;
mod shipper;
mod sink;

use options::{Mode, Options};

/// The size of a line, whatever frames it.
const LINE_BYTES: usize = 150;

/// One line: a header as syslog's, and letters.
fn line() -> Vec<u8> {
    let mut line = b"<14>1 2026-01-01T00:00:00.000000Z host app 1 - - ".to_vec();
    line.resize(LINE_BYTES, b'x');
    line
}

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    match &options.mode {
        Mode::Sink => sink::serve(),
        Mode::Shipper(alone) => shipper::alone(alone),
        Mode::Compare => compare(&options),
    }
}

fn compare(options: &Options) {
    println!("{} at the start", machine::words());
    let only = options.only.as_deref();
    if only.is_none_or(|it| it == "rungs") {
        rungs::measure(options);
    }
    if only.is_none_or(|it| it == "relp") {
        relp::measure(options);
    }
}
