//! The authority of a test, its server's certificate as files, and clients that trust it.
#![allow(dead_code, reason = "no test binary uses all of it")]

use taut::{Client, ConnectionId, Phase, Source, TlsConfig, TlsConfigBuilder, TlsVersion};

use crate::support::until_closed;
use crate::tls::{Authority, Files, Identity, for_clients};

/// What a server and its clients have to show each other.
pub(crate) struct Keys {
    pub(crate) signer: Authority,
    /// The server's certificate and key, and the authority's certificate.
    files: Files,
}

impl Keys {
    pub(crate) fn new() -> Keys {
        let authority = Authority::new("the authority of a test");
        let files = authority.issue_local().files();
        files.with(AUTHORITY, &authority.pem());
        Keys {
            signer: authority,
            files,
        }
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
        self.signer.issue_as(&["a client"], for_clients)
    }

    /// For a client that trusts this authority alone.
    pub(crate) fn trusted(&self) -> TlsConfig {
        self.trusted_with(|it| it)
    }

    pub(crate) fn trusted_with(
        &self,
        change: impl FnOnce(TlsConfigBuilder) -> TlsConfigBuilder,
    ) -> TlsConfig {
        let builder = TlsConfig::builder().ca_pem(self.signer.pem());
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

/// What a server says when its client has closed (RFC 8446 §6.1): close_notify, or nothing before its FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    Said,
    /// That it had nothing more to say is not known then.
    Left,
}

/// Closes a raw connection on which nothing is under way.
#[track_caller]
pub(crate) fn close(client: &mut Client, connection: ConnectionId, farewell: Farewell) {
    client.close(connection).unwrap();
    let told = until_closed(client, connection);
    assert!(told.frames.is_empty());
    let error = told.error.map(|it| (it.phase, it.source));
    match farewell {
        Farewell::Said => assert_eq!(error, None),
        Farewell::Left => {
            let cut = Source::Truncated { received: 0 };
            assert_eq!(error, Some((Phase::Drain, cut)));
        }
    }
}
