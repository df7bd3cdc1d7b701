//! The number of the last line that is confirmed, on the disk.
//!
//! Two slots, written in turn, each with its CRC: a kill at any byte of a write spoils at most the slot that is being
//! written, so what is read is the old number or the new one. The file comes into being under another name, with both
//! slots written, and is renamed: where it stands, at least one slot is whole, unless the file was damaged from
//! outside. It never grows, so a full disk does not keep lines from being confirmed, and their segments from going.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::SpoolError;
use super::files;
use super::record::NUMBER_MAX;
use super::synced::SyncedFile;

const MAGIC: [u8; 8] = *b"tautspl1";
/// Magic, turn, confirmed, CRC-32 of these three.
const SLOT_BYTES: usize = 28;
/// A sector of its own for each slot, by the largest sectors there are: a loss of power may spoil the one that is
/// being written.
const SLOT_STEP: u64 = 4096;

#[derive(Debug)]
pub(super) struct Position {
    file: SyncedFile,
    /// How often it has been written: its last bit says into which slot.
    turn: u64,
    confirmed: u64,
}

impl Position {
    /// `None`: there is no such file.
    pub(super) fn load(dir: &Path) -> Result<Option<Position>, SpoolError> {
        let path = dir.join("position");
        let file = match files::open(&path, false) {
            Err(SpoolError::Io {
                kind: ErrorKind::NotFound,
                ..
            }) => return Ok(None),
            other => other?,
        };
        let mut newest = None;
        for at in [0, SLOT_STEP] {
            let slot = read_slot(&file, at).map_err(|it| SpoolError::io("read", &path, &it))?;
            newest = newest.max(slot);
        }
        let Some((turn, confirmed)) = newest else {
            return Err(SpoolError::Position { file: path });
        };
        Ok(Some(Position {
            file: SyncedFile::new(file, path, false),
            turn,
            confirmed,
        }))
    }

    /// A new one, in the place of whatever there is.
    pub(super) fn create(dir: &Path, confirmed: u64, syncs: bool) -> Result<Position, SpoolError> {
        let new = dir.join("position.new");
        files::remove(&new)?;
        let mut position = Position {
            file: SyncedFile::new(files::open(&new, true)?, new, true),
            turn: 0,
            confirmed: 0,
        };
        position.record(confirmed)?;
        position.record(confirmed)?;
        if syncs {
            position.sync()?;
        }
        position.file.rename(dir.join("position"))?;
        if syncs {
            files::sync_dir(dir)?;
        }
        Ok(position)
    }

    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// From its return on the number survives `kill -9`.
    pub(super) fn record(&mut self, confirmed: u64) -> Result<(), SpoolError> {
        // A write that fails is written anew into the same slot: the other one stays whole.
        let turn = self.turn + 1;
        let slot = slot(turn, confirmed);
        self.file.write_at(&slot, turn % 2 * SLOT_STEP)?;
        (self.turn, self.confirmed) = (turn, confirmed);
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), SpoolError> {
        self.file.sync()
    }
}

fn slot(turn: u64, confirmed: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&turn.to_le_bytes());
    slot[16..24].copy_from_slice(&confirmed.to_le_bytes());
    let crc = crc32fast::hash(&slot[..24]);
    slot[24..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// Turn and confirmed, of a slot that is whole.
fn read_slot(file: &File, at: u64) -> std::io::Result<Option<(u64, u64)>> {
    let mut bytes = [0; SLOT_BYTES];
    match file.read_exact_at(&mut bytes, at) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let number = |from: usize| bytes[from..].first_chunk().copied().map(u64::from_le_bytes);
    let (Some(turn), Some(confirmed)) = (number(8), number(16)) else {
        return Ok(None);
    };
    let is_ours = bytes == slot(turn, confirmed) && turn < u64::MAX && confirmed <= NUMBER_MAX;
    Ok(is_ours.then_some((turn, confirmed)))
}
