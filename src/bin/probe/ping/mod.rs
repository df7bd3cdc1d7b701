//! `probe ping`: probes of one or many targets over one loop.
//!
//! Each probe is a connection of its own, or with `--reuse` a round trip on one that is kept. A probe ends exactly
//! once: with a reply, with what ended its connection, or at its own deadline. A kept connection that was lost is tried
//! for with backoff, by probes that are due; without one to keep the interval is the pause. Nothing here waits for one
//! target: a target that hangs costs the others no time.

mod away;
mod gates;
mod report;
mod resolver;
mod session;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taut::{Client, ConnectionId, Error, Event, Framing, Limits, Lookups, Source, TlsConfig};

use crate::cli::PingArgs;
use crate::exit::{Exit, Fault};
use crate::payload::Expect;
use crate::report::Output;
use crate::signals::{LOOK_EVERY, Signals};
use crate::system;
use crate::target::Target;
use gates::Gates;
use report::Reporter;
use resolver::TimedResolver;
use session::{Probe, Session};

/// From the first probe of a target to that of the next one, at most: begun all at once, each would be late by the
/// work for those before it, and would say that of its target.
const APART_MAX: Duration = Duration::from_micros(250);

pub(crate) fn run(args: &PingArgs) -> Result<Exit, Fault> {
    let request = args.peer.request()?;
    let tls_args = &args.peer.link.tls;
    let tls = tls_args.settings_for_whole_handshakes(&args.targets)?;
    let gates = Gates::new(&args.fail_if, tls.is_some())?;
    let output = Output::open(&args.output)?;
    let signals = Signals::install()?;
    if let Some(cpu) = args.peer.link.cpu {
        system::pin(cpu)?;
    }
    let resolver = Arc::new(TimedResolver::default());
    let mut config = args.peer.config(&request, 2 * args.targets.len(), 1);
    config.limits = Limits {
        frame_bytes_max: args.peer.frame_bytes_max(&request),
        ..config.limits
    };
    config.lookups = lookups(&args.targets, config.lookups);
    let now = Instant::now();
    let apart =
        APART_MAX.min(args.interval / u32::try_from(args.targets.len()).unwrap_or(u32::MAX));
    let session = |(number, target): (u32, &Target)| {
        let due = now + apart * number;
        Session::new(target.clone(), args.count, args.reuse, due)
    };
    let is_tls = args.targets.iter().map(|target| tls_args.is_for(target));
    let tls_of_targets = is_tls.map(|is_tls| tls.clone().filter(|_| is_tls));
    let mut pinger = Pinger {
        client: Client::with_resolver(config, resolver.clone())?,
        asked: Asked {
            framing: args.peer.proto.framing(args.peer.frame_bytes_max(&request)),
            request,
            expect: args.peer.expect.clone(),
            timeout: args.peer.timeout,
            interval: args.interval,
            reuse: args.reuse,
        },
        sessions: (0..).zip(&args.targets).map(session).collect(),
        tls: tls_of_targets.collect(),
        owners: HashMap::new(),
        resolver,
        reporter: Reporter::new(&args.targets, tls_args, gates, output)?,
    };
    pinger.turn_until_done(&signals)?;
    let Pinger {
        sessions, reporter, ..
    } = pinger;
    reporter.finish(&sessions, signals.caught())
}

/// Each ping that connects measures a lookup of its own, and each name may have its own thread: one whose lookup hangs
/// must not keep the others waiting, nor may one whose thread is stuck past the deadline of its probe.
fn lookups(targets: &[Target], defaults: Lookups) -> Lookups {
    let names = targets.iter().map(Target::host);
    let names = names.filter(|host| host.parse::<IpAddr>().is_err());
    let names = names.collect::<HashSet<_>>().len();
    Lookups {
        fresh_for: Duration::ZERO,
        negative_for: Duration::ZERO,
        stale_for: Duration::ZERO,
        threads_max: defaults.threads_max.max(names),
        stuck_threads_max: defaults.stuck_threads_max.max(names),
        ..defaults
    }
}

/// What every probe asks.
#[derive(Debug)]
struct Asked {
    request: Vec<u8>,
    framing: Framing,
    expect: Option<Expect>,
    timeout: Duration,
    interval: Duration,
    reuse: bool,
}

struct Pinger {
    client: Client,
    asked: Asked,
    sessions: Vec<Session>,
    /// Of each of them, if it is spoken to in TLS.
    tls: Vec<Option<TlsConfig>>,
    /// Whose the connections are; one that is only being closed is nobody's.
    owners: HashMap<ConnectionId, usize>,
    resolver: Arc<TimedResolver>,
    reporter: Reporter,
}

impl Pinger {
    fn turn_until_done(&mut self, signals: &Signals) -> Result<(), Fault> {
        while signals.caught().is_none() {
            let now = Instant::now();
            let mut next = now + LOOK_EVERY;
            for index in 0..self.sessions.len() {
                // Each by its own look at the clock: those before it have taken time.
                self.start_or_expire(index, Instant::now())?;
                next = next.min(self.sessions[index].next_instant().unwrap_or(next));
            }
            if self.sessions.iter().all(Session::is_done) {
                break;
            }
            self.client
                .turn(Some(next.saturating_duration_since(Instant::now())))?;
            self.note_first_bytes();
            while let Some(event) = self.client.next_event() {
                self.handle(event)?;
            }
        }
        Ok(())
    }

    /// Starts a probe that is due; ends one whose deadline has passed.
    fn start_or_expire(&mut self, index: usize, now: Instant) -> Result<(), Fault> {
        if self.sessions[index]
            .next_instant()
            .is_none_or(|at| at > now)
        {
            return Ok(());
        }
        let session = &mut self.sessions[index];
        if session.is_probing() {
            let connection = session.connection.take();
            session.shaken_hands(connection.and_then(|it| self.client.tls_info(it)));
            let looked_up = self.resolver.took(&session.target, session.started());
            let probe = session.expire(looked_up, now, random(), &self.asked);
            if let Some(connection) = connection {
                self.owners.remove(&connection);
                // It may have ended in this very turn.
                let _ = self.client.abort(connection);
            }
            return self.report(index, probe);
        }
        match session.connection {
            Some(connection) => {
                let received = self
                    .client
                    .transferred(connection)
                    .map_or(0, |(_, received)| received);
                session.start_on(now, received, &self.asked);
                self.ask(index, connection)
            }
            None => {
                if let Some(probe) = session.start_away(now, &self.asked) {
                    return self.report(index, probe);
                }
                session.start_connecting(now, &self.asked);
                match self.connect(index) {
                    Ok(connection) => {
                        self.sessions[index].connection = Some(connection);
                        self.owners.insert(connection, index);
                        Ok(())
                    }
                    Err(error) => {
                        let probe =
                            self.sessions[index].fail(error.into(), now, random(), &self.asked);
                        self.report(index, probe)
                    }
                }
            }
        }
    }

    fn connect(&mut self, index: usize) -> Result<ConnectionId, Error> {
        let target = self.sessions[index].target.as_str();
        let framing = self.asked.framing.clone();
        match &self.tls[index] {
            Some(tls) => self.client.connect_tls(target, framing, tls),
            None => self.client.connect(target, framing),
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Fault> {
        let (Event::Connected { connection, .. }
        | Event::Frame { connection, .. }
        | Event::Closed { connection, .. }) = event
        else {
            return Ok(());
        };
        let Some(&index) = self.owners.get(&connection) else {
            return Ok(());
        };
        let now = Instant::now();
        let session = &mut self.sessions[index];
        match event {
            Event::Connected { peer, .. } => {
                let looked_up = self.resolver.took(&session.target, session.started());
                let tls_info = self.client.tls_info(connection);
                session.connected(now, peer, looked_up, tls_info);
                self.ask(index, connection)
            }
            Event::Frame { frame, .. } if session.is_awaiting() => {
                let tcp = self.client.tcp_info(connection).ok();
                let probe = session.answer(now, self.client.bytes(&frame), tcp, &self.asked);
                if !self.asked.reuse {
                    session.connection = None;
                    self.owners.remove(&connection);
                    // The peer may have closed already.
                    let _ = self.client.close(connection);
                }
                self.report(index, probe)
            }
            Event::Closed { error, .. } => {
                self.owners.remove(&connection);
                session.connection = None;
                if !session.is_probing() {
                    return Ok(());
                }
                session.looked_up(self.resolver.took(&session.target, session.started()));
                session.shaken_hands(self.client.tls_info(connection));
                let probe = session.lost(error, now, random(), &self.asked);
                self.report(index, probe)
            }
            _ => Ok(()),
        }
    }

    /// Sends the request; its clock starts right before.
    fn ask(&mut self, index: usize, connection: ConnectionId) -> Result<(), Fault> {
        let sent = self.client.send(connection, &self.asked.request);
        let now = Instant::now();
        match sent {
            Ok(()) => {
                self.sessions[index].asked(now);
                self.client.flush();
                Ok(())
            }
            // It ended in this very turn: `Closed` is still to be pulled, and says why.
            Err(error) if error.source == Source::NotOpen => Ok(()),
            Err(error) => {
                let probe = self.sessions[index].fail(error.into(), now, random(), &self.asked);
                self.report(index, probe)
            }
        }
    }

    /// Replies come whole, but the connection counts its bytes as they come.
    fn note_first_bytes(&mut self) {
        for session in self
            .sessions
            .iter_mut()
            .filter(|session| session.is_awaiting())
        {
            if let Some(connection) = session.connection
                && let Some((_, received)) = self.client.transferred(connection)
            {
                session.received(received);
            }
        }
    }

    fn report(&mut self, index: usize, probe: Probe) -> Result<(), Fault> {
        self.reporter.probe(index, &self.sessions[index], &probe)
    }
}

/// Another each time: the standard library's keys differ from one to the next.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Five lookups that hung kept all names that came after them waiting.
    #[test]
    fn each_name_may_have_a_lookup_of_its_own_and_an_address_needs_none() {
        let threads = |targets: &[String]| {
            let targets: Vec<Target> = targets.iter().map(|it| it.parse().unwrap()).collect();
            let lookups = lookups(&targets, Lookups::default());
            (lookups.threads_max, lookups.stuck_threads_max)
        };
        let names: Vec<String> = (0..100).map(|n| format!("host-{n}.test:80")).collect();
        assert_eq!(threads(&names), (100, 100));
        let alike = vec!["one.test:1".to_owned(); 100];
        assert_eq!(threads(&alike), (4, 4));
        let addresses: Vec<String> = (1..100).map(|n| format!("10.0.0.{n}:80")).collect();
        assert_eq!(threads(&addresses), (4, 4));
    }
}
