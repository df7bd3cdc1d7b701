//! Records of TLS 1.3 that no well-behaved server writes, sealed with the very keys of the session.
//!
//! The server's key log (as of SSLKEYLOGFILE) has the secrets; what is derived from them is RFC 8446 §7.3. Once one
//! record was written this way the session itself may write no more in that direction: the numbers of records are
//! counted here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::tls13::OkmBlock;
use rustls::internal::{derive_traffic_iv, derive_traffic_key};
use rustls::{ContentType, KeyLog, ProtocolVersion, SupportedCipherSuite};

/// The secrets of the sessions of one server, by their label and the client's random.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Mutex<BTreeMap<Key, Vec<u8>>>);

type Key = (String, Vec<u8>);

/// Which keys of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    Handshake,
    Traffic,
}

/// Seals records as the server does.
pub(crate) struct Sealing {
    encrypter: Box<dyn MessageEncrypter>,
    /// The number of the next record.
    next: u64,
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let key = (label.to_owned(), client_random.to_vec());
        self.0.lock().unwrap().insert(key, secret.to_vec());
    }
}

impl Secrets {
    /// Of the session that the client began with this random; so many records were sealed with these keys already.
    pub(crate) fn sealing(
        self: &Arc<Secrets>,
        epoch: Epoch,
        client_random: &[u8],
        suite: SupportedCipherSuite,
        before: u64,
    ) -> Sealing {
        let label = match epoch {
            Epoch::Handshake => "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            Epoch::Traffic => "SERVER_TRAFFIC_SECRET_0",
        };
        let key = (label.to_owned(), client_random.to_vec());
        let secrets = self.0.lock().unwrap();
        let suite = suite.tls13().expect("TLS 1.3");
        let expander = suite
            .hkdf_provider
            .expander_for_okm(&OkmBlock::new(&secrets[&key]));
        let key = derive_traffic_key(&*expander, suite.aead_alg);
        let iv = derive_traffic_iv(&*expander);
        Sealing {
            encrypter: suite.aead_alg.encrypter(key, iv),
            next: before,
        }
    }
}

impl Sealing {
    /// One record of this kind, as it goes on the line.
    pub(crate) fn record(&mut self, typ: ContentType, content: &[u8]) -> Vec<u8> {
        let plain = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(content),
        };
        let sealed = self.encrypter.encrypt(plain, self.next).unwrap();
        self.next += 1;
        sealed.encode()
    }

    /// A fatal alert (RFC 8446 §6).
    pub(crate) fn alert(&mut self, description: u8) -> Vec<u8> {
        self.record(ContentType::Alert, &[FATAL, description])
    }

    /// The end of the server's half.
    pub(crate) fn close_notify(&mut self) -> Vec<u8> {
        self.record(ContentType::Alert, &[WARNING, 0])
    }

    /// Bytes of the program, in one record.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.record(ContentType::ApplicationData, bytes)
    }

    /// A ticket by which nothing can be resumed; the client cannot know (RFC 8446 §4.6.1).
    pub(crate) fn ticket(&mut self, bytes: u16) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&3_600_u32.to_be_bytes());
        body.extend_from_slice(&0_u32.to_be_bytes());
        // The nonce: tickets of one connection have different ones.
        body.push(8);
        body.extend_from_slice(&self.next.to_be_bytes());
        body.extend_from_slice(&bytes.to_be_bytes());
        body.extend(std::iter::repeat_n(7, usize::from(bytes)));
        // No extensions.
        body.extend_from_slice(&[0, 0]);
        let mut message = vec![4];
        message.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        message.extend_from_slice(&body);
        self.record(ContentType::Handshake, &message)
    }
}

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// The same alert in the open, as it goes on the line.
pub(crate) fn open_alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, FATAL, description]
}
