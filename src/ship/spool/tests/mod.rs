//! A spool on a real file system, within one process. What a kill does to it is in tests/spool.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod basic;
mod damage;
mod drawn;
mod failing;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory that is removed with all there is in it.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new() -> Dir {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("taut-spool-{}-{made}", std::process::id());
        // In memory, where there is such a place: thousands of spools are made here.
        let memory = Path::new("/dev/shm");
        let dir = Dir(match memory.is_dir() {
            true => memory.join(name),
            false => std::env::temp_dir().join(name),
        });
        let _ = std::fs::remove_dir_all(&dir.0);
        dir
    }

    /// Its files, without the lock, by name.
    pub(super) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let paths = entries.map(|it| it.unwrap().path());
        let mut files: Vec<_> = paths
            .filter(|it| !it.ends_with("lock"))
            .map(|it| (it.clone(), std::fs::read(it).unwrap()))
            .collect();
        files.sort();
        files
    }

    /// Makes it hold these files and nothing else.
    pub(super) fn put(&self, files: &[(PathBuf, Vec<u8>)]) {
        let _ = std::fs::remove_dir_all(&self.0);
        std::fs::create_dir(&self.0).unwrap();
        for (path, bytes) in files {
            std::fs::write(path, bytes).unwrap();
        }
    }

    pub(super) fn segments(&self) -> usize {
        let files = self.files();
        let is_segment = |path: &Path| path.extension().is_some_and(|it| it == "lines");
        files.iter().filter(|(path, _)| is_segment(path)).count()
    }
}

impl AsRef<Path> for Dir {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Segments of a few short lines.
pub(super) fn small() -> SpoolConfig {
    SpoolConfig {
        bytes_max: 2_000,
        segment_bytes: 200,
        sync: Sync::Never,
        line_bytes_max: 100,
        damaged: Damaged::Refuse,
    }
}

pub(super) fn text(number: u64) -> Vec<u8> {
    format!("line {number}").into_bytes()
}

/// Takes these lines, of which each tells its number.
pub(super) fn fill(spool: &mut Spool, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(spool.append(&text(number)), Ok(number));
    }
}

/// All that it tells, up to an error.
pub(super) fn told(spool: &mut Spool) -> (Vec<u64>, Option<SpoolError>) {
    let (mut numbers, mut line) = (Vec::new(), Vec::new());
    loop {
        match spool.next(&mut line) {
            Ok(Some(number)) => {
                assert_eq!(line, text(number), "what was taken is what is told");
                numbers.push(number);
            }
            Ok(None) => return (numbers, None),
            Err(error) => return (numbers, Some(error)),
        }
    }
}

/// Ends it as a kill would: what waits in memory is gone.
pub(super) fn kill(mut spool: Spool) {
    spool.active = None;
}
