//! What was seen of a peer's TLS: as JSON, and as a line for people.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use taut::{TlsInfo, TlsVersion};

use super::Certificate;

/// A handshake, as far as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    version: Option<TlsVersion>,
    cipher: Option<&'static str>,
    alpn: Option<String>,
    is_resumed: bool,
    is_verified: bool,
    certificate: Option<Certificate>,
}

impl Seen {
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Of one connection that stands for many: which of them were resumed differs.
    pub(crate) fn to_json_of_many(&self) -> Value {
        let mut json = self.to_json();
        if let Some(map) = json.as_object_mut() {
            map.shift_remove("resumed");
        }
        json
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "version": self.version.map(TlsVersion::name),
            "cipher": self.cipher,
            "alpn": self.alpn,
            "resumed": self.is_resumed,
            "verified": self.is_verified,
            "certificate": self.certificate.as_ref().map(Certificate::to_json),
        })
    }

    /// `TLS 1.3 TLS13_AES_256_GCM_SHA384, alpn redis`.
    pub(crate) fn agreed(&self) -> String {
        let mut text = self.version.map_or("TLS", TlsVersion::name).to_owned();
        if let Some(cipher) = self.cipher {
            text += " ";
            text += cipher;
        }
        if let Some(alpn) = &self.alpn {
            text += ", alpn ";
            text += alpn;
        }
        text
    }

    /// Whether its certificate was verified, in words that are hard to miss if not.
    pub(crate) fn verified(&self) -> &'static str {
        match self.is_verified {
            true => "verified",
            false => "NOT VERIFIED",
        }
    }

    /// One line: what was agreed on, the certificate, whether it was verified.
    pub(crate) fn to_text(&self) -> String {
        let resumed = if self.is_resumed { ", resumed" } else { "" };
        let certificate = match &self.certificate {
            Some(certificate) => certificate.to_text(),
            None => "no certificate".to_owned(),
        };
        format!(
            "{}{resumed}   {certificate}   {}",
            self.agreed(),
            self.verified()
        )
    }
}

/// This takes its time, in which no loop should wait.
impl From<&TlsInfo> for Seen {
    fn from(info: &TlsInfo) -> Seen {
        let der = info.certificates.first();
        Seen {
            version: info.version,
            cipher: info.cipher,
            // Printable ASCII as it is, and the rest written out.
            alpn: info
                .alpn
                .as_ref()
                .map(|name| name.escape_ascii().to_string()),
            is_resumed: info.is_resumed,
            is_verified: info.is_verified,
            certificate: der.and_then(|der| Certificate::read(der, seconds_since_1970())),
        }
    }
}

pub(super) fn seconds_since_1970() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_told_as_far_as_it_came() {
        let mut info = TlsInfo::default();
        let seen = Seen::from(&info);
        assert_eq!(seen.to_text(), "TLS   no certificate   NOT VERIFIED");
        info.version = Some(TlsVersion::Tls13);
        info.cipher = Some("TLS13_AES_256_GCM_SHA384");
        info.alpn = Some(b"h2\x1b".to_vec());
        info.is_verified = true;
        info.is_resumed = true;
        let seen = Seen::from(&info);
        assert_eq!(
            seen.to_text(),
            "TLS 1.3 TLS13_AES_256_GCM_SHA384, alpn h2\\x1b, resumed   no certificate   verified"
        );
        let told = json!({
            "version": "TLS 1.3", "cipher": "TLS13_AES_256_GCM_SHA384", "alpn": "h2\\x1b", "resumed": true,
            "verified": true, "certificate": null,
        });
        assert_eq!(seen.to_json(), told);
    }
}
