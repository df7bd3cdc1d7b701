//! The bundled sink, reading counted messages as `probe serve sink --framing octet` does, in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use taut::server::{Server, ServerConfig, Service};

use crate::machine;

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

/// Killed when dropped.
pub(crate) struct Sink {
    child: Child,
    pub(crate) address: String,
}

impl Sink {
    pub(crate) fn start() -> Sink {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--sink")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        Sink {
            child,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
