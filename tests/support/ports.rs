//! Ports for what a test starts, kills and starts again at the same address.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel chooses sources from (`net.ipv4.ip_local_port_range`), lest one of them take it while
/// the server is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// One that nobody listens at, in the network of this thread; each call of a process has another.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let from = std::process::id() as usize;
    let mut ports = (0..PORTS.len()).map(|_| {
        let nth = from + usize::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        PORTS.start + (nth % PORTS.len()) as u16
    });
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(is_free).expect("a free port")
}
