//! A spool and the death of its program: what a flush had returned for is there after `kill -9`, at whatever moment it
//! came; and what a spool does when the file system has no room left.
//!
//! The program is this test again, in a process of its own. `TAUT_SPOOL_KILLS` says how often it is killed.
#![cfg(all(target_os = "linux", feature = "spool"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/child.rs"]
mod child;
#[path = "support/random.rs"]
mod random;

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child::Running;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use random::Random;
use taut::ship::spool::{Spool, SpoolConfig, SpoolError, Sync};

const DIR: &str = "TAUT_SPOOL_DIR";
const SEED: &str = "TAUT_SPOOL_SEED";

/// A directory for a test, removed with what is in it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("taut-spool-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The test again, with a directory that its parent made.
fn start(test: &str, role: &str, dir: &Dir, seed: u64) -> Running {
    let mut command = child::command(test, role);
    command.env(DIR, &dir.0).env(SEED, seed.to_string());
    Running::start(command)
}

fn dir_given() -> Dir {
    Dir(std::env::var_os(DIR).unwrap().into())
}

/// The line of a number: of any length up to some hundred bytes, sometimes of many thousands.
fn text(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let bytes = match random.once_in(200) {
        true => random.below(60_000),
        false => random.below(300),
    };
    let mut line = number.to_string().into_bytes();
    line.resize(line.len() + bytes, number as u8);
    line
}

/// Small segments, that many are begun and deleted.
fn config(seed: u64) -> SpoolConfig {
    SpoolConfig {
        bytes_max: 4 << 20,
        segment_bytes: 256 << 10,
        line_bytes_max: 100_000,
        sync: match seed % 4 {
            0 => Sync::Interval(Duration::from_millis(2)),
            1 => Sync::Each,
            _ => Sync::Never,
        },
        ..SpoolConfig::default()
    }
}

/// What the program knows to be safe, where its parent finds it: the last line that was flushed, and that was
/// confirmed.
struct Known(File);

impl Known {
    fn open(dir: &Dir) -> Known {
        let path = dir.0.join("known");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).unwrap();
        if file.metadata().unwrap().len() == 0 {
            file.write_all_at(&[0; 16], 0).unwrap();
        }
        Known(file)
    }

    fn say(&self, which: u64, number: u64) {
        self.0
            .write_all_at(&number.to_le_bytes(), 8 * which)
            .unwrap();
    }

    fn get(&self, which: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 8 * which).unwrap();
        u64::from_le_bytes(bytes)
    }
}

const FLUSHED: u64 = 0;
const CONFIRMED: u64 = 1;

/// Takes, flushes, tells and confirms, until it is killed.
fn live(dir: &Dir, seed: u64) {
    let known = Known::open(dir);
    let mut random = Random::new(seed);
    let mut spool = Spool::open(dir.spool(), config(seed)).unwrap();
    eprintln!("ready");
    let mut line = Vec::new();
    loop {
        for _ in 0..random.of(&[1, 10, 2_000]) {
            match spool.append(&text(spool.last() + 1)) {
                Ok(_) => {}
                Err(SpoolError::Full { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if !random.once_in(3) {
            spool.flush().unwrap();
            known.say(FLUSHED, spool.last());
        }
        for _ in 0..random.of(&[1, 100, 4_000]) {
            let Some(number) = spool.next(&mut line).unwrap() else {
                break;
            };
            assert_eq!(line, text(number));
        }
        let left = spool.last() - spool.confirmed();
        if random.once_in(2) || left > 10_000 {
            let upto = spool.confirmed() + random.below(left as usize + 1) as u64;
            spool.confirm(upto).unwrap();
            known.say(CONFIRMED, upto);
        }
        spool.tick(Instant::now()).unwrap();
    }
}

/// Opens what a killed one left: all that it knew to be safe is there. Returns how many bytes were torn.
fn check(dir: &Dir, seed: u64) -> u64 {
    let known = Known::open(dir);
    let mut spool = Spool::open(dir.spool(), config(seed)).unwrap();
    let (flushed, confirmed) = (known.get(FLUSHED), known.get(CONFIRMED));
    assert!(spool.last() >= flushed, "{} of {flushed}", spool.last());
    assert!(spool.confirmed() >= confirmed);
    assert_eq!(spool.resumed(), spool.last() - spool.confirmed());
    let mut line = Vec::new();
    for number in spool.confirmed() + 1..=spool.last() {
        assert_eq!(spool.next(&mut line), Ok(Some(number)));
        assert!(line == text(number), "line {number}");
    }
    assert_eq!(spool.next(&mut line), Ok(None));
    assert_eq!(spool.lines_skipped(), 0);
    spool.bytes_torn()
}

#[test]
fn every_line_that_was_flushed_is_there_after_a_kill_at_any_moment() {
    let test = "every_line_that_was_flushed_is_there_after_a_kill_at_any_moment";
    if child::role().is_some() {
        let dir = std::mem::ManuallyDrop::new(dir_given());
        return live(&dir, std::env::var(SEED).unwrap().parse().unwrap());
    }
    let kills = std::env::var("TAUT_SPOOL_KILLS").map_or(40, |it| it.parse().unwrap());
    let dir = Dir::new("kills");
    let (mut random, mut torn) = (Random::new(1), 0);
    for seed in 0..kills {
        let mut running = start(test, "live", &dir, seed);
        running.until_says("ready");
        // When is chance; what holds afterwards is not.
        std::thread::park_timeout(Duration::from_micros(random.below(20_000) as u64));
        kill(Pid::from_raw(running.pid() as i32), Signal::SIGKILL).unwrap();
        let (status, said) = running.end();
        assert!(status.code().is_none(), "it ended by itself: {said}");
        torn += u64::from(check(&dir, seed) > 0);
    }
    let known = Known::open(&dir);
    let (flushed, confirmed) = (known.get(FLUSHED), known.get(CONFIRMED));
    println!("{kills} kills, {torn} torn ends, {flushed} lines flushed, {confirmed} confirmed");
    assert!(flushed > kills, "the program did something");
}

#[test]
fn a_spool_is_refused_while_another_process_has_it_and_given_when_that_is_killed() {
    let test = "a_spool_is_refused_while_another_process_has_it_and_given_when_that_is_killed";
    if child::role().is_some() {
        let dir = std::mem::ManuallyDrop::new(dir_given());
        return live(&dir, 2);
    }
    let dir = Dir::new("locked");
    let mut running = start(test, "live", &dir, 2);
    running.until_says("ready");
    let error = Spool::open(dir.spool(), config(2)).unwrap_err();
    let locked = SpoolError::Locked {
        dir: dir.spool(),
        holder: running.pid().to_string(),
    };
    assert_eq!(error, locked);
    kill(Pid::from_raw(running.pid() as i32), Signal::SIGKILL).unwrap();
    running.end();
    check(&dir, 2);
}

/// Takes lines until there is no room, and finds that nothing was lost by it. Then `makes_room` does.
fn meet_the_end_of_room(dir: &Path, kind: ErrorKind, makes_room: impl FnOnce(&mut Spool)) {
    let config = SpoolConfig {
        bytes_max: 64 << 20,
        segment_bytes: 16 << 20,
        sync: Sync::Never,
        ..SpoolConfig::default()
    };
    let mut spool = Spool::open(dir, config.clone()).unwrap();
    let is_room_gone =
        |error: &SpoolError| matches!(error, SpoolError::Io { kind: it, .. } if *it == kind);
    loop {
        let last = spool.last();
        match spool.append(&text(last + 1)) {
            Ok(number) => assert_eq!(number, last + 1),
            Err(error) => {
                assert!(is_room_gone(&error), "{error}");
                assert_eq!(spool.last(), last, "it was not taken");
                break;
            }
        }
    }
    let taken = spool.last();
    assert!(is_room_gone(&spool.flush().unwrap_err()));
    // All that was taken is told, of which a part could not be written; and can be confirmed.
    let mut line = Vec::new();
    for number in 1..=taken {
        assert_eq!(spool.next(&mut line), Ok(Some(number)));
        assert!(line == text(number), "line {number}");
    }
    spool.confirm(5).unwrap();
    makes_room(&mut spool);
    for _ in 0..100 {
        spool.append(&text(spool.last() + 1)).unwrap();
    }
    let (last, confirmed) = (spool.last(), spool.confirmed());
    drop(spool);
    let mut spool = Spool::open(dir, config).unwrap();
    assert_eq!((spool.last(), spool.confirmed()), (last, confirmed));
    for number in confirmed + 1..=last {
        assert_eq!(spool.next(&mut line), Ok(Some(number)));
        assert!(line == text(number), "line {number}");
    }
}

/// Runs the rest in a process of its own, and waits for it.
fn in_a_child(test: &str, dir: &Dir) {
    let (status, said) = start(test, "alone", dir, 0).end();
    assert!(status.success(), "{said}");
}

#[test]
fn a_write_that_stops_half_way_is_made_whole_when_there_is_room_again() {
    if child::role().is_none() {
        let dir = Dir::new("limit");
        return in_a_child(
            "a_write_that_stops_half_way_is_made_whole_when_there_is_room_again",
            &dir,
        );
    }
    let dir = std::mem::ManuallyDrop::new(dir_given());
    // No file may be longer: the write that meets this is cut there, and the next one fails with EFBIG.
    SigSet::from(Signal::SIGXFSZ).thread_block().unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 1_000_001, hard).unwrap();
    meet_the_end_of_room(&dir.spool(), ErrorKind::FileTooLarge, |spool| {
        let segment = dir.spool().join("00000000000000000001.lines");
        assert_eq!(segment.metadata().unwrap().len(), 1_000_001, "cut half-way");
        setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
        spool.flush().unwrap();
    });
}

#[test]
#[ignore = "mounts a small file system: needs root"]
fn a_full_file_system_loses_nothing_and_is_emptied_by_confirming() {
    if child::role().is_none() {
        let dir = Dir::new("full");
        return in_a_child(
            "a_full_file_system_loses_nothing_and_is_emptied_by_confirming",
            &dir,
        );
    }
    let dir = std::mem::ManuallyDrop::new(dir_given());
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace (needs root)");
    let nothing = None::<&str>;
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(nothing, "/", nothing, private, nothing).unwrap();
    let size = Some("size=1m");
    mount(Some("none"), &dir.0, Some("tmpfs"), MsFlags::empty(), size).unwrap();
    meet_the_end_of_room(&dir.spool(), ErrorKind::StorageFull, |spool| {
        // All of it: then the next line needs nothing of what stands there.
        spool.confirm(spool.last()).unwrap();
    });
}
