//! Octet counting to the bundled sink, under each rung.

use crate::options::Options;
use crate::report::{Figures, least, line, ratio_least, title};
use crate::shipper;
use crate::sink::Sink;

const RUNGS: [&str; 4] = ["none", "peek", "kernel", "commit"];

/// 308 MB on the wire: 37 epochs of a commit.
const LINES: u64 = 2_000_000;

pub(crate) fn measure(options: &Options) {
    let lines = options.amount(LINES);
    let sink = Sink::start();
    let mut rate = vec![Figures::default(); RUNGS.len()];
    let (mut cpu, mut memory) = (rate.clone(), rate.clone());
    shipper::run(shipper::command("none", &sink.address, lines / 10));
    for round in 0..options.rounds {
        for turn in 0..RUNGS.len() {
            let which = (turn + round) % RUNGS.len();
            let mut command = shipper::command(RUNGS[which], &sink.address, lines);
            command.args(["--cpu", "0"]);
            let took = shipper::run(command);
            rate[which].push(took.thousands_a_second());
            cpu[which].push(took.cpu_ns_a_line());
            memory[which].push(took.memory_kib as f64 / 1024.0);
        }
    }
    title(&format!(
        "octet counting to the bundled sink: {} bytes, {lines} lines a round, {} rounds",
        crate::LINE_BYTES,
        options.rounds
    ));
    for (which, name) in RUNGS.iter().enumerate() {
        line(name, "1,000 lines/s", &rate[which]);
        line("", "CPU ns/line", &cpu[which]);
        line("", "peak MiB", &memory[which]);
    }
    least("none", "1,000 lines/s", &rate[0], 1_000.0);
    ratio_least("commit / none: lines/s", &rate[3], &rate[0], 0.8);
}
