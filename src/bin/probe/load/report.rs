//! The report of a load: the text and the JSON document of the contract, and the verdict.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::measured::Measured;
use super::percent;
use crate::cli::LoadArgs;
use crate::histogram::Latencies;
use crate::tls::Seen;
use crate::units::{Amount, Nanos, Seconds, nanos};

/// A measurement with what was asked for beside it.
pub(super) struct Report<'a> {
    args: &'a LoadArgs,
    measured: &'a Measured,
    target: String,
    /// The target is the echo server in a thread of this process.
    own_server: bool,
    interrupted: bool,
    reasons: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        args: &'a LoadArgs,
        target: String,
        own_server: bool,
        interrupted: bool,
        measured: &'a Measured,
    ) -> Report<'a> {
        let reasons = reasons(args, measured);
        Report {
            args,
            measured,
            target,
            own_server,
            interrupted,
            reasons,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }

    fn verdict(&self) -> &'static str {
        if self.is_valid() { "valid" } else { "invalid" }
    }

    /// Replies a second, while requests were sent.
    fn rate(&self) -> f64 {
        match self.measured.elapsed.is_zero() {
            true => 0.0,
            false => self.measured.ok_in_time as f64 / self.measured.elapsed.as_secs_f64(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let Measured {
            counts,
            latencies,
            bytes,
            cpu,
            ..
        } = self.measured;
        let response = latencies.to_json();
        json!({
            "command": "load",
            "version": env!("CARGO_PKG_VERSION"),
            "target": self.target,
            "proto": self.args.peer.proto.to_string(),
            "interrupted": self.interrupted,
            "connections": {"asked": self.args.connections, "established": self.measured.established},
            "pipeline": self.args.pipeline,
            "duration_ns": nanos(self.measured.elapsed),
            "warmup_ns": nanos(self.args.warmup),
            "requests": counts.to_json(),
            "rate": {"asked": null, "achieved": self.rate()},
            "bytes": {"sent": bytes.0, "received": bytes.1},
            "latency_ns": {
                "response": response,
                "service": response,
                "lag": Latencies::zeros_to_json(latencies.count()),
            },
            "errors": self.errors(),
            "reconnects": self.measured.reconnects,
            "away_ns": nanos(self.measured.away.in_all),
            "tcp": {
                "rtt_ns": nanos(self.measured.tcp.rtt),
                "retransmits": self.measured.tcp.retransmits,
                "segments_out": self.measured.tcp.segments_out,
            },
            "tls": self.measured.tls.as_ref().map(Seen::to_json_of_many),
            "client": {
                "cpu_user_ns": nanos(cpu.user),
                "cpu_sys_ns": nanos(cpu.system),
                "max_rss_bytes": crate::system::max_rss_bytes(),
            },
            "gates": [],
            "verdict": self.verdict(),
            "reasons": self.reasons,
        })
    }

    fn errors(&self) -> Map<String, Value> {
        let name = |((class, phase), count): &((taut::Class, taut::Phase), u64)| {
            (format!("{}/{}", class.name(), phase.name()), json!(count))
        };
        self.measured.errors.iter().map(name).collect()
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, text: &mut String) -> std::fmt::Result {
        let latencies = &self.measured.latencies;
        self.write_head(text)?;
        writeln!(
            text,
            "rate   {}/s achieved (closed loop)",
            Amount(self.rate())
        )?;
        let columns = ["p50", "p90", "p99", "p99.9", "max"];
        writeln!(
            text,
            "{:8}{}",
            "",
            columns.map(|name| format!("{name:>9}")).concat()
        )?;
        let quantiles = [0.50, 0.90, 0.99, 0.999].map(|share| latencies.quantile(share));
        let [p50, p90, p99, p999] = quantiles;
        let values = [p50, p90, p99, p999, latencies.max()];
        let measured = latencies.count() > 0;
        for (name, values, note) in [
            ("response", values, "from the intended send time"),
            ("service", values, "from the write"),
            ("lag", [0; 5], "the client's own delay"),
        ] {
            let column = |value| format!("{:>9}", or_dash(measured, value));
            let columns = values.map(column).concat();
            writeln!(text, "{name:8}{columns}   {note}")?;
        }
        self.write_errors(text)?;
        self.write_tcp(text)?;
        let interrupted = if self.interrupted {
            " (interrupted)"
        } else {
            ""
        };
        match self.is_valid() {
            true => writeln!(text, "VALID{interrupted}"),
            false => writeln!(text, "INVALID{interrupted}: {}", self.reasons.join("; ")),
        }
    }

    fn write_head(&self, text: &mut String) -> std::fmt::Result {
        let args = self.args;
        let proto = args.peer.proto;
        let own = if self.own_server {
            ", own echo server"
        } else {
            ""
        };
        let (established, asked, depth) =
            (self.measured.established, args.connections, args.pipeline);
        let elapsed = Seconds(self.measured.elapsed);
        let shape = match args.per_request {
            true => format!("{established} connections, one a request, {asked} at a time"),
            false => format!("{established}/{asked} connections, pipeline {depth}"),
        };
        let tls = match &self.measured.tls {
            Some(seen) => format!(", {}, {}", seen.agreed(), seen.verified()),
            None => String::new(),
        };
        write!(
            text,
            "target {} ({proto}{own}{tls})   {shape}, {elapsed}",
            self.target
        )?;
        match args.warmup.is_zero() {
            true => writeln!(text),
            false => writeln!(text, ", warm-up {} dropped", Seconds(args.warmup)),
        }
    }

    /// What failed, by class and phase, and how long the server was away.
    fn write_errors(&self, text: &mut String) -> std::fmt::Result {
        let Measured { counts, away, .. } = self.measured;
        let errors = counts.failed + counts.mismatched;
        let (timeouts, reconnects) = (counts.timed_out, self.measured.reconnects);
        write!(
            text,
            "errors {errors}   timeouts {timeouts}   reconnects {reconnects}"
        )?;
        if self.args.peer.expect.is_some() {
            write!(text, "   mismatched {}", counts.mismatched)?;
        }
        writeln!(text)?;
        for ((class, phase), count) in &self.measured.errors {
            writeln!(text, "       {}/{} {count}", class.name(), phase.name())?;
        }
        if let Some(error) = self.measured.last_error {
            writeln!(text, "       last loss: {error}")?;
        }
        if !away.in_all.is_zero() {
            let in_all = Nanos(nanos(away.in_all));
            writeln!(text, "       the server was away for {in_all}")?;
        }
        Ok(())
    }

    fn write_tcp(&self, text: &mut String) -> std::fmt::Result {
        let Measured {
            tcp, cpu, cpu_over, ..
        } = self.measured;
        let rtt = or_dash(tcp.segments_out > 0, nanos(tcp.rtt));
        let retransmits = tcp.retransmits;
        let segments = Amount(tcp.segments_out as f64);
        let tcp = format!("tcp    rtt {rtt}   retransmits {retransmits} of {segments} segments");
        writeln!(
            text,
            "{tcp}        client core {:.0} %",
            percent(cpu.sum(), *cpu_over)
        )
    }
}

/// A duration, or a dash where there was none to measure: 0ns would be the best of all.
fn or_dash(is_measured: bool, nanos: u64) -> String {
    match is_measured {
        true => Nanos(nanos).to_string(),
        false => "-".to_owned(),
    }
}

/// Why the measurement is invalid; none when it is valid.
fn reasons(args: &LoadArgs, measured: &Measured) -> Vec<String> {
    let mut reasons = Vec::new();
    let Measured {
        established,
        counts,
        last_error,
        away,
        ..
    } = measured;
    let why = last_error.map_or_else(String::new, |error| format!(": {error}"));
    if *established < args.connections && !args.per_request {
        reasons.push(format!(
            "{established} of {} connections were established{why}",
            args.connections
        ));
    }
    if let Some(for_so_long) = away.at_end {
        let for_so_long = Nanos(nanos(for_so_long));
        reasons.push(format!(
            "no connection stood at the end, the server was away for the last {for_so_long}{why}"
        ));
    }
    if counts.ok == 0 {
        reasons.push("not one request succeeded".to_owned());
    }
    reasons
}
