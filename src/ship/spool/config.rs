//! What a spool may take of the disk, and how much of its care a line is given.

use std::time::Duration;

use super::error::SpoolError;
use super::record::{HEADER_BYTES, LINE_BYTES_CEILING};

/// When what was written is forced to the disk itself (`fdatasync`). Whatever is chosen, lines survive `kill -9` of the
/// program from [`Spool::flush`](super::Spool::flush) on: this is about the power, and the kernel's own death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sync {
    /// Never: the kernel writes when it likes (after some 30 s, by Linux's defaults). What it had not written is lost
    /// with the power, and what it wrote out of order may need [`Damaged::Skip`] afterwards.
    Never,
    /// By [`Spool::tick`](super::Spool::tick), so long after it first saw something that is not on the disk; and at the
    /// end of each segment.
    Interval(Duration),
    /// By each [`Spool::flush`](super::Spool::flush), before it returns.
    Each,
}

/// What becomes of a damaged place with intact lines behind it, or of lines that are missing between others. (A torn
/// end is neither: it is what `kill -9` leaves, and is always cut off.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damaged {
    /// It is an error that names the file and the place; nothing is changed and nothing behind it is told.
    Refuse,
    /// What can be read is told, and the rest is passed over: with a warning in the log, and counted by
    /// [`Spool::lines_skipped`](super::Spool::lines_skipped).
    Skip,
}

/// Settings of a [`Spool`](super::Spool).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Bytes of all segments together; then nothing is taken until lines are confirmed. Room comes back by whole
    /// segments, so between this and `segment_bytes` less can be of use. Default: 1 GiB.
    pub bytes_max: u64,
    /// Bytes of a segment, the file that is deleted as a whole. Default: 64 MiB.
    pub segment_bytes: u64,
    /// When the disk itself is waited for. Default: [`Sync::Interval`] of 1 s.
    pub sync: Sync,
    /// Bytes of a line; a longer one is refused. Default: 1 MiB.
    pub line_bytes_max: usize,
    /// What becomes of damage. Default: [`Damaged::Refuse`].
    pub damaged: Damaged,
}

impl Default for SpoolConfig {
    fn default() -> SpoolConfig {
        SpoolConfig {
            bytes_max: 1 << 30,
            segment_bytes: 64 << 20,
            sync: Sync::Interval(Duration::from_secs(1)),
            line_bytes_max: 1 << 20,
            damaged: Damaged::Refuse,
        }
    }
}

impl SpoolConfig {
    /// The defaults within so many bytes of disk: segments are a quarter of them where 64 MiB are too much.
    pub fn within(bytes_max: u64) -> SpoolConfig {
        let standard = SpoolConfig::default();
        SpoolConfig {
            bytes_max,
            segment_bytes: standard.segment_bytes.min(bytes_max / 4),
            ..standard
        }
    }

    /// Checks every setting; the error names the first that cannot be and says what would be right.
    ///
    /// # Errors
    /// [`SpoolError::Invalid`].
    pub fn validate(&self) -> Result<(), SpoolError> {
        let rules = [
            (
                self.line_bytes_max == 0,
                "line_bytes_max is 0; a line needs room, 1 MiB is usual",
            ),
            (
                self.line_bytes_max > LINE_BYTES_CEILING,
                "line_bytes_max is above 1 GiB, the longest line of a spool",
            ),
            (
                self.segment_bytes < self.line_bytes_max.saturating_add(HEADER_BYTES) as u64,
                "segment_bytes is below line_bytes_max + 16; the longest line would never fit",
            ),
            (
                self.bytes_max / 2 < self.segment_bytes,
                "bytes_max is below twice segment_bytes; one segment is written while another is read",
            ),
            (
                self.sync == Sync::Interval(Duration::ZERO),
                "sync is an interval of 0; take Sync::Each for that, 1 s is usual",
            ),
        ];
        match rules.iter().find(|(is_broken, _)| *is_broken) {
            Some((_, text)) => Err(SpoolError::Invalid(text)),
            None => Ok(()),
        }
    }

    /// Whether the disk is ever waited for.
    pub(super) fn syncs(&self) -> bool {
        self.sync != Sync::Never
    }
}
