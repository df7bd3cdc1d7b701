//! What can be wrong with a TLS setting.

use std::path::PathBuf;

/// Why a [`TlsConfig`](crate::TlsConfig) or a [`TlsServerConfig`](crate::TlsServerConfig) cannot be. Its words say what
/// would be right.
///
/// A `place` is the file that something was read from; `None` is PEM that the program gave as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why (an `errno`).
        errno: i32,
    },
    /// It is no PEM that can be read.
    BadPem {
        /// Where.
        place: Option<PathBuf>,
        /// What is wrong.
        why: String,
    },
    /// There is no certificate in it.
    NoCertificate {
        /// Where.
        place: Option<PathBuf>,
    },
    /// There is no private key in it.
    NoKey {
        /// Where.
        place: Option<PathBuf>,
    },
    /// None of its certificates can be an authority's.
    NoAuthority {
        /// Where.
        place: Option<PathBuf>,
        /// What is wrong with the first.
        why: String,
    },
    /// The platform has no root certificates that can be used.
    NoRoots {
        /// What the search met, if anything.
        why: String,
    },
    /// The private key is not the certificate's.
    KeyMismatch {
        /// Where the key is.
        place: Option<PathBuf>,
    },
    /// The certificate or its private key cannot be used.
    BadKey {
        /// Where the key is.
        place: Option<PathBuf>,
        /// What is wrong.
        why: String,
    },
    /// A server's name is neither a name nor an address that a certificate could be for.
    BadName(
        /// As it was given.
        String,
    ),
    /// A pin is not `sha256//` and the base64 of 32 bytes.
    BadPin(
        /// As it was given.
        String,
    ),
    /// A protocol of ALPN is empty, or longer than 255 bytes.
    BadProtocol {
        /// Its length.
        bytes: usize,
    },
    /// There is no version in the range.
    NoVersion,
    /// It was refused otherwise, in the words of the library beneath.
    Refused(
        /// These words.
        String,
    ),
}
