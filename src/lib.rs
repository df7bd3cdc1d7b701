//! taut is a TCP client engine for programs that cannot afford a runtime: one thread, one poll loop, nonblocking
//! sockets, a timer wheel, and a look at the line (`MSG_PEEK`) before every write, so that a peer's shutdown is seen
//! before a request is lost to it. *A taut line tells you at once when the other end lets go.*
//!
//! A program asks, lets the loop turn, and pulls events; nothing is called back. Every request ends exactly once, and a
//! failed one says whether the peer may have got it ([`Sent`]):
//!
//! ```
//! use std::time::Duration;
//! use taut::{Client, Config, Deadline, Event, Framing, Upstream};
//! # use taut::server::{Server, ServerConfig, Service};
//! # fn main() -> Result<(), taut::Error> {
//! # let config = ServerConfig { service: Service::Echo, ..ServerConfig::default() };
//! # let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config)?;
//! # let (address, stopper) = (server.local_addr().to_string(), server.stopper());
//! # let thread = std::thread::spawn(move || server.run());
//!
//! let mut client = Client::new(Config::default())?;
//! let cache = client.add(Upstream::new(address).framing(Framing::resp()).connections(4))?;
//! let ping = client.request(cache, b"*1\r\n$4\r\nPING\r\n", Deadline::after(Duration::from_secs(5)))?;
//! 'done: loop {
//!     client.turn(None)?;
//!     while let Some(event) = client.next_event() {
//!         match event {
//!             Event::Reply { request, frame, .. } if request == ping => break 'done println!("{:?}", client.bytes(&frame)),
//!             Event::Failed { request, error, .. } => break 'done eprintln!("{request}: {error}"),
//!             _ => {}
//!         }
//!     }
//! }
//! # drop(client);
//! # stopper.stop();
//! # thread.join().expect("the server does not panic")?;
//! # Ok(())
//! # }
//! ```
//!
//! Start with [`Client`]; every limit, timeout and policy is in [`Config`]. There are two levels: a raw connection
//! ([`Client::connect`], [`Client::send`]) and a managed [`Upstream`] ([`Client::request`]). The bundled peer is
//! [`server::Server`]; the binary `probe` is the first program built on this library.

mod buffer;
mod client;
mod config;
mod conn;
mod engine;
mod errno;
mod error;
mod event;
pub mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod handle;
mod kernel;
mod names;
mod net;
mod observer;
mod parting;
pub mod server;
mod session;
pub mod ship;
#[cfg(any(test, fuzzing, feature = "sim"))]
mod sim;
mod socket_options;
mod stats;
mod time;
#[cfg(feature = "_tls")]
mod tls;
mod upstream;
pub mod wheel;

pub use client::{Client, Outgoing, Received};
pub use config::{
    Breaker, Config, Deadline, Expect, Heartbeat, Limits, Lookups, Peek, Pool, Rate, Reconnect,
    RequestOptions, Retry, Timeouts,
};
pub use error::{
    CertificateFault, Class, Error, Limit, Phase, ResolveError, Sent, Source, TlsFault,
};
pub use event::{ConnectionId, Event, Frame, RequestId, UpstreamId};
pub use frame::{Codec, Framing, LengthPrefix};
pub use handle::{Handle, Outcome};
pub use kernel::TcpInfo;
pub use net::{Resolve, SystemResolver};
pub use observer::{Connected, Ended, Lost, Observer, Retried, State};
pub use parting::Parting;
pub use session::{TlsInfo, TlsVersion};
pub use socket_options::{Keepalive, SocketOptions};
pub use stats::{Breakers, Failures, Gauge, Stats, TargetStats};
#[cfg(feature = "_tls")]
pub use tls::{
    TlsConfig, TlsConfigBuilder, TlsConfigError, TlsServerConfig, TlsServerConfigBuilder,
};
pub use upstream::{BreakerState, Connections, Upstream, UpstreamStats};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So do those of the page about embedding.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;

/// And that of the page about TLS.
#[cfg(all(doctest, feature = "_tls"))]
#[doc = include_str!("../docs/tls.md")]
struct Tls;
