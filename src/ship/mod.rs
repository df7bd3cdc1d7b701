//! Shipping: a stream of lines to a TCP sink, with the fate of each one told.
//!
//! `send()` succeeding means that the local kernel took the bytes. What a peer's TCP acknowledged, what its program has
//! read, and what a break leaves in doubt are three more questions; the rung that is asked for ([`Ack`]) says which of
//! them a line must have answered before it counts as delivered. `docs/guarantees.md` has them side by side.

mod backlog;
mod config;
mod driver;
mod epoch;
mod event;
mod fates;
mod journal;
mod lines;
mod link;
pub(crate) mod relp;
mod shipper;
mod sinks;
#[cfg(feature = "spool")]
pub mod spool;
mod verdict;
mod wire;

pub use config::{Ack, OnUncertain, ShipConfig, Wire};
#[cfg(test)]
pub(crate) use driver::Driver;
pub use event::{Refusal, ShipCounts, ShipEvent};
pub use shipper::{ShipWaker, Shipper};
