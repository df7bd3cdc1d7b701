//! The bundled sink, reading counted messages as `probe serve sink --framing octet` does, in a process of its own.

use taut::server::{Server, ServerConfig, Service};

use crate::machine::{self, Served};

/// Runs until it is killed.
pub(crate) fn serve() {
    machine::pin(1);
    let config = ServerConfig {
        service: Service::Sink,
        octet_counted: true,
        ..ServerConfig::default()
    };
    let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config).expect("bound");
    println!("{}", server.local_addr());
    server.run().expect("served");
}

/// In a process of its own.
pub(crate) fn start() -> Served {
    Served::start(&["--sink"])
}
