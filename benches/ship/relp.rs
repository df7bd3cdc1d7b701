//! RELP to a rsyslogd that stores what it reads: from the library's shipper, and from another rsyslogd's omrelp.
//!
//! Both read the same file, and send the same bytes to the same receiver, in turns. The time is from the first line in
//! the receiver's file to the last, so that nobody's start counts, and ends after [`LONGEST`] for who is slower: then the
//! lines that came are counted. Nobody is pinned.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::options::Options;
use crate::report::{Figures, line, ratio_least, title};
use crate::rsyslogd::{self, Receiver};
use crate::{LINE_BYTES, shipper};

const LINES: u64 = 200_000;

/// Without a flush a part of the last lines stays in the receiver's buffer (omfile's `ioBufferSize` is 4 KiB).
const UNSTORED_BYTES: u64 = 8 << 10;

/// A measurement takes no longer.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
enum Program {
    Shipper,
    Omrelp,
}

/// What sends, and its window; librelp's own default is 128 too. The last two: more than rsyslog takes from its queue at a
/// time (1,024 lines), so that omrelp sends all it has before it awaits an answer.
const SENDERS: [(&str, Program, Option<usize>); 5] = [
    ("taut, by default (128)", Program::Shipper, None),
    ("omrelp, by default", Program::Omrelp, None),
    ("omrelp, window 128", Program::Omrelp, Some(128)),
    ("taut, window 1,500", Program::Shipper, Some(1_500)),
    ("omrelp, window 1,500", Program::Omrelp, Some(1_500)),
];

pub(crate) fn measure(options: &Options) {
    if let Some(why) = rsyslogd::is_missing() {
        return title(&format!("RELP: skipped, {why}"));
    }
    let lines = options.effort.amount(LINES);
    let input = Input::new(lines);
    for flushes in [true, false] {
        let receiver = Receiver::start(flushes);
        let mut rate = vec![Figures::default(); SENDERS.len()];
        let mut cpu = rate.clone();
        for round in 0..options.effort.rounds {
            for turn in 0..SENDERS.len() {
                let which = (turn + round) % SENDERS.len();
                let (_, program, window) = SENDERS[which];
                let (thousands, ns) = send(program, window, &receiver, &input, lines);
                rate[which].push(thousands);
                cpu[which].push(ns);
            }
        }
        title(&format!(
            "RELP to rsyslogd, which flushes each line: {flushes}: {LINE_BYTES} bytes, {lines} lines a round, {} rounds",
            options.effort.rounds
        ));
        for (which, (name, ..)) in SENDERS.iter().enumerate() {
            line(name, "1,000 lines/s", &rate[which]);
            line("", "CPU ns/line", &cpu[which]);
        }
        ratio_least("taut / omrelp, by default", &rate[0], &rate[1], 1.0);
        ratio_least("taut / omrelp, window 128", &rate[0], &rate[2], 1.0);
        ratio_least("taut / omrelp, window 1,500", &rate[3], &rate[4], 1.0);
        ratio_least("taut by default / omrelp 1,500", &rate[0], &rate[4], 1.0);
    }
}

/// Thousands of lines a second, and nanoseconds of CPU a line.
fn send(
    program: Program,
    window: Option<usize>,
    receiver: &Receiver,
    input: &Input,
    lines: u64,
) -> (f64, f64) {
    receiver.empty();
    let line_bytes = LINE_BYTES as u64 + 1;
    let bytes = lines * line_bytes - UNSTORED_BYTES;
    let (stored, elapsed, cpu) = match program {
        Program::Shipper => {
            let address = format!("127.0.0.1:{}", receiver.port);
            let mut command = shipper::command("relp", &address, lines);
            command.arg("--input").arg(&input.0);
            if let Some(window) = window {
                command.args(["--window", &window.to_string()]);
            }
            let child = command.spawn().unwrap();
            let (stored, elapsed) = receiver.time(bytes, LONGEST);
            let took = shipper::took(child);
            // It has shipped them all by now, however many were counted.
            (stored, elapsed, took.cpu_ns_a_line())
        }
        Program::Omrelp => {
            let daemon = rsyslogd::sender(&input.0, receiver.port, window);
            let (stored, elapsed) = receiver.time(bytes, LONGEST);
            let lines = stored / line_bytes;
            let cpu = daemon.cpu().as_nanos() as f64 / lines as f64;
            (stored, elapsed, cpu)
        }
    };
    let lines = (stored / line_bytes) as f64;
    (lines / elapsed.as_secs_f64() / 1e3, cpu)
}

/// The lines in a file; removed when dropped.
struct Input(PathBuf);

impl Input {
    fn new(lines: u64) -> Input {
        let path = std::env::temp_dir().join(format!("taut-bench-lines-{}", std::process::id()));
        let mut line = crate::line();
        line.push(b'\n');
        fs::write(&path, line.repeat(lines as usize)).unwrap();
        Input(path)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
