//! The command line, by hand: the bench is built without the binary's crates too.

use crate::effort::{Effort, number};

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
cargo bench --bench ship -- [rungs|relp] [--rounds N] [--quick]
  a sink or a shipper alone, for perf and callgrind:
cargo bench --bench ship -- --sink
cargo bench --bench ship -- --shipper none|peek|kernel|commit|relp --connect ADDR [--lines N] [--input FILE] [--window N] [--journal BYTES] [--cpu N]";

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) effort: Effort,
    pub(crate) only: Option<String>,
}

pub(crate) enum Mode {
    Compare,
    Sink,
    Shipper(Alone),
}

/// One shipper alone, to a sink that runs already.
pub(crate) struct Alone {
    pub(crate) ack: String,
    pub(crate) connect: String,
    pub(crate) lines: u64,
    /// Lines are read there; without it each is the same.
    pub(crate) input: Option<PathBuf>,
    /// RELP's; without it the library's default.
    pub(crate) window: Option<usize>,
    /// Bytes of lines whose fate is open; without it the library's default.
    pub(crate) journal: Option<usize>,
    pub(crate) cpu: Option<usize>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut rounds, mut quick, mut only) = (None, false, None);
        let (mut is_sink, mut ack) = (false, None);
        let (mut connect, mut lines) = (String::new(), 1_000_000);
        let (mut input, mut window, mut journal, mut cpu) = (None, None, None, None);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = format!("{argument} needs a value");
                arguments.next().ok_or(missing)
            };
            match argument.as_str() {
                // What `cargo bench` says to every bench.
                "--bench" => {}
                "--quick" => quick = true,
                "--rounds" => rounds = Some(number(&value()?)?),
                "rungs" | "relp" => only = Some(argument),
                "--sink" => is_sink = true,
                "--shipper" => ack = Some(value()?),
                "--connect" => connect = value()?,
                "--lines" => lines = number(&value()?)?,
                "--input" => input = Some(value()?.into()),
                "--window" => window = Some(number(&value()?)?),
                "--journal" => journal = Some(number(&value()?)?),
                "--cpu" => cpu = Some(number(&value()?)?),
                other => return Err(format!("unknown: {other}")),
            }
        }
        let mode = match ack {
            Some(ack) => Mode::Shipper(Alone {
                ack,
                connect,
                lines,
                input,
                window,
                journal,
                cpu,
            }),
            None if is_sink => Mode::Sink,
            None => Mode::Compare,
        };
        Ok(Options {
            mode,
            effort: Effort::new(rounds, quick),
            only,
        })
    }
}
