//! The library's shipper in a process of its own: so many lines as fast as they are taken, and what that took.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use taut::Deadline;
use taut::ship::{Ack, ShipConfig, ShipEvent, Shipper, Wire};

use crate::options::Alone;
use crate::{line, machine};

/// Lines that are offered between two turns: as many as a block of input has, which `probe ship` reads at a time.
const LINES_A_TURN: u64 = 2_000;

/// What it took to ship lines: from the first that was offered until each is settled and every connection has ended.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) lines: u64,
    pub(crate) elapsed: Duration,
    /// Of the shipper's thread.
    pub(crate) cpu: Duration,
    /// The process's peak of resident memory.
    pub(crate) memory_kib: u64,
}

impl Took {
    pub(crate) fn thousands_a_second(&self) -> f64 {
        self.lines as f64 / self.elapsed.as_secs_f64() / 1e3
    }

    pub(crate) fn cpu_ns_a_line(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.lines as f64
    }
}

/// A shipper to this sink, in a process of its own.
pub(crate) fn command(ack: &str, address: &str, lines: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--shipper", ack, "--connect", address]);
    command.args(["--lines", &lines.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn run(mut command: Command) -> Took {
    took(command.spawn().unwrap())
}

/// Awaits its end.
pub(crate) fn took(child: Child) -> Took {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the shipper: {}", output.status);
    let said = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<u64> = said
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let [lines, elapsed_ns, cpu_ns, memory_kib] = figures[..] else {
        panic!("the shipper said {said}");
    };
    Took {
        lines,
        elapsed: Duration::from_nanos(elapsed_ns),
        cpu: Duration::from_nanos(cpu_ns),
        memory_kib,
    }
}

/// What the process itself does: it ships, and says lines, nanoseconds, nanoseconds of CPU and KiB.
pub(crate) fn alone(options: &Alone) {
    if let Some(cpu) = options.cpu {
        machine::pin(cpu);
    }
    let (ack, wire) = match options.ack.as_str() {
        "none" => (Ack::None, Wire::Octet),
        "peek" => (Ack::Peek, Wire::Octet),
        "kernel" => (Ack::Kernel, Wire::Octet),
        "commit" => (Ack::Commit, Wire::Octet),
        "relp" => (Ack::Relp, Wire::Relp),
        other => panic!("no such rung: {other}"),
    };
    let standard = ShipConfig::to(options.connect.as_str());
    let mut shipper = Shipper::new(ShipConfig {
        ack,
        wire,
        journal_bytes_max: options.journal.unwrap_or(standard.journal_bytes_max),
        window: options.window.unwrap_or(standard.window),
        ..standard
    })
    .unwrap();
    let source = Source::open(options.input.as_deref());
    let (used, started) = (machine::thread_cpu(), Instant::now());
    ship(&mut shipper, source, options.lines);
    let (elapsed, cpu) = (started.elapsed(), machine::thread_cpu() - used);
    assert_eq!(shipper.counts().confirmed, options.lines);
    println!(
        "{} {} {} {}",
        options.lines,
        elapsed.as_nanos(),
        cpu.as_nanos(),
        memory_peak_kib()
    );
}

fn ship(shipper: &mut Shipper, mut source: Source, lines: u64) {
    let (mut offered, mut is_full, mut is_finishing) = (0, false, false);
    loop {
        let until = lines.min(offered + LINES_A_TURN);
        while offered < until && !is_full {
            match shipper.offer(source.line()) {
                Ok(number) => {
                    offered = number;
                    source.advance();
                }
                Err(error) if error.is_full() => is_full = true,
                Err(error) => panic!("line {offered} is not taken: {error}"),
            }
        }
        if offered == lines && !is_finishing {
            is_finishing = true;
            shipper.finish(Deadline::after(Duration::from_secs(120)));
        }
        let has_more = offered < lines && !is_full;
        shipper.turn(has_more.then_some(Duration::ZERO)).unwrap();
        while let Some(event) = shipper.next_event() {
            match event {
                ShipEvent::Room => is_full = false,
                ShipEvent::Finished => return,
                ShipEvent::Lost { error, .. } => panic!("a connection was lost: {error}"),
                _ => {}
            }
        }
    }
}

/// Where lines come from: one line again and again, or those of a file.
struct Source {
    file: Option<BufReader<File>>,
    line: Vec<u8>,
}

impl Source {
    fn open(path: Option<&Path>) -> Source {
        let Some(path) = path else {
            let (file, line) = (None, line());
            return Source { file, line };
        };
        let file = File::open(path).unwrap();
        let mut source = Source {
            file: Some(BufReader::with_capacity(256 << 10, file)),
            line: Vec::new(),
        };
        source.advance();
        source
    }

    fn line(&self) -> &[u8] {
        &self.line
    }

    fn advance(&mut self) {
        if let Some(file) = &mut self.file {
            self.line.clear();
            file.read_until(b'\n', &mut self.line).unwrap();
            self.line.pop();
        }
    }
}

/// 0 where the system does not tell.
fn memory_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    peak.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
