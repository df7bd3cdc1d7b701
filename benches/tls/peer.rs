//! The echo server that speaks TLS, in a process of its own, and whom a client connects to and trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use taut::server::ServerConfig;
use taut::{TlsConfig, TlsServerConfig, TlsVersion};

use crate::machine::{self, Served};
use crate::material::{self, SESSIONS_MAX};

/// Runs the echo server until it is killed; its authority's certificate is written down first.
pub(crate) fn serve(at: &str, authority: &Path) {
    let made = material::make();
    std::fs::write(authority, &made.authority).unwrap();
    let tls = TlsServerConfig::pem(made.certificate, made.key).build();
    machine::serve(
        at,
        ServerConfig {
            tls: Some(tls.unwrap()),
            ..machine::echo_config()
        },
    );
}

/// The server in a process of its own, and whom to trust.
pub(crate) struct Secure {
    served: Served,
    authority: PathBuf,
}

impl Secure {
    pub(crate) fn start() -> Secure {
        let name = format!("taut-bench-tls-{}.pem", std::process::id());
        let authority = std::env::temp_dir().join(name);
        let path = authority.to_str().unwrap();
        let served = Served::start(&["--serve", "127.0.0.1:0", "--authority", path]);
        Secure { served, authority }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::new(&self.served.address, &self.authority)
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.authority);
    }
}

/// Whom to connect to, and whom to trust.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: String,
    authority: String,
}

impl Peer {
    pub(crate) fn new(address: &str, authority: &Path) -> Peer {
        Peer {
            address: address.to_owned(),
            authority: std::fs::read_to_string(authority).unwrap(),
        }
    }

    pub(crate) fn taut(&self, version: TlsVersion, resumes: bool) -> TlsConfig {
        let config = TlsConfig::builder()
            .ca_pem(self.authority.as_str())
            .versions(version..=version)
            .sessions_max(if resumes { SESSIONS_MAX } else { 0 });
        config.build().unwrap()
    }

    pub(crate) fn rustls(&self, version: TlsVersion, resumes: bool) -> Arc<ClientConfig> {
        material::rustls(&self.authority, version, resumes)
    }
}
