//! A network in memory: hosts, listeners, the ends of connections, and one clock for all of them.
//!
//! Whatever goes from one kernel to another is a [`Delivery`] with a time of arrival; nothing else
//! crosses. What arrives when, and what it does there, is in `traffic`. The clock moves only by
//! [`Network::advance`], and never past a delivery that has not been made.
//!
//! Readiness is epoll's with EPOLLET: something that happens puts a registered end on its host's
//! ready list once, and a wait takes it off and tells what is so by then. What is not drained is not
//! told again.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use super::endpoint::{Endpoint, EndpointKey};
use super::faults::FaultKind;
use super::random::Random;
use super::weather::Weather;
use crate::error::ResolveError;
use crate::kernel::{Readiness, Resolved};
use crate::time::Time;

/// The first port that is given out.
const EPHEMERAL: u16 = 32_768;
/// Closed tokens that a stale event may name.
const STALE_MAX: usize = 16;

/// A network that several kernels share.
pub(crate) type Shared = Rc<RefCell<Network>>;

#[derive(Debug)]
pub(crate) struct Network {
    /// Decides what goes wrong.
    pub(crate) weather: Weather,
    /// From one kernel to another.
    pub(super) latency_nanos: RangeInclusive<u64>,
    /// Bytes of a kernel's buffer, in each direction of each connection.
    pub(crate) buffer_bytes: usize,
    pub(super) random: Random,
    pub(super) now: Time,
    /// By time of arrival, then in order of sending.
    pub(super) deliveries: BTreeMap<(Time, u64), Delivery>,
    pub(super) made: u64,
    pub(super) ends: BTreeMap<EndpointKey, Endpoint>,
    pub(super) listeners: BTreeMap<SocketAddr, ListeningEnd>,
    pub(super) hosts: Vec<Host>,
    names: BTreeMap<String, (Duration, Lookup)>,
    black_holes: Vec<SocketAddr>,
    next_port: u16,
}

/// What is on its way.
#[derive(Debug)]
pub(super) enum Delivery {
    Syn {
        from: EndpointKey,
        tries: u32,
    },
    SynAck {
        to: EndpointKey,
        from: EndpointKey,
    },
    Data {
        to: EndpointKey,
        from: EndpointKey,
        bytes: Vec<u8>,
    },
    Fin {
        to: EndpointKey,
        from: EndpointKey,
    },
    Rst {
        to: EndpointKey,
    },
    /// The end's own kernel has memory again.
    Room {
        of: EndpointKey,
    },
    Name {
        host: usize,
        resolved: Resolved,
    },
}

/// What asking for a name comes to.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    Found(Vec<IpAddr>),
    Fails(ResolveError),
    /// The resolver never answers.
    Hangs,
}

#[derive(Debug)]
pub(super) struct ListeningEnd {
    pub(super) host: usize,
    pub(super) token: u64,
    pub(super) backlog: VecDeque<EndpointKey>,
    pub(super) backlog_max: usize,
    pub(super) has_edge: bool,
}

/// What one kernel keeps.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: IpAddr,
    ready: VecDeque<Watched>,
    /// Tokens of closed sockets, for events that come too late.
    stale: VecDeque<u64>,
    pub(super) resolved: VecDeque<Resolved>,
    pub(super) is_woken: bool,
    pub(super) descriptors: usize,
    pub(super) descriptors_max: usize,
}

#[derive(Clone, Copy, Debug)]
enum Watched {
    Socket(EndpointKey),
    Listener(SocketAddr),
}

impl Network {
    pub(crate) fn new(weather: Weather) -> Network {
        Network {
            latency_nanos: weather.faults().latency_nanos,
            buffer_bytes: 64 << 10,
            random: Random::new(weather.seed()),
            weather,
            now: Time::ZERO,
            deliveries: BTreeMap::new(),
            made: 0,
            ends: BTreeMap::new(),
            listeners: BTreeMap::new(),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            black_holes: Vec::new(),
            next_port: EPHEMERAL,
        }
    }

    // What a test arranges.

    /// A new host: its number and its address is 10.0.0.number.
    pub(super) fn add_host(&mut self) -> usize {
        let number = self.hosts.len();
        self.hosts.push(Host {
            address: Ipv4Addr::new(10, 0, 0, number as u8 + 1).into(),
            ready: VecDeque::new(),
            stale: VecDeque::new(),
            resolved: VecDeque::new(),
            is_woken: false,
            descriptors: 0,
            descriptors_max: usize::MAX,
        });
        number
    }

    /// What a name resolves to, and after which delay.
    pub(crate) fn name(&mut self, host: &str, after: Duration, lookup: Lookup) {
        self.names.insert(host.to_owned(), (after, lookup));
    }

    /// SYNs to this address are lost for ever.
    pub(crate) fn black_hole(&mut self, address: SocketAddr) {
        self.black_holes.push(address);
    }

    /// From now on a clear day: shut windows open, connections are no longer to be cut.
    pub(crate) fn heal(&mut self) {
        self.weather.heal();
        let keys: Vec<EndpointKey> = self.ends.keys().copied().collect();
        for key in keys {
            let Some(end) = self.ends.get_mut(&key) else {
                continue;
            };
            (end.cut, end.is_mute) = (None, false);
            if let Some(peer) = end.peer {
                self.transmit(peer);
            }
        }
    }

    // The clock.

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// When the next delivery arrives.
    pub(crate) fn next_arrival(&self) -> Option<Time> {
        self.deliveries.keys().next().map(|(at, _)| *at)
    }

    /// Moves the clock, making each delivery at its time.
    pub(crate) fn advance(&mut self, to: Time) {
        while let Some(entry) = self.deliveries.first_entry().filter(|e| e.key().0 <= to) {
            self.now = self.now.max(entry.key().0);
            let delivery = entry.remove();
            self.deliver(delivery);
        }
        self.now = self.now.max(to);
    }

    /// Something arrives after a drawn latency, and not before what `from` sent earlier.
    pub(super) fn send(&mut self, from: EndpointKey, delivery: Delivery) {
        let latency = self.latency();
        let mut at = self.now.after(latency);
        if let Some(end) = self.ends.get_mut(&from) {
            at = at.max(end.last_arrival);
            end.last_arrival = at;
        }
        self.schedule(at, delivery);
    }

    pub(super) fn schedule(&mut self, at: Time, delivery: Delivery) {
        self.deliveries.insert((at, self.made), delivery);
        self.made += 1;
    }

    pub(super) fn latency(&mut self) -> Duration {
        Duration::from_nanos(self.random.within(self.latency_nanos.clone()))
    }

    // Edges.

    /// Something happened to an end.
    pub(super) fn wake(&mut self, key: EndpointKey) {
        let Some(end) = self.ends.get_mut(&key) else {
            return;
        };
        if end.token.is_some() && !std::mem::replace(&mut end.has_edge, true) {
            self.hosts[end.host].ready.push_back(Watched::Socket(key));
        }
    }

    pub(super) fn wake_listener(&mut self, at: SocketAddr) {
        let Some(listener) = self.listeners.get_mut(&at) else {
            return;
        };
        if !std::mem::replace(&mut listener.has_edge, true) {
            self.hosts[listener.host]
                .ready
                .push_back(Watched::Listener(at));
        }
    }

    /// Takes the edges of a host: each is told as it is by now.
    pub(super) fn collect(&mut self, host: usize, ready: &mut Vec<Readiness>) {
        while let Some(watched) = self.hosts[host].ready.pop_front() {
            let told = match watched {
                Watched::Socket(key) => self.ends.get_mut(&key).and_then(|end| {
                    end.has_edge = false;
                    end.token.map(|token| end.readiness(token))
                }),
                Watched::Listener(at) => self.listeners.get_mut(&at).map(|listener| {
                    listener.has_edge = false;
                    let readable = !listener.backlog.is_empty();
                    Readiness {
                        token: listener.token,
                        readable,
                        ..Readiness::default()
                    }
                }),
            };
            ready.extend(told.filter(|told| told.readable || told.writable || told.read_closed));
        }
    }

    /// Events that mean nothing, now and then.
    pub(super) fn mislead(&mut self, host: usize, ready: &mut Vec<Readiness>) {
        if self.weather.happens(FaultKind::Spurious) {
            let tokens = self.tokens(host);
            if let Some(token) = self.one_of(&tokens, FaultKind::Spurious) {
                ready.push(Readiness {
                    token,
                    readable: true,
                    writable: true,
                    read_closed: false,
                });
            }
        }
        if self.weather.happens(FaultKind::Stale) {
            let live = self.tokens(host);
            let mut stale = Vec::from_iter(self.hosts[host].stale.iter().copied());
            stale.retain(|token| !live.contains(token));
            if let Some(token) = self.one_of(&stale, FaultKind::Stale) {
                ready.push(Readiness {
                    token,
                    readable: true,
                    writable: true,
                    read_closed: true,
                });
            }
        }
    }

    /// Whether a wait of this host would tell something.
    pub(crate) fn is_ready(&self, host: usize) -> bool {
        !self.hosts[host].ready.is_empty() || self.hosts[host].is_woken
    }

    /// The socket under this token was closed.
    pub(super) fn retire(&mut self, host: usize, token: u64) {
        let stale = &mut self.hosts[host].stale;
        stale.push_back(token);
        if stale.len() > STALE_MAX {
            stale.pop_front();
        }
    }

    fn tokens(&self, host: usize) -> Vec<u64> {
        let of = |end: &&Endpoint| end.host == host;
        self.ends
            .values()
            .filter(of)
            .filter_map(|end| end.token)
            .collect()
    }

    fn one_of(&self, tokens: &[u64], kind: FaultKind) -> Option<u64> {
        let last = tokens.len().checked_sub(1)?;
        Some(tokens[self.weather.within(kind, 0..=last as u64) as usize])
    }

    // Descriptors, addresses and names.

    pub(super) fn take_descriptor(&mut self, host: usize) -> io::Result<()> {
        let host = &mut self.hosts[host];
        if host.descriptors >= host.descriptors_max {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        host.descriptors += 1;
        Ok(())
    }

    pub(super) fn next_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(EPHEMERAL);
        port
    }

    pub(super) fn is_black_hole(&self, address: SocketAddr) -> bool {
        self.black_holes.contains(&address)
    }

    pub(super) fn look_up(&mut self, host: usize, job: u64, name: &str, port: u16) {
        let unknown = (Duration::ZERO, Lookup::Fails(ResolveError::NotFound));
        let (after, lookup) = self.names.get(name).cloned().unwrap_or(unknown);
        let outcome = match lookup {
            Lookup::Found(addresses) => Ok(addresses
                .into_iter()
                .map(|ip| SocketAddr::new(ip, port))
                .collect()),
            Lookup::Fails(why) => Err(why),
            Lookup::Hangs => return,
        };
        self.schedule(
            self.now.after(after),
            Delivery::Name {
                host,
                resolved: (job, outcome),
            },
        );
    }
}
