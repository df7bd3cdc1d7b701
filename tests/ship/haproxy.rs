//! A haproxy of a test's own in TCP mode, in front of one sink: in the foreground, with a configuration of its own,
//! stopped by its pid. To a sender it is the application: it reads, it acknowledges, it closes.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::ports::free_port;
use crate::support::eventually;

pub(crate) struct Haproxy {
    child: Child,
    config: PathBuf,
    address: SocketAddr,
}

impl Haproxy {
    /// One that takes connections. The sink sees one that brings nothing.
    pub(crate) fn in_front_of(sink: SocketAddr) -> Haproxy {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let name = format!("taut-haproxy-{}-{}", std::process::id(), address.port());
        let config = std::env::temp_dir().join(name);
        let text = format!(
            "global\n\
             \x20 maxconn 200\n\
             defaults\n\
             \x20 mode tcp\n\
             \x20 timeout connect 1s\n\
             \x20 timeout client 60s\n\
             \x20 timeout server 60s\n\
             listen ship\n\
             \x20 bind {address}\n\
             \x20 server sink {sink}\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-q", "-f"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is installed");
        let haproxy = Haproxy {
            child,
            config,
            address,
        };
        eventually("haproxy's answer", || TcpStream::connect(address).is_ok());
        haproxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}
