//! TLS over real sockets, with peers that do what a test tells them to (`tests/support/tls`): a file a kind of fault
//! (the fault list's 28). What a client has put on the line is asked of the line.
#![cfg(all(target_os = "linux", feature = "_tls"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod certificates;
mod common;
mod cuts;
mod idle;
#[path = "../support/proxy/mod.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod the_peers;
#[path = "../support/tls/mod.rs"]
mod tls;
