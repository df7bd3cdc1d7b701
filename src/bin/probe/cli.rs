//! The flags, exactly as `docs/probe.md` has them, and the library's settings that follow from them.
//!
//! Whatever is wrong with a command line ends with exit 2 and one line that says what would be right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::{self, Exit};
use crate::gates::Gate;
use crate::link::cpu;
use crate::peer::PeerArgs;
use crate::report::OutputArgs;
use crate::ship::ShipArgs;
use crate::target::Target;
use crate::tls::ServeTlsArgs;
use crate::units;

/// Serve, ping and load TCP services.
#[derive(Debug, Parser)]
#[command(name = "probe", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log more to stderr; twice for more still. RUST_LOG does the same in detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 1000)]
    pub(crate) verbose: u8,
    /// No progress bar.
    #[arg(short, long, global = true, display_order = 1001)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The bundled peer: an uppercasing line service, an echo, or a counting sink.
    #[command(after_help = [units::HELP, exit::HELP_OF_SERVE].join("\n"))]
    Serve(ServeArgs),
    /// How fast: lookup, connect, TLS, first byte, round trip, for each probe and as percentiles.
    #[command(after_help = [units::HELP, exit::HELP_OF_PING].join("\n"))]
    Ping(PingArgs),
    /// Drive a request-response server and report its latency.
    #[command(after_help = [units::HELP, exit::HELP_OF_LOAD].join("\n"))]
    Load(LoadArgs),
    /// Deliver lines from stdin or a file to a TCP sink, and say of each whether it arrived.
    #[command(after_help = [units::HELP, exit::HELP_OF_SHIP].join("\n"))]
    Ship(Box<ShipArgs>),
}

/// `probe serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// What it does with what it reads.
    #[arg(value_enum)]
    pub(crate) service: ServiceName,
    /// Where to listen; port 0 takes one that is free.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Close a connection on which nothing moves for so long.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = units::duration_above_zero)]
    pub(crate) idle_timeout: Duration,
    /// The longest line; a longer one ends its connection.
    #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = units::bytes_in_memory)]
    pub(crate) max_line: usize,
    /// All that one connection may send in its life; then its last whole line is answered and it is closed.
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    pub(crate) read_limit: Option<u64>,
    /// Connections at a time; one more is closed at once.
    #[arg(long, value_name = "N", default_value = "10k", value_parser = units::small_count)]
    pub(crate) max_connections: usize,
    /// How long connections may finish after SIGTERM before they are reset.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration)]
    pub(crate) drain: Duration,
    /// What a sink reads: lines, or octet-counted messages, LEN SP MSG (RFC 6587).
    #[arg(long, value_enum, value_name = "FRAMING", default_value = "lf")]
    pub(crate) framing: SinkFraming,
    /// Keep the lines in this file (sink).
    #[arg(long, value_name = "FILE")]
    pub(crate) dump: Option<PathBuf>,
    /// Poll for so long before blocking.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = units::duration)]
    pub(crate) spin: Duration,
    /// Pin the loop's thread to this CPU.
    #[arg(long, value_name = "N", value_parser = cpu)]
    pub(crate) cpu: Option<usize>,
    #[command(flatten)]
    pub(crate) tls: ServeTlsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// Answer each line uppercased.
    Shout,
    /// Return bytes as they come.
    Echo,
    /// Read and count lines.
    Sink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SinkFraming {
    /// Ended by LF or CR LF.
    Lf,
    /// Counted: any byte may be in one.
    Octet,
}

/// `probe ping`.
#[derive(Args, Debug)]
pub(crate) struct PingArgs {
    /// host:port, [v6]:port, tcp://host:port or tls://host:port.
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<Target>,
    /// Probes of each target. Default: until Ctrl-C.
    #[arg(short, long, value_name = "N", value_parser = units::count)]
    pub(crate) count: Option<u64>,
    /// From the start of a probe to the start of the next.
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = units::duration)]
    pub(crate) interval: Duration,
    /// One connection for all probes of a target: round trips only.
    #[arg(long)]
    pub(crate) reuse: bool,
    /// What must not come out, such as 'cert_days<14' (whole days to the end of a target's certificate); several may be
    /// given.
    #[arg(long, value_name = "GATE")]
    pub(crate) fail_if: Vec<Gate>,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `probe load`.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// host:port, [v6]:port, tcp://host:port or tls://host:port. Default: an echo server in a second thread.
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<Target>,
    /// Connections, all made before the first request.
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = units::small_count)]
    pub(crate) connections: usize,
    /// Requests under way on each connection.
    #[arg(short = 'P', long, value_name = "N", default_value = "1", value_parser = units::small_count)]
    pub(crate) pipeline: usize,
    /// A connection for each request: -c of them at a time, none made before the first request.
    #[arg(long, conflicts_with = "pipeline")]
    pub(crate) per_request: bool,
    /// Send for so long.
    #[arg(short, long, value_name = "DURATION", default_value = "10s", conflicts_with = "requests",
          value_parser = units::duration_above_zero)]
    pub(crate) duration: Duration,
    /// Send so many requests, in place of a duration.
    #[arg(short = 'n', long, value_name = "N", value_parser = units::count)]
    pub(crate) requests: Option<u64>,
    /// Run for so long before measuring; its results are dropped.
    #[arg(short, long, value_name = "DURATION", default_value = "0s", value_parser = units::duration)]
    pub(crate) warmup: Duration,
    /// From one interval's report to the next (ndjson, progress).
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::duration_above_zero)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl Cli {
    /// Reads the command line; on `Err` everything is printed and only the exit code is left.
    pub(crate) fn read() -> Result<Cli, Exit> {
        let error = match Cli::try_parse() {
            Ok(cli) => return Ok(cli),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                // A reader that has gone is no failure of help.
                let _ = error.print();
                Err(Exit::Done)
            }
            _ => {
                eprintln!("probe: {}", one_line(&error));
                Err(Exit::Usage)
            }
        }
    }
}

/// Condenses clap's message: without its usage block and the hint at --help.
fn one_line(error: &clap::Error) -> String {
    let message = match error.kind() {
        // clap would print the whole help here.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a subcommand is missing: serve, ping, load or ship".to_owned()
        }
        _ => error.render().to_string(),
    };
    let told = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        // A value with a hyphen is no better behind `--`.
        .filter(|line| !line.starts_with("tip: to pass"));
    let line = told.collect::<Vec<_>>().join(" ").replace(" tip: ", "; ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    format!("{line} (probe --help tells more)")
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an address is IP:PORT, such as 127.0.0.1:0 or [::1]:7000".into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn refusal(args: &str) -> String {
        let error = Cli::try_parse_from(args.split(' ')).unwrap_err();
        one_line(&error)
    }

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_refusal_is_one_line_that_says_what_would_be_right() {
        for (args, told) in [
            ("probe", "subcommand"),
            ("probe pong", "'pong'"),
            ("probe load -c 0", "at least 1"),
            ("probe load -d 10", "250us"),
            ("probe load -d 1s -n 5", "cannot be used with"),
            ("probe load -P 2 --per-request", "cannot be used with"),
            ("probe load --proto http a:1", "line, len16, len32"),
            ("probe load --rate 5", "--rate"),
            ("probe load --peak never", "'--peak' found; a similar"),
            ("probe load -c -1", "'-1' found (probe"),
            ("probe load --cpu x", "from 0 on"),
            ("probe load --expect /(/ a:1", "unclosed"),
            ("probe load --peek idle", "idle:10ms"),
            ("probe ping", "<TARGET>"),
            ("probe ping localhost", "port is missing"),
            ("probe ping tls:/a:1", "IPv6"),
            ("probe ping a:1 --fail-if p99<1ms", "cert_days"),
            ("probe ping a:1 --tls --cert c.pem", "--key"),
            (
                "probe ping a:1 --tls -k --cacert c.pem",
                "cannot be used with",
            ),
            ("probe serve echo --cert c.pem --key k.pem", "--tls"),
            ("probe ping a:1 --send x --size 4", "cannot be used with"),
            ("probe serve shout --listen 7000", "IP:PORT"),
            ("probe serve loud", "shout"),
        ] {
            let line = refusal(args);
            assert!(
                !line.contains('\n') && line.contains(told),
                "{args}: {line}"
            );
        }
    }

    #[test]
    fn the_largest_payload_is_within_the_limits_of_the_library() {
        let cli = Cli::try_parse_from(["probe", "load", "--size", "1GiB"]).unwrap();
        let Command::Load(LoadArgs { peer, .. }) = cli.command else {
            panic!("it is a load");
        };
        let request = peer.request().unwrap();
        assert!(peer.frame_bytes_max(&request) > request.len());
        assert!(peer.frame_bytes_max(&request) < 1 << 31);
    }
}
