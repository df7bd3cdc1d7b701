//! What ping prints: a line or object for each probe, and the summary of each target.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::session::{Probe, Session};
use crate::exit::Fault;
use crate::histogram::Latencies;
use crate::report::{Failure, Format, Output};
use crate::target::Target;
use crate::units::{Nanos, nanos};

/// Prints probes as they end and sums them up.
pub(super) struct Reporter {
    output: Output,
    tallies: Vec<Tally>,
    /// The longest target, for aligned lines.
    width: usize,
}

/// The probes of one target.
struct Tally {
    sent: u64,
    ok: u64,
    dns: Latencies,
    connect: Latencies,
    first_byte: Latencies,
    total: Latencies,
    errors: BTreeMap<String, u64>,
    last_failure: Option<Failure>,
}

impl Reporter {
    pub(super) fn new(targets: &[Target], output: Output) -> Result<Reporter, Fault> {
        let tally = |_| Tally::one_of(targets.len());
        let tallies: Result<_, Fault> = targets.iter().map(tally).collect();
        Ok(Reporter {
            output,
            tallies: tallies?,
            width: targets
                .iter()
                .map(|target| target.as_str().len())
                .max()
                .unwrap_or(0),
        })
    }

    /// A probe of this target has ended.
    pub(super) fn probe(
        &mut self,
        index: usize,
        session: &Session,
        probe: &Probe,
    ) -> Result<(), Fault> {
        self.tallies[index].add(probe);
        let mut out = std::io::stdout().lock();
        match self.output.format {
            Format::Text => {
                writeln!(
                    out,
                    "{:<width$}  {}",
                    session.target,
                    line(probe),
                    width = self.width
                )?;
            }
            Format::Ndjson => writeln!(out, "{}", object(&session.target, probe))?,
            Format::Json => return Ok(()),
        }
        Ok(out.flush()?)
    }

    /// Prints the summary; whether anything answered.
    pub(super) fn finish(mut self, sessions: &[Session], interrupted: bool) -> Result<bool, Fault> {
        let of_targets = || sessions.iter().zip(&self.tallies);
        let document = json!({
            "command": "ping",
            "version": env!("CARGO_PKG_VERSION"),
            "interrupted": interrupted,
            "targets": of_targets().map(|(session, tally)| tally.to_json(session)).collect::<Vec<_>>(),
        });
        let mut text = String::new();
        for (session, tally) in of_targets() {
            tally.write_text(session, &mut text);
        }
        self.output.finish(&document, &text)?;
        Ok(self.tallies.iter().any(|tally| tally.ok > 0))
    }
}

impl Tally {
    fn one_of(tallies: usize) -> Result<Tally, Fault> {
        let latencies = || Latencies::one_of(4 * tallies);
        Ok(Tally {
            sent: 0,
            ok: 0,
            dns: latencies()?,
            connect: latencies()?,
            first_byte: latencies()?,
            total: latencies()?,
            errors: BTreeMap::new(),
            last_failure: None,
        })
    }

    fn add(&mut self, probe: &Probe) {
        self.sent += 1;
        match &probe.failure {
            None => self.ok += 1,
            Some(failure) => {
                let key = format!("{}/{}", failure.class, failure.phase);
                *self.errors.entry(key).or_default() += 1;
                self.last_failure = Some(failure.clone());
                return;
            }
        }
        for (latencies, phase) in [
            (&mut self.dns, probe.dns),
            (&mut self.connect, probe.connect),
            (&mut self.first_byte, probe.first_byte),
            (&mut self.total, probe.total),
        ] {
            if let Some(duration) = phase {
                latencies.record(nanos(duration));
            }
        }
    }

    fn to_json(&self, session: &Session) -> Value {
        json!({
            "target": session.target.as_str(),
            "sent": self.sent,
            "ok": self.ok,
            "failed": self.sent - self.ok,
            "dns_ns": self.dns.to_json(),
            "connect_ns": self.connect.to_json(),
            "first_byte_ns": self.first_byte.to_json(),
            "total_ns": self.total.to_json(),
            "errors": self.errors,
            "last_error": self.last_failure.as_ref().map(Failure::to_json),
            "reconnects": session.reconnects(),
        })
    }

    fn write_text(&self, session: &Session, text: &mut String) {
        let Tally { sent, ok, .. } = self;
        let failed = sent - ok;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n{}   {sent} sent   {ok} ok   {failed} failed",
            session.target
        );
        if self.total.count() > 0 {
            let _ = writeln!(
                text,
                "{:<10} {:>9} {:>9} {:>9} {:>9}",
                "", "p50", "p90", "p99", "max"
            );
        }
        for (name, latencies) in [
            ("dns", &self.dns),
            ("connect", &self.connect),
            ("first byte", &self.first_byte),
            ("total", &self.total),
        ] {
            if latencies.max() > 0 {
                let at = |share| Nanos(latencies.quantile(share));
                let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), Nanos(latencies.max()));
                let _ = writeln!(text, "{name:<10} {p50:>9} {p90:>9} {p99:>9} {max:>9}");
            }
        }
        for (key, count) in &self.errors {
            let _ = writeln!(text, "{key:<20} {count}");
        }
    }
}

/// A probe, for people.
fn line(probe: &Probe) -> String {
    let mut line = format!("seq {:<4}", probe.seq);
    let phases = [
        ("dns", probe.dns.filter(|dns| !dns.is_zero())),
        ("connect", probe.connect),
        ("first byte", probe.first_byte),
        ("total", probe.total),
    ];
    for (name, phase) in phases {
        if let Some(duration) = phase {
            let _ = write!(line, "  {name} {:<7}", Nanos(nanos(duration)));
        }
    }
    match (&probe.failure, probe.tcp) {
        (Some(failure), _) => {
            let _ = write!(line, "  failed in {}", failure.to_text());
        }
        (None, Some(tcp)) => {
            let (rtt, retransmits) = (Nanos(nanos(tcp.rtt)), tcp.retransmits);
            let _ = write!(line, "  tcp rtt {rtt}, retransmits {retransmits}");
        }
        (None, None) => {}
    }
    line.trim_end().to_owned()
}

/// A probe, as the contract's object.
fn object(target: &Target, probe: &Probe) -> Value {
    let phase = |duration: Option<Duration>| duration.map(nanos);
    json!({
        "target": target.as_str(),
        "seq": probe.seq,
        "ok": probe.failure.is_none(),
        "dns_ns": phase(probe.dns),
        "connect_ns": phase(probe.connect),
        "tls_ns": null,
        "first_byte_ns": phase(probe.first_byte),
        "total_ns": phase(probe.total),
        "addr": probe.addr.map(|addr| addr.to_string()),
        "tcp": probe.tcp.map(|tcp| json!({
            "rtt_ns": nanos(tcp.rtt),
            "retransmits": tcp.retransmits,
        })),
        "error": probe.failure.as_ref().map(Failure::to_json),
    })
}
