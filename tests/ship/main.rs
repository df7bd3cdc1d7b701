//! Shipping to sinks that misbehave: what each rung of the ladder promises holds, on loopback, over a link with a delay
//! and as far as it can through a proxy.
//!
//! `cargo test --test ship` runs what needs nothing; `-- --ignored` the cells over the link (root) and through haproxy.
//! The tables of `docs/guarantees.md` are printed by `cargo test --release --test ship -- --ignored --nocapture
//! --test-threads=1 table`; `TAUT_SHIP_RUNS` says how many runs their medians are of.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod carried;
mod cells;
#[path = "../support/child.rs"]
mod child;
mod classic;
#[path = "../support/delayed_link/mod.rs"]
mod delayed_link;
mod haproxy;
mod link;
mod mortal;
mod place;
#[path = "../support/ports.rs"]
mod ports;
mod proxied;
mod rungs;
mod serial;
#[path = "../support/shipping/mod.rs"]
mod shipping;
mod sink;
#[path = "../support/mod.rs"]
mod support;
mod table;
