//! What a run is to do, and where it is in doing it. Words only: the loop acts on them.

use std::time::{Duration, Instant};

use crate::payload::Expect;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    Duration(Duration),
    Requests(u64),
}

/// What to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) request: Vec<u8>,
    pub(super) expect: Option<Expect>,
    pub(super) is_tls: bool,
    pub(super) window: usize,
    /// More than one request may be under way on a connection.
    pub(super) pipelined: bool,
    pub(super) extent: Extent,
    pub(super) warmup: Duration,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) started: Instant,
    /// It was started within the measurement.
    pub(super) counts: bool,
}

/// What is asked of the loop now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Until then nothing is measured.
    WarmUp { until: Instant },
    /// Requests are measured.
    Measuring,
    /// No new ones; what is under way still ends.
    Ending,
}
