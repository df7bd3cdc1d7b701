//! What rustls says went wrong, as a cause of the house.
//!
//! A cause is named by what a person would change: the certificate, the clock, the authority that is trusted, the port.
//! What rustls knows beside that (names, chains) is to be read off the certificates that were shown.

use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};

use crate::error::{CertificateFault, Source, TlsFault};

pub(super) fn source_of(error: &Error) -> Source {
    match error {
        // Before the handshake is over nobody has signed it: it says no more than a FIN does.
        Error::AlertReceived(AlertDescription::CloseNotify) => Source::Eof,
        Error::AlertReceived(alert) => Source::Alert(u8::from(*alert)),
        Error::InvalidCertificate(error) => Source::Certificate(certificate_fault(error)),
        Error::NoCertificatesPresented => Source::Certificate(CertificateFault::Missing),
        Error::InvalidCertRevocationList(_) => Source::Certificate(CertificateFault::Other),
        other => Source::Tls(fault_of(other)),
    }
}

fn fault_of(error: &Error) -> TlsFault {
    match error {
        Error::PeerIncompatible(why) => incompatibility(why),
        Error::NoApplicationProtocol => TlsFault::Alpn,
        Error::DecryptError => TlsFault::BadRecord,
        Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => TlsFault::TooLarge,
        Error::PeerMisbehaved(_)
        | Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord
        | Error::InvalidEncryptedClientHello(_) => TlsFault::Misbehaved,
        _ => TlsFault::Internal,
    }
}

fn incompatibility(why: &PeerIncompatible) -> TlsFault {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => TlsFault::Version,
        _ => TlsFault::NothingInCommon,
    }
}

fn certificate_fault(error: &CertificateError) -> CertificateFault {
    match error {
        CertificateError::ExpiredContext { time, not_after } => CertificateFault::Expired {
            not_after: not_after.as_secs(),
            now: time.as_secs(),
        },
        CertificateError::NotValidYetContext { time, not_before } => {
            CertificateFault::NotYetValid {
                not_before: not_before.as_secs(),
                now: time.as_secs(),
            }
        }
        // What webpki says of a certificate that ends before it begins.
        CertificateError::Expired => CertificateFault::BadEncoding,
        CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::WrongName
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            CertificateFault::WrongPurpose
        }
        // Nobody but the pins says that (`super::verify`).
        CertificateError::ApplicationVerificationFailure => CertificateFault::PinMismatch,
        CertificateError::Revoked => CertificateFault::Revoked,
        CertificateError::BadSignature => CertificateFault::BadSignature,
        CertificateError::BadEncoding => CertificateFault::BadEncoding,
        CertificateError::UnhandledCriticalExtension
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            CertificateFault::Unsupported
        }
        CertificateError::Other(other) => other_fault(other),
        _ => CertificateFault::Other,
    }
}

/// What webpki says by a name of its own, which rustls hands on as it is.
fn other_fault(OtherError(why): &OtherError) -> CertificateFault {
    match why.to_string().as_str() {
        "CaUsedAsEndEntity" => CertificateFault::IsAuthority,
        "EndEntityUsedAsCa" | "PathLenConstraintViolated" | "NameConstraintViolation" => {
            CertificateFault::BadChain
        }
        "UnsupportedCertVersion"
        | "UnsupportedCriticalExtension"
        | "UnsupportedNameType"
        | "UnsupportedSignatureAlgorithm"
        | "UnsupportedSignatureAlgorithmForPublicKey" => CertificateFault::Unsupported,
        "BadDer"
        | "BadDerTime"
        | "InvalidSerialNumber"
        | "MalformedExtensions"
        | "MalformedDnsIdentifier"
        | "MalformedNameConstraint"
        | "ExtensionValueInvalid" => CertificateFault::BadEncoding,
        _ => CertificateFault::Other,
    }
}
