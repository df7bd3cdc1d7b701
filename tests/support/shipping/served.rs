//! When a server is done with its connections, as its kernel tells it: for a server that cannot be asked.

use std::net::SocketAddr;

use super::RUN_PATIENCE;
use crate::support::{eventually, eventually_within};

/// States of /proc/net/tcp (include/net/tcp_states.h).
const ESTABLISHED: &str = "01";
const FIN_WAIT1: &str = "04";
const CLOSE_WAIT: &str = "08";
const LISTEN: &str = "0A";

/// Waits until the program that listens at this port has accepted and closed every connection there was. Its senders
/// must be gone, and this thread in its network.
#[track_caller]
pub(crate) fn until_served(server: SocketAddr) {
    // A socket that its program has closed has no inode, and one that it has not accepted has none yet.
    let is_open = |state: &str, inode: &str| {
        let is_waiting = state == ESTABLISHED || state == CLOSE_WAIT;
        state != LISTEN && (inode != "0" || is_waiting)
    };
    eventually("the end of the server's connections", || {
        !any_socket(server, is_open)
    });
}

/// Waits until a program listens there, without a connection that it would have to serve.
#[track_caller]
pub(crate) fn until_listened(server: SocketAddr) {
    // A daemon may have prime numbers to find first.
    eventually_within(RUN_PATIENCE, "a listener", || {
        any_socket(server, |state, _| state == LISTEN)
    });
}

/// Waits until the peers' kernels have the FINs of what the server has closed.
#[track_caller]
pub(crate) fn until_its_fins_arrived(server: SocketAddr) {
    eventually("the server's FIN", || {
        !any_socket(server, |state, _| state == FIN_WAIT1)
    });
}

/// Whether a connection at the server's port is such, by its state and its inode.
fn any_socket(server: SocketAddr, is_it: impl Fn(&str, &str) -> bool) -> bool {
    let port = format!(":{:04X}", server.port());
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[1].ends_with(&port) && is_it(columns[3], columns[9])
    })
}
