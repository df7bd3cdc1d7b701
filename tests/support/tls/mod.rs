//! TLS peers that do what a test tells them to, certificates of each kind, and what a client has put on the line.
//!
//! A [`Conversation`] is one connection of a server, a rustls session driven by hand over a plain socket: a test says
//! in order what both sides do. Where a peer must move while the client does, [`TlsServer`] gives each of its
//! connections a thread. What harms the line itself, and nothing above it (cuts, stalls, slices), is the proxy's. The
//! cryptography is ring's, whatever the client under test uses.
#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]

mod certificates;
mod client;
mod conversation;
mod records;
mod sealing;
mod server;

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, SupportedProtocolVersion};

pub(crate) use certificates::*;
pub(crate) use client::*;
pub(crate) use conversation::*;
pub(crate) use records::*;
pub(crate) use sealing::{Epoch, Sealing, Secrets, open_alert};
pub(crate) use server::*;

/// How a server speaks: its settings, and the secrets of its sessions.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) secrets: Arc<Secrets>,
}

impl Terms {
    /// With this certificate, by TLS 1.2 and 1.3, asking for none of the client's. No tickets are given.
    pub(crate) fn new(identity: &Identity) -> Terms {
        Terms::with(identity, rustls::ALL_VERSIONS, None, |_| {})
    }

    pub(crate) fn changed(identity: &Identity, change: impl FnOnce(&mut ServerConfig)) -> Terms {
        Terms::with(identity, rustls::ALL_VERSIONS, None, change)
    }

    /// By these versions alone.
    pub(crate) fn speaking(
        identity: &Identity,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Terms {
        Terms::with(identity, versions, None, |_| {})
    }

    /// Clients must show a certificate of this authority's.
    pub(crate) fn asking(identity: &Identity, clients: &Authority) -> Terms {
        Terms::with(identity, rustls::ALL_VERSIONS, Some(clients), |_| {})
    }

    /// All that can be said.
    pub(crate) fn with(
        identity: &Identity,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Authority>,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Terms {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = clients.roots();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder
            .with_single_cert(identity.chain.clone(), identity.key())
            .unwrap();
        let secrets = Arc::<Secrets>::default();
        config.key_log = secrets.clone();
        config.send_tls13_tickets = 0;
        change(&mut config);
        Terms {
            config: Arc::new(config),
            secrets,
        }
    }
}

/// ring's, also where another one is built in.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
