//! What a spool can fail with, and what to do then.
//!
//! No error loses a line that was taken: what could not be written stays in memory and is tried again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Class;

/// Why a spool did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolError {
    /// A setting that cannot be: which, and what would be right.
    Invalid(&'static str),
    /// Another shipper has the spool.
    Locked {
        /// The spool.
        dir: PathBuf,
        /// What the other left in the lock file: its process id.
        holder: String,
    },
    /// `bytes_max` is met: nothing was taken. There is room again when lines have been confirmed.
    Full {
        /// [`SpoolConfig::bytes_max`](super::SpoolConfig::bytes_max).
        bytes_max: u64,
    },
    /// The line is too long: nothing was taken.
    Oversize {
        /// Bytes it has.
        bytes: usize,
        /// [`SpoolConfig::line_bytes_max`](super::SpoolConfig::line_bytes_max).
        limit: usize,
    },
    /// A line was confirmed that was never taken.
    NotTaken {
        /// Which.
        line: u64,
        /// The last that was taken.
        last: u64,
    },
    /// A file is damaged, and what follows the damage is not told of without leave.
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The line that should stand there.
        line: u64,
    },
    /// No slot of the file with the confirmed position can be read.
    Position {
        /// The file.
        file: PathBuf,
    },
    /// It bears a name of the spool's, and cannot be the spool's.
    Foreign {
        /// What.
        file: PathBuf,
    },
    /// The operating system refused (ENOSPC, EIO, EACCES, …).
    Io {
        /// What was to be done with the file.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// What kind of error it is.
        kind: io::ErrorKind,
        /// Its errno; 0 where there is none.
        errno: i32,
    },
}

impl SpoolError {
    pub(super) fn io(doing: &'static str, file: &Path, error: &io::Error) -> SpoolError {
        SpoolError::Io {
            doing,
            file: file.to_owned(),
            kind: error.kind(),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }

    /// How to meet it: of class resource is what passes when there is room again.
    pub fn class(&self) -> Class {
        match self {
            SpoolError::Full { .. } => Class::Resource,
            SpoolError::Io { kind, .. } => match kind {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge
                | io::ErrorKind::OutOfMemory => Class::Resource,
                _ => Class::Persistent,
            },
            SpoolError::Invalid(_)
            | SpoolError::Oversize { .. }
            | SpoolError::NotTaken { .. }
            | SpoolError::Locked { .. } => Class::Local,
            SpoolError::Corrupt { .. }
            | SpoolError::Position { .. }
            | SpoolError::Foreign { .. } => Class::Persistent,
        }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpoolError::Invalid(text) => write!(f, "{text}"),
            SpoolError::Locked { dir, holder } => write!(
                f,
                "the spool {} is in use by another shipper (process {holder}); give each a directory of its own",
                dir.display()
            ),
            SpoolError::Full { bytes_max } => {
                write!(
                    f,
                    "the spool is full: its {bytes_max} bytes hold lines that are not confirmed"
                )
            }
            SpoolError::Oversize { bytes, limit } => {
                write!(
                    f,
                    "a line of {bytes} bytes is above the spool's limit of {limit}"
                )
            }
            SpoolError::NotTaken { line, last } => {
                write!(
                    f,
                    "line {line} was confirmed, and the last that was taken is {last}"
                )
            }
            SpoolError::Corrupt { file, offset, line } => write!(
                f,
                "{} is damaged at byte {offset}, where line {line} should stand, and is not the end; restore it, or \
                 give leave to skip what cannot be read, or move the spool's directory aside to begin a new one",
                file.display()
            ),
            SpoolError::Position { file } => write!(
                f,
                "{} is damaged: it is not known what was confirmed; restore it, or remove it to have every line that \
                 is left sent again",
                file.display()
            ),
            SpoolError::Foreign { file } => write!(
                f,
                "{} is not of this spool, or of a newer version; move it away",
                file.display()
            ),
            SpoolError::Io {
                doing,
                file,
                kind,
                errno,
            } => {
                write!(f, "cannot {doing} {}: ", file.display())?;
                match errno {
                    0 => write!(f, "{kind}"),
                    errno => write!(f, "{}", io::Error::from_raw_os_error(*errno)),
                }
            }
        }
    }
}

impl std::error::Error for SpoolError {}
