//! A managed service: what a program asks for ([`Upstream`]) and the pure machine that decides ([`Service`]).
//!
//! The machine decides which connection takes a request, which request a reply answers, what fails when a connection
//! is lost and when a lost one is made again. It never touches a socket, a clock or a random source of its own: time
//! and random numbers come in as arguments, and the engine does what `poll_connect` and the returned values say.

mod asked;
mod backoff;
mod balance;
mod breaker;
mod budget;
mod changes;
mod ejection;
mod handover;
mod idle;
mod ids;
mod kept;
mod options;
mod outage;
mod pipeline;
mod rate;
mod service;
mod stats;
mod target;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use asked::{Again, Asked};
pub(crate) use backoff::{Backoff, Failing};
pub use breaker::BreakerState;
#[cfg(any(test, fuzzing))]
pub(crate) use breaker::{Circuit, End, Happened};
#[cfg(any(test, fuzzing))]
pub(crate) use budget::Budget;
pub(crate) use changes::Change;
pub use options::{Connections, Upstream};
pub(crate) use pipeline::{InFlight, Progress, Which};
pub(crate) use rate::Bucket;
pub(crate) use service::{Failed, Service, Verdict};
pub(crate) use stats::Targeted;
pub use stats::UpstreamStats;
pub(crate) use target::{no_address, split_target};
