//! Faults of the way between client and server, set and lifted while requests are under way, through a proxy on
//! loopback (`tests/support/proxy`): a file a kind of harm. What was sent is asked of the server itself.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cuts;
mod half_close;
#[path = "../support/proxy/mod.rs"]
mod proxy;
#[path = "../support/recorder.rs"]
mod recorder;
mod server;
mod slices;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod the_proxy;
mod toggled;
