//! Intervals: the bar on a terminal and the objects of ndjson, on a thread of their own.
//!
//! Percentiles, drawing and a slow reader of stdout must not stop the loop that is measured. It hands over its
//! histogram at each interval and goes on with an empty one; the thread adds them up.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Counts;
use crate::cli::LoadArgs;
use crate::exit::Fault;
use crate::histogram::Latencies;
use crate::units::{Amount, Nanos, nanos};

/// The loop's side.
#[derive(Debug)]
pub(super) struct Progress {
    steps: Sender<Step>,
    empty: Receiver<Latencies>,
    thread: JoinHandle<Latencies>,
}

#[derive(Debug)]
enum Step {
    Begin,
    Interval {
        at: Duration,
        counts: Counts,
        latencies: Latencies,
    },
}

impl Progress {
    /// Starts the thread, when there is anybody to tell.
    pub(super) fn start(
        args: &LoadArgs,
        ndjson: bool,
        quiet: bool,
    ) -> Result<Option<Progress>, Fault> {
        let draws = !quiet && io::stderr().is_terminal();
        if !ndjson && !draws {
            return Ok(None);
        }
        let (steps, taken) = mpsc::channel();
        let (give_back, empty) = mpsc::channel();
        // Two to go round: one with the loop, one being read.
        let _ = give_back.send(Latencies::fixed()?);
        let teller = Teller {
            total: Latencies::fixed()?,
            last: (Duration::ZERO, Counts::default()),
            ndjson,
            only_stdout: args.output.output.is_none(),
            bar: draws.then(|| bar(args)),
            by_time: args.requests.is_none(),
            index: 0,
        };
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || teller.tell(&taken, &give_back))
            .map_err(|error| Fault::failed(format!("no thread for the progress: {error}")))?;
        Ok(Some(Progress {
            steps,
            empty,
            thread,
        }))
    }

    /// The measurement begins.
    pub(super) fn begin(&mut self) {
        let _ = self.steps.send(Step::Begin);
    }

    /// An interval is over: takes its latencies and leaves an empty histogram. If the thread is late, the next
    /// interval is longer.
    pub(super) fn interval(&mut self, at: Duration, counts: Counts, latencies: &mut Latencies) {
        if let Ok(empty) = self.empty.try_recv() {
            let latencies = std::mem::replace(latencies, empty);
            // It ends only when this side is dropped.
            let _ = self.steps.send(Step::Interval {
                at,
                counts,
                latencies,
            });
        }
    }

    /// Whether nobody is left to run for: the thread ends by itself only when the one reader of the report has gone.
    pub(super) fn is_unheard(&self) -> bool {
        self.thread.is_finished()
    }

    /// The latencies of all intervals, and these.
    pub(super) fn finish(self, rest: Latencies) -> Result<Latencies, Fault> {
        drop(self.steps);
        let mut total = self
            .thread
            .join()
            .map_err(|_| Fault::failed("the progress thread failed"))?;
        total.merge(&rest);
        Ok(total)
    }
}

/// The thread's side.
struct Teller {
    total: Latencies,
    /// When the last interval ended, and the counts then.
    last: (Duration, Counts),
    ndjson: bool,
    /// Nobody but the reader of stdout gets the report.
    only_stdout: bool,
    bar: Option<ProgressBar>,
    by_time: bool,
    index: u64,
}

impl Teller {
    fn tell(mut self, steps: &Receiver<Step>, give_back: &Sender<Latencies>) -> Latencies {
        while let Ok(step) = steps.recv() {
            let Step::Interval {
                at,
                counts,
                mut latencies,
            } = step
            else {
                self.bar.iter().for_each(ProgressBar::reset);
                continue;
            };
            let told = self.interval(at, counts, &latencies);
            self.total.merge(&latencies);
            if told.is_err() && self.only_stdout {
                break;
            }
            latencies.reset();
            // The loop no longer wants it once it sums up.
            let _ = give_back.send(latencies);
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.total
    }

    fn interval(&mut self, at: Duration, counts: Counts, latencies: &Latencies) -> io::Result<()> {
        let (start, before) = std::mem::replace(&mut self.last, (at, counts));
        let counts_now = counts.since(before);
        let rate = counts_now.ok as f64 / (at - start).as_secs_f64().max(1e-9);
        self.index += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(if self.by_time {
                at.as_millis() as u64
            } else {
                counts.sent
            });
            let (p50, p99) = (
                Nanos(latencies.quantile(0.5)),
                Nanos(latencies.quantile(0.99)),
            );
            let errors = counts.failed + counts.timed_out + counts.mismatched;
            bar.set_message(format!(
                "{}/s  p50 {p50}  p99 {p99}  errors {errors}",
                Amount(rate)
            ));
        }
        if self.ndjson {
            let object = self.object(start, at, counts_now, rate, latencies);
            writeln!(io::stdout(), "{object}")?;
        }
        Ok(())
    }

    fn object(
        &self,
        start: Duration,
        end: Duration,
        counts: Counts,
        rate: f64,
        latencies: &Latencies,
    ) -> Value {
        let response = latencies.to_json();
        json!({
            "interval": self.index,
            "start_ns": nanos(start),
            "end_ns": nanos(end),
            "requests": counts.to_json(),
            "rate": {"asked": null, "achieved": rate},
            "latency_ns": {
                "response": response,
                "service": response,
                "lag": Latencies::zeros_to_json(latencies.count()),
            },
        })
    }
}

/// No colours, so there are none for NO_COLOR to forbid.
fn bar(args: &LoadArgs) -> ProgressBar {
    let length = args.requests.unwrap_or(args.duration.as_millis() as u64);
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template("{wide_bar} {percent:>3}%  {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
