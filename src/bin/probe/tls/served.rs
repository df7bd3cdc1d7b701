//! TLS of the bundled peer: its flags, and the certificate that is made for one run.
//!
//! The key of a certificate that is made is never written anywhere: it ends with the process.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use clap::Args;
use jiff::{Timestamp, ToSpan as _, tz};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use taut::{TlsServerConfig, TlsServerConfigBuilder};

use super::Certificate;
use super::seen::seconds_since_1970;
use crate::exit::Fault;

/// How the peer shows itself, and whom it lets in.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ServeTlsArgs {
    /// Speak TLS, with a certificate made for the run; its pin is told on stderr.
    #[arg(long)]
    tls: bool,
    /// The certificate to show in its place, with its chain (PEM).
    #[arg(long, value_name = "FILE", requires = "key", requires = "tls")]
    cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Clients must show a certificate that an authority in this file (PEM) has signed.
    #[arg(long, value_name = "FILE", requires = "tls")]
    client_ca: Option<PathBuf>,
    /// Protocols to agree on one of (ALPN), the best first.
    #[arg(long, value_name = "P,…", value_delimiter = ',', requires = "tls")]
    alpn: Vec<String>,
    /// Write the certificate made for the run here (PEM): clients trust it by --cacert FILE.
    #[arg(long, value_name = "FILE", requires = "tls", conflicts_with = "cert")]
    write_cert: Option<PathBuf>,
}

/// What a server is to show.
pub(crate) struct Served {
    pub(crate) settings: TlsServerConfig,
    /// `None` when it cannot be read here.
    pub(crate) certificate: Option<Certificate>,
}

/// A certificate made for one run, and its key. It is its own authority.
pub(crate) struct Made {
    certificate_pem: String,
    key_pem: String,
}

impl ServeTlsArgs {
    /// The library's settings, and the certificate that is shown; `None` without --tls.
    pub(crate) fn settings(&self, listen: IpAddr) -> Result<Option<Served>, Fault> {
        if !self.tls {
            return Ok(None);
        }
        let (builder, der) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (
                TlsServerConfig::files(cert, key),
                CertificateDer::from_pem_file(cert).ok(),
            ),
            _ => {
                let made = Made::new(listen)?;
                self.write(&made)?;
                let der = CertificateDer::from_pem_slice(made.certificate_pem()).ok();
                (made.served(), der)
            }
        };
        let builder = match &self.client_ca {
            Some(path) => builder.client_ca_file(path),
            None => builder,
        };
        let settings = build(with_alpn(builder, &self.alpn))?;
        let read = |der: CertificateDer<'_>| Certificate::read(&der, seconds_since_1970());
        Ok(Some(Served {
            settings,
            certificate: der.and_then(read),
        }))
    }

    fn write(&self, made: &Made) -> Result<(), Fault> {
        let Some(path) = &self.write_cert else {
            return Ok(());
        };
        std::fs::write(path, made.certificate_pem()).map_err(|error| {
            Fault::usage(format!(
                "cannot write --write-cert {}: {error}",
                path.display()
            ))
        })
    }
}

impl Made {
    /// For this machine, by all its names, and this address.
    pub(crate) fn new(listen: IpAddr) -> Result<Made, Fault> {
        make(listen).map_err(|error| Fault::failed(format!("cannot make a certificate: {error}")))
    }

    pub(crate) fn certificate_pem(&self) -> &[u8] {
        self.certificate_pem.as_bytes()
    }

    fn served(&self) -> TlsServerConfigBuilder {
        TlsServerConfig::pem(self.certificate_pem(), self.key_pem.as_bytes())
    }

    /// The settings of a server that shows it.
    pub(crate) fn settings(&self, alpn: &[String]) -> Result<TlsServerConfig, Fault> {
        build(with_alpn(self.served(), alpn))
    }
}

fn with_alpn(builder: TlsServerConfigBuilder, alpn: &[String]) -> TlsServerConfigBuilder {
    match alpn {
        [] => builder,
        names => builder.alpn(names.iter().map(String::as_str)),
    }
}

fn build(builder: TlsServerConfigBuilder) -> Result<TlsServerConfig, Fault> {
    builder
        .build()
        .map_err(|error| Fault::usage(error.to_string()))
}

fn make(listen: IpAddr) -> Result<Made, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts(listen))?;
    params
        .distinguished_name
        .push(DnType::CommonName, "probe serve");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // From yesterday on: clocks differ. Nobody keeps it for a year.
    let today = tz::Offset::UTC.to_datetime(Timestamp::now()).date();
    let on = |date: jiff::civil::Date| {
        let part = |part: i8| part.unsigned_abs();
        date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = on(today.saturating_sub(1.day()));
    params.not_after = on(today.saturating_add(365.days()));
    Ok(Made {
        certificate_pem: params.self_signed(&key)?.pem(),
        key_pem: key.serialize_pem(),
    })
}

/// What a client on this machine, or one that knows its name, may call it.
fn hosts(listen: IpAddr) -> Vec<String> {
    let mut addresses = BTreeSet::from([
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ]);
    if !listen.is_unspecified() {
        addresses.insert(listen);
    }
    let mut hosts = vec!["localhost".to_owned()];
    hosts.extend(hostname().filter(|name| name != "localhost"));
    hosts.extend(addresses.iter().map(IpAddr::to_string));
    hosts
}

/// The machine's name, if it is one that a certificate can be for.
fn hostname() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_address = name.parse::<IpAddr>().is_ok();
    (!name.is_empty() && name.chars().all(is_plain) && !is_address).then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_this_machine_by_all_its_names_and_for_the_address_it_listens_on() {
        let made = Made::new([10, 0, 0, 7].into()).unwrap();
        let der = CertificateDer::from_pem_slice(made.certificate_pem()).unwrap();
        let certificate = Certificate::read(&der, seconds_since_1970()).unwrap();
        let told = certificate.to_json();
        let names = told["names"].as_array().unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "10.0.0.7"] {
            assert!(names.contains(&name.into()), "{told}");
        }
        assert!((363..=365).contains(&certificate.days()), "{told}");
        assert_eq!(told["subject"], "CN=probe serve");
    }

    #[test]
    fn no_address_is_named_twice_and_no_wildcard_at_all() {
        for listen in [
            IpAddr::from(Ipv4Addr::UNSPECIFIED),
            Ipv4Addr::LOCALHOST.into(),
        ] {
            let hosts = hosts(listen);
            let mut once = hosts.clone();
            once.dedup();
            assert_eq!(hosts, once);
            assert!(!hosts.contains(&"0.0.0.0".to_owned()));
        }
    }

    #[test]
    fn each_run_has_a_key_of_its_own() {
        let made = || Made::new(Ipv4Addr::LOCALHOST.into()).unwrap();
        assert_ne!(made().key_pem, made().key_pem);
    }
}
