//! The client: what a program holds. Read this first.
//!
//! A [`Client`] is one loop on one thread. The program asks (`connect`, `send`, `add`, `request`), lets the loop
//! [`turn`](Client::turn), and pulls [`Event`]s. Nothing is called back, nothing blocks but `turn`.

mod drain;
mod raw;
mod split;
mod upstreams;

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

pub use split::{Outgoing, Received};

use crate::config::Config;
use crate::engine::Engine;
use crate::error::{Error, Phase};
use crate::event::{Event, Frame};
use crate::net::{Net, Resolve, SystemResolver};
use crate::observer::Observer;
use crate::stats::Stats;

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

    /// Has an observer told of what happens from now on, instead of the one before; `None`: nobody. It is called within
    /// a turn, and within the calls that make requests; it cannot reach the client. There is an example in
    /// `docs/embedding.md`.
    pub fn observe(&mut self, observer: Option<Box<dyn Observer + Send>>) {
        self.engine.core.observe(observer);
    }

    // Getters.

    /// What came of everything so far, and how full each bound is. Counting is always on; making this copy looks at each
    /// upstream. What an upstream says of itself is [`Client::upstream_stats`].
    pub fn stats(&self) -> Stats {
        self.engine.stats()
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

#[track_caller]
fn held(bytes: Option<&[u8]>) -> &[u8] {
    match bytes {
        Some(bytes) => bytes,
        None => panic!(
            "the frame was given up: its bytes are valid until the first turn after its event was pulled"
        ),
    }
}
