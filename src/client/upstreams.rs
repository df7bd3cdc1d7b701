//! Upstreams: the program makes requests, and connections are the library's work.

use super::Client;
use crate::config::{Deadline, RequestOptions};
use crate::engine::{Core, Terms};
use crate::error::Error;
use crate::event::{ConnectionId, Frame, RequestId, UpstreamId};
use crate::handle::Handle;
use crate::net::Net;
use crate::stats::TargetStats;
use crate::time::Time;
#[cfg(feature = "_tls")]
use crate::tls::TlsConfig;
use crate::upstream::{Service, Upstream, UpstreamStats};

impl Client {
    /// Adds a managed service; its connections are started now.
    ///
    /// # Errors
    /// A setting that cannot be; `Full` when its connections would go beyond
    /// [`Limits::connections_max`](crate::Limits::connections_max).
    pub fn add(&mut self, upstream: Upstream) -> Result<UpstreamId, Error> {
        self.engine.core.add(upstream)
    }

    /// Makes a request. It ends exactly once, with [`Event::Reply`](crate::Event::Reply) or [`Event::Failed`](crate::Event::Failed).
    ///
    /// # Errors
    /// `Full`, naming the limit, when it can neither be sent nor wait; `Deadline` when that has passed already;
    /// `NotOpen` for an unknown upstream; `IdInUse` where replies are matched by id and another request has this tag.
    /// Nothing was queued then, and no event follows.
    pub fn request(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        deadline: Deadline,
    ) -> Result<RequestId, Error> {
        self.request_tagged(upstream, payload, deadline, 0)
    }

    /// The same, with a tag of the program's own that comes back with the event.
    ///
    /// # Errors
    /// As for [`Client::request`].
    pub fn request_tagged(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        deadline: Deadline,
        tag: u64,
    ) -> Result<RequestId, Error> {
        let options = RequestOptions::new().deadline(deadline).tag(tag);
        self.request_with(upstream, payload, options)
    }

    /// The same, with all that can be said of a request.
    ///
    /// # Errors
    /// As for [`Client::request`].
    pub fn request_with(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        options: RequestOptions,
    ) -> Result<RequestId, Error> {
        request(&mut self.engine.core, upstream, payload, options)
    }

    /// Takes a request back. True: it has ended now, and its event is
    /// [`Source::Cancelled`](crate::Source::Cancelled), with what was sent of it. False: it had ended before, its
    /// event was told or waits to be pulled, and no other follows.
    ///
    /// One that waits leaves at once. One that is queued on a connection is withdrawn from it, and its connection goes
    /// on. Of one that was sent in part or whole the late reply is swallowed: as after a deadline its connection takes
    /// no new request and ends when the last of those before and behind it has (at once when it was alone), unless
    /// replies are matched by id ([`Upstream::matched_by_id`]).
    ///
    /// Requests pay nothing for it; so it searches: by halves among those that wait, one by one among those in flight.
    pub fn cancel(&mut self, request: RequestId) -> bool {
        self.engine.core.cancel(request)
    }

    /// Makes a request and turns the loop until it has ended: the blocking convenience. Other events wait meanwhile.
    /// The reply's bytes are valid until the next turn, as after [`Client::next_event`].
    ///
    /// # Errors
    /// As for [`Client::request`], and however the request ended. `Full` naming
    /// [`Limits::events_max`](crate::Limits::events_max) when so many other events wait; the request then goes on, and
    /// ends as an event. When the frames that were not pulled hold its connection back
    /// ([`Limits::unpulled_bytes_max`](crate::Limits::unpulled_bytes_max)) it ends by its deadline.
    pub fn call(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        deadline: Deadline,
    ) -> Result<Frame, Error> {
        self.call_with(upstream, payload, RequestOptions::new().deadline(deadline))
    }

    /// The same, with all that can be said of a request.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn call_with(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        options: RequestOptions,
    ) -> Result<Frame, Error> {
        let request = self.request_with(upstream, payload, options)?;
        self.engine.wait_for(request)
    }

    /// A handle to make requests from other threads.
    pub fn handle(&self) -> Handle {
        let core = &self.engine.core;
        Handle {
            mailbox: core.mailbox(),
            alarm: core.kernel.alarm(),
            epoch: core.kernel.epoch(),
        }
    }

    /// Has an upstream that is down tried at once: the pause before the next attempt is forgotten. It is one attempt, as
    /// after the pause, and made also when nobody waits. While others stand, what is wanted comes as after the pause too:
    /// the first now, the next ones spread in time. For a program that knows more than its server tells, such as that the
    /// network is back. [`Reconnect`](crate::Reconnect) has the pauses.
    ///
    /// # Errors
    /// `NotOpen` for an unknown upstream.
    pub fn retry_now(&mut self, upstream: UpstreamId) -> Result<(), Error> {
        self.engine.core.retry_now(upstream)
    }

    /// Figures of an upstream; `None` when there is none of that name.
    pub fn upstream_stats(&self, upstream: UpstreamId) -> Option<UpstreamStats> {
        self.engine.core.upstream_stats(upstream)
    }

    /// How each target of an upstream stands, in the order in which they were named: the one of
    /// [`Upstream::new`], then those of [`Upstream::and`]. None, when there is no such upstream. For each it looks at
    /// each connection of the upstream.
    pub fn targets_of(&self, upstream: UpstreamId) -> impl Iterator<Item = TargetStats<'_>> {
        self.engine.core.targets_of(upstream)
    }

    /// The connections of an upstream that stand.
    pub fn connections_of(&self, upstream: UpstreamId) -> impl Iterator<Item = ConnectionId> {
        self.engine.core.connections_of(upstream)
    }

    /// Bytes handed to the kernel, and bytes received, by all connections of an upstream so far, those that have ended
    /// included; `None` when there is no such upstream. It looks at each connection.
    pub fn transferred_of(&self, upstream: UpstreamId) -> Option<(u64, u64)> {
        self.engine.core.transferred_of(upstream)
    }
}

pub(super) fn request(
    core: &mut Core<Net>,
    upstream: UpstreamId,
    payload: &[u8],
    options: RequestOptions,
) -> Result<RequestId, Error> {
    let RequestOptions {
        deadline,
        tag,
        is_idempotent,
    } = options;
    core.request(
        upstream,
        payload,
        Terms { tag, is_idempotent },
        |now: Time, service: &Service, net: &Net| match deadline {
            // The time was read a moment ago: once is enough.
            Deadline::After(timeout) => now.after(timeout),
            _ => net
                .epoch()
                .time_of(deadline)
                .unwrap_or(now.after(service.timeouts.request)),
        },
    )
}

#[cfg(feature = "_tls")]
impl Upstream {
    /// Speaks TLS with its targets: each connection stands when its handshake is over and the peer is verified, by the
    /// name or address of its target where [`TlsConfigBuilder::server_name`](crate::TlsConfigBuilder::server_name) says
    /// no other. Default: plain TCP.
    ///
    /// ```
    /// use taut::{TlsConfig, Upstream};
    ///
    /// # fn main() -> Result<(), taut::TlsConfigError> {
    /// let tls = TlsConfig::new()?;
    /// let api = Upstream::new("api.example:443").tls(tls);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tls(mut self, tls: TlsConfig) -> Upstream {
        self.sessions = Some(tls.sessions());
        self
    }
}
