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
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use super::connecting::Unreachable;
use super::endpoint::{Endpoint, EndpointKey};
use super::faults::FaultKind;
use super::loss::Hole;
use super::names::{Lookup, Resolver};
use super::random::Random;
use super::weather::Weather;
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
    /// Bytes that programs have read and written.
    pub(super) moved: u64,
    pub(super) ends: BTreeMap<EndpointKey, Endpoint>,
    pub(super) listeners: BTreeMap<SocketAddr, ListeningEnd>,
    pub(super) hosts: Vec<Host>,
    pub(super) names: BTreeMap<String, (Duration, Lookup)>,
    pub(super) black_holes: Vec<SocketAddr>,
    pub(super) unreachable: BTreeMap<SocketAddr, Unreachable>,
    /// By the direction in which nothing arrives.
    pub(super) holes: BTreeMap<(SocketAddr, SocketAddr), Hole>,
    next_port: u16,
}

/// What is on its way.
#[derive(Debug)]
pub(super) enum Delivery {
    Syn {
        from: EndpointKey,
        tries: usize,
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
    /// A connect fails, without its peer.
    Fails {
        of: EndpointKey,
        errno: i32,
    },
    /// A connect has an error, and goes on.
    SoftError {
        of: EndpointKey,
        errno: i32,
    },
    /// The end's own kernel has memory again.
    Room {
        of: EndpointKey,
    },
    /// Its window opens again.
    Window {
        of: EndpointKey,
    },
    // Timers of an end's own kernel.
    Resend {
        of: EndpointKey,
    },
    Keepalive {
        of: EndpointKey,
    },
    WindowTimeout {
        of: EndpointKey,
    },
    Name {
        host: usize,
        resolved: Resolved,
    },
}

#[derive(Debug)]
pub(super) struct ListeningEnd {
    pub(super) host: usize,
    pub(super) token: u64,
    pub(super) backlog: VecDeque<EndpointKey>,
    pub(super) backlog_max: usize,
    pub(super) has_edge: bool,
    /// Until then nobody listens here.
    pub(super) away_until: Time,
}

/// What one kernel keeps.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: IpAddr,
    ready: VecDeque<Watched>,
    /// Tokens of closed sockets, for events that come too late.
    stale: VecDeque<u64>,
    pub(super) resolver: Resolver,
    pub(super) resolved: VecDeque<Resolved>,
    pub(super) is_woken: bool,
    pub(super) descriptors: usize,
    pub(super) descriptors_max: usize,
    /// Until then there are no more than so many, and this is said.
    pub(super) short_until: Time,
    pub(super) short_max: usize,
    pub(super) short_errno: i32,
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
            moved: 0,
            ends: BTreeMap::new(),
            listeners: BTreeMap::new(),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            black_holes: Vec::new(),
            unreachable: BTreeMap::new(),
            holes: BTreeMap::new(),
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
            resolver: Resolver::default(),
            resolved: VecDeque::new(),
            is_woken: false,
            descriptors: 0,
            descriptors_max: usize::MAX,
            short_until: Time::ZERO,
            short_max: usize::MAX,
            short_errno: 0,
        });
        number
    }

    /// From now on a clear day: shut windows and holes open, listeners are back, connections are no
    /// longer to be cut. Who was silently left alone finds out by himself, as in life.
    pub(crate) fn heal(&mut self) {
        self.weather.heal();
        for host in &mut self.hosts {
            host.short_until = self.now;
        }
        for listener in self.listeners.values_mut() {
            listener.away_until = self.now;
        }
        self.free_threads();
        self.fill_holes();
        self.resend_all();
        let keys: Vec<EndpointKey> = self.ends.keys().copied().collect();
        for key in keys {
            if let Some(end) = self.ends.get_mut(&key) {
                end.cut = None;
                self.open_window(key);
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

    /// Where there is no latency, what a call sends has arrived when it returns, as over loopback.
    pub(super) fn arrive(&mut self) {
        if *self.latency_nanos.end() == 0 {
            self.advance(self.now);
        }
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

    pub(super) fn next_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(EPHEMERAL);
        port
    }
}
