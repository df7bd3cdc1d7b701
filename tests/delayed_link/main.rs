//! What only a link with a delay shows: ends, replies and requests that are on their way when the other side acts.
//!
//! Both ends are the kernel's own TCP, in network namespaces of their own (`tests/support/delayed_link`). Where packets
//! race, the test keeps them on the wire and lets them go in the order it is about, so nothing depends on time. Run
//! with `cargo test --test delayed_link -- --ignored` as root.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod crossing;
#[path = "../support/delayed_link/mod.rs"]
mod delayed_link;
mod ends;
mod idle_race;
mod loss;
mod parting;
#[path = "../support/recorder.rs"]
mod recorder;
mod round_trip;
#[path = "../support/mod.rs"]
mod support;
