//! The report of a shipment: the text and the JSON document of the contract, and the verdict.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use taut::ship::ShipCounts;

use super::drive::Losses;
use super::plan::Plan;
use super::uncertain::Refused;
use crate::exit::Exit;
use crate::units::{Amount, Seconds, nanos};

/// What the whole run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Each line that was read is confirmed.
    Delivered,
    /// Of some it is not known.
    Uncertain,
    /// Some were not delivered, or refused.
    Undelivered,
}

impl Verdict {
    pub(super) fn of(counts: &ShipCounts) -> Verdict {
        match counts {
            it if it.confirmed == it.read => Verdict::Delivered,
            it if it.confirmed + it.uncertain == it.read => Verdict::Uncertain,
            _ => Verdict::Undelivered,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Verdict::Delivered => "delivered",
            Verdict::Uncertain => "uncertain",
            Verdict::Undelivered => "undelivered",
        }
    }
}

/// How a run ended, with what was asked for beside it.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) plan: &'a Plan,
    pub(super) counts: ShipCounts,
    pub(super) refused: &'a [Refused],
    pub(super) losses: Losses,
    pub(super) elapsed: Duration,
    pub(super) interrupted: bool,
}

impl Report<'_> {
    /// How it ends, unless a signal has said so.
    pub(super) fn exit(&self) -> Exit {
        match Verdict::of(&self.counts) {
            Verdict::Delivered if self.is_unreachable() => Exit::Failed,
            Verdict::Delivered => Exit::Done,
            Verdict::Uncertain | Verdict::Undelivered => Exit::Undelivered,
        }
    }

    /// There was no line to tell it by.
    fn is_unreachable(&self) -> bool {
        self.counts.read == 0 && self.counts.connections == 0 && self.losses.count > 0
    }

    pub(super) fn to_json(&self) -> Value {
        let counts = &self.counts;
        json!({
            "command": "ship",
            "target": self.plan.config.sinks.join(","),
            "framing": self.plan.framing.name(),
            "ack": self.plan.ack.name(),
            "interrupted": self.interrupted,
            "lines": {
                "read": counts.read,
                "written": counts.written,
                "kernel_acked": counts.kernel_acked,
                "confirmed": counts.confirmed,
                "resent": counts.resent,
                "uncertain": counts.uncertain,
                "undelivered": counts.undelivered,
                "refused": counts.refused,
            },
            "connections": counts.connections,
            "bytes": {"written": counts.bytes_written, "acked": counts.bytes_acked},
            "elapsed_ns": nanos(self.elapsed),
            "verdict": Verdict::of(counts).name(),
        })
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, text: &mut String) -> std::fmt::Result {
        let ShipCounts {
            read,
            written,
            kernel_acked,
            confirmed,
            resent,
            uncertain,
            undelivered,
            refused,
            connections,
            bytes_written,
            bytes_acked,
            ..
        } = self.counts;
        let (framing, ack) = (self.plan.framing.name(), self.plan.ack.name());
        let targets = self.plan.config.sinks.join(", ");
        let noun = if connections == 1 {
            "connection"
        } else {
            "connections"
        };
        let elapsed = Seconds(self.elapsed);
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let lines_rate = Amount((read as f64 / seconds).round());
        let bytes_rate = Amount((bytes_written as f64 / seconds).round());
        writeln!(
            text,
            "target {targets} (framing {framing}, ack {ack})   {connections} {noun}, {elapsed}"
        )?;
        writeln!(
            text,
            "rate   {lines_rate} lines/s, {bytes_rate} bytes/s written"
        )?;
        writeln!(
            text,
            "wire   {written} lines written, {resent} of them again, {kernel_acked} acked by the peer's TCP; \
             {bytes_written} bytes, {bytes_acked} acked"
        )?;
        writeln!(
            text,
            "lines  {read} read = {confirmed} confirmed + {uncertain} uncertain + {undelivered} undelivered \
             + {refused} refused"
        )?;
        for refused in self.refused {
            writeln!(text, "       refused: {refused}")?;
        }
        if let Some(loss) = &self.losses.last {
            let times = if self.losses.count == 1 {
                "time"
            } else {
                "times"
            };
            writeln!(text, "lost   {} {times}, last {loss}", self.losses.count)?;
        }
        let verdict = match self.is_unreachable() {
            true => "UNREACHABLE".to_owned(),
            false => Verdict::of(&self.counts).name().to_uppercase(),
        };
        let interrupted = match self.interrupted {
            true => " (interrupted)",
            false => "",
        };
        writeln!(text, "{verdict}{interrupted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(confirmed: u64, uncertain: u64, undelivered: u64, refused: u64) -> ShipCounts {
        let mut counts = ShipCounts::default();
        counts.read = confirmed + uncertain + undelivered + refused;
        counts.confirmed = confirmed;
        counts.uncertain = uncertain;
        counts.undelivered = undelivered;
        counts.refused = refused;
        counts
    }

    #[test]
    fn it_is_delivered_only_when_each_line_is_and_the_worst_fate_names_the_rest() {
        for (counts, verdict) in [
            (counts(0, 0, 0, 0), Verdict::Delivered),
            (counts(9, 0, 0, 0), Verdict::Delivered),
            (counts(8, 1, 0, 0), Verdict::Uncertain),
            (counts(0, 0, 1, 0), Verdict::Undelivered),
            (counts(7, 1, 1, 0), Verdict::Undelivered),
            (counts(8, 0, 0, 1), Verdict::Undelivered),
            (counts(7, 1, 0, 1), Verdict::Undelivered),
        ] {
            assert_eq!(Verdict::of(&counts), verdict, "{counts:?}");
        }
    }
}
