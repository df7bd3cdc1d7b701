//! `probe ship --spool` under `kill -9` at drawn moments: what it had read into the spool arrives, by this run or a later
//! one; and nothing arrives that was not in the spool before.
//!
//! Lines that a dead run had not in the spool are the producer's: it feeds them again. So a line's number is its number
//! in the spool. `TAUT_SHIP_KILLS` says how often the shipper dies.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};

use taut::ship::spool::{Spool, SpoolConfig};

use super::random::Random;
use super::shipping::{fates, scratch, ship_json, start, until};
use super::support::{Serving, end, nobody, signal};

/// Small, so that segments come and go and reading waits for room.
const SPOOL_BYTES: u64 = 256 << 10;
const LINE_BYTES_MAX: usize = 1 << 10;
/// What a round feeds at most.
const ROUND_LINES: u64 = 20_000;

/// A line says its number, and is as long as that wants it: some are long.
fn line(number: u64) -> String {
    let bytes = match number % 50 {
        0 => LINE_BYTES_MAX,
        rest => 10 + (number * 7 + rest) as usize % 100,
    };
    format!("{number:0>10}{}", "x".repeat(bytes - 10))
}

/// Where the shipper dies.
#[derive(Debug)]
enum Moment {
    /// So many bytes were written into its pipe, and what is on its way may be read or not.
    Written(u64),
    /// No sink is there, so that what was read is in the spool and nowhere else; and it has grown by so many bytes.
    Spooled(u64),
    /// The sink has so many bytes more.
    Arrived(u64),
}

impl Moment {
    /// Of each magnitude as many.
    fn drawn(random: &mut Random) -> Moment {
        let magnitude = random.below(21);
        let bytes = ((1 << magnitude) + random.below(1 << magnitude)) as u64;
        match random.below(3) {
            0 => Moment::Written(bytes),
            1 => Moment::Spooled(bytes),
            _ => Moment::Arrived(bytes.min(500_000)),
        }
    }
}

/// Lines that the sink has, as its dump tells.
struct Arrived {
    dump: PathBuf,
    file: File,
    /// Behind the last LF.
    half: Vec<u8>,
    /// How often each line came, from the first on.
    times: Vec<u64>,
    /// The last line of each run of lines that follow each other. No more are needed than there were connections.
    chains: Vec<u64>,
    chains_begun: u64,
}

impl Arrived {
    fn at(dump: &Path) -> Arrived {
        Arrived {
            dump: dump.to_owned(),
            file: File::open(dump).unwrap(),
            half: Vec::new(),
            times: Vec::new(),
            chains: Vec::new(),
            chains_begun: 0,
        }
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.dump).unwrap().len()
    }

    /// Reads on. Each line is one that was fed, byte for byte. Returns the last of all.
    fn look(&mut self) -> u64 {
        let mut text = std::mem::take(&mut self.half);
        self.file.read_to_end(&mut text).unwrap();
        let whole = text
            .iter()
            .rposition(|&it| it == b'\n')
            .map_or(0, |at| at + 1);
        self.half = text.split_off(whole);
        for arrived in text.split(|&it| it == b'\n').filter(|it| !it.is_empty()) {
            let digits = std::str::from_utf8(&arrived[..10]).unwrap();
            let number: u64 = digits.parse().unwrap();
            assert_eq!(arrived, line(number).as_bytes());
            self.count(number);
        }
        self.times.len() as u64
    }

    fn count(&mut self, number: u64) {
        let at = number as usize - 1;
        self.times.resize(self.times.len().max(at + 1), 0);
        self.times[at] += 1;
        match self.chains.iter_mut().rev().find(|it| **it + 1 == number) {
            Some(last) => *last = number,
            None => {
                self.chains.push(number);
                self.chains_begun += 1;
            }
        }
        // Older connections have ended long ago.
        if self.chains.len() > 200 {
            self.chains.remove(0);
        }
    }
}

/// Writes lines from this one on into a pipe, until that breaks or so many bytes, or lines, are in it.
fn feed(pipe: &mut ChildStdin, from: u64, bytes: u64) {
    let (mut text, mut number) = (Vec::new(), from);
    let mut left = bytes;
    while left > 0 && number < from + ROUND_LINES {
        text.clear();
        while text.len() < 4 << 10 {
            text.extend_from_slice(line(number).as_bytes());
            text.push(b'\n');
            number += 1;
        }
        text.truncate(left.min(text.len() as u64) as usize);
        if pipe.write_all(&text).is_err() {
            return;
        }
        left -= text.len() as u64;
    }
}

/// Waits until there are so many.
fn wait_for(bytes: u64, of: impl Fn() -> u64) {
    until(|| of() >= bytes);
}

struct Scene {
    spool: PathBuf,
    sink: Serving,
    arrived: Arrived,
}

impl Scene {
    fn flags<'a>(&'a self, target: &'a str) -> Vec<&'a str> {
        let spool = self.spool.to_str().unwrap();
        let flags = "--max-line 1KiB --spool-max 256KiB --commit-every 64KiB --spool";
        [target]
            .into_iter()
            .chain(flags.split(' '))
            .chain([spool])
            .collect()
    }

    /// What the spool holds: the last line that was ever in it, and how many of them are not settled.
    fn spooled(&self) -> (u64, u64) {
        let config = SpoolConfig {
            line_bytes_max: LINE_BYTES_MAX + 1,
            ..SpoolConfig::within(SPOOL_BYTES)
        };
        let spool = Spool::open(&self.spool, config).unwrap();
        (spool.last(), spool.resumed())
    }

    fn spool_bytes(&self) -> u64 {
        let Ok(files) = std::fs::read_dir(&self.spool) else {
            return 0;
        };
        let bytes = files.flatten().flat_map(|it| it.metadata());
        bytes.map(|it| it.len()).sum()
    }

    /// Runs a shipper that is fed from this line on, and kills it at its moment.
    fn kill_one(&self, from: u64, moment: &Moment) {
        let nobody = nobody();
        let target = match moment {
            Moment::Spooled(_) => &nobody,
            _ => &self.sink.address,
        };
        let mut child: Child = start(&self.flags(target));
        let mut pipe = child.stdin.take().unwrap();
        match *moment {
            Moment::Written(bytes) => {
                feed(&mut pipe, from, bytes);
                signal(child.id(), "KILL");
            }
            Moment::Arrived(bytes) | Moment::Spooled(bytes) => {
                let until = match moment {
                    Moment::Arrived(_) => self.arrived.bytes() + bytes,
                    // When it is nearly full it grows no more.
                    _ => (self.spool_bytes() + bytes).min(SPOOL_BYTES / 2),
                };
                let feeding = std::thread::spawn(move || {
                    feed(&mut pipe, from, u64::MAX);
                    pipe
                });
                wait_for(until, || match moment {
                    Moment::Arrived(_) => self.arrived.bytes(),
                    _ => self.spool_bytes(),
                });
                signal(child.id(), "KILL");
                drop(feeding.join().unwrap());
            }
        }
        assert_eq!(end(child).code, -1);
    }
}

#[test]
fn nothing_that_was_read_into_the_spool_is_lost_by_kills_at_any_moment() {
    let kills: u64 = std::env::var("TAUT_SHIP_KILLS").map_or(20, |it| it.parse().unwrap());
    let (spool, dump) = (scratch("kills-spool"), scratch("kills-dump"));
    let flags = ["sink", "-v", "--framing", "octet", "--dump"];
    let sink = Serving::start(&[&flags[..], &[dump.to_str().unwrap()]].concat());
    let arrived = Arrived::at(&dump);
    let mut scene = Scene {
        spool,
        sink,
        arrived,
    };
    let mut random = Random::new(20_261_121);
    let (mut last, mut left) = (0, 0);
    for round in 0..kills {
        let moment = Moment::drawn(&mut random);
        scene.kill_one(last + 1, &moment);
        let (spooled, unsettled) = scene.spooled();
        assert!(spooled >= last, "{round} {moment:?}: {spooled} of {last}");
        let sent = scene.arrived.look();
        assert!(
            sent <= spooled,
            "{round} {moment:?}: line {sent} was sent, and the spool ends with {spooled}"
        );
        (last, left) = (spooled, left + unsettled);
    }
    assert!(left > 0, "each run had settled all that it had read");

    let rest: String = (last + 1..=last + 1_000)
        .map(|it| line(it) + "\n")
        .collect();
    let ended = ship_json(&scene.flags(&scene.sink.address), rest.as_bytes());
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = ship_json(&scene.flags(&scene.sink.address), b"");
    assert_eq!((ended.code, fates(&ended.json())), (0, [0; 4]), "{ended:?}");
    let Scene {
        spool,
        sink,
        mut arrived,
    } = scene;
    let ended = sink.terminate();
    assert_eq!(arrived.look(), last + 1_000);
    let lost = arrived.times.iter().position(|it| *it == 0);
    assert_eq!(lost, None, "of {}", arrived.times.len());
    let connections = ended.err.split(" connections accepted").next().unwrap();
    let connections: u64 = connections.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(
        arrived.chains_begun <= connections,
        "{} runs of lines in order on {connections} connections",
        arrived.chains_begun
    );
    let again = arrived.times.iter().sum::<u64>() - arrived.times.len() as u64;
    println!(
        "{kills} kills: {} lines, {left} in the spool at a death, {again} arrived again, {} runs in order on {connections} connections",
        arrived.times.len(),
        arrived.chains_begun
    );
    std::fs::remove_dir_all(spool).unwrap();
    std::fs::remove_file(dump).unwrap();
}
