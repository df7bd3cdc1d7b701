//! probe: serve, ping, load and ship for TCP services; the first embedder of taut.
//!
//! Thin: it reads the command line, sets up logging, and hands over to one file a command. Reports go to stdout,
//! everything else to stderr; what went wrong before a report is one line.

mod cli;
mod exit;
mod gates;
mod histogram;
mod link;
mod load;
mod payload;
mod peer;
mod ping;
mod proto;
mod report;
mod serve;
mod ship;
mod signals;
mod system;
mod target;
mod tls;
mod units;

use std::process::ExitCode;

use cli::{Cli, Command};
use exit::Fault;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    init_logging(cli.verbose);
    system::raise_descriptor_limit();
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Ping(args) => ping::run(&args),
        Command::Load(args) => load::run(&args, cli.quiet),
        Command::Ship(args) => ship::run(&args, cli.quiet),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(Fault { exit, text }) => {
            if !text.is_empty() {
                eprintln!("probe: {text}");
            }
            exit.into()
        }
    }
}

/// `-v` once for each step above warnings; without it RUST_LOG decides.
fn init_logging(verbose: u8) {
    let mut builder = env_logger::Builder::new();
    builder
        .filter_level(log::LevelFilter::Warn)
        .parse_default_env();
    match verbose {
        0 => {}
        1 => drop(builder.filter_level(log::LevelFilter::Info)),
        2 => drop(builder.filter_level(log::LevelFilter::Debug)),
        _ => drop(builder.filter_level(log::LevelFilter::Trace)),
    }
    builder.init();
}
