//! Where a sink and a sender are: on loopback, at the ends of a link with a delay, or with a proxy in between.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use crate::delayed_link::Direction::Back;
use crate::delayed_link::Link;
use crate::haproxy::Haproxy;
use crate::sink;

pub(crate) enum Place {
    Loopback,
    /// It needs root.
    Link(Link),
    /// On loopback, through haproxy.
    Proxied,
}

impl Place {
    pub(crate) fn link(delay: Duration) -> Place {
        Place::Link(Link::new(delay))
    }

    pub(crate) fn is_proxied(&self) -> bool {
        matches!(self, Place::Proxied)
    }

    /// Does something where the sink is.
    pub(crate) fn far<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Place::Link(link) => link.far(work),
            _ => work(),
        }
    }

    /// Does something where the sender is.
    pub(crate) fn near<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Place::Link(link) => link.near(work),
            _ => work(),
        }
    }

    /// The address of sinks.
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Place::Link(_) => Link::FAR,
            _ => Ipv4Addr::LOCALHOST.into(),
        }
    }

    pub(crate) fn listener(&self, receive_bytes: Option<usize>) -> TcpListener {
        self.far(|| sink::listener_at(self.address(), receive_bytes))
    }

    pub(crate) fn proxy(&self, sink: SocketAddr) -> Option<Haproxy> {
        self.is_proxied().then(|| Haproxy::in_front_of(sink))
    }

    /// RSTs that have reached the sender's kernel, where that is known.
    pub(crate) fn resets(&self) -> Option<u64> {
        match self {
            Place::Link(link) => Some(link.counts(Back).left.rst),
            _ => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Loopback => f.write_str("on loopback"),
            Place::Link(link) => write!(f, "over a link of {:?}", link.delay()),
            Place::Proxied => f.write_str("through haproxy"),
        }
    }
}
