//! What the client is told of its peers: an upstream for each party, and the names by which they are reached.
//!
//! Nothing here is drawn: all of it follows from the options.

use std::sync::Arc;

use super::host::Host;
use super::options::{Name, Party};
use crate::event::UpstreamId;
use crate::session::Sessions;
use crate::sim::names::Lookup;
use crate::sim::world::World;
use crate::upstream::Upstream;

/// Its first target, its other ones, the upstreams that were added before it, and what runs on its lines.
pub(super) fn upstream(
    party: &Party,
    target: String,
    others: &[Host],
    before: &[UpstreamId],
    sessions: Option<Arc<dyn Sessions>>,
) -> Upstream {
    let mut framing = party.dialect.framing();
    if let Some(bytes) = party.skips_above_bytes {
        framing = framing.frame_bytes_max(bytes).skip_oversize();
    }
    let mut upstream = Upstream::new(target).framing(framing).depth(party.depth);
    upstream.sessions = sessions;
    for other in others {
        upstream = upstream.and(other.address.to_string());
    }
    if let Some(fallback) = party.ways.fallback {
        upstream = upstream.fallback(before[fallback]);
    }
    if let Some(heartbeat) = &party.heartbeat {
        upstream = upstream.heartbeat(heartbeat.clone());
    }
    let mut upstream = party.bounds.of(upstream.tell_state());
    if let Some(max) = party.in_flight_max {
        upstream = upstream.in_flight_max(max);
    }
    let upstream = match party.is_warm {
        true => upstream.connections(party.connections.clone()),
        false => upstream.connections(*party.connections.end()),
    };
    let upstream = match party.one_request {
        true => upstream.one_request_per_connection(),
        false => upstream,
    };
    match party.dialect {
        super::dialect::Dialect::ById => upstream.matched_by_id(),
        _ => upstream,
    }
}

pub(super) fn name_of_stream(number: u64) -> String {
    format!("stream{number}.test")
}

pub(super) fn name_of(number: usize) -> String {
    format!("party{number}.test")
}

/// Makes a name known, with what else it leads to; what to connect to then.
pub(super) fn named(world: &World, number: usize, name: &Name, host: &Host) -> String {
    let mut network = world.network.borrow_mut();
    let port = host.address.port();
    let mut addresses = Vec::new();
    for other in 0..name.refusing + name.silent {
        let ip = [10, 1, number as u8, other as u8].into();
        addresses.push(ip);
        if other >= name.refusing {
            network.black_hole((ip, port).into());
        }
    }
    addresses.push(host.address.ip());
    network.name(&name_of(number), name.after, Lookup::Found(addresses));
    format!("{}:{port}", name_of(number))
}
