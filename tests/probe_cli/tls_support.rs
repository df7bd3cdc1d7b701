//! Certificates and their keys as files, and a bundled peer that speaks TLS with them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::{Timestamp, ToSpan as _, tz};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use serde_json::Value;

use super::support::{Ended, Serving, run};

/// A directory of its own, gone when it is dropped.
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    pub(crate) fn new() -> Files {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("probe-tls-{pid}-{number}"));
        std::fs::create_dir(&directory).unwrap();
        Files { directory }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An authority, and what it has signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca: String,
}

/// The files of a certificate and its key.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(files: &Files, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        Authority {
            ca: files.write(&format!("{name}.pem"), &ca),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these hosts that ends at midnight (UTC) so many days from today.
    pub(crate) fn sign(&self, files: &Files, name: &str, hosts: &[&str], days: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let today = tz::Offset::UTC.to_datetime(Timestamp::now()).date();
        let end = today.saturating_add(days.days());
        let part = |part: i8| part.unsigned_abs();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(end.year().into(), part(end.month()), part(end.day()));
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair {
            cert: files.write(&format!("{name}-cert.pem"), &cert),
            key: files.write(&format!("{name}-key.pem"), &key.serialize_pem()),
        }
    }
}

/// `probe serve shout --tls` with a certificate made for the run.
pub(crate) struct Own {
    pub(crate) serving: Serving,
    /// Where its certificate is.
    _files: Files,
    pub(crate) ca: String,
}

impl Own {
    pub(crate) fn start(more: &[&str]) -> Own {
        let files = Files::new();
        let ca = files.path("own.pem");
        let args = [&["shout", "--tls", "--write-cert", &ca], more].concat();
        Own {
            serving: Serving::start(&args),
            _files: files,
            ca,
        }
    }

    /// By its name, which is in the certificate.
    pub(crate) fn localhost(&self) -> String {
        localhost(&self.serving)
    }
}

/// `probe serve shout --tls` with this certificate.
pub(crate) fn serve(pair: &Pair, more: &[&str]) -> Serving {
    let files = ["--cert", &pair.cert, "--key", &pair.key];
    Serving::start(&[&["shout", "--tls"], &files[..], more].concat())
}

pub(crate) fn localhost(serving: &Serving) -> String {
    let (_, port) = serving.address.rsplit_once(':').unwrap();
    format!("localhost:{port}")
}

/// One probe, as ndjson.
pub(crate) fn ping(target: &str, more: &[&str]) -> Ended {
    let args = ["ping", target, "-c", "1", "--format", "ndjson"];
    run(&[&args, more].concat())
}

/// Phase, class, kind and sent of a probe's error.
pub(crate) fn told(probe: &Value) -> [&str; 4] {
    ["phase", "class", "kind", "sent"].map(|key| probe["error"][key].as_str().unwrap_or("none"))
}
