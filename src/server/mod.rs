//! The bundled peer: a line service, an echo and a sink, on the same engine as the client.
//!
//! It is what `probe serve` runs and what tests and measurements talk to: idle timeout, line limit, read limit,
//! connection limit, calm when descriptors run out, and a drain that finishes what is in flight.

mod config;
mod octet;
mod service;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use config::{ServerConfig, Service};
pub(crate) use service::Server as GenericServer;
pub use service::ServerStats;

use crate::config::Lookups;
use crate::error::{Error, Phase};
use crate::net::{Alarm, Net, SystemResolver};

/// A server on the operating system's sockets: one loop on one thread.
///
/// ```
/// use taut::server::{Server, ServerConfig, Service};
///
/// let config = ServerConfig { service: Service::Echo, ..ServerConfig::default() };
/// let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config)?;
/// let stopper = server.stopper();
/// println!("listening on {}", server.local_addr());
/// let thread = std::thread::spawn(move || server.run());
/// stopper.stop();
/// thread.join().expect("the server does not panic")?;
/// # Ok::<(), taut::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    inner: GenericServer<Net>,
    stop: Arc<AtomicBool>,
}

/// Begins a server's drain from another thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    stop: Arc<AtomicBool>,
    alarm: Alarm,
}

impl Stopper {
    /// Begins the drain; see [`Server::drain`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.alarm.wake();
    }
}

impl Server {
    /// Listens at an address (port 0: one that is free).
    ///
    /// # Errors
    /// A setting that cannot be; EADDRINUSE, EACCES and the like from the kernel.
    pub fn bind(at: SocketAddr, config: ServerConfig) -> Result<Server, Error> {
        let os = |error: std::io::Error| Error::os(Phase::Connect, &error);
        let net = Net::new(Arc::new(SystemResolver), Lookups::default()).map_err(os)?;
        Ok(Server {
            inner: GenericServer::bind(net, at, config)?,
            stop: Arc::default(),
        })
    }

    /// The address it listens at.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// One pass of the loop, waiting at most `timeout` (`None`: until something happens).
    ///
    /// # Errors
    /// When the poll itself fails, or the sink's dump cannot be written.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.turn(timeout)?;
        if self.stop.load(Ordering::Acquire) {
            self.inner.drain();
        }
        Ok(())
    }

    /// Turns until it is drained: until another thread stops it and every connection has ended.
    ///
    /// # Errors
    /// As for [`Server::turn`].
    pub fn run(&mut self) -> Result<(), Error> {
        while !self.is_drained() {
            self.turn(None)?;
        }
        Ok(())
    }

    /// Stops accepting, finishes what is in flight, closes each connection when it is idle, and resets what is left
    /// after [`ServerConfig::drain_timeout`]. It is done when [`Server::is_drained`].
    pub fn drain(&mut self) {
        self.inner.drain();
    }

    /// Whether a drain was begun and every connection has ended.
    pub fn is_drained(&self) -> bool {
        self.inner.is_drained()
    }

    /// Where a sink writes the lines it reads, each ended by `\n`. Flushed at the end of each turn.
    pub fn set_dump(&mut self, dump: Box<dyn Write + Send>) {
        self.inner.set_dump(dump);
    }

    /// Figures so far.
    pub fn stats(&self) -> ServerStats {
        self.inner.stats()
    }

    /// A handle that begins the drain from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            stop: self.stop.clone(),
            alarm: self.inner.kernel().alarm(),
        }
    }
}
