//! Octet counting to the bundled sink, under each rung.

use crate::options::Options;
use crate::report::{Figures, least, line, ratio_least, title};
use crate::shipper;
use crate::sink;

/// A rung, and the bytes of the journal where they are not the default's 64 MiB. The last has room for what waits for its
/// witness (50 ms) where lines come at more than 5 million a second.
const SUBJECTS: [(&str, &str, Option<u64>); 5] = [
    ("none", "none", None),
    ("peek", "peek", None),
    ("kernel", "kernel", None),
    ("commit", "commit", None),
    ("commit, journal of 128 MiB", "commit", Some(128 << 20)),
];

/// 1.5 GB on the wire: 184 epochs of a commit.
const LINES: u64 = 10_000_000;

pub(crate) fn measure(options: &Options) {
    let lines = options.effort.amount(LINES);
    let sink = sink::start();
    let mut rate = vec![Figures::default(); SUBJECTS.len()];
    let (mut cpu, mut memory) = (rate.clone(), rate.clone());
    shipper::run(shipper::command("none", &sink.address, lines / 10));
    for round in 0..options.effort.rounds {
        for turn in 0..SUBJECTS.len() {
            let which = (turn + round) % SUBJECTS.len();
            let (_, ack, journal) = SUBJECTS[which];
            let mut command = shipper::command(ack, &sink.address, lines);
            command.args(["--cpu", "0"]);
            if let Some(bytes) = journal {
                command.args(["--journal", &bytes.to_string()]);
            }
            let took = shipper::run(command);
            rate[which].push(took.thousands_a_second());
            cpu[which].push(took.cpu_ns_a_line());
            memory[which].push(took.memory_kib as f64 / 1024.0);
        }
    }
    title(&format!(
        "octet counting to the bundled sink: {} bytes, {lines} lines a round, {} rounds",
        crate::LINE_BYTES,
        options.effort.rounds
    ));
    for (which, (name, ..)) in SUBJECTS.iter().enumerate() {
        line(name, "1,000 lines/s", &rate[which]);
        line("", "CPU ns/line", &cpu[which]);
        line("", "peak MiB", &memory[which]);
    }
    least("none", "1,000 lines/s", &rate[0], 1_000.0);
    ratio_least("commit / none: lines/s", &rate[3], &rate[0], 0.8);
    ratio_least("commit, 128 MiB / none: lines/s", &rate[4], &rate[0], 0.8);
}
