//! What an upstream says of itself to the program. Counted by the service, and by nobody else.

use super::breaker::BreakerState;
use crate::error::Error;
use crate::time::Time;

/// Figures of one upstream, for the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamStats {
    /// Connections that stand.
    pub open: usize,
    /// Connections being made.
    pub connecting: usize,
    /// Connections that were let go and wait for their peer's end. At most as many as may stand.
    pub lingering: usize,
    /// Targets that were left alone when a connection was last begun, or lost; at most half of them.
    pub ejected: usize,
    /// Requests on their way, those that timed out and whose replies are still swallowed included.
    pub in_flight: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections made so far.
    pub connects: u64,
    /// Attempts that failed so far.
    pub connect_failures: u64,
    /// Standing connections lost so far, those that the client let go included.
    pub losses: u64,
    /// Of those, the ones that the client let go between requests: idle too long, past their lifetime, done with their
    /// one request, or found to be of no use when the peer was gone.
    pub retired: u64,
    /// Requests made again so far, after their connection was lost.
    pub retries: u64,
    /// Those that might have been made again, but that the budget did not pay for, or that found no room to be kept or
    /// to wait.
    pub retries_refused: u64,
    /// Requests that its fallback took so far, since this one could not serve them.
    pub handed_over: u64,
    /// Heartbeats sent so far.
    pub heartbeats: u64,
    /// Connections given up so far because a heartbeat brought no sign of life.
    pub heartbeats_missed: u64,
    /// Whether requests are let through.
    pub breaker: BreakerState,
    /// Why the last attempt failed or the last connection was lost.
    pub last_error: Option<Error>,
}

/// How one of its targets stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targeted<'a> {
    pub(crate) target: &'a str,
    pub(crate) open: usize,
    pub(crate) connecting: usize,
    pub(crate) in_flight: usize,
    pub(crate) ejected_until: Option<Time>,
}
