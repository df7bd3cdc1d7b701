//! A TLS client that is none of ours: a rustls session driven by hand over a plain socket. It says what it is told, and
//! sees by what a server ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{AlertDescription, ClientConfig, ClientConnection, Error, SupportedProtocolVersion};

use super::{Authority, Identity, provider};
use crate::support::{End, patient};

pub(crate) struct PlainClient {
    tls: ClientConnection,
    stream: TcpStream,
    /// What came of the server's program and was not asked for yet.
    read: Vec<u8>,
    word: Option<LastWord>,
}

/// What a server has said last within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// close_notify.
    Notify,
    /// That something is wrong.
    Alert(AlertDescription),
}

impl PlainClient {
    /// One that trusts this authority, shows this certificate and speaks this version, when its handshake is over;
    /// `None` when the server has ended it before.
    pub(crate) fn connect(
        server: SocketAddr,
        authority: &Authority,
        own: &Identity,
        version: &'static SupportedProtocolVersion,
    ) -> Option<PlainClient> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_client_auth_cert(own.chain.clone(), own.key())
            .unwrap();
        let name = server.ip().into();
        let mut client = PlainClient {
            tls: ClientConnection::new(Arc::new(config), name).unwrap(),
            stream: patient(TcpStream::connect(server).unwrap()),
            read: Vec::new(),
            word: None,
        };
        while client.tls.is_handshaking() {
            client.say().ok()?;
            if client.tls.is_handshaking() && client.hear().is_some() {
                return None;
            }
        }
        client.say().ok()?;
        Some(client)
    }

    /// Puts what the session has to say on the line.
    fn say(&mut self) -> std::io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    /// Says bytes of the program; an error when the line takes no more.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        for part in bytes.chunks(16 << 10) {
            self.tls.writer().write_all(part).unwrap();
            self.say()?;
        }
        Ok(())
    }

    pub(crate) fn close_notify(&mut self) {
        self.tls.send_close_notify();
        self.say().unwrap();
    }

    pub(crate) fn fin(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Waits for bytes of the line; how it has ended, if there are none.
    fn hear(&mut self) -> Option<End> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Some(End::Fin),
            Ok(n) => self.take(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(End::Rst),
            Err(error) => panic!("{error}"),
        }
        None
    }

    fn take(&mut self, mut line: &[u8]) {
        while !line.is_empty() && self.word.is_none() {
            self.tls.read_tls(&mut line).unwrap();
            match self.tls.process_new_packets() {
                Ok(state) if state.peer_has_closed() => self.word = Some(LastWord::Notify),
                Ok(_) => {}
                Err(Error::AlertReceived(alert)) => self.word = Some(LastWord::Alert(alert)),
                Err(error) => panic!("{error}"),
            }
            let mut plain = [0; 16 << 10];
            while let Ok(n @ 1..) = self.tls.reader().read(&mut plain) {
                self.read.extend_from_slice(&plain[..n]);
            }
        }
    }

    /// What the server's program says, up to and with these bytes.
    #[track_caller]
    pub(crate) fn read_to(&mut self, wanted: &[u8]) -> Vec<u8> {
        loop {
            let at = self.read.windows(wanted.len()).position(|it| it == wanted);
            if let Some(at) = at {
                return self.read.drain(..at + wanted.len()).collect();
            }
            let end = self.hear();
            assert_eq!(end, None, "instead it said {:?}", self.read.escape_ascii());
        }
    }

    /// All that the server's program still says, what was its session's last word, and by what the line has ended.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (Vec<u8>, Option<LastWord>, End) {
        loop {
            if let Some(end) = self.hear() {
                return (self.read, self.word, end);
            }
        }
    }
}
