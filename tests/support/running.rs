//! The bundled server, running on a thread of its own until it is stopped.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use taut::server::{Server, ServerConfig, ServerStats, Stopper};

use super::{PATIENCE, patient};

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stopper: Stopper,
    pub(crate) ended: Receiver<(ServerStats, bool)>,
}

impl Running {
    pub(crate) fn start(config: ServerConfig) -> Running {
        let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config).unwrap();
        let (address, stopper) = (server.local_addr(), server.stopper());
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            server.run().unwrap();
            tell.send((server.stats(), server.is_drained())).unwrap();
        });
        Running {
            address,
            stopper,
            ended,
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.address).unwrap())
    }

    /// Drains it, which nothing may be left of.
    pub(crate) fn stop(&self) -> ServerStats {
        self.stopper.stop();
        let (stats, drained) = self.ended.recv_timeout(PATIENCE).unwrap();
        assert!(drained && stats.open == 0);
        stats
    }
}
