//! What a terminal is shown while lines are shipped, on a thread of its own: a terminal that is stopped must not stop
//! the loop.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use taut::ship::ShipCounts;

use crate::exit::Fault;
use crate::units::Amount;

/// From one line to the next.
const EVERY: Duration = Duration::from_millis(500);

/// The loop's side.
#[derive(Debug)]
pub(super) struct Progress {
    counts: SyncSender<ShipCounts>,
    next: Instant,
    thread: JoinHandle<()>,
}

impl Progress {
    /// Starts the thread, when there is anybody to see it.
    pub(super) fn start(quiet: bool) -> Result<Option<Progress>, Fault> {
        if quiet || !io::stderr().is_terminal() {
            return Ok(None);
        }
        let (counts, taken) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || draw(&taken))
            .map_err(|error| Fault::failed(format!("no thread for the progress: {error}")))?;
        Ok(Some(Progress {
            counts,
            next: Instant::now(),
            thread,
        }))
    }

    /// Shows them, when it is time.
    pub(super) fn show(&mut self, now: Instant, counts: impl FnOnce() -> ShipCounts) {
        if now >= self.next {
            self.next = now + EVERY;
            // Whoever is late misses some.
            let _ = self.counts.try_send(counts());
        }
    }

    /// Clears the terminal's line.
    pub(super) fn finish(self) {
        drop(self.counts);
        let _ = self.thread.join();
    }
}

fn draw(counts: &Receiver<ShipCounts>) {
    // No colours, so there are none for NO_COLOR to forbid.
    let style = ProgressStyle::with_template("{spinner} {elapsed}  {msg}");
    let bar = ProgressBar::new_spinner();
    let bar = match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    let (mut at, mut before) = (Instant::now(), 0);
    while let Ok(counts) = counts.recv() {
        let now = Instant::now();
        let read = counts.read - before;
        let rate = read as f64 / (now - at).as_secs_f64().max(1e-9);
        (at, before) = (now, counts.read);
        bar.set_message(message(&counts, rate));
        bar.tick();
    }
    bar.finish_and_clear();
}

fn message(counts: &ShipCounts, rate: f64) -> String {
    let ShipCounts {
        read,
        kernel_acked,
        confirmed,
        uncertain,
        ..
    } = counts;
    let rate = match rate {
        rate if rate < 999.5 => Amount(rate.round()),
        rate => Amount(rate),
    };
    format!(
        "{rate} lines/s  read {read}  acked {kernel_acked}  confirmed {confirmed}  uncertain {uncertain}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_fast_and_how_far() {
        let mut counts = ShipCounts::default();
        (counts.read, counts.kernel_acked, counts.confirmed) = (100_000, 90_000, 80_000);
        assert_eq!(
            message(&counts, 123_456.7),
            "123.5k lines/s  read 100000  acked 90000  confirmed 80000  uncertain 0"
        );
        assert!(message(&counts, 0.4).starts_with("0 lines/s  "));
    }
}
