//! What the engine takes for granted about Linux sockets and mio (docs/sockets.md), a test a fact.
//!
//! Nothing here uses taut's own code: these tests pin the kernel and mio, so that a system that
//! differs says so here and not in a lost line. Everything happens on loopback, or (where root is
//! needed, `-- --ignored`) in network namespaces. A test that says
//! "nothing more comes" first learns from `TCP_INFO` that the thing itself has happened, and no
//! test asserts how fast anything is. Facts that hold on one of mio's two Linux backends alone
//! carry a `cfg`; run both:
//! `cargo test` and `RUSTFLAGS='--cfg mio_unsupported_force_poll_poll' cargo test`.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test of system calls makes them itself (in sys.rs), and panics when they fail"
)]

mod closing;
mod connecting;
mod deadlines;
#[cfg(not(mio_unsupported_force_poll_poll))]
mod epoll;
mod errors;
mod peek;
#[cfg(mio_unsupported_force_poll_poll)]
mod poll_backend;
mod readiness;
mod support;
mod sys;
mod tcp_info;
mod unreachable;
