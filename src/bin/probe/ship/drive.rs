//! The loop: it feeds the shipper, lets it turn, and keeps what it tells.
//!
//! A run goes through *reading* and *settling*, in which no line is taken any more. As long as bytes are written or
//! acknowledged, or lines confirmed, settling goes on; when nothing moves for `--drain`, or so long after a signal, what is
//! not settled is told as it stands.

use std::io;
use std::time::{Duration, Instant};

use taut::ship::{ShipCounts, ShipEvent, Shipper};
use taut::{Deadline, Error};

use super::feed::{Fed, Feeder};
use super::progress::Progress;
use super::uncertain::Fates;
use crate::exit::Fault;
use crate::signals::{LOOK_EVERY, Signals};

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reading,
    /// The input has ended; the spool has lines that the shipper has no room for.
    Offering,
    Settling,
    Finished,
}

/// For a deadline that this loop keeps itself.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(super) struct Drive {
    shipper: Shipper,
    feeder: Feeder,
    fates: Fates,
    progress: Option<Progress>,
    stage: Stage,
    sinks: Vec<String>,
    drain: Duration,
    losses: Losses,
    moved: Moved,
}

/// Connections that were lost, or could not be made.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) count: u64,
    pub(super) last: Option<String>,
    /// Of each sink: since its last loss it has taken no line.
    is_down: Vec<bool>,
    /// The sink that was connected to last.
    connected: Option<usize>,
}

/// When something was last written, acknowledged or confirmed, and how much had been then.
#[derive(Debug)]
struct Moved {
    at: Instant,
    marks: [u64; 3],
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Shipped {
    pub(super) counts: ShipCounts,
    pub(super) fates: Fates,
    pub(super) losses: Losses,
    pub(super) input_error: Option<io::Error>,
}

impl Drive {
    pub(super) fn new(
        shipper: Shipper,
        feeder: Feeder,
        fates: Fates,
        progress: Option<Progress>,
        sinks: &[String],
        drain: Duration,
    ) -> Drive {
        Drive {
            shipper,
            feeder,
            fates,
            progress,
            stage: Stage::Reading,
            sinks: sinks.to_vec(),
            drain,
            losses: Losses {
                is_down: vec![false; sinks.len()],
                ..Losses::default()
            },
            moved: Moved {
                at: Instant::now(),
                marks: [0; 3],
            },
        }
    }

    /// Runs until every line that was taken is settled.
    pub(super) fn run(mut self, signals: &Signals) -> Result<Shipped, Fault> {
        while self.stage != Stage::Finished {
            let wait = match self.step(signals.caught().is_some())? {
                true => Duration::ZERO,
                false => LOOK_EVERY,
            };
            self.shipper.turn(Some(wait))?;
            self.take_events();
            if let Some(spooled) = self.feeder.spooled() {
                spooled.record()?;
            }
            if let Some(progress) = &mut self.progress {
                progress.show(Instant::now(), || self.shipper.counts());
            }
        }
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        let mut counts = self.shipper.counts();
        let (input_error, spooled) = self.feeder.finish();
        if let Some(spooled) = spooled {
            // The spool keeps what the shipper had no room for.
            let kept = spooled.lines() - counts.read;
            self.fates.keep(counts.read + 1, kept);
            counts.read += kept;
            counts.undelivered += kept;
        }
        Ok(Shipped {
            counts,
            fates: self.fates,
            losses: self.losses,
            input_error,
        })
    }

    /// Does what is to be done before a turn; true when there is more of it at once.
    fn step(&mut self, interrupted: bool) -> Result<bool, Fault> {
        match self.stage {
            Stage::Reading | Stage::Offering if interrupted => {
                self.feeder.stop();
                while self.feed()? == Fed::More {}
                self.feeder.leave_rest();
                self.settle(self.drain);
            }
            Stage::Reading | Stage::Offering => match self.feed()? {
                Fed::More => return Ok(true),
                Fed::End if self.is_reachability_known() => self.settle(YEAR),
                Fed::Later if self.stage == Stage::Offering => self.give_up_what_stands_still(),
                Fed::Later if self.feeder.has_ended() => {
                    self.stage = Stage::Offering;
                    self.moved.at = Instant::now();
                }
                Fed::Later | Fed::End => {}
            },
            Stage::Settling if interrupted => self.settle(self.drain),
            Stage::Settling => self.give_up_what_stands_still(),
            Stage::Finished => {}
        }
        Ok(false)
    }

    fn feed(&mut self) -> Result<Fed, Fault> {
        self.feeder.feed(&mut self.shipper, &mut self.fates)
    }

    /// Without a line, all there is to say is whether a sink is there.
    fn is_reachability_known(&self) -> bool {
        let counts = self.shipper.counts();
        let has_tried_each = self.losses.count >= self.sinks.len() as u64;
        counts.read > 0 || counts.connections > 0 || has_tried_each
    }

    /// No line is taken any more, and all are settled by then; what was said first may only be brought forward.
    fn settle(&mut self, within: Duration) {
        if self.stage != Stage::Settling {
            log::info!("the input has ended, or a signal came");
            self.stage = Stage::Settling;
            self.moved.at = Instant::now();
        }
        self.shipper.finish(Deadline::After(within));
    }

    fn give_up_what_stands_still(&mut self) {
        let now = Instant::now();
        let counts = self.shipper.counts();
        let marks = [counts.bytes_written, counts.bytes_acked, counts.confirmed];
        if marks != self.moved.marks {
            self.moved = Moved { at: now, marks };
        } else if now >= self.moved.at + self.drain {
            self.settle(Duration::ZERO);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.shipper.next_event() {
            self.fates.take(&event);
            if let Some(spooled) = self.feeder.spooled() {
                spooled.take(&event);
            }
            match event {
                ShipEvent::Room => self.feeder.room(),
                ShipEvent::Connected { sink, peer } => {
                    self.losses.connected = Some(sink);
                    log::info!("{} at {peer}: connected", self.name(sink));
                }
                ShipEvent::Delivered { .. } => {
                    if let Some(sink) = self.losses.connected {
                        self.losses.is_down[sink] = false;
                    }
                }
                ShipEvent::Lost { sink, error } => self.lost(sink, &error),
                ShipEvent::Finished => self.stage = Stage::Finished,
                _ => {}
            }
        }
    }

    /// Warns once of each sink, until it takes lines again: that it lets itself be connected to says little.
    fn lost(&mut self, sink: usize, error: &Error) {
        let text = format!("{}: {error}", self.name(sink));
        match std::mem::replace(&mut self.losses.is_down[sink], true) {
            false => log::warn!("{text}"),
            true => log::info!("{text}"),
        }
        self.losses.count += 1;
        self.losses.last = Some(text);
    }

    fn name(&self, sink: usize) -> &str {
        self.sinks.get(sink).map_or("?", String::as_str)
    }
}
