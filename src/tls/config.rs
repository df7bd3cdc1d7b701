//! The client's side: whom it trusts, what it asks for and what it shows.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;

use super::TlsConfigError;
use super::material::{Identity, Pem, authorities, platform_roots};
use super::pins::Pin;
use super::provider::{provider, sha256, versions};
use super::resumption::Kept;
use super::session::{name_of, of_client};
use super::verify::{Pins, ServerVerifier};
use crate::error::Source;
use crate::session::{Session, Sessions, TlsVersion};

/// How a client speaks TLS: whom it trusts, what it asks for and what it shows.
///
/// It is valid once it is there: files were read, keys match, pins are pins. A clone is the same setting, and shares its
/// store of sessions for resumption; two are equal when one is a clone of the other.
///
/// ```no_run
/// use taut::TlsConfig;
///
/// # fn main() -> Result<(), taut::TlsConfigError> {
/// let public = TlsConfig::new()?;
/// let own = TlsConfig::builder().ca_file("/etc/ssl/own-ca.pem").alpn(["redis"]).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    side: Arc<ClientSide>,
}

/// What all sessions of a setting have in common.
struct ClientSide {
    rustls: Arc<ClientConfig>,
    /// In place of the target's host.
    name: Option<ServerName<'static>>,
    /// What there is to go on from, where it may be.
    kept: Option<Arc<Kept>>,
    is_verifying: bool,
}

impl TlsConfig {
    /// Trusts the platform's roots (or those that the environment's SSL_CERT_FILE and SSL_CERT_DIR name), asks for the
    /// target's host, speaks TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`TlsConfigError::NoRoots`].
    pub fn new() -> Result<TlsConfig, TlsConfigError> {
        TlsConfig::builder().build()
    }

    /// The same, to be changed before it is built.
    pub fn builder() -> TlsConfigBuilder {
        TlsConfigBuilder {
            authorities: Vec::new(),
            server_name: None,
            alpn: Vec::new(),
            identity: None,
            versions: TlsVersion::Tls12..=TlsVersion::Tls13,
            sessions_max: 256,
            pins: Vec::new(),
            accepts_invalid: false,
        }
    }

    pub(crate) fn sessions(&self) -> Arc<dyn Sessions> {
        self.side.clone()
    }
}

impl PartialEq for TlsConfig {
    fn eq(&self, other: &TlsConfig) -> bool {
        Arc::ptr_eq(&self.side, &other.side)
    }
}

impl Eq for TlsConfig {}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.side.fmt(f)
    }
}

/// Neither keys nor what is stored of sessions.
impl fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("server_name", &self.name)
            .field("is_verifying", &self.is_verifying)
            .finish_non_exhaustive()
    }
}

impl Sessions for ClientSide {
    fn begin(&self, host: &str) -> Result<Box<dyn Session>, Source> {
        let name = self.name_for(host)?;
        let kept = self.kept.as_ref();
        of_client(self.rustls.clone(), name, kept, self.is_verifying)
    }

    fn check(&self, host: &str) -> Result<(), Source> {
        self.name_for(host).map(|_| ())
    }
}

impl ClientSide {
    fn name_for(&self, host: &str) -> Result<ServerName<'static>, Source> {
        let own = self.name.clone().or_else(|| name_of(host));
        own.ok_or(Source::Invalid(
            "no certificate could be for this host: say TlsConfigBuilder::server_name",
        ))
    }
}

/// What a [`TlsConfig`] is to be; see [`TlsConfig::builder`].
#[derive(Clone, Debug)]
#[must_use = "it is a setting only when it is built"]
pub struct TlsConfigBuilder {
    authorities: Vec<Pem>,
    server_name: Option<String>,
    alpn: Vec<Vec<u8>>,
    identity: Option<Identity>,
    versions: RangeInclusive<TlsVersion>,
    sessions_max: usize,
    pins: Vec<String>,
    accepts_invalid: bool,
}

impl TlsConfigBuilder {
    /// Trusts the authorities in a file (PEM), in place of the platform's; may be said several times. Of many
    /// certificates some may be ones that cannot be used.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> TlsConfigBuilder {
        self.authorities.push(Pem::File(path.into()));
        self
    }

    /// The same, as PEM.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> TlsConfigBuilder {
        self.authorities.push(Pem::Bytes(pem.into()));
        self
    }

    /// The name that is asked for (SNI, RFC 6066) and that the certificate must be for, in place of the target's host. A
    /// name or an address; an address is not told to the server.
    pub fn server_name(mut self, name: impl Into<String>) -> TlsConfigBuilder {
        self.server_name = Some(name.into());
        self
    }

    /// The protocols that are offered, the one preferred first, each of 1 to 255 bytes (ALPN, RFC 7301). A server may
    /// choose none. Default: none are offered.
    pub fn alpn<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> TlsConfigBuilder {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// What is shown to a server that asks for a certificate: files of PEM, the certificate with those that certify it,
    /// its own first, and its private key (without a passphrase).
    pub fn client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> TlsConfigBuilder {
        self.identity = Some(Identity {
            certificate: Pem::File(certificate.into()),
            key: Pem::File(key.into()),
        });
        self
    }

    /// The same, as PEM.
    pub fn client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> TlsConfigBuilder {
        self.identity = Some(Identity {
            certificate: Pem::Bytes(certificate.into()),
            key: Pem::Bytes(key.into()),
        });
        self
    }

    /// The versions that are spoken. Default: TLS 1.2 and 1.3.
    pub fn versions(mut self, versions: RangeInclusive<TlsVersion>) -> TlsConfigBuilder {
        self.versions = versions;
        self
    }

    /// Sessions that are kept for resumption, in memory; up to 8 of one server (a ticket of TLS 1.3 is shown once). 0: none
    /// is resumed. Default: 256.
    pub fn sessions_max(mut self, sessions: usize) -> TlsConfigBuilder {
        self.sessions_max = sessions;
        self
    }

    /// Refuses a server whose own certificate has another public key than this one, or than those of other pins: say the
    /// next key's pin beside the present one's before it is changed. The pin is `sha256//` and the base64 of the
    /// SHA-256 of the SubjectPublicKeyInfo, as curl has it. Pins are looked at in the handshake, after all else was found
    /// good; no byte of the program's has been sent by then.
    pub fn pin(mut self, pin: impl Into<String>) -> TlsConfigBuilder {
        self.pins.push(pin.into());
        self
    }

    /// Accepts any certificate: one that is expired, for another name, or made by anybody. Whoever is in between can
    /// read and change all. Pins still count: with one, the server is known by its key alone.
    pub fn danger_accept_invalid_certs(mut self) -> TlsConfigBuilder {
        self.accepts_invalid = true;
        self
    }

    /// Reads the files and makes the setting.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub fn build(self) -> Result<TlsConfig, TlsConfigError> {
        let provider = provider();
        let name = self
            .server_name
            .as_deref()
            .map(|name| name_of(name).ok_or_else(|| TlsConfigError::BadName(name.to_owned())));
        let name = name.transpose()?;
        let alpn = protocols(self.alpn)?;
        let versions = versions(&self.versions)?;
        let pins: Result<Vec<Pin>, _> = self.pins.iter().map(|pin| Pin::parse(pin)).collect();
        let hash = sha256(&provider);
        let hash = hash.ok_or_else(|| TlsConfigError::Refused("there is no SHA-256".to_owned()))?;
        let roots = match (self.authorities.is_empty(), self.accepts_invalid) {
            (false, _) => Some(authorities(&self.authorities)?),
            (true, false) => Some(platform_roots()?),
            (true, true) => None,
        };
        let roots = roots.filter(|_| !self.accepts_invalid);
        let verifier = ServerVerifier::new(roots, Pins::new(pins?, hash), &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| TlsConfigError::Refused(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let (certificates, key) = identity.read()?;
                let taken = config.with_client_auth_cert(certificates, key);
                taken.map_err(|error| identity.refused(&error))?
            }
        };
        config.alpn_protocols = alpn;
        let kept = (self.sessions_max > 0).then(|| Arc::new(Kept::new(self.sessions_max)));
        config.resumption = match &kept {
            None => Resumption::disabled(),
            Some(kept) => Resumption::store(kept.clone()),
        };
        Ok(TlsConfig {
            side: Arc::new(ClientSide {
                rustls: Arc::new(config),
                name,
                kept,
                is_verifying: !self.accepts_invalid,
            }),
        })
    }
}

/// Protocols of ALPN that can be said.
pub(super) fn protocols(all: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, TlsConfigError> {
    let wrong = all.iter().find(|name| !(1..=255).contains(&name.len()));
    match wrong {
        Some(name) => Err(TlsConfigError::BadProtocol { bytes: name.len() }),
        None => Ok(all),
    }
}
