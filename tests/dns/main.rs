//! The system's own resolver against a name server on its bad days (fault 22): it hangs, it says that there is no such
//! name, that it has failed, or nothing; it names a hundred addresses; it is silent for one family; and it changes its
//! mind while connections stand.
//!
//! `tests/lookups.rs` asks the same of a resolver that a test scripts. Here it is getaddrinfo(3) that asks, in a network
//! namespace with a name server of the test's (`server`), so that what glibc makes of it is part of the proof.
//! `cargo test --test dns -- --ignored` needs root and iproute2. How long glibc takes is glibc's; what the loop promises
//! is that it turns meanwhile, and that each connection and request ends once, by its own time and by name.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod changes;
mod hangs;
mod server;
mod world;
