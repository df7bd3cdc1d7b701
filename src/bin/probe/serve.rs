//! `probe serve`: the library's server until SIGTERM or SIGINT, and its drain.
//!
//! The first line of stdout says where it listens: scripts wait for it. Whether all connections ended by themselves is
//! told by the exit code.

use std::fs::File;
use std::io::{BufWriter, Write};

use taut::server::{Server, ServerConfig, Service};

use crate::cli::{ServeArgs, ServiceName, SinkFraming};
use crate::exit::{Exit, Fault};
use crate::signals::{LOOK_EVERY, Signals};
use crate::system;
use crate::tls::{Certificate, Served};

pub(crate) fn run(args: &ServeArgs) -> Result<Exit, Fault> {
    let signals = Signals::install()?;
    if let Some(cpu) = args.cpu {
        system::pin(cpu)?;
    }
    let tls = args.tls.settings(args.listen.ip())?;
    let mut server = bind(args, tls.as_ref())?;
    tell_pin(tls.as_ref());
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}", server.local_addr())?;
    out.flush()?;
    let mut draining = false;
    while !server.is_drained() {
        server.turn(Some(LOOK_EVERY))?;
        if signals.caught().is_some() && !draining {
            draining = true;
            server.drain();
        }
    }
    let stats = server.stats();
    log::info!(
        "{} connections accepted, {} refused, {} ended by an error; {} lines and {} bytes read, {} bytes answered",
        stats.accepted,
        stats.refused,
        stats.failed,
        stats.lines,
        stats.bytes_received,
        stats.bytes_sent,
    );
    match stats.forced {
        0 => Ok(Exit::Done),
        forced => Err(Fault::failed(format!(
            "connections that did not end within --drain and were reset: {forced}"
        ))),
    }
}

/// For those who connect with --pin. Before the line that says that it listens: whoever waits for that has the pin.
fn tell_pin(tls: Option<&Served>) {
    let certificate = tls.and_then(|served| served.certificate.as_ref());
    if let Some(pin) = certificate.and_then(Certificate::pin) {
        eprintln!("pin {pin}");
    }
}

fn bind(args: &ServeArgs, tls: Option<&Served>) -> Result<Server, Fault> {
    if args.framing == SinkFraming::Octet && args.service != ServiceName::Sink {
        return Err(Fault::usage(
            "--framing octet is what a sink reads: probe serve sink --framing octet",
        ));
    }
    let config = ServerConfig {
        service: match args.service {
            ServiceName::Shout => Service::Shout,
            ServiceName::Echo => Service::Echo,
            ServiceName::Sink => Service::Sink,
        },
        octet_counted: args.framing == SinkFraming::Octet,
        idle_timeout: args.idle_timeout,
        line_bytes_max: args.max_line,
        read_limit_bytes: args.read_limit,
        connections_max: args.max_connections,
        drain_timeout: args.drain,
        spin: args.spin,
        tls: tls.map(|served| served.settings.clone()),

        ..ServerConfig::default()
    };
    let dump = match &args.dump {
        Some(_) if args.service != ServiceName::Sink => {
            return Err(Fault::usage(
                "--dump keeps the lines of a sink: probe serve sink --dump FILE",
            ));
        }
        Some(path) => Some(File::create(path).map_err(|error| {
            Fault::usage(format!("cannot write --dump {}: {error}", path.display()))
        })?),
        None => None,
    };
    let mut server = Server::bind(args.listen, config).map_err(|error| match error.source {
        taut::Source::Invalid(why) => Fault::usage(why),
        source => Fault::failed(format!("cannot listen at {}: {source}", args.listen)),
    })?;
    if let Some(file) = dump {
        server.set_dump(Box::new(BufWriter::new(file)));
    }
    Ok(server)
}
