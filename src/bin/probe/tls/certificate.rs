//! What a certificate says: whom it is for, who has signed it, and when it ends. Read, never believed: whether it is to
//! be trusted the library says.
//!
//! The only file that reads certificates. Whatever is in one, text made of it has no control characters: it ends up on
//! terminals.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};
use x509_parser::asn1_rs::FromDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::oid_registry;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::pin;

const SECONDS_OF_DAY: i64 = 86_400;

/// Names that are told to people; beyond, how many more there are.
const NAMES_TOLD: usize = 4;

/// A certificate, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    subject: String,
    issuer: String,
    /// The hosts it is for: names and addresses.
    names: Vec<String>,
    not_before: String,
    not_after: String,
    /// Seconds since 1970, for those who compare.
    ends: i64,
    /// Whole days from when it was read to its end; negative when that is past.
    days: i64,
    pin: Option<String>,
}

impl Certificate {
    /// Of its DER; `None` when it cannot be read. `now` is in seconds since 1970.
    pub(crate) fn read(der: &[u8], now: i64) -> Option<Certificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let (not_before, not_after) = (
            certificate.validity().not_before,
            certificate.validity().not_after,
        );
        let ends = not_after.timestamp();
        Some(Certificate {
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            names: names(&certificate),
            not_before: rfc3339(not_before),
            not_after: rfc3339(not_after),
            ends,
            days: ends.saturating_sub(now).div_euclid(SECONDS_OF_DAY),
            pin: pin::of(certificate.public_key().raw),
        })
    }

    pub(crate) fn days(&self) -> i64 {
        self.days
    }

    pub(crate) fn pin(&self) -> Option<&str> {
        self.pin.as_deref()
    }

    /// It ends before the other does.
    pub(crate) fn ends_before(&self, other: &Certificate) -> bool {
        self.ends < other.ends
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "subject": self.subject,
            "issuer": self.issuer,
            "names": self.names,
            "not_before": self.not_before,
            "not_after": self.not_after,
            "days": self.days,
            "pin": self.pin,
        })
    }

    /// `CN=db (db, db.example, 10.0.0.7), expires in 89 days`.
    pub(crate) fn to_text(&self) -> String {
        let subject = match self.subject.as_str() {
            "" => "no subject",
            subject => subject,
        };
        format!("{subject} ({}), {}", self.hosts(), self.end())
    }

    /// The hosts it is for, as many as people read.
    pub(crate) fn hosts(&self) -> String {
        let mut text = match self.names.is_empty() {
            true => "no host".to_owned(),
            false => self.names[..self.names.len().min(NAMES_TOLD)].join(", "),
        };
        if let Some(more @ 1..) = self.names.len().checked_sub(NAMES_TOLD) {
            // Writing to a String cannot fail.
            let _ = write!(text, " and {more} more");
        }
        text
    }

    fn end(&self) -> String {
        match self.days {
            1 => "expires in 1 day".to_owned(),
            0.. => format!("expires in {} days", self.days),
            // Of the day that has begun it is the first.
            -1 => "expired within the last day".to_owned(),
            _ => format!("expired {} days ago", self.days.unsigned_abs() - 1),
        }
    }
}

/// What stands before and behind it in RFC 4514 is the order; here it is that of the certificate, as most tools have it.
fn distinguished(name: &X509Name<'_>) -> String {
    match name.to_string_with_registry(oid_registry()) {
        Ok(text) => plain(&text),
        Err(_) => "a name that cannot be read".to_owned(),
    }
}

/// The names and addresses it is for; other kinds of names are no hosts.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(plain(name)),
        GeneralName::IPAddress(bytes) => Some(address(bytes)?.to_string()),
        _ => None,
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match *bytes {
        [a, b, c, d] => Some(IpAddr::from([a, b, c, d])),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    }
}

/// A certificate may end in the year 9999, which not every calendar reaches.
fn rfc3339(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// With what a terminal would act on written out.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => plain.push(c),
            _ => plain.extend(c.escape_debug()),
        }
    }
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, SanType, date_time_ymd};

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NEW_YEAR: i64 = 1_767_225_600;

    fn der(adapt: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let hosts = ["db.example".to_owned(), "10.0.0.7".to_owned()];
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, "db");
        params.not_before = date_time_ymd(2025, 12, 1);
        params.not_after = date_time_ymd(2026, 1, 15);
        adapt(&mut params);
        (params.self_signed(&key).unwrap().der().to_vec(), key)
    }

    #[test]
    fn it_says_whom_it_is_for_who_signed_it_and_when_it_ends() {
        let (der, key) = der(|params| {
            let v6 = SanType::IpAddress("::1".parse().unwrap());
            let mail = SanType::Rfc822Name("root@db.example".try_into().unwrap());
            params.subject_alt_names.extend([mail, v6]);
        });
        let certificate = Certificate::read(&der, NEW_YEAR).unwrap();
        let pin = pin::of(&key.subject_public_key_info()).unwrap();
        assert_eq!(
            certificate.to_json(),
            json!({
                "subject": "CN=db",
                "issuer": "CN=db",
                "names": ["db.example", "10.0.0.7", "::1"],
                "not_before": "2025-12-01T00:00:00Z",
                "not_after": "2026-01-15T00:00:00Z",
                "days": 14,
                "pin": pin,
            })
        );
        assert_eq!(
            certificate.to_text(),
            "CN=db (db.example, 10.0.0.7, ::1), expires in 14 days"
        );
    }

    /// A whole day is one that is there whole; of what has ended the day that has begun counts.
    #[test]
    fn days_are_whole_ones_and_negative_when_it_has_expired() {
        let (der, _) = der(|_| {});
        let end = NEW_YEAR + 14 * SECONDS_OF_DAY;
        for (now, days, told) in [
            (end - 2 * SECONDS_OF_DAY + 1, 1, "expires in 1 day"),
            (end - 1, 0, "expires in 0 days"),
            (end, 0, "expires in 0 days"),
            (end + 1, -1, "expired within the last day"),
            (end + SECONDS_OF_DAY + 1, -2, "expired 1 days ago"),
            (end + 9 * SECONDS_OF_DAY, -9, "expired 8 days ago"),
        ] {
            let certificate = Certificate::read(&der, now).unwrap();
            assert_eq!(certificate.days(), days, "{told}");
            assert!(certificate.to_text().ends_with(told), "{certificate:?}");
        }
    }

    #[test]
    fn one_without_a_name_or_an_end_or_with_a_hundred_names_is_told_too() {
        let (none, _) = der(|params| {
            params.subject_alt_names.clear();
            params.distinguished_name.remove(DnType::CommonName);
            params.not_after = date_time_ymd(9999, 12, 31);
        });
        let certificate = Certificate::read(&none, NEW_YEAR).unwrap();
        assert_eq!(certificate.not_after, "9999-12-31T00:00:00Z");
        assert!(certificate.to_text().starts_with("no subject (no host), "));
        let (many, _) = der(|params| {
            let name = |n| SanType::DnsName(format!("h{n}.test").try_into().unwrap());
            params.subject_alt_names = (0..100).map(name).collect();
        });
        let certificate = Certificate::read(&many, NEW_YEAR).unwrap();
        assert_eq!(
            certificate.hosts(),
            "h0.test, h1.test, h2.test, h3.test and 96 more"
        );
        assert_eq!(certificate.names.len(), 100);
    }

    #[test]
    fn nothing_in_it_moves_a_terminal() {
        let (der, _) = der(|params| {
            let evil = "\u{1b}[2Jdb\r\n\u{202e}";
            params
                .distinguished_name
                .push(DnType::OrganizationName, evil);
        });
        let certificate = Certificate::read(&der, NEW_YEAR).unwrap();
        assert!(certificate.subject.contains(r"\u{1b}[2Jdb\r\n\u{202e}"));
        assert!(!certificate.subject.contains(char::is_control));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let (mut der, _) = der(|_| {});
        der.truncate(der.len() / 2);
        for bytes in [&der[..], b"", b"hello"] {
            assert_eq!(Certificate::read(bytes, NEW_YEAR), None);
        }
    }
}
