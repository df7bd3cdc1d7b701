//! The bounds on memory, descriptors and work.

use super::refuse;
use crate::error::Error;

/// Bounds. Nothing grows past them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, those being made and those being closed included. Default: 65,536.
    pub connections_max: usize,
    /// Connections that may be in the making before no upstream begins another; upstreams that want one wait for their
    /// turn. Those of the program's own count, and are not held back. Default: 64.
    pub connecting_max: usize,
    /// Addresses of one name that are tried at a time, for one connection. Each takes a descriptor. Default: 4.
    pub connect_attempts_max: usize,
    /// Bytes of payload in one frame, where the framing does not say otherwise. Default: 1 MiB.
    pub frame_bytes_max: usize,
    /// Bytes queued for sending on one connection. Default: 1 MiB.
    pub send_queue_bytes_max: usize,
    /// Received bytes of one connection that the program has not pulled, before its socket is no longer read.
    /// A single unfinished frame may go beyond it, up to its own limit. Default: 256 KiB.
    pub unpulled_bytes_max: usize,
    /// Bytes read from one connection in one turn, after which no further read is begun. One read takes what its buffer
    /// has room for: `read_bytes`, or more in one that held a large frame. Default: 64 KiB.
    pub turn_bytes_max: usize,
    /// Frames taken from one connection in one turn. Default: 256.
    pub turn_frames_max: usize,
    /// Events that wait to be pulled, before no socket is read. Default: 16,384.
    pub events_max: usize,
    /// Bytes of one read, and of a pooled receive buffer. Default: 16 KiB.
    pub read_bytes: usize,
    /// Bytes of free buffers kept for reuse. Default: 8 MiB.
    pub pool_bytes_max: usize,
    /// Requests of one upstream that wait for a connection. Default: 1,024.
    pub waiting_requests_max: usize,
    /// Bytes of those. Default: 8 MiB.
    pub waiting_bytes_max: usize,
    /// Requests from other threads that the loop has not taken yet. Default: 1,024.
    pub submissions_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 65_536,
            connecting_max: 64,
            connect_attempts_max: 4,
            frame_bytes_max: 1 << 20,
            send_queue_bytes_max: 1 << 20,
            unpulled_bytes_max: 256 << 10,
            turn_bytes_max: 64 << 10,
            turn_frames_max: 256,
            events_max: 16_384,
            read_bytes: 16 << 10,
            pool_bytes_max: 8 << 20,
            waiting_requests_max: 1_024,
            waiting_bytes_max: 8 << 20,
            submissions_max: 1_024,
        }
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.connections_max == 0,
                "limits.connections_max is 0; at least 1 connection is needed",
            ),
            (
                self.connections_max > crate::kernel::INDEX_MAX as usize,
                "limits.connections_max is above 2^30; a slot's index has 30 bits",
            ),
            (
                self.connecting_max == 0,
                "limits.connecting_max is 0; no upstream could connect, 64 is usual",
            ),
            (
                self.connect_attempts_max == 0,
                "limits.connect_attempts_max is 0; at least 1 address must be tried",
            ),
            (
                self.frame_bytes_max == 0,
                "limits.frame_bytes_max is 0; a frame has at least 1 byte",
            ),
            (
                self.frame_bytes_max > crate::frame::FRAME_BYTES_MAX,
                "limits.frame_bytes_max is above 2^31 - 1 bytes",
            ),
            (
                self.send_queue_bytes_max == 0,
                "limits.send_queue_bytes_max is 0; nothing could be sent",
            ),
            (
                self.turn_bytes_max == 0,
                "limits.turn_bytes_max is 0; nothing could be read",
            ),
            (
                self.turn_frames_max == 0,
                "limits.turn_frames_max is 0; no frame could be taken",
            ),
            (
                self.events_max == 0,
                "limits.events_max is 0; nothing could be told",
            ),
            (
                self.read_bytes < 64,
                "limits.read_bytes is below 64 bytes; 16 KiB is usual",
            ),
            (
                self.read_bytes > crate::frame::FRAME_BYTES_MAX,
                "limits.read_bytes is above 2^31 - 1 bytes; 16 KiB is usual",
            ),
        ])
    }
}
