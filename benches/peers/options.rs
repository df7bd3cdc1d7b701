//! The command line, by hand: the bench is built without the binary's crates too.

use crate::effort::{Effort, number};

pub(crate) const USAGE: &str = "\
cargo bench --bench peers -- [--rounds N] [--quick] [--only round-trip|load|managed|idle|deadline]
  one server or one client alone, for strace and callgrind:
cargo bench --bench peers -- --serve ADDR
cargo bench --bench peers -- --client taut|taut-never|taut-spin|taut-raw|tokio|epoll --connect ADDR [--requests N] [--pipeline P] [--connections C]";

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) effort: Effort,
    pub(crate) only: Option<String>,
}

pub(crate) enum Mode {
    Compare,
    Serve { at: String },
    Client(Alone),
}

/// One client alone against a server that runs already.
pub(crate) struct Alone {
    pub(crate) client: String,
    pub(crate) connect: String,
    pub(crate) requests: u64,
    pub(crate) pipeline: usize,
    pub(crate) connections: usize,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut rounds, mut quick, mut only) = (None, false, None);
        let (mut serve, mut client) = (None, None);
        let mut alone = Alone {
            client: String::new(),
            connect: String::new(),
            requests: 100_000,
            pipeline: 1,
            connections: 1,
        };
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
                "--only" => only = Some(value()?),
                "--serve" => serve = Some(value()?),
                "--client" => client = Some(value()?),
                "--connect" => alone.connect = value()?,
                "--requests" => alone.requests = number(&value()?)?,
                "--pipeline" => alone.pipeline = number(&value()?)?,
                "--connections" => alone.connections = number(&value()?)?,
                other => return Err(format!("unknown: {other}")),
            }
        }
        let mode = match (serve, client) {
            (Some(at), _) => Mode::Serve { at },
            (None, Some(client)) => Mode::Client(Alone { client, ..alone }),
            (None, None) => Mode::Compare,
        };
        Ok(Options {
            mode,
            effort: Effort::new(rounds, quick),
            only,
        })
    }
}
