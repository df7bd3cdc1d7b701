//! The server's side: what it shows, and what it asks of its clients.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;

use super::TlsConfigError;
use super::config::protocols;
use super::material::{Identity, Pem, authorities};
use super::provider::{provider, versions};
use super::session::of_server;
use super::verify::client_verifier;
use crate::error::Source;
use crate::session::{Session, Sessions, TlsVersion};

/// How a server speaks TLS: what it shows, and what it asks of its clients. It is valid once it is there; two are equal
/// when one is a clone of the other.
///
/// ```no_run
/// use taut::TlsServerConfig;
///
/// # fn main() -> Result<(), taut::TlsConfigError> {
/// let tls = TlsServerConfig::files("/etc/ssl/server.pem", "/etc/ssl/server.key").build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsServerConfig {
    side: Arc<ServerSide>,
}

struct ServerSide {
    rustls: Arc<ServerConfig>,
}

impl TlsServerConfig {
    /// Shows a certificate: files of PEM, the certificate with those that certify it, its own first, and its private key
    /// (without a passphrase).
    pub fn files(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> TlsServerConfigBuilder {
        TlsServerConfigBuilder::new(Pem::File(certificate.into()), Pem::File(key.into()))
    }

    /// The same, as PEM.
    pub fn pem(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> TlsServerConfigBuilder {
        TlsServerConfigBuilder::new(Pem::Bytes(certificate.into()), Pem::Bytes(key.into()))
    }

    pub(crate) fn sessions(&self) -> Arc<dyn Sessions> {
        self.side.clone()
    }
}

impl PartialEq for TlsServerConfig {
    fn eq(&self, other: &TlsServerConfig) -> bool {
        Arc::ptr_eq(&self.side, &other.side)
    }
}

impl Eq for TlsServerConfig {}

impl fmt::Debug for TlsServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.side.fmt(f)
    }
}

/// Without its key.
impl fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServerConfig").finish_non_exhaustive()
    }
}

impl Sessions for ServerSide {
    fn begin(&self, _host: &str) -> Result<Box<dyn Session>, Source> {
        of_server(self.rustls.clone())
    }

    fn check(&self, _host: &str) -> Result<(), Source> {
        Ok(())
    }
}

/// What a [`TlsServerConfig`] is to be; see [`TlsServerConfig::files`].
#[derive(Clone, Debug)]
#[must_use = "it is a setting only when it is built"]
pub struct TlsServerConfigBuilder {
    identity: Identity,
    alpn: Vec<Vec<u8>>,
    versions: RangeInclusive<TlsVersion>,
    client_authorities: Vec<Pem>,
}

impl TlsServerConfigBuilder {
    fn new(certificate: Pem, key: Pem) -> TlsServerConfigBuilder {
        TlsServerConfigBuilder {
            identity: Identity { certificate, key },
            alpn: Vec::new(),
            versions: TlsVersion::Tls12..=TlsVersion::Tls13,
            client_authorities: Vec::new(),
        }
    }

    /// The protocols that are spoken, the one preferred first, each of 1 to 255 bytes (ALPN, RFC 7301). A client that
    /// offers others alone is refused; one that offers none is not. Default: none.
    pub fn alpn<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> TlsServerConfigBuilder {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The versions that are spoken. Default: TLS 1.2 and 1.3.
    pub fn versions(mut self, versions: RangeInclusive<TlsVersion>) -> TlsServerConfigBuilder {
        self.versions = versions;
        self
    }

    /// Asks each client for a certificate that an authority in this file (PEM) has signed, and refuses it without one;
    /// may be said several times. Default: clients are not asked.
    pub fn client_ca_file(mut self, path: impl Into<PathBuf>) -> TlsServerConfigBuilder {
        self.client_authorities.push(Pem::File(path.into()));
        self
    }

    /// The same, as PEM.
    pub fn client_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> TlsServerConfigBuilder {
        self.client_authorities.push(Pem::Bytes(pem.into()));
        self
    }

    /// Reads the files and makes the setting.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub fn build(self) -> Result<TlsServerConfig, TlsConfigError> {
        let provider = provider();
        let alpn = protocols(self.alpn)?;
        let versions = versions(&self.versions)?;
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| TlsConfigError::Refused(error.to_string()))?;
        let config = match self.client_authorities.is_empty() {
            true => config.with_no_client_auth(),
            false => {
                let roots = authorities(&self.client_authorities)?;
                config.with_client_cert_verifier(client_verifier(roots, provider)?)
            }
        };
        let (certificates, key) = self.identity.read()?;
        let taken = config.with_single_cert(certificates, key);
        let mut config = taken.map_err(|error| self.identity.refused(&error))?;
        config.alpn_protocols = alpn;
        Ok(TlsServerConfig {
            side: Arc::new(ServerSide {
                rustls: Arc::new(config),
            }),
        })
    }
}
