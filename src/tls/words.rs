//! What is wrong with a TLS setting, in words for people: where, what, and what would be right.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::TlsConfigError;

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsConfigError::Unreadable { path, errno } => {
                let why = io::Error::from_raw_os_error(*errno);
                write!(f, "{} cannot be read: {why}", path.display())
            }
            TlsConfigError::BadPem { place, why } => {
                write!(f, "{} cannot be read as PEM: {why}", Place(place))
            }
            TlsConfigError::NoCertificate { place } => write!(
                f,
                "there is no certificate in {}: it must be PEM (-----BEGIN CERTIFICATE-----); \
                 from DER: openssl x509 -inform der -in FILE",
                Place(place)
            ),
            TlsConfigError::NoKey { place } => write!(
                f,
                "there is no private key in {}: it must be PEM without a passphrase \
                 (-----BEGIN PRIVATE KEY-----); from an encrypted one: openssl pkey -in FILE",
                Place(place)
            ),
            TlsConfigError::NoAuthority { place, why } => write!(
                f,
                "none of the certificates in {} can be an authority's: {why}",
                Place(place)
            ),
            TlsConfigError::NoRoots { why } => {
                f.write_str("this machine has no root certificates that can be used")?;
                if !why.is_empty() {
                    write!(f, " ({why})")?;
                }
                f.write_str(
                    ": install its package ca-certificates, set SSL_CERT_FILE, or give the authority's own \
                     certificate (TlsConfigBuilder::ca_file; probe: --cacert)",
                )
            }
            TlsConfigError::KeyMismatch { place } => write!(
                f,
                "the private key in {} is not that of the first certificate: give the pair that was made together, \
                 the peer's own certificate first",
                Place(place)
            ),
            TlsConfigError::BadKey { place, why } => write!(
                f,
                "the private key in {}, or its certificate, cannot be used: {why}; RSA of 2048 bits and more, \
                 ECDSA (P-256, P-384) and Ed25519 can be",
                Place(place)
            ),
            TlsConfigError::BadName(name) => write!(
                f,
                "no certificate could be for the name {name:?}: give a name of ASCII letters, digits, hyphens and \
                 dots (of others their xn-- form), or an address without brackets or port"
            ),
            TlsConfigError::BadPin(pin) => write!(
                f,
                "the pin {pin:?} is not sha256// and the base64 of 32 bytes; of a certificate: openssl x509 -in FILE \
                 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64"
            ),
            TlsConfigError::BadProtocol { bytes } => write!(
                f,
                "a protocol of ALPN has {bytes} bytes: it must have 1 to 255 (RFC 7301)"
            ),
            TlsConfigError::NoVersion => {
                f.write_str("the range of versions is empty: put the older one first")
            }
            TlsConfigError::Refused(why) => write!(f, "the TLS setting was refused: {why}"),
        }
    }
}

impl std::error::Error for TlsConfigError {}

/// A place in words.
struct Place<'a>(&'a Option<PathBuf>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("the PEM given as bytes"),
        }
    }
}
