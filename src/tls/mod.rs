//! TLS by rustls, behind the seam of `session`: what a program says of it, and one connection's session.
//!
//! Everything that can be wrong with a setting is told when it is built: files are read, keys and certificates are held
//! against each other. No provider of cryptography is made the process's: each setting carries its own, as features choose
//! it. Nothing here knows a socket or a clock; rustls asks for the time itself, when it looks at a certificate.

mod config;
mod error;
mod faults;
mod material;
mod pins;
mod provider;
mod resumption;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod verify;
mod words;

pub use config::{TlsConfig, TlsConfigBuilder};
pub use error::TlsConfigError;
pub use server::{TlsServerConfig, TlsServerConfigBuilder};
