//! The trials of a breaker that is half open: which requests they are, and which of them has the lease.
//!
//! Each is known by its own id, since ids say nothing of when one came to this upstream: what another has handed over
//! may be older than requests that were made here before it opened. Always: at most one has the lease; what is kept does
//! not grow.

use crate::event::RequestId;
use crate::time::Time;

/// Trials that are heard though their lease has ended, and another has it. With the usual deadlines there are two.
pub(super) const LATE_MAX: usize = 3;

/// The one request that is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    request: RequestId,
    until: Time,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trials {
    lease: Option<Lease>,
    late: [Option<RequestId>; LATE_MAX],
}

impl Trials {
    /// One is made, and has the lease. Whose lease has ended before is still heard; where too many are, the oldest are:
    /// so a server is heard that takes many times a lease to answer.
    pub(super) fn put(&mut self, request: RequestId, until: Time) {
        let before = self.lease.replace(Lease { request, until });
        let place = self.late.iter_mut().find(|it| it.is_none());
        if let (Some(before), Some(place)) = (before, place) {
            *place = Some(before.request);
        }
    }

    pub(super) fn has(&self, request: RequestId) -> bool {
        self.lease.is_some_and(|it| it.request == request) || self.late.contains(&Some(request))
    }

    /// One says nothing any more. If it had the lease, that ends with it.
    pub(super) fn remove(&mut self, request: RequestId) {
        self.lease.take_if(|it| it.request == request);
        for late in &mut self.late {
            late.take_if(|it| *it == request);
        }
    }

    /// When the next may be made.
    pub(super) fn next(&self) -> Time {
        self.lease.map_or(Time::ZERO, |lease| lease.until)
    }
}
