//! The gates of a ping: each is judged for each target that is spoken to in TLS, and told, whatever came of the others.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::exit::Fault;
use crate::gates::{Figure, Gate};
use crate::target::Target;
use crate::tls::{Certificate, Seen};

/// What must not come out.
#[derive(Debug)]
pub(super) struct Gates {
    gates: Vec<Gate>,
}

/// A gate and what it found of one target.
#[derive(Debug)]
pub(super) struct Judged {
    gate: Gate,
    target: Target,
    /// `None`: it could not be judged.
    value: Option<i64>,
}

impl Gates {
    pub(super) fn new(gates: &[Gate], is_any_tls: bool) -> Result<Gates, Fault> {
        match gates.first() {
            Some(gate) if !is_any_tls => Err(Fault::usage(format!(
                "--fail-if '{}' needs a target in TLS: say --tls, or tls://host:port",
                gate.as_str()
            ))),
            _ => Ok(Gates {
                gates: gates.to_vec(),
            }),
        }
    }

    pub(super) fn judge<'a>(
        &self,
        targets: impl Iterator<Item = (&'a Target, Option<&'a Seen>)>,
    ) -> Vec<Judged> {
        let of_target = |(target, seen): (&Target, Option<&Seen>)| {
            let certificate = seen.and_then(Seen::certificate);
            let judge = |gate: &Gate| Judged {
                gate: gate.clone(),
                target: target.clone(),
                value: match gate.figure() {
                    Figure::CertDays => certificate.map(Certificate::days),
                },
            };
            self.gates.iter().map(judge).collect::<Vec<_>>()
        };
        targets.flat_map(of_target).collect()
    }
}

impl Judged {
    pub(super) fn is_known(&self) -> bool {
        self.value.is_some()
    }

    pub(super) fn is_breached(&self) -> bool {
        self.value
            .is_some_and(|value| self.gate.is_breached_by(value))
    }

    /// A gate that could not be judged has no value, and is not said to be breached or not.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "expr": self.gate.as_str(),
            "target": self.target.as_str(),
            "breached": self.value.map(|_| self.is_breached()),
            "value": self.value,
        })
    }
}

/// A line for each.
pub(super) fn write_text(judged: &[Judged], text: &mut String) {
    if !judged.is_empty() {
        text.push('\n');
    }
    for one in judged {
        let found = match one.value {
            Some(value) if one.is_breached() => format!("{value}, BREACHED"),
            Some(value) => format!("{value}, holds"),
            None => "not judged: no certificate was seen".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "gate {}   {}   {found}",
            one.gate.as_str(),
            one.target
        );
    }
}
