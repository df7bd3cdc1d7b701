//! `--spool DIR`: lines are on disk before they are offered to the shipper, and stay there until they are settled.
//!
//! What the shipper tells as undelivered stays for the next run, and so does what it tells as uncertain where such lines
//! are to be sent again: then each is delivered at least once, over all runs. Numbers are those of the spool.

use std::path::Path;
use std::time::Instant;

use taut::ship::spool::{Spool, SpoolConfig, SpoolError};
use taut::ship::{OnUncertain, ShipConfig, ShipEvent, Shipper};
use taut::{Class, Error, Source};

use super::feed::Fed;
use crate::exit::Fault;

/// Lines that are offered in a row before the loop turns.
const BATCH: usize = 4_096;

#[derive(Debug)]
pub(super) struct Spooled {
    spool: Spool,
    /// The line that is offered next, if it was told.
    line: Vec<u8>,
    has_line: bool,
    /// The last line that was settled before this run.
    before: u64,
    /// The last one before which all are settled.
    settled: u64,
    /// A line stays: none behind it is settled.
    is_held: bool,
    keeps_uncertain: bool,
    is_full: bool,
    /// The disk is: what was taken is in memory, and nothing more is taken until it can be written.
    is_disk_full: bool,
    /// Of a line that is too long, one byte more than may be.
    line_bytes_max: usize,
}

impl Spooled {
    pub(super) fn open(dir: &Path, bytes_max: u64, config: &ShipConfig) -> Result<Spooled, Fault> {
        let line_bytes_max = config.line_bytes_max() + 1;
        let spool_config = SpoolConfig {
            line_bytes_max,
            ..SpoolConfig::within(bytes_max)
        };
        if spool_config.segment_bytes < 2 * line_bytes_max as u64 {
            return Err(Fault::usage(format!(
                "--spool-max {bytes_max} is below eight times the longest line, {line_bytes_max} bytes: ask for more, \
                 or for a smaller --max-line"
            )));
        }
        let spool = Spool::open(dir, spool_config).map_err(fault)?;
        if spool.resumed() > 0 {
            log::warn!(
                "{} lines of an earlier run are shipped first",
                spool.resumed()
            );
        }
        Ok(Spooled {
            line: Vec::new(),
            has_line: false,
            before: spool.confirmed(),
            settled: spool.confirmed(),
            is_held: false,
            keeps_uncertain: config.on_uncertain == OnUncertain::Resend,
            is_full: false,
            is_disk_full: false,
            line_bytes_max,
            spool,
        })
    }

    /// The number in the spool of the line before the shipper's first.
    pub(super) fn before(&self) -> u64 {
        self.before
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full || self.is_disk_full
    }

    /// Takes a line; its number as the shipper will count it. `None`: there is no room.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<Option<u64>, Fault> {
        let line = line.get(..self.line_bytes_max).unwrap_or(line);
        match self.spool.append(line) {
            Ok(number) => Ok(Some(number - self.before)),
            Err(error) if error.class() == Class::Resource => {
                log::info!("{error}");
                self.is_full = true;
                Ok(None)
            }
            Err(error) => Err(fault(error)),
        }
    }

    /// From here on lines survive the end of this process.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        let done = self.spool.flush();
        self.is_disk_full &= done.is_err();
        self.outlast_full_disk(done)
    }

    /// Told once, until there is room again.
    fn outlast_full_disk(&mut self, done: Result<(), SpoolError>) -> Result<(), Fault> {
        match done {
            Err(error) if error.class() == Class::Resource => {
                if !self.is_disk_full {
                    log::warn!("--spool: {error}: reading waits until lines are settled");
                }
                self.is_disk_full = true;
                Ok(())
            }
            other => other.map_err(fault),
        }
    }

    /// Offers what there is, as far as the shipper has room.
    pub(super) fn offer_to(&mut self, shipper: &mut Shipper) -> Result<Fed, Fault> {
        for _ in 0..BATCH {
            if !self.has_line {
                match self.spool.next(&mut self.line).map_err(fault)? {
                    Some(_) => self.has_line = true,
                    None => return Ok(Fed::End),
                }
            }
            match shipper.offer(&self.line) {
                Ok(_) => self.has_line = false,
                Err(Error {
                    source: Source::Full { .. },
                    ..
                }) => return Ok(Fed::Later),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Fed::More)
    }

    /// What the shipper has told of lines.
    pub(super) fn take(&mut self, event: &ShipEvent) {
        let upto = match *event {
            ShipEvent::Delivered { upto } => upto,
            ShipEvent::Refused { line, .. } => line,
            ShipEvent::Uncertain { to, .. } if !self.keeps_uncertain => to,
            ShipEvent::Uncertain { .. } | ShipEvent::Undelivered { .. } => {
                self.is_held = true;
                return;
            }
            _ => return,
        };
        if !self.is_held {
            self.settled = self.before + upto;
        }
    }

    /// Records what is settled, and has the disk waited for when that is due.
    pub(super) fn record(&mut self) -> Result<(), Fault> {
        if self.settled > self.spool.confirmed() {
            self.spool.confirm(self.settled).map_err(fault)?;
        }
        self.is_full = false;
        let done = self.spool.tick(Instant::now()).map(drop);
        self.outlast_full_disk(done)
    }

    /// Lines that were taken in this run or an earlier one, and not yet settled before this one.
    pub(super) fn lines(&self) -> u64 {
        self.spool.last() - self.before
    }
}

fn fault(error: SpoolError) -> Fault {
    match error {
        SpoolError::Invalid(why) => Fault::usage(format!("--spool: {why}")),
        error => Fault::failed(format!("--spool: {error}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_stays_keeps_those_behind_it_and_what_was_flushed_is_on_disk() {
        let name = format!("probe-spooled-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let config = ShipConfig::to("127.0.0.1:1");
        let mut spooled = Spooled::open(&dir, 1 << 30, &config).unwrap();
        for number in 1..=5 {
            assert_eq!(spooled.append(b"a line").unwrap(), Some(number));
        }
        let bytes = || {
            let files = std::fs::read_dir(&dir).unwrap().flatten();
            files.map(|it| it.metadata().unwrap().len()).sum::<u64>()
        };
        let before = bytes();
        spooled.flush().unwrap();
        assert!(bytes() > before, "{before} bytes before");
        spooled.take(&ShipEvent::Delivered { upto: 2 });
        spooled.take(&ShipEvent::Uncertain { from: 3, to: 3 });
        spooled.take(&ShipEvent::Delivered { upto: 5 });
        spooled.record().unwrap();
        drop(spooled);
        let spooled = Spooled::open(&dir, 1 << 30, &config).unwrap();
        assert_eq!((spooled.before(), spooled.lines()), (2, 3));
        drop(spooled);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
