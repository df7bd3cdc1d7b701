//! Telling the observer, where there is one.
//!
//! When a request was made is kept here, and only while somebody watches: nobody else pays for it. Always: what is kept
//! is of requests that are under way.

use std::collections::HashMap;

use super::core::Core;
use super::slot::Owner;
use crate::error::Error;
use crate::event::{RequestId, UpstreamId};
use crate::kernel::Kernel;
use crate::observer::{Connected, Ended, Lost, Observer, Retried, State};
use crate::time::Time;
use crate::upstream::{Asked, Change};

/// The program's observer, and since when which requests are under way.
#[derive(Default)]
pub(super) struct Watch {
    observer: Option<Box<dyn Observer + Send>>,
    made: HashMap<RequestId, (Time, UpstreamId)>,
}

impl Watch {
    fn tell(&mut self, tell: impl FnOnce(&mut dyn Observer)) {
        if let Some(observer) = &mut self.observer {
            tell(&mut **observer);
        }
    }

    /// A request is being made.
    pub(super) fn handle_made(&mut self, now: Time, request: RequestId, upstream: UpstreamId) {
        if self.observer.is_some() {
            self.made.insert(request, (now, upstream));
        }
    }

    /// There was no room for it.
    pub(super) fn handle_not_made(&mut self, request: RequestId) {
        if self.observer.is_some() {
            self.made.remove(&request);
        }
    }

    /// A request is made again, for its connection was lost with this error.
    pub(super) fn handle_again(&mut self, upstream: UpstreamId, asked: &Asked, error: Error) {
        let Some(observer) = &mut self.observer else {
            return;
        };
        if self.made.contains_key(&asked.request) {
            let sent = asked.again.sent;
            observer.retried(&Retried {
                upstream,
                request: asked.request,
                tag: asked.tag,
                attempt: 1 + u32::from(asked.again.times),
                error: Error { sent, ..error },
            });
        }
    }

    /// A request has ended.
    pub(super) fn handle_ended(
        &mut self,
        now: Time,
        request: RequestId,
        tag: u64,
        result: Result<usize, Error>,
    ) {
        let Some(observer) = &mut self.observer else {
            return;
        };
        if let Some((made, upstream)) = self.made.remove(&request) {
            let took = now.since(made);
            observer.ended(&Ended {
                upstream,
                request,
                tag,
                took,
                result,
            });
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("is_watched", &self.observer.is_some())
            .field("made", &self.made)
            .finish()
    }
}

impl<K: Kernel> Core<K> {
    /// From now on this one is told, and no other.
    pub(crate) fn observe(&mut self, observer: Option<Box<dyn Observer + Send>>) {
        self.watch = Watch {
            observer,
            made: HashMap::new(),
        };
    }

    /// A connection stands: counted, and told.
    pub(super) fn note_connected(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let Some(peer) = slot.peer else {
            return;
        };
        let (owner, took) = (slot.owner, slot.stood(self.now).since(slot.began));
        let handshake = slot.handshake();
        self.counts.connects += 1;
        if let Owner::Service { service, .. } = owner {
            self.service_lines[service as usize].handle_connected(peer, took);
        }
        let upstream = upstream_of(owner);
        self.watch.tell(|it| {
            it.connected(&Connected {
                upstream,
                peer,
                took,
                handshake,
            });
        });
    }

    /// A connection has ended, or was never made: counted, and told.
    pub(super) fn note_ended(&mut self, index: u32, error: Option<Error>) {
        let slot = &self.slots[index as usize];
        let (written, received) = (slot.conn.written_bytes(), slot.conn.received_bytes());
        let (owner, lived) = (slot.owner, self.now.since(slot.began));
        if let Some(error) = &error {
            self.counts.ended(error);
        }
        if let Owner::Service { service, .. } | Owner::Parted { service } = owner {
            let stood = !error.is_some_and(|error| error.phase.is_before_it_stands());
            self.service_lines[service as usize].handle_ended(stood, written, received);
        }
        let upstream = upstream_of(owner);
        self.watch.tell(|it| {
            it.lost(&Lost {
                upstream,
                error,
                lived,
                written,
                received,
            });
        });
    }

    /// An upstream's state has changed: written down, and told.
    pub(super) fn note_change(&mut self, service: u32, change: Change) {
        self.write_change(service, change);
        let now = self.now;
        let state = match change {
            Change::Up => State::Up,
            Change::Down { error, retry_at } => State::Down {
                error,
                retry_after: retry_at.since(now),
            },
            Change::BreakerOpen { until } => State::BreakerOpen {
                retry_after: until.since(now),
            },
            Change::BreakerClosed => State::BreakerClosed,
        };
        self.watch.tell(|it| it.state(UpstreamId(service), state));
    }
}

fn upstream_of(owner: Owner) -> Option<UpstreamId> {
    match owner {
        Owner::Program => None,
        Owner::Service { service, .. } | Owner::Parted { service } => Some(UpstreamId(service)),
    }
}
