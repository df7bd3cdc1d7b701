//! `probe load`: a closed loop of requests, and a report of its latency.
//!
//! So many connections with so many requests on each are kept under way; a request that ends is replaced at once.
//! In a closed loop the intended time of a request is the time of its write: response is service, and lag is zero.

mod accounts;
mod counts;
mod drive;
mod measured;
mod own_server;
mod plan;
mod progress;
mod report;

use std::net::Ipv4Addr;
use std::time::Duration;

use taut::{Client, Limits, TlsConfig, Upstream, UpstreamId};

use crate::cli::LoadArgs;
use crate::exit::{Exit, Fault};
use crate::peer::PeerArgs;
use crate::report::{Format, Output};
use crate::signals::{LOOK_EVERY, Signals};
use crate::system;
use crate::tls::Made;
use counts::Counts;
use drive::Drive;
use measured::Measured;
use own_server::OwnServer;
use plan::{Extent, Plan};
use progress::Progress;
use report::Report;

/// Requests under way at a time, over all connections.
const WINDOW_MAX: usize = 1 << 20;

/// Their bytes, all of which may be in memory.
const WINDOW_BYTES_MAX: usize = 4 << 30;

pub(crate) fn run(args: &LoadArgs, quiet: bool) -> Result<Exit, Fault> {
    let window = args.connections.saturating_mul(args.pipeline);
    if window > WINDOW_MAX {
        return Err(Fault::usage(format!(
            "{} connections with {} requests on each are more than {WINDOW_MAX} under way",
            args.connections, args.pipeline
        )));
    }
    let request = args.peer.request()?;
    if window.saturating_mul(request.len()) > WINDOW_BYTES_MAX {
        return Err(Fault::usage(format!(
            "{window} requests of {} bytes under way are more than 4GiB: ask for a smaller -c, -P or payload",
            request.len()
        )));
    }
    let mut output = Output::open(&args.output)?;
    let signals = Signals::install()?;
    let loaded = Loaded::of(args)?;
    let progress = Progress::start(args, output.format == Format::Ndjson, quiet)?;
    if let Some(cpu) = args.peer.link.cpu {
        system::pin(cpu)?;
    }
    let (client, upstream) = client(args, &loaded, &request, window)?;
    let plan = Plan {
        expect: args.peer.expect.clone(),
        is_tls: loaded.tls.is_some(),
        window,
        pipelined: args.pipeline > 1,
        extent: match args.requests {
            Some(requests) => Extent::Requests(requests),
            None => Extent::Duration(args.duration),
        },
        warmup: args.warmup,
        interval: args.interval,
        timeout: args.peer.timeout,
        request,
    };
    let measured = measure(client, upstream, plan, args, &signals, progress)?;
    let interrupted = signals.caught();
    let report = Report::new(
        args,
        loaded.target.clone(),
        loaded.server.is_some(),
        interrupted.is_some(),
        &measured,
    );
    output.finish(&report.to_json(), &report.to_text())?;
    drop(loaded);
    Ok(match interrupted {
        Some(exit) => exit,
        None if measured.counts.ok == 0 => Exit::Failed,
        None if report.is_valid() => Exit::Done,
        None => Exit::Invalid,
    })
}

/// Who is loaded, and how it is spoken to.
struct Loaded {
    target: String,
    /// `None`: in the clear.
    tls: Option<TlsConfig>,
    server: Option<OwnServer>,
}

impl Loaded {
    /// The target, or, without one, a server that is started now.
    fn of(args: &LoadArgs) -> Result<Loaded, Fault> {
        let link = &args.peer.link;
        if let Some(target) = &args.target {
            return Ok(Loaded {
                target: target.as_str().to_owned(),
                tls: link.tls.settings(std::slice::from_ref(target))?,
                server: None,
            });
        }
        let made = match link.tls.tls {
            true => Some(Made::new(Ipv4Addr::LOCALHOST.into())?),
            false => None,
        };
        let tls = link.tls.settings_for_own(made.as_ref())?;
        let shown = made.map(|made| made.settings(&link.tls.alpn)).transpose()?;
        let server = OwnServer::start(link.cpu, link.spin, shown)?;
        Ok(Loaded {
            target: server.address().to_string(),
            tls,
            server: Some(server),
        })
    }
}

fn client(
    args: &LoadArgs,
    loaded: &Loaded,
    request: &[u8],
    window: usize,
) -> Result<(Client, UpstreamId), Fault> {
    let peer: &PeerArgs = &args.peer;
    let frame_bytes_max = peer.frame_bytes_max(request);
    // Of connections for one request as many again may wait for their peer's end.
    let slots_each = if args.per_request { 2 } else { 1 };
    let mut config = peer.config(request, args.connections * slots_each, window);
    config.limits = Limits {
        frame_bytes_max,
        ..config.limits
    };
    let mut client = Client::new(config)?;
    let upstream = Upstream::new(loaded.target.clone())
        .framing(peer.proto.framing(frame_bytes_max))
        .connections(args.connections)
        .depth(args.pipeline)
        .tell_state();
    let upstream = match args.per_request {
        true => upstream.one_request_per_connection(),
        false => upstream,
    };
    let upstream = match &loaded.tls {
        Some(tls) => upstream.tls(tls.clone()),
        None => upstream,
    };
    let upstream = client.add(upstream)?;
    Ok((client, upstream))
}

/// Waits until every connection stands or has failed, then runs.
fn measure(
    mut client: Client,
    upstream: UpstreamId,
    plan: Plan,
    args: &LoadArgs,
    signals: &Signals,
    progress: Option<Progress>,
) -> Result<Measured, Fault> {
    let stats = |client: &Client| client.upstream_stats(upstream).unwrap_or_default();
    // Each attempt ends by itself at --connect-timeout.
    while stats(&client).connecting > 0 && signals.caught().is_none() {
        client.turn(Some(LOOK_EVERY))?;
    }
    let established = stats(&client);
    let mut drive = Drive::new(client, upstream, plan, progress)?;
    drive.look_at_tls();
    if established.open > 0 || args.per_request {
        drive.run(signals)?;
    } else {
        drive.never_stood(&established);
    }
    log::info!(
        "{} of {} connections stood at the start",
        established.open,
        args.connections
    );
    let measured = drive.finish(established)?;
    Ok(match args.per_request {
        true => measured.per_request(),
        false => measured,
    })
}

/// A duration as a share of another, in percent.
fn percent(part: Duration, whole: Duration) -> f64 {
    match whole.is_zero() {
        true => 0.0,
        false => 100.0 * part.as_secs_f64() / whole.as_secs_f64(),
    }
}
