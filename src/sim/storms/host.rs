//! A server of a run, scripted or bundled: turned like a client's loop, unless it stalls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::options::{Options, Party};
use super::peer::{Peer, Role};
use crate::config::{Config, Timeouts};
use crate::conn::Profile;
use crate::error::Error;
use crate::frame::Framing;
use crate::server::{GenericServer, ServerConfig};
use crate::session::Sessions;
use crate::sim::faults::FaultKind;
use crate::sim::kernel::SimKernel;
use crate::sim::random::Random;
use crate::sim::tap::Tap;
use crate::sim::weather::Weather;
use crate::sim::world::{SimEngine, World};
use crate::time::Time;

pub(super) struct Host {
    what: What,
    pub(super) address: SocketAddr,
    /// Its loop is not turned until then.
    stalls_until: Time,
}

enum What {
    Scripted(Box<(SimEngine, Peer)>),
    Bundled(Box<GenericServer<SimKernel>>),
}

impl Host {
    /// A scripted server, at an address of its own.
    pub(super) fn scripted(
        world: &mut World,
        config: &Config,
        peer: Peer,
        sessions: Option<Arc<dyn Sessions>>,
    ) -> Host {
        let mut engine = world.engine(config.clone());
        engine.core.kernel.tap = Some(Tap::default());
        let manner = &peer.manner;
        let profile = Profile {
            timeouts: Timeouts {
                idle: Duration::MAX,
                ..config.timeouts
            },
            half_close: manner.half_close,
            reads_pause_above_bytes: manner.reads_pause_above_bytes,
            send_queue_bytes_max: 1 << 20,
            read_bytes_max: u64::MAX,
        };
        let any = engine.core.kernel.address(0);
        let core = &mut engine.core;
        let made = core.listen_through(any, Framing::raw(), profile, sessions);
        let (_, address) = made.unwrap();
        Host {
            what: What::Scripted(Box::new((engine, peer))),
            address,
            stalls_until: Time::ZERO,
        }
    }

    pub(super) fn bundled(
        world: &mut World,
        config: &ServerConfig,
        sessions: Option<Arc<dyn Sessions>>,
    ) -> Host {
        let mut kernel = SimKernel::new(&world.network);
        kernel.tap = Some(Tap::default());
        let any = kernel.address(0);
        let server = GenericServer::bind_through(kernel, any, config.clone(), sessions);
        let server = server.unwrap();
        Host {
            address: server.local_addr(),
            what: What::Bundled(Box::new(server)),
            stalls_until: Time::ZERO,
        }
    }

    /// The servers of an upstream, one for each of its targets.
    pub(super) fn all_of_party(
        world: &mut World,
        options: &Options,
        party: &Party,
        random: &mut Random,
        sessions: &Option<Arc<dyn Sessions>>,
    ) -> Vec<Host> {
        let frame_bytes_max = options.client.limits.frame_bytes_max;
        let server = &options.server;
        let mut host = || {
            let random = random.fork();
            Host::of_party(world, server, party, frame_bytes_max, random, sessions)
        };
        let hosts: Vec<Host> = (0..=party.ways.others).map(|_| host()).collect();
        if let Some(away) = party.ways.away {
            let back = world.now().after(away);
            let mut network = world.network.borrow_mut();
            network.send_away(hosts[0].address, back);
        }
        hosts
    }

    /// The server of an upstream.
    fn of_party(
        world: &mut World,
        config: &Config,
        party: &Party,
        frame_bytes_max: usize,
        random: Random,
        sessions: &Option<Arc<dyn Sessions>>,
    ) -> Host {
        if let Some(bundled) = &party.bundled {
            return Host::bundled(world, bundled, sessions.clone());
        }
        let role = Role::Answers {
            dialect: party.dialect,
            is_plain: party.skips_above_bytes.is_some(),
            frame_bytes_max,
        };
        let peer = Peer::new(role, party.manner.clone(), world.weather.clone(), random);
        Host::scripted(world, config, peer, sessions.clone())
    }

    /// The scripted server's program.
    pub(super) fn peer(&self) -> Option<&Peer> {
        match &self.what {
            What::Scripted(it) => Some(&it.1),
            What::Bundled(_) => None,
        }
    }

    pub(super) fn engine(&self) -> &SimEngine {
        match &self.what {
            What::Scripted(it) => &it.0,
            What::Bundled(server) => server.engine(),
        }
    }

    pub(super) fn engine_mut(&mut self) -> &mut SimEngine {
        match &mut self.what {
            What::Scripted(it) => &mut it.0,
            What::Bundled(server) => server.engine_mut(),
        }
    }

    pub(super) fn is_turned(&self, now: Time) -> bool {
        self.stalls_until <= now
    }

    /// When something happens here without anything that comes.
    pub(super) fn next_act(&self) -> Time {
        match &self.what {
            _ if self.stalls_until > Time::ZERO => self.stalls_until,
            What::Scripted(it) => it.1.next_act(),
            What::Bundled(_) => Time::NEVER,
        }
    }

    /// Whether the weather stops it.
    pub(super) fn meet(&mut self, weather: &Weather, now: Time, stall_nanos: u64) {
        if self.stalls_until <= now {
            self.stalls_until = Time::ZERO;
        }
        if weather.happens(FaultKind::ServerStalls) {
            let nanos = weather.within(FaultKind::ServerStalls, 1..=stall_nanos);
            self.stalls_until = self
                .stalls_until
                .max(now.after(Duration::from_nanos(nanos)));
        }
        if weather.happens(FaultKind::ServerIsDeaf) {
            self.stalls_until = Time::NEVER;
        }
    }

    /// A turn of its loop, and of its program.
    pub(super) fn turn(&mut self, now: Time) -> Result<(), Error> {
        if let Some(tap) = &mut self.engine_mut().core.kernel.tap {
            tap.accepts_failed = 0;
        }
        let turned = self.turn_once(now);
        // Whatever was lacking is still lacking a moment later.
        let tap = self.engine().core.kernel.tap.as_ref();
        let failed = tap.map_or(0, |tap| tap.accepts_failed);
        assert!(failed <= 1, "it accepts in vain, {failed} times a turn");
        turned
    }

    fn turn_once(&mut self, now: Time) -> Result<(), Error> {
        match &mut self.what {
            What::Scripted(it) => {
                let (engine, peer) = &mut **it;
                engine.turn(Some(Duration::ZERO))?;
                while let Some(event) = engine.next_event() {
                    peer.serve(engine, now, &event);
                }
                peer.act(engine, now);
                Ok(())
            }
            What::Bundled(server) => server.turn(Some(Duration::ZERO)),
        }
    }

    pub(super) fn heal(&mut self, now: Time) {
        self.stalls_until = Time::ZERO;
        if let What::Scripted(it) = &mut self.what {
            it.1.heal(now);
        }
    }

    /// Begins the end of a bundled server.
    pub(super) fn drain(&mut self) {
        if let What::Bundled(server) = &mut self.what {
            server.drain();
        }
    }

    /// Connections that a bundled server ended by force.
    pub(super) fn forced(&self) -> u64 {
        match &self.what {
            What::Scripted(_) => 0,
            What::Bundled(server) => server.stats().forced,
        }
    }

    /// Whether nothing is left of a bundled server that was drained.
    pub(super) fn is_drained(&self) -> bool {
        match &self.what {
            What::Scripted(_) => true,
            What::Bundled(server) => server.is_drained(),
        }
    }
}
