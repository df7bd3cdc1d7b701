//! Who takes part: authorities, what they sign, and those who sign themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData,
};

use crate::tls::provider::{provider, sha256};
use crate::tls::{TlsConfig, TlsConfigBuilder, TlsServerConfig, TlsServerConfigBuilder};

/// The name that tests ask for.
pub(super) const HOST: &str = "peer.example";

pub(super) struct Authority {
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate, with those that certify it, and its key: as PEM.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) pin: String,
}

impl Authority {
    pub(super) fn new() -> Authority {
        Authority::of(authority("the root"))
    }

    pub(super) fn of(params: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Authority { issuer }
    }

    /// Another one, signed by this.
    pub(super) fn below(&self, params: CertificateParams) -> Authority {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap();
        Authority { issuer }
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn pin(&self) -> String {
        pin_of(self.issuer.key())
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        self.sign_key(params, &key)
    }

    pub(super) fn sign_key(&self, params: &CertificateParams, key: &KeyPair) -> Shown {
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        Shown::new(certificate.pem(), key)
    }

    /// For [`HOST`], with nothing wrong.
    pub(super) fn sign_host(&self) -> Shown {
        self.sign(&named(&[HOST]))
    }

    /// A client that trusts this one alone.
    pub(super) fn client(&self) -> TlsConfigBuilder {
        TlsConfig::builder().ca_pem(self.pem())
    }
}

impl Shown {
    fn new(chain: String, key: &KeyPair) -> Shown {
        Shown {
            chain,
            key: key.serialize_pem(),
            pin: pin_of(key),
        }
    }

    /// One that has signed itself.
    pub(super) fn by_itself(params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        Shown::new(params.self_signed(&key).unwrap().pem(), &key)
    }

    /// With the certificate of who has signed it.
    pub(super) fn with(mut self, authority: &Authority) -> Shown {
        self.chain += &authority.pem();
        self
    }

    pub(super) fn server(&self) -> TlsServerConfigBuilder {
        TlsServerConfig::pem(self.chain.clone(), self.key.clone())
    }
}

/// As `openssl pkey -pubout -outform der | openssl dgst -sha256 -binary | base64` says it.
fn pin_of(key: &KeyPair) -> String {
    let sha256 = sha256(&provider()).unwrap();
    let hash = sha256.hash(&key.subject_public_key_info());
    format!("sha256//{}", STANDARD.encode(hash.as_ref()))
}

/// A certificate for these names and addresses.
pub(super) fn named(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// A certificate that may sign others.
pub(super) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// A certificate for clients alone.
pub(super) fn for_clients(names: &[&str]) -> CertificateParams {
    let mut params = named(names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
