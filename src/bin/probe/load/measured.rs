//! What came out of a run.

use std::time::Duration;

use taut::{Client, Error, UpstreamId};

use super::Counts;
use super::accounts::{Away, Errors};
use crate::histogram::Latencies;
use crate::system::CpuTime;
use crate::tls::Seen;

/// What came out.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) counts: Counts,
    pub(super) latencies: Latencies,
    /// How long requests were sent, or to the end of the last one where a number of them was asked for.
    pub(super) elapsed: Duration,
    /// Replies within that time, by which the rate is judged.
    pub(super) ok_in_time: u64,
    pub(super) errors: Errors,
    pub(super) away: Away,
    pub(super) bytes: (u64, u64),
    /// CPU time of the loop's thread, and how long it ran meanwhile.
    pub(super) cpu: CpuTime,
    pub(super) cpu_over: Duration,
    /// At the start; with a connection for each request, in all.
    pub(super) established: usize,
    pub(super) last_error: Option<Error>,
    pub(super) reconnects: u64,
    pub(super) tcp: Tcp,
    /// Of one connection, where they have TLS and one stood.
    pub(super) tls: Option<Seen>,
}

impl Measured {
    /// Each connection was made for a request: none was made again.
    pub(super) fn per_request(mut self) -> Measured {
        self.established =
            usize::try_from(std::mem::take(&mut self.reconnects)).unwrap_or(usize::MAX);
        self
    }
}

/// What the kernel says of the connections that stand: the median round trip, and the sums of segments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tcp {
    pub(super) rtt: Duration,
    pub(super) retransmits: u64,
    pub(super) segments_out: u64,
}

impl Tcp {
    pub(super) fn of(client: &Client, upstream: UpstreamId) -> Tcp {
        let connections = client.connections_of(upstream);
        let mut rtts = Vec::new();
        let mut tcp = Tcp::default();
        for info in connections.filter_map(|connection| client.tcp_info(connection).ok()) {
            rtts.push(info.rtt);
            tcp.retransmits += u64::from(info.retransmits);
            tcp.segments_out += u64::from(info.segments_out);
        }
        rtts.sort_unstable();
        tcp.rtt = rtts.get(rtts.len() / 2).copied().unwrap_or_default();
        tcp
    }
}
