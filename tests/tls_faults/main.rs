//! TLS over real sockets, with peers that do what a test tells them to (`tests/support/tls`): a file a kind of fault
//! (the fault list's 28). What a client has put on the line is asked of the line.
#![cfg(all(target_os = "linux", feature = "_tls"))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; the allocator that counts"
)]

mod alerts;
mod certificates;
mod closing;
mod common;
#[path = "../support/counting.rs"]
mod counting;
mod cuts;
mod farewells;
mod floods;
mod idle;
mod line;
mod parties;
#[path = "../support/proxy/mod.rs"]
mod proxy;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
mod the_peers;
#[path = "../support/tls/mod.rs"]
mod tls;

/// Counts what a thread allocates, where a test asks for it.
#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;
