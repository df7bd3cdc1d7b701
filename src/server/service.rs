//! The server itself, over any kernel: answers frames, and drains.
//!
//! Whoever answers may be held back: a peer that does not read its answers is not read from (the connection's own
//! backpressure), so the queue never meets its bound, and a peer that ends its half still gets its answers.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::{ServerConfig, Service};
use crate::engine::{Engine, ListenerId};
use crate::error::{Error, Phase};
use crate::event::{ConnectionId, Event, Frame};
use crate::kernel::Kernel;
use crate::session::Sessions;
use crate::time::Time;

/// Figures of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused: at the limit, or without a descriptor.
    pub refused: u64,
    /// Connections at present.
    pub open: usize,
    /// Connections that ended with an error: a reset, a timeout, a line too long or cut off.
    pub failed: u64,
    /// Connections reset because the drain took too long.
    pub forced: u64,
    /// Whole lines read (`shout`, `sink`).
    pub lines: u64,
    /// Bytes of payload read.
    pub bytes_received: u64,
    /// Bytes of answers queued.
    pub bytes_sent: u64,
}

/// A server over some kernel.
pub(crate) struct Server<K: Kernel> {
    engine: Engine<K>,
    config: ServerConfig,
    listener: ListenerId,
    address: SocketAddr,
    stats: ServerStats,
    /// When the drain ends by force.
    drain_until: Option<Time>,
    dump: Option<Box<dyn Write + Send>>,
    /// Where an answer is made.
    scratch: Vec<u8>,
}

impl<K: Kernel> Server<K> {
    pub(crate) fn bind(
        kernel: K,
        at: SocketAddr,
        config: ServerConfig,
    ) -> Result<Server<K>, Error> {
        let sessions = config.sessions();
        Server::bind_through(kernel, at, config, sessions)
    }

    /// The same, with these sessions on what it accepts, if any.
    pub(crate) fn bind_through(
        kernel: K,
        at: SocketAddr,
        config: ServerConfig,
        sessions: Option<Arc<dyn Sessions>>,
    ) -> Result<Server<K>, Error> {
        config.validate()?;
        let mut engine = Engine::new(kernel, config.engine());
        let (framing, profile) = (config.framing(), config.profile());
        let (listener, address) = engine.core.listen_through(at, framing, profile, sessions)?;
        let stats = ServerStats::default();
        Ok(Server {
            engine,
            config,
            listener,
            address,
            stats,
            drain_until: None,
            dump: None,
            scratch: Vec::new(),
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn kernel(&self) -> &K {
        &self.engine.core.kernel
    }

    /// Its loop, for tests that look into it.
    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Engine<K> {
        &self.engine
    }

    #[cfg(test)]
    pub(crate) fn engine_mut(&mut self) -> &mut Engine<K> {
        &mut self.engine
    }

    pub(crate) fn set_dump(&mut self, dump: Box<dyn Write + Send>) {
        self.dump = Some(dump);
    }

    pub(crate) fn stats(&self) -> ServerStats {
        ServerStats {
            refused: self.engine.core.refused(),
            open: self.engine.core.connections(),
            ..self.stats
        }
    }

    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let now = self.kernel().now();
        let until_forced = self.drain_until.map(|until| until.since(now));
        let timeout = [timeout, until_forced].into_iter().flatten().min();
        self.engine.turn(timeout)?;
        while let Some(event) = self.engine.next_event() {
            self.handle(event)?;
        }
        if let Some(dump) = &mut self.dump {
            dump.flush().map_err(|error| dump_failed(&error))?;
        }
        self.go_on_draining();
        Ok(())
    }

    pub(crate) fn drain(&mut self) {
        if self.drain_until.is_none() {
            self.drain_until = Some(self.kernel().now().after(self.config.drain_timeout));
            self.engine.core.stop_listening(self.listener);
            self.go_on_draining();
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drain_until.is_some() && self.engine.core.connections() == 0
    }

    /// Closes what is quiet by now; resets the rest when its time is over.
    fn go_on_draining(&mut self) {
        let Some(until) = self.drain_until else {
            return;
        };
        // The last answer leaves now: when it has, nothing else may come to say that the connection is quiet.
        self.engine.core.flush();
        let force = self.kernel().now() >= until;
        let core = &mut self.engine.core;
        // One that has ended meanwhile is done with already.
        if force {
            for connection in core.open_connections() {
                self.stats.forced += u64::from(core.abort(connection).is_ok());
            }
        } else {
            for connection in core.quiet_connections() {
                let _ = core.close(connection);
            }
        }
        // No frame is held here, and the last connection to go must not wait for another turn.
        self.engine.release();
    }

    fn handle(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Connected { .. } => self.stats.accepted += 1,
            Event::Frame { connection, frame } => return self.serve(connection, &frame),
            // Its answers are queued: they go out before our FIN.
            Event::HalfClosed { connection } => {
                let _ = self.engine.core.close(connection);
            }
            Event::Closed { error, .. } => self.stats.failed += u64::from(error.is_some()),
            _ => {}
        }
        Ok(())
    }

    fn serve(&mut self, connection: ConnectionId, frame: &Frame) -> Result<(), Error> {
        let Some(bytes) = self.engine.inbox.bytes(frame) else {
            return Ok(());
        };
        self.stats.bytes_received += bytes.len() as u64;
        self.stats.lines += u64::from(self.config.service != Service::Echo);
        let answer = match self.config.service {
            Service::Echo => bytes,
            Service::Shout => {
                self.scratch.clear();
                self.scratch.extend_from_slice(bytes);
                self.scratch.make_ascii_uppercase();
                self.scratch.push(b'\n');
                &self.scratch
            }
            Service::Sink => return self.keep(frame),
        };
        self.stats.bytes_sent += answer.len() as u64;
        // A connection that is closing takes no answer; that is its end, told by `Closed`.
        match self.engine.core.send(connection, answer) {
            Err(error) if error.is_full() => self.engine.core.abort(connection),
            _ => Ok(()),
        }
    }

    fn keep(&mut self, frame: &Frame) -> Result<(), Error> {
        let (Some(bytes), Some(dump)) = (self.engine.inbox.bytes(frame), &mut self.dump) else {
            return Ok(());
        };
        dump.write_all(bytes)
            .and_then(|()| dump.write_all(b"\n"))
            .map_err(|error| dump_failed(&error))
    }
}

fn dump_failed(error: &io::Error) -> Error {
    log::error!("the dump could not be written: {error}");
    Error::os(Phase::Read, error)
}

impl<K: Kernel> std::fmt::Debug for Server<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
