//! The command line, by hand.

use std::path::PathBuf;

use crate::effort::{Effort, number};

pub(crate) const USAGE: &str = "\
cargo bench --bench tls -- [--rounds N] [--quick] [--only exchanges|handshakes|allocations]
  one server or one client alone, for strace and callgrind; the server writes its authority's certificate to FILE:
cargo bench --bench tls -- --serve ADDR --authority FILE
cargo bench --bench tls -- --client taut|taut-never|tokio|codec --connect ADDR --authority FILE [--requests N] [--connections C] [--bytes B]
cargo bench --bench tls -- --client taut|tokio --connect ADDR --authority FILE --handshakes full|resumed [--requests N]";

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) effort: Effort,
    pub(crate) only: Option<String>,
}

pub(crate) enum Mode {
    Compare,
    Serve { at: String, authority: PathBuf },
    Client(Alone),
}

/// One client alone against a server that runs already.
pub(crate) struct Alone {
    pub(crate) client: String,
    pub(crate) connect: String,
    pub(crate) authority: PathBuf,
    pub(crate) requests: u64,
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    /// Handshakes in place of requests: whether they are resumed.
    pub(crate) handshakes: Option<bool>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut rounds, mut quick, mut only) = (None, false, None);
        let (mut serve, mut client) = (None, None);
        let mut alone = Alone {
            client: String::new(),
            connect: String::new(),
            authority: PathBuf::new(),
            requests: 10_000,
            connections: 1,
            bytes: 64,
            handshakes: None,
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
                "--authority" => alone.authority = value()?.into(),
                "--requests" => alone.requests = number(&value()?)?,
                "--connections" => alone.connections = number(&value()?)?,
                "--bytes" => alone.bytes = number(&value()?)?,
                "--handshakes" => alone.handshakes = Some(value()? == "resumed"),
                other => return Err(format!("unknown: {other}")),
            }
        }
        let mode = match (serve, client) {
            (Some(at), _) => Mode::Serve {
                at,
                authority: alone.authority,
            },
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
