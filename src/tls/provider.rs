//! The cryptography: chosen by feature, carried by each setting, never the process's.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::version::{TLS12, TLS13};

use std::ops::RangeInclusive;

use super::TlsConfigError;
use crate::session::TlsVersion;

#[cfg(feature = "tls-aws-lc-rs")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(not(feature = "tls-aws-lc-rs"))]
use rustls::crypto::ring as chosen;

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(chosen::default_provider())
}

/// The provider's own SHA-256.
pub(super) fn sha256(provider: &CryptoProvider) -> Option<&'static dyn Hash> {
    let suites = provider.cipher_suites.iter();
    let mut hashes = suites.filter_map(|suite| Some(suite.tls13()?.common.hash_provider));
    hashes.find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
}

/// As rustls has them, the newest first.
pub(super) fn versions(
    range: &RangeInclusive<TlsVersion>,
) -> Result<Vec<&'static SupportedProtocolVersion>, TlsConfigError> {
    let all = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    let within = all.iter().filter(|(version, _)| range.contains(version));
    let within: Vec<_> = within.map(|(_, version)| *version).collect();
    match within.is_empty() {
        true => Err(TlsConfigError::NoVersion),
        false => Ok(within),
    }
}
