//! TLS with peers that others have written: OpenSSL's own server and client, nginx, Redis and stunnel, each started by
//! the test on free loopback ports, with certificates made for the run, and stopped by its pid. A file a peer.
//!
//! What a peer says is held against what it was asked, byte for byte and in order; each request ends exactly once,
//! whatever is done to the peer. `cargo test --test tls_peers -- --ignored` needs the Debian packages openssl,
//! nginx-light with libnginx-mod-stream, redis-server and stunnel4.
#![cfg(all(target_os = "linux", feature = "_tls"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod daemon;
#[path = "../redis_loops/harm.rs"]
mod harm;
mod keys;
mod nginx;
mod openssl;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/recorder.rs"]
mod recorder;
#[path = "../support/redis.rs"]
mod redis;
mod redis_tls;
mod s_client;
mod stunnel;
#[path = "../support/tls/mod.rs"]
mod tls;
#[path = "../redis_loops/traffic.rs"]
mod traffic;
