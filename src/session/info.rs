//! What a session has agreed on, as data.

use std::time::Duration;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    /// As people write it: `TLS 1.3`.
    pub fn name(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLS 1.2",
            TlsVersion::Tls13 => "TLS 1.3",
        }
    }
}

/// What is known of a connection's TLS session; see [`Client::tls_info`](crate::Client::tls_info). Of a handshake that
/// failed, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version agreed on.
    pub version: Option<TlsVersion>,
    /// The cipher suite agreed on, by its name in IANA's registry, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: Option<&'static str>,
    /// The protocol agreed on (ALPN, RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The session goes on from an earlier one, whose certificate is told here.
    pub is_resumed: bool,
    /// The peer's certificate was verified, and its pins where there are any. Never with
    /// `TlsConfigBuilder::danger_accept_invalid_certs`, and of a client that showed none.
    pub is_verified: bool,
    /// The peer's certificates as they came (DER), its own first; also where they were refused.
    pub certificates: Vec<Vec<u8>>,
    /// From the first byte of the handshake to its end; `None` before that.
    pub handshake: Option<Duration>,
}
