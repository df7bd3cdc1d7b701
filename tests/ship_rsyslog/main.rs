//! Shipping to a real rsyslogd that is restarted and killed meanwhile, by RELP and over plain TCP, with TLS and without.
//!
//! It stores what it has read at once (`rsyslogd`), so what its file lacks was lost, whoever is to blame. `cargo test
//! --test ship_rsyslog -- --ignored` needs the Debian packages rsyslog, rsyslog-relp, rsyslog-gnutls and rsyslog-openssl;
//! `TAUT_SHIP_ROUNDS` says how many rounds of harm each test makes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![cfg_attr(not(feature = "_tls"), allow(dead_code, reason = "without TLS"))]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "_tls")]
#[path = "../tls_peers/keys.rs"]
mod keys;
#[cfg(feature = "_tls")]
mod over_tls;
#[path = "../support/ports.rs"]
mod ports;
mod restarts;
mod rsyslogd;
#[path = "../support/shipping/mod.rs"]
mod shipping;
#[cfg(feature = "_tls")]
#[path = "../support/tls/mod.rs"]
mod tls;
#[cfg(feature = "_tls")]
mod tls_ends;
