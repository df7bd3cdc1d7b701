//! Lines from a file or stdin, byte for byte: read ahead by a thread, split at LF, and nothing else done to them.
//!
//! The thread reads blocks into a bounded channel and wakes the loop; blocks go round, so that in the steady state
//! nothing is allocated. A line is borrowed from its block; one that runs over a block's end is joined, and of one that
//! is too long no more is kept than shows it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};

use jiff::Timestamp;

use crate::exit::Fault;

/// Of one read.
const BLOCK_BYTES: usize = 256 << 10;

/// Blocks that wait for the loop.
const BLOCKS_AHEAD: usize = 8;

/// Bytes that were read together.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Box<[u8]>,
    length: usize,
    pub(super) read_at: Timestamp,
}

impl Block {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// What the reading thread has for the loop.
#[derive(Debug)]
pub(super) enum Next {
    Block(Block),
    /// Nothing now; the loop is woken when there is.
    Later,
    End,
    /// The input cannot be read; nothing follows.
    Failed(io::Error),
}

/// The loop's side of the reading thread. The thread is left behind when it hangs in a read.
#[derive(Debug)]
pub(super) struct Input {
    blocks: Receiver<io::Result<Block>>,
    read: SyncSender<Block>,
    stop: Arc<AtomicBool>,
}

impl Input {
    /// Opens the file, or stdin.
    pub(super) fn open(path: Option<&Path>) -> Result<File, Fault> {
        match path {
            Some(path) => File::open(path).map_err(|error| {
                Fault::usage(format!("cannot read --input {}: {error}", path.display()))
            }),
            None => io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from)
                .map_err(|error| Fault::failed(format!("cannot read stdin: {error}"))),
        }
    }

    /// Begins to read; `wake` is called whenever there is news.
    pub(super) fn start(
        file: impl Read + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Input, Fault> {
        let (put, blocks) = mpsc::sync_channel(BLOCKS_AHEAD);
        let (read, free) = mpsc::sync_channel(BLOCKS_AHEAD + 2);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::Builder::new()
            .name("input".into())
            .spawn(move || {
                read_blocks(file, &put, &free, &stopped, &wake);
                drop(put);
                wake();
            })
            .map_err(|error| Fault::failed(format!("no thread for the input: {error}")))?;
        Ok(Input { blocks, read, stop })
    }

    pub(super) fn next(&self) -> Next {
        match self.blocks.try_recv() {
            Ok(Ok(block)) => Next::Block(block),
            Ok(Err(error)) => Next::Failed(error),
            Err(TryRecvError::Empty) => Next::Later,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Gives a block back that has been dealt with.
    pub(super) fn give_back(&self, block: Block) {
        // The thread may have ended.
        let _ = self.read.try_send(block);
    }

    /// Nothing is read any more, after what may be under way.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn read_blocks(
    mut file: impl Read,
    put: &SyncSender<io::Result<Block>>,
    free: &Receiver<Block>,
    stop: &AtomicBool,
    wake: &impl Fn(),
) {
    while !stop.load(Ordering::Relaxed) {
        let mut block = free.try_recv().unwrap_or_else(|_| Block {
            bytes: vec![0; BLOCK_BYTES].into(),
            length: 0,
            read_at: Timestamp::UNIX_EPOCH,
        });
        let outcome = match file.read(&mut block.bytes) {
            Ok(0) => return,
            Ok(length) => Ok(Block {
                length,
                read_at: Timestamp::now(),
                ..block
            }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = outcome.is_err();
        if put.send(outcome).is_err() || is_last {
            return;
        }
        wake();
    }
}

/// A line, without its LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// All of it, or as much as shows that it is too long.
    pub(super) bytes: &'a [u8],
    /// Of all of it.
    pub(super) length: usize,
}

/// Where one is in the blocks.
#[derive(Debug)]
pub(super) struct Lines {
    /// Of a line that runs over a block's end so much is kept.
    keep_bytes: usize,
    block: Option<Block>,
    /// Where the line begins in the block.
    from: usize,
    /// Where its LF is, once it is found.
    to: Option<usize>,
    /// What earlier blocks had of the line, `keep_bytes` at most.
    carried: Vec<u8>,
    /// Bytes that they had of it.
    carried_bytes: usize,
    /// What this block has of the line is among what is carried.
    joined: bool,
}

impl Lines {
    /// Lines that may have so many bytes; of longer ones, one byte more is kept.
    pub(super) fn new(line_bytes_max: usize) -> Lines {
        Lines {
            keep_bytes: line_bytes_max.saturating_add(1),
            block: None,
            from: 0,
            to: None,
            carried: Vec::new(),
            carried_bytes: 0,
            joined: false,
        }
    }

    /// Goes on with the next block; there must be none that is not done with.
    pub(super) fn enter(&mut self, block: Block) {
        debug_assert!(self.block.is_none(), "a block was left in its midst");
        self.block = Some(block);
        self.from = 0;
    }

    /// Whether there is a block whose lines have not all been taken.
    pub(super) fn has_block(&self) -> bool {
        self.block.is_some()
    }

    /// The block that is done with.
    pub(super) fn leave(&mut self) -> Option<Block> {
        self.block.take()
    }

    /// The next line that has its LF; the same one again until it is [taken](Lines::taken). `None`: the block is done
    /// with, and what it has of a line is kept.
    pub(super) fn line(&mut self) -> Option<Line<'_>> {
        let bytes = self.block.as_ref()?.filled().get(self.from..)?;
        let length = match self.to {
            Some(to) => to - self.from,
            None => {
                let Some(length) = memchr::memchr(b'\n', bytes) else {
                    carry(&mut self.carried, self.keep_bytes, bytes);
                    self.carried_bytes += bytes.len();
                    self.from += bytes.len();
                    return None;
                };
                self.to = Some(self.from + length);
                length
            }
        };
        let bytes = bytes.get(..length)?;
        if self.carried_bytes == 0 {
            return Some(Line { bytes, length });
        }
        if !self.joined {
            carry(&mut self.carried, self.keep_bytes, bytes);
            self.joined = true;
        }
        Some(Line {
            bytes: &self.carried,
            length: self.carried_bytes + length,
        })
    }

    /// The last line, when it has no LF; the same one again until it is taken.
    pub(super) fn last(&self) -> Option<Line<'_>> {
        (self.carried_bytes > 0).then_some(Line {
            bytes: &self.carried,
            length: self.carried_bytes,
        })
    }

    /// The line is dealt with.
    pub(super) fn taken(&mut self) {
        if let Some(to) = self.to.take() {
            self.from = to + 1;
        }
        self.carried.clear();
        self.carried_bytes = 0;
        self.joined = false;
    }
}

fn carry(carried: &mut Vec<u8>, keep_bytes: usize, bytes: &[u8]) {
    let room = keep_bytes.saturating_sub(carried.len());
    carried.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}

#[cfg(test)]
mod tests;
