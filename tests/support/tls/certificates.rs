//! Authorities and certificates, made for one test: good ones, and each kind of bad one.
//!
//! Nothing is kept between tests and nothing is read from disk; keys are P-256. Where files are asked for they lie in a
//! directory of their own, which goes with the value that names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Of one that another has signed: its own certificate, and those up to the root.
    above: Vec<CertificateDer<'static>>,
}

/// A certificate, those that lead to its root, and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Arc<KeyPair>,
}

/// An identity as files: the chain, and the key.
pub(crate) struct Files {
    directory: PathBuf,
}

impl Authority {
    /// One that has signed itself.
    pub(crate) fn new(name: &str) -> Authority {
        Authority {
            issuer: CertifiedIssuer::self_signed(authority(name), key()).unwrap(),
            above: Vec::new(),
        }
    }

    /// One that this one has signed.
    pub(crate) fn beneath(&self, name: &str) -> Authority {
        let issuer = CertifiedIssuer::signed_by(authority(name), key(), &self.issuer).unwrap();
        let mut above = vec![issuer.der().clone()];
        above.extend_from_slice(&self.above);
        Authority { issuer, above }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For a rustls peer that trusts this one alone.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// For a server of these names and addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_as(names, |_| {})
    }

    /// For a server on loopback, by each of its names.
    pub(crate) fn issue_local(&self) -> Identity {
        self.issue(&["127.0.0.1", "localhost", "::1"])
    }

    /// The same, changed.
    pub(crate) fn issue_as(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let (mut params, key) = (end_entity(names), key());
        change(&mut params);
        let own = params.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![own.der().clone()];
        chain.extend_from_slice(&self.above);
        Identity {
            chain,
            key: Arc::new(key),
        }
    }

    /// One on loopback whose signatures are all of one length (Ed25519), and so are its handshakes.
    pub(crate) fn issue_even(&self) -> Identity {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let own = end_entity(&["127.0.0.1"]).signed_by(&key, &self.issuer);
        Identity {
            chain: vec![own.unwrap().der().clone()],
            key: Arc::new(key),
        }
    }

    /// Another certificate for the same key, as after a renewal.
    pub(crate) fn renew(&self, identity: &Identity, names: &[&str]) -> Identity {
        let params = end_entity(names);
        let own = params.signed_by(&*identity.key, &self.issuer).unwrap();
        Identity {
            chain: vec![own.der().clone()],
            key: identity.key.clone(),
        }
    }
}

// Kinds of bad ones, for `Authority::issue_as`.

/// Its time is over.
pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 3);
}

/// The last second of [`expired`], since 1970.
pub(crate) const EXPIRED_AT: u64 = 1_580_688_000;

/// Its time has not come.
pub(crate) fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2100, 1, 1);
    params.not_after = date_time_ymd(2101, 1, 1);
}

/// The first second of [`not_yet_valid`], since 1970.
pub(crate) const VALID_FROM: u64 = 4_102_444_800;

/// It is for clients.
pub(crate) fn for_clients(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

/// It may sign others.
pub(crate) fn for_an_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
}

/// It is so many bytes longer, by an extension that says nothing.
pub(crate) fn longer(bytes: usize) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        // Of an arc for private use (RFC 5612), not critical: whoever does not know it passes over it.
        let oid = [1, 3, 6, 1, 4, 1, 32473, 1];
        let content = vec![0; bytes];
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&oid, content));
    }
}

impl Identity {
    /// One that nobody else has signed.
    pub(crate) fn self_signed(names: &[&str]) -> Identity {
        let key = key();
        let own = end_entity(names).self_signed(&key).unwrap();
        Identity {
            chain: vec![own.der().clone()],
            key: Arc::new(key),
        }
    }

    /// What it has signed itself, though it is no authority.
    pub(crate) fn signs(&self, names: &[&str]) -> Identity {
        let (params, key) = (end_entity(names), key());
        let mut own = CertificateParams::new([]).unwrap();
        own.distinguished_name = end_entity(&[]).distinguished_name;
        let issuer = Issuer::from_params(&own, &*self.key);
        let signed = params.signed_by(&key, &issuer).unwrap();
        let mut chain = vec![signed.der().clone()];
        chain.extend_from_slice(&self.chain);
        Identity {
            chain,
            key: Arc::new(key),
        }
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem().as_bytes()).unwrap()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(crate) fn chain_pem(&self) -> String {
        let standard = base64::engine::general_purpose::STANDARD;
        let one = |der: &CertificateDer<'_>| {
            let text = standard.encode(der);
            let lines: Vec<_> = text
                .as_bytes()
                .chunks(64)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        };
        self.chain.iter().map(one).collect()
    }

    /// The pin of its key, as curl writes it.
    pub(crate) fn pin(&self) -> String {
        let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let sha256 = suite.tls13().unwrap().common.hash_provider;
        let digest = sha256.hash(&self.key.subject_public_key_info());
        let standard = base64::engine::general_purpose::STANDARD;
        format!("sha256//{}", standard.encode(digest.as_ref()))
    }

    pub(crate) fn files(&self) -> Files {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("taut-tls-{}-{nth}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        let files = Files { directory };
        std::fs::write(files.chain(), self.chain_pem()).unwrap();
        std::fs::write(files.key(), self.key_pem()).unwrap();
        files
    }
}

impl Files {
    pub(crate) fn chain(&self) -> PathBuf {
        self.at("chain.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.at("key.pem")
    }

    /// Another one beside them, with this content.
    pub(crate) fn with(&self, name: &str, content: &str) -> PathBuf {
        std::fs::write(self.at(name), content).unwrap();
        self.at(name)
    }

    fn at(&self, name: &str) -> PathBuf {
        Path::new(&self.directory).join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn end_entity(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "a peer of the tests");
    params
}
