//! What the fuzz targets of `tests/fuzz` run: each takes any bytes, makes a program of them, and panics when a promise
//! is broken.
//!
//! It lives here because it drives what is private: codecs, the connection machine, the service machine, the shipper's
//! RELP. It is built for tests and for cargo-fuzz alone (`--cfg fuzzing`), and is no part of the library. It touches no
//! socket and no clock, so the same bytes always do the same: a finding is a file, and the files in `tests/fuzz/seeds`
//! are run by `cargo test` too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod codecs;
mod connection;
pub(crate) mod feed;
mod input;
mod plain;
mod relp;
mod resp;
mod service;
mod session;
mod shape;
#[cfg(test)]
mod tests;

pub use codecs::codecs;
pub use connection::connection;
pub use relp::relp;
pub use resp::resp;
pub use service::service;
pub use session::session;
