//! The authority of a test, its server's certificate as files, and clients that trust it.

use taut::{TlsConfig, TlsConfigBuilder, TlsVersion};

use crate::tls::{Authority, Files, Identity, for_clients};

/// What a server and its clients have to show each other.
pub(crate) struct Keys {
    authority: Authority,
    /// The server's certificate and key, and the authority's certificate.
    files: Files,
}

impl Keys {
    pub(crate) fn new() -> Keys {
        let authority = Authority::new("the authority of a test");
        let files = authority.issue_local().files();
        files.with(AUTHORITY, &authority.pem());
        Keys { authority, files }
    }

    pub(crate) fn chain(&self) -> String {
        self.files.chain().to_str().unwrap().to_owned()
    }

    pub(crate) fn key(&self) -> String {
        self.files.key().to_str().unwrap().to_owned()
    }

    pub(crate) fn authority(&self) -> String {
        let beside = self.files.chain().with_file_name(AUTHORITY);
        beside.to_str().unwrap().to_owned()
    }

    /// A client's certificate.
    pub(crate) fn of_a_client(&self) -> Identity {
        self.authority.issue_as(&["a client"], for_clients)
    }

    /// For a client that trusts this authority alone.
    pub(crate) fn trusted(&self) -> TlsConfig {
        self.trusted_with(|it| it)
    }

    pub(crate) fn trusted_with(
        &self,
        change: impl FnOnce(TlsConfigBuilder) -> TlsConfigBuilder,
    ) -> TlsConfig {
        let builder = TlsConfig::builder().ca_pem(self.authority.pem());
        change(builder).build().unwrap()
    }

    /// The same, with a certificate of its own.
    pub(crate) fn trusted_and_known(&self) -> TlsConfig {
        let own = self.of_a_client();
        self.trusted_with(|it| it.client_certificate_pem(own.chain_pem(), own.key_pem()))
    }
}

const AUTHORITY: &str = "authority.pem";

/// For a client that trusts somebody else.
pub(crate) fn trusting_another() -> TlsConfig {
    let another = Authority::new("another authority");
    let builder = TlsConfig::builder().ca_pem(another.pem());
    builder.build().unwrap()
}

pub(crate) const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
