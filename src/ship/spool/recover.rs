//! What a directory holds when it is opened: which lines are left, where the next goes, and what has to go.
//!
//! Only the last segment is read through, for only its end can be torn: each other was written whole before the next
//! was begun. Those are read when their lines are asked for.

use std::path::Path;

use super::active::Active;
use super::config::{Damaged, SpoolConfig};
use super::cursor::Cursor;
use super::error::SpoolError;
use super::files::{self, Segment};
use super::position::Position;

pub(super) struct Recovered {
    pub(super) position: Position,
    /// Segments before the one that is written, oldest first.
    pub(super) closed: Vec<Segment>,
    pub(super) active: Option<Active>,
    /// The number of the last line that is known of.
    pub(super) last: u64,
    /// Of the torn end that was cut off.
    pub(super) bytes_torn: u64,
    /// Between what is confirmed and the oldest line there is.
    pub(super) lines_missing: u64,
}

pub(super) fn recover(dir: &Path, config: &SpoolConfig) -> Result<Recovered, SpoolError> {
    let mut segments = files::segments(dir)?;
    let oldest = segments.first().map_or(1, |it| it.first);
    let mut position = position(dir, config, oldest)?;
    // Segments go when they are settled, and not sooner: with the power, the number may have been lost that said so.
    let lines_missing = (oldest - 1).saturating_sub(position.confirmed());
    if lines_missing > 0 {
        position.record(oldest - 1)?;
    }
    let mut recovered = Recovered {
        last: position.confirmed(),
        position,
        closed: Vec::new(),
        active: None,
        bytes_torn: 0,
        lines_missing,
    };
    let Some(&tail) = segments.last() else {
        return Ok(recovered);
    };
    let confirmed = recovered.last;
    let (bytes, last) = read_through(dir, tail, confirmed, config.damaged)?;
    if last < confirmed {
        // The position has outlived the lines it speaks of (a loss of power): the numbers go on behind it.
        for segment in segments {
            files::remove(&files::segment_path(dir, segment.first))?;
        }
        return Ok(recovered);
    }
    segments.pop();
    let whole = Segment { bytes, ..tail };
    let (active, cut) = Active::reopen(dir, whole, last, config.syncs())?;
    (recovered.active, recovered.last) = (Some(active), last);
    recovered.bytes_torn = cut;
    recovered.closed = segments;
    Ok(recovered)
}

fn position(dir: &Path, config: &SpoolConfig, oldest: u64) -> Result<Position, SpoolError> {
    match Position::load(dir) {
        Ok(Some(position)) => return Ok(position),
        Ok(None) => {}
        Err(SpoolError::Position { .. }) if config.damaged == Damaged::Skip => {}
        Err(error) => return Err(error),
    }
    if oldest > 1 {
        log::warn!(
            dir:? = dir, line = oldest;
            "the spool does not know what was confirmed: all from line {oldest} on is sent, maybe again"
        );
    }
    Position::create(dir, oldest - 1, config.syncs())
}

/// Where the records of the last segment end, and the number of the last of them.
fn read_through(
    dir: &Path,
    segment: Segment,
    confirmed: u64,
    damaged: Damaged,
) -> Result<(u64, u64), SpoolError> {
    let mut cursor = Cursor::open(dir, segment.first)?;
    let end = segment.bytes;
    while cursor.offset() < end {
        match cursor.line(end)?.map(<[u8]>::len) {
            Some(bytes) => cursor.advance(bytes),
            None if cursor.pass_damage(end, confirmed, damaged)?.is_some() => {}
            None => break,
        }
    }
    Ok((cursor.offset(), cursor.number() - 1))
}
