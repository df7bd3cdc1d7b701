//! A server that does what a well-behaved one does not: rustls' own up to the end of the handshake, and then records
//! sealed by hand with the very keys of the session.

use std::sync::Arc;

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConfig, ServerConnection,
};

use super::pair::End;
use super::people::{HOST, Shown};
use crate::session::TlsVersion;
use crate::tls::TlsConfig;
use crate::tls::provider::{provider, versions};

/// rustls' own server, to be told what to do.
pub(super) struct Scripted {
    pub(super) rustls: ServerConnection,
}

/// Seals records as the server does.
pub(super) struct Sealing {
    encrypter: Box<dyn MessageEncrypter>,
    next: u64,
}

impl Scripted {
    /// Whatever the key is: it need not be the certificate's.
    pub(super) fn new(shown: &Shown, version: TlsVersion) -> Scripted {
        let certificates = CertificateDer::pem_slice_iter(shown.chain.as_bytes());
        let certificates = certificates.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        let shown = SingleCertAndKey::from(CertifiedKey::new(certificates, key));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions(&(version..=version)).unwrap())
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        config.enable_secret_extraction = true;
        config.send_tls13_tickets = 0;
        Scripted {
            rustls: ServerConnection::new(Arc::new(config)).unwrap(),
        }
    }

    /// With a client that it has a session with.
    pub(super) fn with_client(
        client: &TlsConfig,
        shown: &Shown,
        version: TlsVersion,
    ) -> (End, Scripted) {
        let mut server = Scripted::new(shown, version);
        let mut client = End::new(client.sessions().begin(HOST).unwrap());
        loop {
            let said = client.words();
            server.hear(&said);
            let answer = server.words();
            client.receive(&answer);
            if said.is_empty() && answer.is_empty() {
                break;
            }
        }
        assert!(client.is_up(), "{:?}", client.broke);
        (client, server)
    }

    /// The plaintext in it.
    pub(super) fn hear(&mut self, mut line: &[u8]) -> Vec<u8> {
        use std::io::Read;

        let mut heard = Vec::new();
        while !line.is_empty() {
            self.rustls.read_tls(&mut line).unwrap();
            self.rustls.process_new_packets().unwrap();
            let _would_block = self.rustls.reader().read_to_end(&mut heard);
        }
        heard
    }

    pub(super) fn words(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut line).unwrap();
        }
        line
    }

    pub(super) fn seal(&mut self, program: &[u8]) -> Vec<u8> {
        use std::io::Write;

        self.rustls.writer().write_all(program).unwrap();
        self.words()
    }

    /// From here on records are sealed by hand.
    pub(super) fn sealing(self) -> Sealing {
        let suite = self.rustls.negotiated_cipher_suite().unwrap();
        let suite = suite.tls13().expect("TLS 1.3");
        let secrets = self.rustls.dangerous_extract_secrets().unwrap();
        let (next, secrets) = secrets.tx;
        let (key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => panic!("another cipher"),
        };
        Sealing {
            encrypter: suite.aead_alg.encrypter(key, iv),
            next,
        }
    }
}

impl Sealing {
    /// One record of this kind, as it goes on the line.
    pub(super) fn record(&mut self, typ: ContentType, content: &[u8]) -> Vec<u8> {
        let plain = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(content),
        };
        let sealed = self.encrypter.encrypt(plain, self.next).unwrap();
        self.next += 1;
        sealed.encode()
    }
}
