//! Shipping to a real rsyslogd that is restarted and killed meanwhile, by RELP and over plain TCP.
//!
//! It stores what it has read at once (`rsyslogd`), so what its file lacks was lost, whoever is to blame. `cargo test
//! --test ship_rsyslog -- --ignored` needs the Debian packages rsyslog and rsyslog-relp; `TAUT_SHIP_ROUNDS` says how many
//! rounds of harm each test makes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/ports.rs"]
mod ports;
mod restarts;
mod rsyslogd;
#[path = "../support/shipping/mod.rs"]
mod shipping;
