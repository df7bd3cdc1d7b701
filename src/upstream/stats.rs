//! What an upstream says of itself to the program. Counted by the service, and by nobody else.

use super::breaker::BreakerState;
use crate::error::Error;

/// Figures of one upstream, for the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamStats {
    /// Connections that stand.
    pub open: usize,
    /// Connections being made.
    pub connecting: usize,
    /// Requests on their way, those that timed out and whose replies are still swallowed included.
    pub in_flight: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections made so far.
    pub connects: u64,
    /// Attempts that failed so far.
    pub connect_failures: u64,
    /// Standing connections lost so far, those closed for being idle included.
    pub losses: u64,
    /// Heartbeats sent so far.
    pub heartbeats: u64,
    /// Connections given up so far because a heartbeat brought no sign of life.
    pub heartbeats_missed: u64,
    /// Whether requests are let through.
    pub breaker: BreakerState,
    /// Why the last attempt failed or the last connection was lost.
    pub last_error: Option<Error>,
}
