//! What a program says of a service: where it is, how it speaks, and how it is to be used.
//!
//! Checked once, when it is added to a client; what cannot be is refused by name.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::target::split_target;
use crate::config::{Breaker, Heartbeat, Pool, Rate, Reconnect, Retry, Timeouts, refuse};
use crate::error::Error;
use crate::event::UpstreamId;
use crate::frame::Framing;
use crate::session::Sessions;

/// A service that requests are made of: its address, how its replies are framed, and how many connections serve it.
///
/// ```
/// use taut::{Framing, Upstream};
///
/// let cache = Upstream::new("127.0.0.1:6379").framing(Framing::resp()).connections(4).depth(16);
/// ```
#[derive(Clone, Debug)]
pub struct Upstream {
    pub(crate) target: String,
    pub(crate) others: Vec<String>,
    pub(crate) framing: Framing,
    pub(crate) connections: Connections,
    pub(crate) depth: usize,
    pub(crate) matched_by_id: bool,
    pub(crate) one_request: bool,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) reconnect: Option<Reconnect>,
    pub(crate) pool: Option<Pool>,
    pub(crate) retry: Option<Retry>,
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) tells_state: bool,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) rate: Option<Rate>,
    pub(crate) frames_per_second: Option<u32>,
    pub(crate) in_flight_max: Option<usize>,
    pub(crate) fallback: Option<UpstreamId>,
    /// What runs above TCP, if anything does.
    pub(crate) sessions: Option<Arc<dyn Sessions>>,
}

/// How many connections an upstream has; see [`Upstream::connections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Kept up whether requests need them or not.
    pub(crate) warm: usize,
    /// Made when the upstream is added.
    pub(crate) first: usize,
    pub(crate) max: usize,
}

impl From<usize> for Connections {
    fn from(n: usize) -> Connections {
        Connections {
            warm: 0,
            first: n,
            max: n,
        }
    }
}

impl From<RangeInclusive<usize>> for Connections {
    fn from(range: RangeInclusive<usize>) -> Connections {
        Connections {
            warm: *range.start(),
            first: *range.start(),
            max: *range.end(),
        }
    }
}

impl Upstream {
    /// A service at `host:port` (or `[v6]:port`), framed as lines, with one connection, one request at a time on it.
    pub fn new(target: impl Into<String>) -> Upstream {
        Upstream {
            target: target.into(),
            others: Vec::new(),
            framing: Framing::line(),
            connections: Connections::from(1),
            depth: 1,
            matched_by_id: false,
            one_request: false,
            timeouts: None,
            reconnect: None,
            pool: None,
            retry: None,
            heartbeat: None,
            tells_state: false,
            breaker: None,
            rate: None,
            frames_per_second: None,
            in_flight_max: None,
            fallback: None,
            sessions: None,
        }
    }

    /// Another target of the same service, at `host:port`: its connections are spread over all of them, and a request
    /// goes to the connection with the fewest in flight. A target that fails again and again is left alone for a while
    /// ([`Pool::ejection_failures`]), at most half of them at a time: no connection to it gets another request, whether it
    /// stands or is just being made; what is in flight there may still be answered, and then it is closed. Others are made
    /// to the other targets instead. After that while one connection is tried, and if it stands the target is one of all
    /// again.
    ///
    /// ```
    /// use taut::Upstream;
    ///
    /// let cache = Upstream::new("10.0.0.1:6379").and("10.0.0.2:6379").connections(8);
    /// ```
    pub fn and(mut self, target: impl Into<String>) -> Upstream {
        self.others.push(target.into());
        self
    }

    /// How replies are cut from the stream. Default: [`Framing::line`].
    pub fn framing(mut self, framing: Framing) -> Upstream {
        self.framing = framing;
        self
    }

    /// How many connections serve it: a number, or a range. Default: 1.
    ///
    /// A number `n` (at least 1): all are made when the upstream is added, and a lost one is made again when a request
    /// needs it. A range `min..=max`: `min` are made when it is added and kept *warm* (never closed for being idle, made
    /// again by themselves when lost), the others are made when requests wait, and closed when idle. Either way there is
    /// a pause before a lost connection is made again: [`Reconnect`](crate::Reconnect).
    pub fn connections(mut self, connections: impl Into<Connections>) -> Upstream {
        self.connections = connections.into();
        self
    }

    /// Requests that may await their replies on one connection (pipelining). At least 1. Default: 1.
    pub fn depth(mut self, depth: usize) -> Upstream {
        self.depth = depth;
        self
    }

    /// Replies come in any order and are matched by the id that they carry; where it stands
    /// [`Framing::reply_id`] says. Default: replies come in the order of their requests.
    ///
    /// A request's id is its tag ([`Client::request_tagged`](crate::Client::request_tagged)): the program writes it into
    /// the payload, in whatever form the protocol has for it. (`request` and `call` have the tag 0.) An id is in use from the request until its reply, also
    /// when it has timed out meanwhile; a second request with it is refused. A reply with an id that no request on its
    /// connection has is [`Source::Unsolicited`](crate::Source::Unsolicited) and ends the connection; a frame without an id is
    /// told as [`Event::Push`](crate::Event::Push).
    ///
    /// A connection on which a request timed out stays in use, and the late reply is swallowed. It is given up when
    /// requests that timed out take up all of its depth.
    ///
    /// ```
    /// use taut::{Framing, Upstream};
    ///
    /// // Each payload begins with an id of 4 bytes.
    /// let framing = Framing::len32().reply_id(|payload| Some(u32::from_be_bytes(*payload.first_chunk()?).into()));
    /// let rpc = Upstream::new("127.0.0.1:9000").framing(framing).depth(64).matched_by_id();
    /// ```
    pub fn matched_by_id(mut self) -> Upstream {
        self.matched_by_id = true;
        self
    }

    /// Timeouts of its connections and requests, where they differ from the client's.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Upstream {
        self.timeouts = Some(timeouts);
        self
    }

    /// How its connections are made again, where that differs from the client's.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Upstream {
        self.reconnect = Some(reconnect);
        self
    }

    /// How long its connections are kept, where that differs from the client's.
    pub fn pool(mut self, pool: Pool) -> Upstream {
        self.pool = Some(pool);
        self
    }

    /// Each connection serves one request: it is made when a request needs it, and ended by the client (FIN) when that
    /// has been answered. [`Upstream::connections`] says how many there may be at a time; none is made when the upstream
    /// is added. Connections that wait for their peer's end ([`Timeouts::linger`] at most) do not count among those,
    /// and at most as many of them linger; beyond, the kernel alone sees to the end.
    pub fn one_request_per_connection(mut self) -> Upstream {
        self.one_request = true;
        self
    }

    /// Connections that are made when it is added.
    pub(crate) fn first(&self) -> usize {
        match self.one_request {
            true => 0,
            false => self.connections.first,
        }
    }

    /// A frame that asks the peer of a silent connection for a sign of life. Default: none; a peer that has vanished is
    /// found by keepalive then, and one that hangs by the next request.
    ///
    /// A connection is asked when nothing has come in for [`Heartbeat::after`] and no reply is awaited on it; whatever
    /// comes in then, an answer, a push or a part of one, is a sign of life. Without one for [`Heartbeat::timeout`] it
    /// ends with [`Source::Timeout`](crate::Source::Timeout) and a reset. The answer is swallowed; one that is not what
    /// [`Heartbeat::expect`] says ends the connection as [`Source::Malformed`](crate::Source::Malformed). At most one
    /// heartbeat is out on a connection, and it takes up nothing of [`Upstream::depth`]: requests go behind it.
    ///
    /// While a reply is awaited [`Timeouts::first_byte`] and [`Timeouts::read_stall`] judge, for an answer could not
    /// come before it: a server that may think for minutes needs a `first_byte` of minutes. Where replies are
    /// [matched by id](Upstream::matched_by_id) its peer is asked all the same, by [`Heartbeat::id`]; the answer does not
    /// put `first_byte` off.
    ///
    /// Heartbeats are no use of a connection, and where there are any nothing else that comes without having been asked
    /// for is: one that is not kept warm ends [`Timeouts::idle`] after its last request.
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Upstream {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Tells how the service is: [`Event::Up`](crate::Event::Up), [`Event::Down`](crate::Event::Down),
    /// [`Event::BreakerOpen`](crate::Event::BreakerOpen) and [`Event::BreakerClosed`](crate::Event::BreakerClosed), of
    /// each kind at most one that is not pulled. Default: not told, and a program gets the ends of its requests alone;
    /// [`Client::upstream_stats`](crate::Client::upstream_stats) says how things stand.
    pub fn tell_state(mut self) -> Upstream {
        self.tells_state = true;
        self
    }

    /// Whether its requests are made again, where that differs from the client's.
    pub fn retry(mut self, retry: Retry) -> Upstream {
        self.retry = Some(retry);
        self
    }

    /// When it is left alone for a while, where that differs from the client's [`Breaker`].
    pub fn breaker(mut self, breaker: Breaker) -> Upstream {
        self.breaker = Some(breaker);
        self
    }

    /// How often requests may be made of it. One beyond that is refused with [`Limit::RequestRate`](crate::Limit), which
    /// says after how long the next may be made. Default: no bound.
    ///
    /// ```
    /// use taut::{Rate, Upstream};
    ///
    /// let billed = Upstream::new("127.0.0.1:9000").rate(Rate { requests_per_second: 50, burst: 10 });
    /// ```
    pub fn rate(mut self, rate: Rate) -> Upstream {
        self.rate = Some(rate);
        self
    }

    /// Frames that are taken from one of its connections in a second, a tenth of them at once (at least 1). Beyond that
    /// the connection is not read, so that TCP holds the peer back; timeouts of the connection are not counted
    /// meanwhile, deadlines of requests are. Default: no bound.
    pub fn frames_per_second(mut self, n: u32) -> Upstream {
        self.frames_per_second = Some(n);
        self
    }

    /// Requests that may be in flight over all its connections, so that one slow service does not hold all that the
    /// program has (a bulkhead). One beyond that waits as if no connection could take it. Default: connections times
    /// depth, which the program has chosen itself: a smaller number would make `connections(50).depth(16)` do less than
    /// it says.
    pub fn in_flight_max(mut self, n: usize) -> Upstream {
        self.in_flight_max = Some(n);
        self
    }

    /// Another upstream, added before, that serves what this one cannot: requests that its open breaker refuses, and
    /// those that wait and fail because no connection can be made, because they waited for [`Timeouts::wait`] or because
    /// the breaker opened. Each goes there once, with its deadline, its tag and all that was said of it, as if it had
    /// been made of that one, whose own fallback may take it next. Default: none.
    ///
    /// The payload goes as it is, and the reply is cut by the framing of the upstream that serves it: both must speak the
    /// same protocol. When the fallback cannot take a request (it has no room, its rate is used up, the tag is an id in
    /// use there), that ends as it would have without one. What was in flight when its connection was lost is not handed
    /// over, nor is anything while draining. This upstream goes on trying to connect as long as requests come, and gets
    /// them again when it stands. [`UpstreamStats::handed_over`](crate::UpstreamStats::handed_over) counts them.
    ///
    /// ```
    /// # fn main() -> Result<(), taut::Error> {
    /// # let mut client = taut::Client::new(taut::Config::default())?;
    /// use taut::Upstream;
    ///
    /// let replica = client.add(Upstream::new("127.0.0.1:6380"))?;
    /// let cache = client.add(Upstream::new("127.0.0.1:6379").fallback(replica))?;
    /// # let _ = cache;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fallback(mut self, upstream: UpstreamId) -> Upstream {
        self.fallback = Some(upstream);
        self
    }

    /// All its targets.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.target)
            .chain(&self.others)
            .map(String::as_str)
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        split_target(&self.target)?;
        for target in &self.others {
            split_target(target)?;
        }
        refuse(&[
            (
                self.connections.max == 0,
                "an upstream of 0 connections; it needs at least 1",
            ),
            (
                self.connections.max > 1 << 20,
                "an upstream of more than 2^20 connections",
            ),
            (
                self.connections.warm > self.connections.max,
                "an upstream that keeps more connections warm than it may have; give min..=max",
            ),
            (
                self.one_request && self.depth != 1,
                "one request a connection, and a pipelining depth above 1; take one of both",
            ),
            (
                self.one_request && self.connections.warm > 0,
                "one request a connection, and connections that are kept warm; give their number, not a range",
            ),
            (self.depth == 0, "a pipelining depth of 0; it is at least 1"),
            (self.depth > 1 << 20, "a pipelining depth of more than 2^20"),
            (
                self.matched_by_id && self.framing.id_of().is_none(),
                "replies matched by id, and the framing does not say where it stands; see Framing::reply_id",
            ),
            (
                self.matched_by_id && self.framing.skips_oversize(),
                "replies matched by id, and frames that are skipped with their id; take one of both",
            ),
            (
                self.frames_per_second == Some(0),
                "0 frames a second; nothing would ever be read",
            ),
            (
                self.in_flight_max == Some(0),
                "0 requests in flight; nothing would ever be sent",
            ),
        ])?;
        self.reconnect.map_or(Ok(()), |it| it.validate())?;
        self.pool.map_or(Ok(()), |pool| pool.validate())?;
        self.retry.map_or(Ok(()), |retry| retry.validate())?;
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.validate(self.matched_by_id)?;
        }
        self.breaker.map_or(Ok(()), |breaker| breaker.validate())?;
        self.rate.map_or(Ok(()), |rate| rate.validate())?;
        self.timeouts.map_or(Ok(()), |timeouts| timeouts.validate())
    }
}
