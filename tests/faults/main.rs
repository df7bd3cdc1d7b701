//! Faults on the real kernel, in network namespaces that each test makes for itself (`support::namespaces`).
//!
//! Root, iproute2 and nftables are needed: `cargo test --test faults -- --ignored`. Whatever is done to the link, the
//! peer or this machine: each request ends exactly once and by the right name, nothing is early, nothing spins, and
//! descriptors come back. Waits are bounded; how fast anything is nobody asserts.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; system calls in sys.rs"
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "probe")]
#[path = "../probe_cli/support.rs"]
mod probe;

#[cfg(feature = "probe")]
mod churn;
mod common;
mod connecting;
#[cfg(feature = "probe")]
#[path = "../support/counting.rs"]
mod counting;
mod heartbeat;
mod icmp;
#[cfg(feature = "probe")]
mod idle;
mod loss;
mod namespaces;
mod ports;
#[cfg(feature = "probe")]
mod processes;
mod silence;
mod sys;
mod windows;

/// Counts what a thread allocates, where a test asks for it.
#[cfg(feature = "probe")]
#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;
