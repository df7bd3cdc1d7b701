//! What asking for a name comes to, and descriptors: what a host gives before there is a socket.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::faults::FaultKind;
use super::network::{Delivery, Network};
use crate::config::Lookups;
use crate::error::ResolveError;
use crate::kernel::Resolved;

/// Networks of dead hosts: of these SYNs go unanswered, of those they are answered with a RST.
const SILENT: (u8, u8, u8) = (10, 66, 1);
const REFUSING: (u8, u8, u8) = (10, 66, 2);
/// How late an answer is that is late: some come after nobody waits for them.
const LATE_NANOS: std::ops::RangeInclusive<u64> = 1_000_000..=5_000_000_000;
/// How long a host has no more descriptors.
const SHORT_NANOS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000;
/// As getaddrinfo says it when a name server failed for good (EAI_FAIL).
const EAI_FAIL: i32 = -4;

/// What asking for a name comes to.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    Found(Vec<IpAddr>),
    Fails(ResolveError),
    /// The resolver never answers.
    Hangs,
}

/// The lookups of one host: of those under way there are as many as threads.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    /// Numbers rise: the first was asked first.
    queued: BTreeMap<u64, (String, u16)>,
    running: BTreeSet<u64>,
    /// Of these, those that were abandoned, and those that never end by themselves.
    stuck: BTreeSet<u64>,
    hanging: Vec<u64>,
}

impl Resolver {
    /// The next lookup, if there is a thread for it.
    fn next(&mut self) -> Option<(u64, (String, u16))> {
        let Lookups {
            threads_max,
            stuck_threads_max,
            ..
        } = Lookups::default();
        let threads = threads_max + self.stuck.len().min(stuck_threads_max);
        if self.running.len() >= threads {
            return None;
        }
        let next = self.queued.pop_first()?;
        self.running.insert(next.0);
        Some(next)
    }

    fn came_back(&mut self, job: u64) {
        self.running.remove(&job);
        self.stuck.remove(&job);
    }
}

impl Network {
    /// What a name resolves to, and after which delay.
    pub(crate) fn name(&mut self, host: &str, after: Duration, lookup: Lookup) {
        self.names.insert(host.to_owned(), (after, lookup));
    }

    pub(super) fn look_up(&mut self, host: usize, job: u64, name: &str, port: u16) {
        let queued = &mut self.hosts[host].resolver.queued;
        queued.insert(job, (name.to_owned(), port));
        self.find_threads(host);
    }

    /// As [`crate::kernel::Kernel::abandon`].
    pub(super) fn abandon(&mut self, host: usize, job: u64) -> bool {
        let resolver = &mut self.hosts[host].resolver;
        if resolver.queued.remove(&job).is_some() {
            return true;
        }
        if resolver.running.contains(&job) {
            resolver.stuck.insert(job);
            self.find_threads(host);
        }
        false
    }

    /// Whether the outcome of a lookup may still come.
    pub(crate) fn may_resolve(&self, host: usize, job: u64) -> bool {
        let host = &self.hosts[host];
        let is_under_way =
            host.resolver.queued.contains_key(&job) || host.resolver.running.contains(&job);
        is_under_way || host.resolved.iter().any(|(other, _)| *other == job)
    }

    pub(crate) fn lookups_under_way(&self, host: usize) -> usize {
        let resolver = &self.hosts[host].resolver;
        resolver.queued.len() + resolver.running.len()
    }

    /// A thread has come back, with what it found.
    pub(super) fn looked_up(&mut self, host: usize, resolved: Resolved) {
        let it = &mut self.hosts[host];
        it.resolver.came_back(resolved.0);
        it.resolved.push_back(resolved);
        it.is_woken = true;
        self.find_threads(host);
    }

    /// The name server is back: lookups that hang end.
    pub(super) fn free_threads(&mut self) {
        for host in 0..self.hosts.len() {
            for job in std::mem::take(&mut self.hosts[host].resolver.hanging) {
                let resolved = (job, Err(ResolveError::TryAgain));
                self.schedule(self.now, Delivery::Name { host, resolved });
            }
        }
    }

    fn find_threads(&mut self, host: usize) {
        while let Some((job, (name, port))) = self.hosts[host].resolver.next() {
            self.begin_lookup(host, job, &name, port);
        }
    }

    fn begin_lookup(&mut self, host: usize, job: u64, name: &str, port: u16) {
        let unknown = (Duration::ZERO, Lookup::Fails(ResolveError::NotFound));
        let (mut after, mut lookup) = self.names.get(name).cloned().unwrap_or(unknown);
        if self.weather.happens(FaultKind::NameHangs) {
            lookup = Lookup::Hangs;
        }
        if self.weather.happens(FaultKind::NameFails) {
            let ways = [
                ResolveError::NotFound,
                ResolveError::TryAgain,
                ResolveError::Failed(EAI_FAIL),
            ];
            let way = self.weather.within(FaultKind::NameFails, 0..=2);
            lookup = Lookup::Fails(ways[way as usize]);
        }
        if self.weather.happens(FaultKind::NameIsLate) {
            let nanos = self.weather.within(FaultKind::NameIsLate, LATE_NANOS);
            after += Duration::from_nanos(nanos);
        }
        let outcome = match lookup {
            Lookup::Found(mut addresses) => {
                self.draw_dead(&mut addresses);
                let with_port = |ip| SocketAddr::new(ip, port);
                Ok(addresses.into_iter().map(with_port).collect())
            }
            Lookup::Fails(why) => Err(why),
            Lookup::Hangs => {
                self.hosts[host].resolver.hanging.push(job);
                return;
            }
        };
        let resolved = (job, outcome);
        let at = self.now.after(after);
        self.schedule(at, Delivery::Name { host, resolved });
    }

    /// Addresses at which nobody is any more: some refuse, some are silent.
    fn draw_dead(&mut self, addresses: &mut Vec<IpAddr>) {
        if !self.weather.happens(FaultKind::NameHasDead) {
            return;
        }
        for _ in 0..self.weather.within(FaultKind::NameHasDead, 1..=3) {
            let last = addresses.len() as u64;
            let at = self.weather.within(FaultKind::NameHasDead, 0..=last) as usize;
            let number = self.weather.within(FaultKind::NameHasDead, 1..=250) as u8;
            let is_silent = self.weather.within(FaultKind::NameHasDead, 0..=1) == 1;
            let dead = match is_silent {
                true => SILENT,
                false => REFUSING,
            };
            addresses.insert(at, Ipv4Addr::new(dead.0, dead.1, dead.2, number).into());
        }
    }

    /// Whether nothing ever answers at this address.
    pub(super) fn is_silent(&self, at: SocketAddr) -> bool {
        let in_silence = |ip: Ipv4Addr| (ip.octets()[0], ip.octets()[1], ip.octets()[2]) == SILENT;
        let is_dead = matches!(at.ip(), IpAddr::V4(ip) if in_silence(ip));
        is_dead || self.black_holes.contains(&at)
    }

    // Descriptors.

    pub(super) fn take_descriptor(&mut self, host: usize) -> io::Result<()> {
        if self.weather.happens(FaultKind::NoDescriptors) {
            let nanos = self.weather.within(FaultKind::NoDescriptors, SHORT_NANOS);
            let errno = self.weather.within(FaultKind::NoDescriptors, 0..=1);
            let host = &mut self.hosts[host];
            host.short_until = self.now.after(Duration::from_nanos(nanos));
            host.short_max = host.descriptors;
            host.short_errno = [libc::EMFILE, libc::ENFILE][errno as usize];
        }
        let host = &mut self.hosts[host];
        let errno = match self.now < host.short_until {
            _ if host.descriptors >= host.descriptors_max => libc::EMFILE,
            true if host.descriptors >= host.short_max => host.short_errno,
            _ => {
                host.descriptors += 1;
                return Ok(());
            }
        };
        Err(io::Error::from_raw_os_error(errno))
    }
}
