//! The world in memory: kernels, a network and a clock that a test moves, for runs that are the same
//! each time.
//!
//! ```text
//!   Engine<SimKernel>   Engine<SimKernel>        kernel   the seam's other side
//!            └───────┬───────┘                   world    turns the engines, moves the clock
//!                 Network ── Endpoint            network, connecting, traffic, loss, names, endpoint,
//!                                              weather, faults
//! ```
//! `failing` is a kernel built on either of both, some of whose calls fail; `tap` listens to what a
//! kernel does for its program.
//!
//! Everything is drawn from one seed: no clock, thread or random source of the system is used. The
//! tests that need the private engine are here as well: `facts` hold this kernel to the real one,
//! `scenarios` runs one script in both worlds, `moments` are single situations, and `storms` runs
//! many seeds of bad weather. `herd` is of ten thousand clients that lost one server.
#![allow(dead_code, reason = "so far only this crate's own tests use it")]

mod connecting;
mod endpoint;
#[cfg(all(test, target_os = "linux"))]
mod facts;
mod failing;
#[cfg(test)]
mod failures;
mod faults;
#[cfg(test)]
mod herd;
mod kernel;
mod loss;
#[cfg(test)]
mod moments;
mod names;
mod network;
pub(crate) mod random;
#[cfg(test)]
mod scenarios;
pub(crate) mod session;
#[cfg(test)]
mod ships;
#[cfg(test)]
mod storms;
mod tap;
mod traffic;
mod weather;
mod world;
