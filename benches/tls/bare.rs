//! A session of rustls and its peer in memory, and nothing around them: what one exchange allocates on the client's side
//! at the least.

use std::io::{BufRead, Write};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::counting::counted;

pub(crate) struct Bare {
    client: Connection,
    server: Connection,
    line: Vec<u8>,
    received: Vec<u8>,
}

impl Bare {
    /// A pair that stands; the server shows this certificate (PEM) for 127.0.0.1.
    pub(crate) fn new(client: Arc<ClientConfig>, certificate: &str, key: &str) -> Bare {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut bare = Bare {
            client: ClientConnection::new(client, name).unwrap().into(),
            server: ServerConnection::new(Arc::new(server)).unwrap().into(),
            line: Vec::new(),
            received: Vec::new(),
        };
        for _ in 0..4 {
            bare.received.clear();
            say(&mut bare.client, b"", &mut bare.line);
            hear(&mut bare.server, &bare.line, &mut bare.received);
            say(&mut bare.server, b"", &mut bare.line);
            hear(&mut bare.client, &bare.line, &mut bare.received);
        }
        assert!(!bare.client.is_handshaking() && !bare.server.is_handshaking());
        bare
    }

    /// Asks, and is answered with the same. Returns what the client has allocated for it.
    pub(crate) fn exchange(&mut self, message: &[u8]) -> u64 {
        let Bare {
            client,
            server,
            line,
            received,
        } = self;
        let ((), asked, _) = counted(|| say(client, message, line));
        received.clear();
        hear(server, line, received);
        assert!(received == message);
        say(server, message, line);
        received.clear();
        let ((), answered, _) = counted(|| hear(client, line, received));
        assert!(received == message);
        asked + answered
    }

    /// The same, once what is kept for the next time is there.
    pub(crate) fn exchange_warm(&mut self, message: &[u8]) -> u64 {
        for _ in 0..10 {
            self.exchange(message);
        }
        let first = self.exchange(message);
        assert_eq!(self.exchange(message), first, "each is as the one before");
        first
    }
}

fn say(from: &mut Connection, message: &[u8], line: &mut Vec<u8>) {
    from.writer().write_all(message).unwrap();
    line.clear();
    while from.wants_write() {
        from.write_tls(line).unwrap();
    }
}

fn hear(to: &mut Connection, mut line: &[u8], received: &mut Vec<u8>) {
    while !line.is_empty() {
        to.read_tls(&mut line).unwrap();
        to.process_new_packets().unwrap();
        let mut reader = to.reader();
        while let Ok(bytes) = reader.fill_buf() {
            let n = bytes.len();
            if n == 0 {
                break;
            }
            received.extend_from_slice(bytes);
            reader.consume(n);
        }
    }
}
