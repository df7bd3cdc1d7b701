//! The echo server that `load` starts in a second thread when no target is given.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use taut::TlsServerConfig;
use taut::server::{Server, ServerConfig, Service, Stopper};

use crate::exit::Fault;
use crate::system;

/// A running echo server; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct OwnServer {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl OwnServer {
    /// Starts it on loopback, on another CPU than the loop's if that is pinned.
    pub(super) fn start(
        cpu_of_loop: Option<usize>,
        spin: Duration,
        tls: Option<TlsServerConfig>,
    ) -> Result<OwnServer, Fault> {
        let config = ServerConfig {
            service: Service::Echo,
            connections_max: 1 << 20,
            idle_timeout: Duration::from_secs(24 * 3600),
            drain_timeout: Duration::ZERO,
            spin,
            tls,
            ..ServerConfig::default()
        };
        let (started, outcome) = mpsc::channel();
        let serve = move || {
            let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), config);
            if let Some(cpu) = cpu_of_loop.and_then(system::other_cpu)
                && let Err(fault) = system::pin(cpu)
            {
                log::warn!("the server is not pinned: {}", fault.text);
            }
            let mut server = match server {
                Ok(server) => server,
                Err(error) => return drop(started.send(Err(error))),
            };
            // The loop that asked is gone only when the process ends.
            let _ = started.send(Ok((server.local_addr(), server.stopper())));
            if let Err(error) = server.run() {
                log::error!("the echo server failed: {error}");
            }
        };
        let thread = std::thread::Builder::new()
            .name("echo-server".into())
            .spawn(serve);
        let thread = thread
            .map_err(|error| Fault::failed(format!("no thread for the echo server: {error}")))?;
        match outcome.recv() {
            Ok(Ok((address, stopper))) => Ok(OwnServer {
                address,
                stopper,
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(Fault::failed(format!(
                "the echo server cannot start: {error}"
            ))),
            Err(_) => Err(Fault::failed("the echo server did not start")),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // It ends within a turn: what it still had is reset.
            let _ = thread.join();
        }
    }
}
