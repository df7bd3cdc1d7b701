//! The flags, exactly as `docs/probe.md` has them, and the library's settings that follow from them.
//!
//! Whatever is wrong with a command line ends with exit 2 and one line that says what would be right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use taut::{Config, Limits, Peek, SocketOptions, Timeouts};

use crate::exit::{self, Exit, Fault};
use crate::payload::{self, Asked, Escaped, Expect, Proto};
use crate::report::Format;
use crate::target::Target;
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
    /// How fast: lookup, connect, first byte, round trip, for each probe and as percentiles.
    #[command(after_help = [units::HELP, exit::HELP_OF_PING].join("\n"))]
    Ping(PingArgs),
    /// Drive a request-response server and report its latency.
    #[command(after_help = [units::HELP, exit::HELP_OF_LOAD].join("\n"))]
    Load(LoadArgs),
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
    /// Keep the lines in this file (sink).
    #[arg(long, value_name = "FILE")]
    pub(crate) dump: Option<PathBuf>,
    /// Poll for so long before blocking.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = units::duration)]
    pub(crate) spin: Duration,
    /// Pin the loop's thread to this CPU.
    #[arg(long, value_name = "N", value_parser = cpu)]
    pub(crate) cpu: Option<usize>,
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

/// `probe ping`.
#[derive(Args, Debug)]
pub(crate) struct PingArgs {
    /// host:port, [v6]:port or tcp://host:port.
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
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `probe load`.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// host:port, [v6]:port or tcp://host:port. Default: an echo server in a second thread.
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<Target>,
    /// Connections, all made before the first request.
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = units::small_count)]
    pub(crate) connections: usize,
    /// Requests under way on each connection.
    #[arg(short = 'P', long, value_name = "N", default_value = "1", value_parser = units::small_count)]
    pub(crate) pipeline: usize,
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

/// Where the report goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Report")]
pub(crate) struct OutputArgs {
    /// How the report is written to stdout.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Write the JSON document here as well.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How the peer is talked to.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection and protocol")]
pub(crate) struct PeerArgs {
    /// How replies are framed: line, len32, fixed:N or resp.
    #[arg(long, value_name = "PROTO", default_value = "line")]
    pub(crate) proto: Proto,
    /// The request, with the escapes \r \n \t \0 \\ \xNN. Default: the protocol's smallest.
    #[arg(
        long,
        value_name = "TEXT",
        group = "payload",
        allow_hyphen_values = true
    )]
    pub(crate) send: Option<Escaped>,
    /// The request, from a file.
    #[arg(long, value_name = "FILE", group = "payload")]
    pub(crate) send_file: Option<PathBuf>,
    /// A request of so many bytes of payload.
    #[arg(long, value_name = "BYTES", group = "payload", value_parser = units::bytes_in_memory)]
    pub(crate) size: Option<usize>,
    /// What each reply must be: a text, or /a regex/.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) expect: Option<Expect>,
    /// All of connecting, the lookup included.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::duration_above_zero)]
    pub(crate) connect_timeout: Duration,
    /// A whole request, the wait for a connection included.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration_above_zero)]
    pub(crate) timeout: Duration,
    /// Poll for so long before blocking.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = units::duration)]
    pub(crate) spin: Duration,
    /// Pin the loop's thread to this CPU.
    #[arg(long, value_name = "N", value_parser = cpu)]
    pub(crate) cpu: Option<usize>,
    /// Look at the line before a write: always, idle:DURATION (after such a quiet) or never.
    #[arg(long, value_name = "WHEN", default_value = "always", value_parser = peek)]
    pub(crate) peek: Peek,
    /// TCP_NODELAY.
    #[arg(long, value_name = "SWITCH", value_enum, default_value = "on")]
    pub(crate) nodelay: Switch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl PeerArgs {
    /// The bytes of the request.
    pub(crate) fn request(&self) -> Result<Vec<u8>, Fault> {
        let asked = match (&self.send, &self.send_file, self.size) {
            (Some(Escaped(text)), ..) => Asked::Text(text),
            (_, Some(path), _) => Asked::File(path),
            (.., Some(size)) => Asked::Size(size),
            _ => Asked::Smallest,
        };
        payload::request(self.proto, asked)
    }

    /// The largest reply: the library's default, or what such a request may be answered with.
    pub(crate) fn frame_bytes_max(&self, request: &[u8]) -> usize {
        let fixed = match self.proto {
            Proto::Fixed(bytes) => bytes,
            _ => 0,
        };
        // 2^31 - 1 is all that the library allows.
        let twice = (2 * request.len()).min((1 << 31) - 1);
        (64 << 20).max(twice).max(fixed)
    }

    /// The library's settings. A request ends by its own deadline, so the timeouts of its parts are no shorter.
    pub(crate) fn config(&self, request: &[u8], connections: usize, window: usize) -> Config {
        let part = self.timeout.max(Duration::from_secs(5));
        let day = Duration::from_secs(24 * 3600);
        let defaults = Limits::default();
        let window_bytes = window.saturating_mul(request.len());
        Config {
            timeouts: Timeouts {
                resolve: self.connect_timeout,
                connect: self.connect_timeout,
                first_byte: part,
                read_stall: part,
                write_stall: part,
                request: self.timeout,
                wait: self.timeout,
                idle: part.max(day),
                ..Timeouts::default()
            },
            limits: Limits {
                connections_max: defaults.connections_max.max(connections),
                send_queue_bytes_max: defaults.send_queue_bytes_max.max(window_bytes),
                events_max: defaults.events_max.max(window),
                waiting_requests_max: defaults.waiting_requests_max.max(2 * window),
                waiting_bytes_max: defaults
                    .waiting_bytes_max
                    .max(window_bytes.saturating_mul(2)),
                ..defaults
            },
            peek: self.peek,
            spin: self.spin,
            socket: SocketOptions {
                nodelay: self.nodelay == Switch::On,
                ..SocketOptions::default()
            },
            ..Config::default()
        }
    }
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
            "a subcommand is missing: serve, ping or load".to_owned()
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

fn cpu(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "a CPU is a number from 0 on, such as 1".into())
}

fn peek(text: &str) -> Result<Peek, String> {
    match text.split_once(':') {
        None if text == "always" => Ok(Peek::Always),
        None if text == "never" => Ok(Peek::Never),
        Some(("idle", quiet)) => Ok(Peek::Idle(units::duration(quiet)?)),
        _ => Err("it is always, never or idle:DURATION, such as idle:10ms".into()),
    }
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
            ("probe load --proto http a:1", "line, len32"),
            ("probe load --rate 5", "--rate"),
            ("probe load --peak never", "'--peak' found; a similar"),
            ("probe load -c -1", "'-1' found (probe"),
            ("probe load --cpu x", "from 0 on"),
            ("probe load --expect /(/ a:1", "unclosed"),
            ("probe load --peek idle", "idle:10ms"),
            ("probe ping", "<TARGET>"),
            ("probe ping localhost", "port is missing"),
            ("probe ping tls://a:1", "TLS"),
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

    #[test]
    fn the_look_before_a_write_is_read() {
        assert_eq!(peek("never"), Ok(Peek::Never));
        assert_eq!(peek("idle:5ms"), Ok(Peek::Idle(Duration::from_millis(5))));
    }
}
