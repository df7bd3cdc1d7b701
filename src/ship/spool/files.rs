//! The spool's directory: its lock, the names of its files, and how they are opened.
//!
//! ```text
//! DIR/lock                          held for as long as the spool is open; says by which process
//! DIR/position                      what is confirmed (position.rs)
//! DIR/00000000000000000001.lines    a segment: records, nothing else; its name is the number of its first line
//! ```
//! Other names are nobody's business here. Only the owner may read the files: lines may be confidential.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::SpoolError;
use super::record::NUMBER_MAX;

const SUFFIX: &str = ".lines";

/// One file of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Of its first line, the number.
    pub(super) first: u64,
    pub(super) bytes: u64,
}

pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{SUFFIX}"))
}

/// Makes the directory, if it is not there; its parents must be.
pub(super) fn make_dir(dir: &Path, syncs: bool) -> Result<(), SpoolError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) if syncs => match dir.parent() {
            Some(parent) if parent != Path::new("") => sync_dir(parent),
            _ => sync_dir(Path::new(".")),
        },
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(SpoolError::io("create the directory", dir, &error)),
    }
}

/// Takes the lock, which ends with the file, and so with the process at the latest.
pub(super) fn lock(dir: &Path) -> Result<File, SpoolError> {
    let path = dir.join("lock");
    let mut file = open(&path, true)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let said = file.by_ref().take(20).read_to_string(&mut holder);
            return Err(SpoolError::Locked {
                dir: dir.to_owned(),
                holder: match said {
                    Ok(1..) => holder.trim_end().to_owned(),
                    _ => "unknown".to_owned(),
                },
            });
        }
        Err(TryLockError::Error(error)) => return Err(SpoolError::io("lock", &path, &error)),
    }
    // Words for people; a disk that is full must not keep a spool from being emptied.
    let holder = format!("{:<19}\n", std::process::id());
    let _ = file.write_all_at(holder.as_bytes(), 0);
    Ok(file)
}

/// Opens a regular file to read and write it; with `creates`, also one that is not there yet.
pub(super) fn open(path: &Path, creates: bool) -> Result<File, SpoolError> {
    // Opening a FIFO would wait for its other end, and a directory cannot be written.
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(SpoolError::Foreign {
                file: path.to_owned(),
            });
        }
        _ => {}
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(creates)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| SpoolError::io("open", path, &error))
}

/// The segments, oldest first.
pub(super) fn segments(dir: &Path) -> Result<Vec<Segment>, SpoolError> {
    let failed = |error: std::io::Error| SpoolError::io("list", dir, &error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|it| it.to_str());
        let Some(digits) = name.and_then(|it| it.strip_suffix(SUFFIX)) else {
            continue;
        };
        let metadata = std::fs::metadata(&path)
            .map_err(|error| SpoolError::io("look at the file", &path, &error))?;
        match digits.parse() {
            Ok(first @ 1..=NUMBER_MAX)
                if metadata.is_file() && path == segment_path(dir, first) =>
            {
                found.push(Segment {
                    first,
                    bytes: metadata.len(),
                });
            }
            _ => return Err(SpoolError::Foreign { file: path }),
        }
    }
    found.sort_by_key(|it| it.first);
    Ok(found)
}

pub(super) fn remove(path: &Path) -> Result<(), SpoolError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(SpoolError::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Forces the names in a directory to the disk.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SpoolError> {
    let done = File::open(dir).and_then(|it| it.sync_all());
    done.map_err(|error| SpoolError::io("sync the directory", dir, &error))
}

/// Forces a file to the disk.
pub(super) fn sync(file: &File, path: &Path) -> Result<(), SpoolError> {
    let done = file.sync_data();
    done.map_err(|error| SpoolError::io("sync", path, &error))
}
