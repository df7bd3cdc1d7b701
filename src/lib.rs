//! taut: a TCP client engine for programs that cannot afford a runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod buffer;
mod client;
mod config;
mod conn;
mod engine;
mod errno;
mod error;
mod event;
pub mod frame;
mod kernel;
mod net;
pub mod server;
mod time;
mod upstream;
pub mod wheel;

pub use client::{Client, Outgoing, Received};
pub use config::{Config, Deadline, Limits, Peek, Timeouts};
pub use error::{Class, Error, Limit, Phase, ResolveError, Sent, Source};
pub use event::{ConnectionId, Event, Frame, RequestId, UpstreamId};
pub use frame::Framing;
pub use kernel::TcpInfo;
pub use net::{Resolve, SystemResolver};
pub use upstream::{Upstream, UpstreamStats};
