//! `probe ship`: lines from a file or stdin to a TCP sink, and the fate of each one.
//!
//! Reading ends with the input, or at a signal; then what was taken is settled, and the report says what became of it.

mod drive;
mod feed;
mod flags;
mod input;
mod plan;
mod progress;
mod report;
mod spooled;
mod syslog;
mod uncertain;

use std::time::Instant;

use taut::ship::Shipper;

use crate::exit::{Exit, Fault};
use crate::report::Output;
use crate::signals::Signals;
use crate::system;
use drive::{Drive, Shipped};
use feed::Feeder;
pub(crate) use flags::ShipArgs;
use input::Input;
use plan::Plan;
use progress::Progress;
use report::Report;
use spooled::Spooled;
use uncertain::Fates;

pub(crate) fn run(args: &ShipArgs, quiet: bool) -> Result<Exit, Fault> {
    let mut plan = Plan::new(args)?;
    let file = Input::open(args.input.as_deref())?;
    let mut fates = Fates::open(args.uncertain.as_deref())?;
    let mut output = Output::open(&args.output)?;
    let spooled = match &args.spool {
        Some(dir) => Some(Spooled::open(dir, args.spool_max, &plan.config)?),
        None => None,
    };
    fates.number_behind(spooled.as_ref().map_or(0, Spooled::before));
    let signals = Signals::install()?;
    let progress = Progress::start(quiet)?;
    let shipper = Shipper::new(plan.config.clone())?;
    let waker = shipper.waker();
    let input = Input::start(file, move || waker.wake())?;
    // After the other threads are there: they go where they want.
    if let Some(cpu) = args.link.cpu {
        system::pin(cpu)?;
    }
    let started = Instant::now();
    let line_bytes_max = plan.config.line_bytes_max();
    let feeder = Feeder::new(input, plan.wrapping.take(), spooled, line_bytes_max);
    let drive = Drive::new(
        shipper,
        feeder,
        fates,
        progress,
        &plan.config.sinks,
        args.drain,
    );
    let shipped = drive.run(&signals)?;
    let Shipped {
        counts,
        mut fates,
        losses,
        input_error,
    } = shipped;
    let kept = fates.finish();
    let interrupted = signals.caught();
    let report = Report {
        plan: &plan,
        counts,
        refused: fates.refused(),
        losses,
        elapsed: started.elapsed(),
        interrupted: interrupted.is_some(),
    };
    output.finish(&report.to_json(), &report.to_text())?;
    kept?;
    match input_error {
        Some(error) => Err(Fault::failed(format!(
            "the input could not be read to its end: {error}"
        ))),
        None => Ok(interrupted.unwrap_or_else(|| report.exit())),
    }
}
