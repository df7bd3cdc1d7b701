//! What a shipper tells: the fate of each line, in the order of the stream, and what became of its connections.
//!
//! Lines are counted from 1, in the order in which they were offered. Each is in exactly one of `Delivered`,
//! `Uncertain`, `Undelivered` and `Refused` by the end, and lines of later events come after those of earlier ones.

use std::net::SocketAddr;

use crate::error::Error;

/// Something happened. Pulled with [`Shipper::next_event`](super::Shipper::next_event).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShipEvent {
    /// All lines up to this one that no earlier event told of: the rung that was asked for holds of them.
    Delivered {
        /// The last of them.
        upto: u64,
    },
    /// The sink may have these lines, or not; they are not sent again.
    Uncertain {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The sink does not have these lines whole, and they are not sent any more.
    Undelivered {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// This line cannot be carried, or the sink does not want it.
    Refused {
        /// Which.
        line: u64,
        /// Why.
        reason: Refusal,
    },
    /// Lines are taken again, after [`Shipper::offer`](super::Shipper::offer) had to refuse one for want of room.
    Room,
    /// A connection to a sink stands.
    Connected {
        /// Of [`ShipConfig::sinks`](super::ShipConfig::sinks), which.
        sink: usize,
        /// Its address.
        peer: SocketAddr,
    },
    /// A connection to a sink was lost, or could not be made.
    Lost {
        /// Of [`ShipConfig::sinks`](super::ShipConfig::sinks), which.
        sink: usize,
        /// Why.
        error: Error,
    },
    /// All lines have been told of, and every connection has ended. Told once, after
    /// [`Shipper::finish`](super::Shipper::finish); nothing follows it.
    Finished,
}

/// Why a line is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is longer than [`ShipConfig::line_bytes_max`](super::ShipConfig::line_bytes_max).
    Oversize {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// It holds a LF, which would end it on the wire: escape it, or use octet counting.
    EmbeddedLf,
    /// It is empty, and the framing has no empty line (octet counting: `MSG-LEN` starts with a nonzero digit).
    Empty,
    /// The sink answered its RELP frame with this code.
    Relp {
        /// The answer's code; 200 is the only one that accepts.
        code: u32,
    },
}

/// Lines and bytes so far. `read = confirmed + uncertain + undelivered + refused` when all is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShipCounts {
    /// Lines offered.
    pub read: u64,
    /// Lines handed to the kernel whole, each time they were.
    pub written: u64,
    /// Of those, lines that a peer's TCP acknowledged, as far as it was asked.
    pub kernel_acked: u64,
    /// Lines told as delivered.
    pub confirmed: u64,
    /// Lines written again after a break, each time they were.
    pub resent: u64,
    /// Lines told as uncertain.
    pub uncertain: u64,
    /// Lines told as undelivered.
    pub undelivered: u64,
    /// Lines told as refused.
    pub refused: u64,
    /// Connections that stood, witnesses not counted.
    pub connections: u64,
    /// Bytes handed to the kernel.
    pub bytes_written: u64,
    /// Bytes that a peer's TCP acknowledged.
    pub bytes_acked: u64,
}
