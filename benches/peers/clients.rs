//! Clients that keep a number of requests under way on each of their connections, made alike: messages of one size,
//! NODELAY, and a bound on each answer's time where there is one to be had.

mod epoll;
mod raw_client;
mod taut_client;
mod tokio_client;

use std::time::Duration;

use taut::{Config, Timeouts};

pub(crate) use epoll::Epoll;
pub(crate) use raw_client::TautRaw;
pub(crate) use taut_client::Taut;
pub(crate) use tokio_client::Tokio;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// How long an answer may take; never reached.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Makes so many requests, and returns when all are answered.
pub(crate) trait Load {
    fn run(&mut self, requests: u64);
}

/// The defaults, but connections stand while others are measured.
pub(crate) fn taut_config() -> Config {
    Config {
        timeouts: Timeouts {
            idle: HOUR,
            ..Timeouts::default()
        },
        ..Config::default()
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .unwrap()
}
