//! A file that is written at fixed places, and knows whether all of it was forced to the disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::SpoolError;
use super::files;

#[derive(Debug)]
pub(super) struct SyncedFile {
    file: File,
    path: PathBuf,
    is_synced: bool,
}

impl SyncedFile {
    /// A file that was opened under this name; what is in it may not be on the disk, unless `is_synced`.
    pub(super) fn new(file: File, path: PathBuf, is_synced: bool) -> SyncedFile {
        SyncedFile {
            file,
            path,
            is_synced,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Gives it another name.
    pub(super) fn rename(&mut self, path: PathBuf) -> Result<(), SpoolError> {
        std::fs::rename(&self.path, &path)
            .map_err(|error| SpoolError::io("rename", &self.path, &error))?;
        self.path = path;
        Ok(())
    }

    /// Hands bytes to the kernel. After an error some of them may stand there.
    pub(super) fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<(), SpoolError> {
        self.is_synced = false;
        let done = self.file.write_all_at(bytes, at);
        done.map_err(|error| SpoolError::io("write", &self.path, &error))
    }

    /// Forces what was written to the disk.
    pub(super) fn sync(&mut self) -> Result<(), SpoolError> {
        if !self.is_synced {
            files::sync(&self.file, &self.path)?;
            self.is_synced = true;
        }
        Ok(())
    }

    /// Puts another in the place of its file, so that what is done to it fails.
    #[cfg(test)]
    pub(super) fn replace(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}
