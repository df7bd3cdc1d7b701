//! The binary end to end: exit codes, JSON keys and types, one-line errors, and that nothing hangs.
#![cfg(feature = "probe")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/random.rs"]
mod random;

mod load;
mod load_outage;
mod ping;
mod ping_many;
mod running;
mod serve;
mod ship;
mod ship_faults;
mod ship_kills;
mod ship_spool;
mod shipping;
mod support;
mod tls_gates;
mod tls_load;
mod tls_ping;
mod tls_serve;
mod tls_ship;
mod tls_support;
mod usage;
