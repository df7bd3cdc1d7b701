//! What ping prints: a line or object for each probe, and the summary of each target.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::gates::{self, Gates, Judged};
use super::session::{Probe, Session};
use crate::exit::{Exit, Fault};
use crate::histogram::Latencies;
use crate::report::{Failure, Format, Output};
use crate::target::Target;
use crate::tls::{Seen, TlsArgs};
use crate::units::{Nanos, nanos};

/// Prints probes as they end and sums them up.
pub(super) struct Reporter {
    output: Output,
    tallies: Vec<Tally>,
    gates: Gates,
    /// The longest target, for aligned lines.
    width: usize,
}

/// The probes of one target.
struct Tally {
    sent: u64,
    ok: u64,
    dns: Latencies,
    connect: Latencies,
    /// Of a target that is spoken to in TLS.
    tls: Option<Latencies>,
    first_byte: Latencies,
    total: Latencies,
    errors: BTreeMap<String, u64>,
    last_failure: Option<Failure>,
    /// The handshake whose certificate ends first: the one to be judged. Of those alike the last.
    seen: Option<Seen>,
}

impl Reporter {
    pub(super) fn new(
        targets: &[Target],
        tls: &TlsArgs,
        gates: Gates,
        output: Output,
    ) -> Result<Reporter, Fault> {
        let tally = |target| Tally::one_of(targets.len(), tls.is_for(target));
        let tallies: Result<_, Fault> = targets.iter().map(tally).collect();
        Ok(Reporter {
            output,
            tallies: tallies?,
            gates,
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
        let seen = probe.tls_info.as_deref().map(Seen::from);
        self.tallies[index].add(probe, seen.as_ref());
        let mut out = std::io::stdout().lock();
        match self.output.format {
            Format::Text => {
                writeln!(
                    out,
                    "{:<width$}  {}",
                    session.target,
                    line(probe, seen.as_ref()),
                    width = self.width
                )?;
            }
            Format::Ndjson => writeln!(out, "{}", object(&session.target, probe, seen.as_ref()))?,
            Format::Json => return Ok(()),
        }
        Ok(out.flush()?)
    }

    /// Judges the gates, unless a signal cut the run short, and prints the summary; how it came out.
    pub(super) fn finish(
        mut self,
        sessions: &[Session],
        interrupted: Option<Exit>,
    ) -> Result<Exit, Fault> {
        let of_targets = || sessions.iter().zip(&self.tallies);
        let in_tls = of_targets().filter(|(_, tally)| tally.tls.is_some());
        let judged = match interrupted {
            Some(_) => Vec::new(),
            None => self
                .gates
                .judge(in_tls.map(|(session, tally)| (&session.target, tally.seen.as_ref()))),
        };
        let document = json!({
            "command": "ping",
            "version": env!("CARGO_PKG_VERSION"),
            "interrupted": interrupted.is_some(),
            "targets": of_targets().map(|(session, tally)| tally.to_json(session)).collect::<Vec<_>>(),
            "gates": judged.iter().map(Judged::to_json).collect::<Vec<_>>(),
        });
        let mut text = String::new();
        for (session, tally) in of_targets() {
            tally.write_text(session, &mut text);
        }
        gates::write_text(&judged, &mut text);
        self.output.finish(&document, &text)?;
        let has_answered = self.tallies.iter().any(|tally| tally.ok > 0);
        Ok(match interrupted {
            Some(exit) => exit,
            None if judged.iter().any(Judged::is_breached) => Exit::Breached,
            None if has_answered && judged.iter().all(Judged::is_known) => Exit::Done,
            None => Exit::Failed,
        })
    }
}

impl Tally {
    fn one_of(tallies: usize, is_tls: bool) -> Result<Tally, Fault> {
        let latencies = || Latencies::one_of(4 * tallies);
        Ok(Tally {
            sent: 0,
            ok: 0,
            dns: latencies()?,
            connect: latencies()?,
            tls: is_tls.then(latencies).transpose()?,
            first_byte: latencies()?,
            total: latencies()?,
            errors: BTreeMap::new(),
            last_failure: None,
            seen: None,
        })
    }

    fn add(&mut self, probe: &Probe, seen: Option<&Seen>) {
        self.sent += 1;
        if let Some(seen) = seen {
            self.see(seen);
        }
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
            (Some(&mut self.dns), probe.dns),
            (Some(&mut self.connect), probe.connect),
            (self.tls.as_mut(), probe.tls),
            (Some(&mut self.first_byte), probe.first_byte),
            (Some(&mut self.total), probe.total),
        ] {
            if let (Some(latencies), Some(duration)) = (latencies, phase) {
                latencies.record(nanos(duration));
            }
        }
    }

    fn see(&mut self, seen: &Seen) {
        let before = self.seen.as_ref().and_then(Seen::certificate);
        let is_kept = match (before, seen.certificate()) {
            (Some(before), Some(now)) => before.ends_before(now),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if !is_kept {
            self.seen = Some(seen.clone());
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
            "tls_ns": self.tls.as_ref().map(Latencies::to_json),
            "first_byte_ns": self.first_byte.to_json(),
            "total_ns": self.total.to_json(),
            "tls": self.seen.as_ref().map(Seen::to_json),
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
        if let Some(seen) = &self.seen {
            let _ = writeln!(text, "{}", seen.to_text());
        }
        if self.total.count() > 0 {
            let _ = writeln!(
                text,
                "{:<10} {:>9} {:>9} {:>9} {:>9}",
                "", "p50", "p90", "p99", "max"
            );
        }
        for (name, latencies) in [
            ("dns", Some(&self.dns)),
            ("connect", Some(&self.connect)),
            ("tls", self.tls.as_ref()),
            ("first byte", Some(&self.first_byte)),
            ("total", Some(&self.total)),
        ] {
            if let Some(latencies) = latencies.filter(|latencies| latencies.max() > 0) {
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
fn line(probe: &Probe, seen: Option<&Seen>) -> String {
    let mut line = format!("seq {:<4}", probe.seq);
    let phases = [
        ("dns", probe.dns.filter(|dns| !dns.is_zero())),
        ("connect", probe.connect),
        ("tls", probe.tls),
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
            let certificate = seen.and_then(Seen::certificate);
            if let Some(certificate) = certificate.filter(|_| failure.is_for_a_certificate()) {
                let _ = write!(line, "; the certificate is for {}", certificate.hosts());
            }
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
fn object(target: &Target, probe: &Probe, seen: Option<&Seen>) -> Value {
    let phase = |duration: Option<Duration>| duration.map(nanos);
    json!({
        "target": target.as_str(),
        "seq": probe.seq,
        "ok": probe.failure.is_none(),
        "dns_ns": phase(probe.dns),
        "connect_ns": phase(probe.connect),
        "tls_ns": phase(probe.tls),
        "first_byte_ns": phase(probe.first_byte),
        "total_ns": phase(probe.total),
        "addr": probe.addr.map(|addr| addr.to_string()),
        "tcp": probe.tcp.map(|tcp| json!({
            "rtt_ns": nanos(tcp.rtt),
            "retransmits": tcp.retransmits,
        })),
        "tls": seen.map(Seen::to_json),
        "error": probe.failure.as_ref().map(Failure::to_json),
    })
}
