//! Pins, in curl's form: SHA-256 of a certificate's public key as it stands in it (SPKI), in Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// The pin of a public key (DER), as `--pin` takes it.
pub(super) fn of(spki: &[u8]) -> Option<String> {
    // The hash that this suite is named after.
    let sha256 = TLS13_AES_128_GCM_SHA256.tls13()?.common.hash_provider;
    Some(format!("sha256//{}", STANDARD.encode(sha256.hash(spki))))
}
