//! The client: what a program holds. Read this first.
//!
//! A [`Client`] is one loop on one thread. The program asks (`connect`, `send`, `add`, `request`), lets the loop
//! [`turn`](Client::turn), and pulls [`Event`]s. Nothing is called back, nothing blocks but `turn`.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Deadline};
use crate::engine::{Core, Engine, Inbox};
use crate::error::{Error, Phase};
use crate::event::{ConnectionId, Event, Frame, RequestId, UpstreamId};
use crate::frame::Framing;
use crate::handle::Handle;
use crate::kernel::TcpInfo;
use crate::net::{Net, Resolve, SystemResolver};
use crate::time::Time;
use crate::upstream::{Service, Upstream, UpstreamStats};

/// A TCP client: connections and upstreams over one poll loop.
///
/// It may be moved to another thread, and used by one at a time. Dropping it closes all its sockets at once.
#[derive(Debug)]
pub struct Client {
    engine: Engine<Net>,
}

impl Client {
    /// A client with these settings.
    ///
    /// # Errors
    /// A setting that cannot be ([`Source::Invalid`](crate::Source::Invalid)); EMFILE and the like when the poll cannot
    /// be made.
    pub fn new(config: Config) -> Result<Client, Error> {
        Client::with_resolver(config, Arc::new(SystemResolver))
    }

    /// A client that looks names up with the program's own resolver.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn with_resolver(config: Config, resolver: Arc<dyn Resolve>) -> Result<Client, Error> {
        config.validate()?;
        let mut net = Net::new(resolver, config.lookups)
            .map_err(|error| Error::os(Phase::Connect, &error))?;
        net.set_timer_slack(config.timer_slack);
        Ok(Client {
            engine: Engine::new(net, config),
        })
    }

    // Raw connections.

    /// Starts to connect to `host:port` or `[v6]:port`. [`Event::Connected`] or [`Event::Closed`] tells the outcome;
    /// bytes may be queued before that.
    ///
    /// # Errors
    /// A target or framing that cannot be; `Full` at [`Limits::connections_max`](crate::Limits::connections_max), where
    /// a connection counts until the turn after its [`Event::Closed`] was pulled.
    pub fn connect(&mut self, target: &str, framing: Framing) -> Result<ConnectionId, Error> {
        self.engine.core.connect(target, &framing)
    }

    /// Queues bytes, all or none; they leave in the next turn or [`Client::flush`].
    ///
    /// # Errors
    /// `Full` beyond [`Limits::send_queue_bytes_max`](crate::Limits::send_queue_bytes_max), and then
    /// [`Event::Writable`] tells when to go on; `Invalid` when the bytes alone are more than that bound; `NotOpen` when
    /// it is closed or closing.
    pub fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<(), Error> {
        self.engine.core.send(connection, bytes)
    }

    /// Sends what is queued, then a FIN, and waits at most [`Timeouts::linger`](crate::Timeouts::linger) for the
    /// peer's; frames that still come are told, and [`Event::Closed`] at the end. A connection that does not stand yet
    /// ends at once, and what was queued is not sent.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn close(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.close(connection)
    }

    /// Ends the connection at once: what is queued is dropped, the peer gets a reset, [`Event::Closed`] is told.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn abort(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.abort(connection)
    }

    /// Asks for one [`Event::Writable`] as soon as at most half of the queue's bound is queued.
    ///
    /// # Errors
    /// `NotOpen` when it is closed already.
    pub fn notify_writable(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.engine.core.notify_writable(connection)
    }

    // Upstreams.

    /// Adds a managed service; its connections are started now.
    ///
    /// # Errors
    /// A setting that cannot be; `Full` when its connections would go beyond
    /// [`Limits::connections_max`](crate::Limits::connections_max).
    pub fn add(&mut self, upstream: Upstream) -> Result<UpstreamId, Error> {
        self.engine.core.add(upstream)
    }

    /// Makes a request. It ends exactly once, with [`Event::Reply`] or [`Event::Failed`].
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
        request(&mut self.engine.core, upstream, payload, deadline, tag)
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
        let request = self.request(upstream, payload, deadline)?;
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

    /// Figures of an upstream; `None` when there is none of that name.
    pub fn upstream_stats(&self, upstream: UpstreamId) -> Option<UpstreamStats> {
        self.engine.core.upstream_stats(upstream)
    }

    /// The connections of an upstream that stand.
    pub fn connections_of(&self, upstream: UpstreamId) -> impl Iterator<Item = ConnectionId> {
        self.engine.core.connections_of(upstream)
    }

    // The loop.

    /// One pass of the loop: sends what is queued, waits at most `timeout` (`None`: until something happens), reads,
    /// expires. It does not wait while events are still to be pulled. Frames pulled before are given up.
    ///
    /// # Errors
    /// Only when the poll itself fails (ENOMEM and the like); a signal ends a turn early and is no error.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.engine.turn(timeout)
    }

    /// The next event, if any. What it refers to stays valid until the next turn.
    pub fn next_event(&mut self) -> Option<Event> {
        self.engine.next_event()
    }

    /// Sends what is queued now, without a turn.
    pub fn flush(&mut self) {
        self.engine.core.flush();
    }

    /// How long a loop around this one may wait: zero while anything is ready, queued or to be pulled; `None` when
    /// there is no deadline at all.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.engine.core.next_timeout()
    }

    // Received bytes.

    /// The payload of a frame whose event was pulled since the last turn, or is still to be pulled.
    ///
    /// # Panics
    /// When the frame was given up: pulled before the last turn. [`Client::try_bytes`] does not.
    pub fn bytes(&self, frame: &Frame) -> &[u8] {
        held(self.try_bytes(frame))
    }

    /// The payload of a frame, or `None` when it was given up.
    pub fn try_bytes(&self, frame: &Frame) -> Option<&[u8]> {
        self.engine.bytes(frame)
    }

    /// Both sides at once: received bytes to read while something is sent.
    pub fn split(&mut self) -> (Received<'_>, Outgoing<'_>) {
        (
            Received {
                inbox: &self.engine.inbox,
            },
            Outgoing {
                core: &mut self.engine.core,
            },
        )
    }

    // Getters.

    /// Bytes queued on a connection and not yet handed to the kernel; `None` when it is gone.
    pub fn queued(&self, connection: ConnectionId) -> Option<usize> {
        self.engine.core.queued(connection)
    }

    /// Bytes handed to the kernel, and bytes received, in a connection's life; `None` when it is gone.
    pub fn transferred(&self, connection: ConnectionId) -> Option<(u64, u64)> {
        self.engine.core.transferred(connection)
    }

    /// Bytes handed to the kernel, and bytes received, by all connections of an upstream so far, those that have ended
    /// included; `None` when there is no such upstream. It looks at each connection.
    pub fn transferred_of(&self, upstream: UpstreamId) -> Option<(u64, u64)> {
        self.engine.core.transferred_of(upstream)
    }

    /// The address a connection is connected, or being connected, to.
    pub fn peer_addr(&self, connection: ConnectionId) -> Option<std::net::SocketAddr> {
        self.engine.core.peer_addr(connection)
    }

    /// What the kernel knows of a connection.
    ///
    /// # Errors
    /// `NotOpen` while it has no socket; `Unsupported` on systems without TCP_INFO.
    pub fn tcp_info(&self, connection: ConnectionId) -> Result<TcpInfo, Error> {
        self.engine.core.info(connection)
    }

    /// Connections at present, those being made and those being closed included.
    pub fn connections(&self) -> usize {
        self.engine.core.connections()
    }
}

/// The poller's descriptor: readable when [`Client::turn`] has something to do, for a loop of the program's own
/// (together with [`Client::next_timeout`]). −1 on mio's poll(2) backend, which has none.
impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.engine.core.kernel.as_raw_fd()
    }
}

/// The received side of a client; see [`Client::split`].
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    inbox: &'a Inbox,
}

impl<'a> Received<'a> {
    /// As [`Client::bytes`].
    ///
    /// # Panics
    /// When the frame was given up.
    pub fn bytes(&self, frame: &Frame) -> &'a [u8] {
        held(self.inbox.bytes(frame))
    }
}

/// The sending side of a client; see [`Client::split`].
#[derive(Debug)]
pub struct Outgoing<'a> {
    core: &'a mut Core<Net>,
}

impl Outgoing<'_> {
    /// As [`Client::send`].
    ///
    /// # Errors
    /// As for [`Client::send`].
    pub fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<(), Error> {
        self.core.send(connection, bytes)
    }

    /// As [`Client::close`].
    ///
    /// # Errors
    /// As for [`Client::close`].
    pub fn close(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.core.close(connection)
    }

    /// As [`Client::request_tagged`].
    ///
    /// # Errors
    /// As for [`Client::request`].
    pub fn request(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        deadline: Deadline,
        tag: u64,
    ) -> Result<RequestId, Error> {
        request(self.core, upstream, payload, deadline, tag)
    }
}

fn request(
    core: &mut Core<Net>,
    upstream: UpstreamId,
    payload: &[u8],
    deadline: Deadline,
    tag: u64,
) -> Result<RequestId, Error> {
    core.request(
        upstream,
        payload,
        tag,
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

#[track_caller]
fn held(bytes: Option<&[u8]>) -> &[u8] {
    match bytes {
        Some(bytes) => bytes,
        None => panic!(
            "the frame was given up: its bytes are valid until the first turn after its event was pulled"
        ),
    }
}
