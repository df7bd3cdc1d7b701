//! Pins: hashes of the public keys that a peer may have (SPKI-SHA256, RFC 7469 §2.4, in curl's words).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::hash::Hash;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::TlsConfigError;

const PREFIX: &str = "sha256//";

/// The hash of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pin([u8; 32]);

impl Pin {
    pub(super) fn parse(text: &str) -> Result<Pin, TlsConfigError> {
        let base64 = text.strip_prefix(PREFIX);
        let bytes = base64.and_then(|base64| STANDARD.decode(base64).ok());
        let pin = bytes.and_then(|bytes| bytes.try_into().ok()).map(Pin);
        pin.ok_or_else(|| TlsConfigError::BadPin(text.to_owned()))
    }

    /// That of a certificate's key.
    ///
    /// # Errors
    /// A certificate that cannot be read.
    pub(super) fn of(
        certificate: &CertificateDer<'_>,
        sha256: &dyn Hash,
    ) -> Result<Option<Pin>, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let hash = sha256.hash(&parsed.subject_public_key_info());
        Ok(hash.as_ref().try_into().ok().map(Pin))
    }
}
