//! What goes wrong with TLS, in words for people: what it is, and what would help.

use std::fmt;

use super::date::Utc;
use super::{CertificateFault, TlsFault};

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            CertificateFault::Expired { not_after, now } => {
                return write!(
                    f,
                    "the certificate expired on {}; the local clock says {}: renew it (or the one it is \
                     signed by), or set the clock",
                    Utc(not_after),
                    Utc(now)
                );
            }
            CertificateFault::NotYetValid { not_before, now } => {
                return write!(
                    f,
                    "the certificate is not valid before {}; the local clock says {}: wait, or set the clock",
                    Utc(not_before),
                    Utc(now)
                );
            }
            CertificateFault::UnknownIssuer => {
                "the certificate is signed by itself, or by an authority that is not trusted: give its CA by \
                 TlsConfigBuilder::ca_file (probe: --cacert), or have the peer show the certificates between as well"
            }
            CertificateFault::WrongName => {
                "the certificate is for other names than the one that was asked for (its subjectAltName alone \
                 counts): ask for one of them (TlsConfigBuilder::server_name; probe: --sni), or have this one added"
            }
            CertificateFault::WrongPurpose => {
                "the certificate is not for this use: its extended key usage must name that of a server \
                 (serverAuth), or of a client (clientAuth)"
            }
            CertificateFault::IsAuthority => {
                "the certificate is an authority's own (CA:TRUE, as openssl req -x509 makes it), which no peer may \
                 show: sign one with it for the peer, or make it with -addext basicConstraints=critical,CA:FALSE"
            }
            CertificateFault::BadChain => {
                "the certificate is signed by one that may not sign it: by none of an authority (CA:TRUE), too far \
                 below one (path length), or for names that it has no say in"
            }
            CertificateFault::PinMismatch => {
                "the certificate's key is none of those that are pinned: somebody is in between, or the key was \
                 changed and its pin must be added (TlsConfigBuilder::pin; probe: --pin)"
            }
            CertificateFault::Revoked => "the certificate was revoked: it must be renewed",
            CertificateFault::BadSignature => {
                "a signature does not match: the peer has not the certificate's key, another authority of the same name \
                 is trusted, or it was changed on the way"
            }
            CertificateFault::BadEncoding => "the certificate cannot be read: have it made again",
            CertificateFault::Unsupported => {
                "the certificate is of a kind that is not known here: it must be of X.509 version 3 (openssl x509 \
                 -req -extfile), signed with RSA, ECDSA or Ed25519 and SHA-2, and have no critical extension but the \
                 usual ones"
            }
            CertificateFault::Missing => {
                "the peer has shown no certificate: a client needs TlsConfigBuilder::client_certificate_files"
            }
            CertificateFault::Other => "the certificate was refused",
        })
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsFault::Version => {
                "there is no version of TLS that both sides speak: this side knows 1.2 and 1.3, and of these those \
                 in TlsConfigBuilder::versions"
            }
            TlsFault::NothingInCommon => {
                "there is no cipher suite, signature or group that both sides know: the peer must have one of \
                 ECDHE with AES-GCM or ChaCha20"
            }
            TlsFault::Alpn => {
                "there is no application protocol that both sides name (ALPN): name one of the other side's"
            }
            TlsFault::NotTls => {
                "the peer does not speak TLS: it answered in plaintext or another protocol; ask for its TLS port, \
                 or speak without TLS"
            }
            TlsFault::TooLarge => {
                "a message of the peer's handshake is longer than 64 KiB: it shows too many certificates"
            }
            TlsFault::BadRecord => {
                "a record could not be decrypted: it was changed on the way, or the peer is broken"
            }
            TlsFault::Misbehaved => "the peer broke the rules of TLS",
            TlsFault::KeysUsedUp => {
                "the session's keys have sealed all they may (RFC 9325 §4.3): a new connection has new ones, and those of \
                 TLS 1.3 are renewed by themselves"
            }
            TlsFault::Internal => "TLS failed on this side, for want of randomness or by a fault of its own",
        })
    }
}

/// An alert of the peer's, by its number.
pub(super) struct Alert(pub(super) u8);

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, meaning) = words_of_alert(self.0);
        write!(f, "the peer ended the session (alert {}", self.0)?;
        if !name.is_empty() {
            write!(f, ", {name}")?;
        }
        write!(f, "): {meaning}")
    }
}

/// Its name in IANA's registry (RFC 8446 §6, RFC 5246 §7.2), and what it mostly means to whom it is sent.
fn words_of_alert(number: u8) -> (&'static str, &'static str) {
    match number {
        0 => ("close_notify", "it was about to close"),
        10 => (
            "unexpected_message",
            "to it the message before was out of place",
        ),
        20 => (
            "bad_record_mac",
            "it could not decrypt what came: it was changed on the way, or a side is broken",
        ),
        21 => ("decryption_failed", "it could not decrypt what came"),
        22 => ("record_overflow", "to it a record was too long"),
        30 => ("decompression_failure", "it could not decompress what came"),
        40 => (
            "handshake_failure",
            "it knows no cipher suite, signature or group in common, or asks for a client certificate",
        ),
        41 => ("no_certificate", "it was shown no certificate"),
        42 => (
            "bad_certificate",
            "it does not accept the certificate that it was shown, by its name or its form",
        ),
        43 => (
            "unsupported_certificate",
            "the certificate that it was shown is not for this use, or of no kind that it knows",
        ),
        44 => (
            "certificate_revoked",
            "the certificate that it was shown was revoked",
        ),
        45 => (
            "certificate_expired",
            "to its clock the certificate that it was shown has expired, or is not valid yet",
        ),
        46 => (
            "certificate_unknown",
            "it does not accept the certificate that it was shown",
        ),
        47 => (
            "illegal_parameter",
            "to it a field of the handshake was wrong",
        ),
        48 => (
            "unknown_ca",
            "it does not trust the authority of the certificate that it was shown: give it its CA, or show the certificates between as well",
        ),
        49 => (
            "access_denied",
            "the certificate that it was shown is good, and not one that it lets in",
        ),
        50 => (
            "decode_error",
            "it could not read a message: one side may not speak TLS at all",
        ),
        51 => (
            "decrypt_error",
            "to it a signature or a finished message of the handshake was wrong",
        ),
        60 => ("export_restriction", "it may not speak so"),
        70 => (
            "protocol_version",
            "it speaks none of the versions of TLS that were offered (TlsConfigBuilder::versions)",
        ),
        71 => (
            "insufficient_security",
            "it asks for stronger ciphers than were offered",
        ),
        80 => (
            "internal_error",
            "it failed by a fault of its own: its log may say why",
        ),
        86 => (
            "inappropriate_fallback",
            "it speaks a newer version than was offered at a second try",
        ),
        90 => ("user_canceled", "it gave the handshake up"),
        100 => ("no_renegotiation", "it does not begin a session anew"),
        109 => (
            "missing_extension",
            "it asks for an extension that was not sent",
        ),
        110 => (
            "unsupported_extension",
            "it was sent an extension that it had not asked for",
        ),
        111 => (
            "certificate_unobtainable",
            "it could not get the certificate that it was pointed to",
        ),
        112 => (
            "unrecognized_name",
            "it has no certificate for the name that was asked for (TlsConfigBuilder::server_name; probe: --sni)",
        ),
        113 => (
            "bad_certificate_status_response",
            "it does not accept the revocation status that it was shown",
        ),
        115 => (
            "unknown_psk_identity",
            "it does not know the key that was named",
        ),
        116 => (
            "certificate_required",
            "it asks for a client certificate (TlsConfigBuilder::client_certificate_files)",
        ),
        120 => (
            "no_application_protocol",
            "it speaks none of the application protocols that were offered (TlsConfigBuilder::alpn)",
        ),
        121 => ("ech_required", "it asks for an encrypted client hello"),
        _ => ("", "of a kind that is not known here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Phase, Source};

    #[test]
    fn a_fault_says_what_is_wrong_and_what_would_help() {
        let (not_after, now) = (1_767_441_600, 1_795_300_000);
        for (source, words, remedy) in [
            (
                Source::Certificate(CertificateFault::Expired { not_after, now }),
                "the certificate expired on 2026-01-03 12:00:00 UTC; the local clock says 2026-11-21 22:26:40 UTC",
                "renew it (or the one it is signed by), or set the clock",
            ),
            (
                Source::Certificate(CertificateFault::NotYetValid {
                    not_before: now,
                    now: not_after,
                }),
                "is not valid before 2026-11-21 22:26:40 UTC; the local clock says 2026-01-03 12:00:00 UTC",
                "set the clock",
            ),
            (
                Source::Certificate(CertificateFault::UnknownIssuer),
                "not trusted",
                "TlsConfigBuilder::ca_file (probe: --cacert)",
            ),
            (
                Source::Certificate(CertificateFault::WrongName),
                "subjectAltName",
                "server_name",
            ),
            (
                Source::Certificate(CertificateFault::PinMismatch),
                "pinned",
                "must be added",
            ),
            (
                Source::Certificate(CertificateFault::IsAuthority),
                "CA:TRUE",
                "-addext",
            ),
            (Source::Tls(TlsFault::NotTls), "plaintext", "its TLS port"),
            (Source::Tls(TlsFault::Version), "no version", "versions"),
            (Source::Alert(48), "alert 48, unknown_ca", "give it its CA"),
            (
                Source::Alert(116),
                "alert 116, certificate_required",
                "client_certificate_files",
            ),
            (Source::Alert(70), "alert 70, protocol_version", "versions"),
            (
                Source::Alert(120),
                "alert 120, no_application_protocol",
                "alpn",
            ),
            (Source::Alert(255), "(alert 255)", "not known"),
        ] {
            let told = Error::new(Phase::Handshake, source).to_string();
            assert!(told.contains(words) && told.contains(remedy), "{told}");
            let ends = told.ends_with(", in handshake, sent: no)");
            assert!(
                ends && !told.contains('\n') && !told.contains("  "),
                "{told}"
            );
        }
    }

    #[test]
    fn no_two_alerts_have_one_name() {
        let names: Vec<&str> = (0..=255).map(|number| words_of_alert(number).0).collect();
        let mut named: Vec<&&str> = names.iter().filter(|name| !name.is_empty()).collect();
        let all = named.len();
        named.sort();
        named.dedup();
        assert_eq!(named.len(), all);
        assert!(all > 30);
    }
}
