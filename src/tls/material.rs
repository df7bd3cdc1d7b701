//! Certificates and keys as they are given, and what is in them. Read when a setting is built, and never later.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsConfigError;
use crate::error::Source;

/// PEM, or where it is.
#[derive(Clone)]
pub(super) enum Pem {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// It may be a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => write!(f, "{}", path.display()),
            Pem::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// A certificate with those that certify it, and its private key.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
}

impl Pem {
    pub(super) fn place(&self) -> Option<PathBuf> {
        match self {
            Pem::File(path) => Some(path.clone()),
            Pem::Bytes(_) => None,
        }
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, TlsConfigError> {
        match self {
            Pem::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Pem::File(path) => {
                let read = fs::read(path).map_err(|error| TlsConfigError::Unreadable {
                    path: path.clone(),
                    errno: match Source::of(&error) {
                        Source::Os(errno) => errno,
                        _ => 0,
                    },
                });
                Ok(Cow::Owned(read?))
            }
        }
    }

    /// All certificates in it: at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let bytes = self.bytes()?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let all = all.map_err(|error| self.bad(&error))?;
        match all.is_empty() {
            true => Err(TlsConfigError::NoCertificate {
                place: self.place(),
            }),
            false => Ok(all),
        }
    }

    /// The first private key in it.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        PrivateKeyDer::from_pem_slice(&self.bytes()?).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsConfigError::NoKey {
                place: self.place(),
            },
            error => self.bad(&error),
        })
    }

    fn bad(&self, error: &pem::Error) -> TlsConfigError {
        TlsConfigError::BadPem {
            place: self.place(),
            why: error.to_string(),
        }
    }
}

impl Identity {
    /// In the order in which rustls takes them.
    pub(super) fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsConfigError> {
        Ok((self.certificate.certificates()?, self.key.key()?))
    }

    /// Why rustls does not take them.
    pub(super) fn refused(&self, error: &rustls::Error) -> TlsConfigError {
        let place = self.key.place();
        match error {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
                TlsConfigError::KeyMismatch { place }
            }
            error => TlsConfigError::BadKey {
                place,
                why: error.to_string(),
            },
        }
    }
}

/// The authorities that were given. A bundle may hold some that cannot be used, as the platform's may: none at all is
/// an error, for each of what was given.
pub(super) fn authorities(given: &[Pem]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for pem in given {
        let before = roots.len();
        let mut first = None;
        for certificate in pem.certificates()? {
            if let Err(error) = roots.add(certificate) {
                first.get_or_insert(error);
            }
        }
        if roots.len() == before {
            return Err(TlsConfigError::NoAuthority {
                place: pem.place(),
                why: first.map(|error| error.to_string()).unwrap_or_default(),
            });
        }
    }
    Ok(roots)
}

/// The platform's own authorities, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
pub(super) fn platform_roots() -> Result<RootCertStore, TlsConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        true => Err(TlsConfigError::NoRoots {
            why: found
                .errors
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }),
        false => Ok(roots),
    }
}
