//! One connection's session, over rustls' buffers, of either side.
//!
//! All that the line brings is given to rustls at once and all plaintext is handed out as it comes: between two calls
//! rustls holds no plaintext, at most one unfinished record (or handshake message, 64 KiB), and what `transmit` will take.

use std::io::{BufRead, Write};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, HandshakeKind, IoState,
    ProtocolVersion, ServerConfig, ServerConnection, SupportedCipherSuite,
};

use super::faults::source_of;
use super::resumption::{Kept, take_shown};
use super::verify::take_refused;
use crate::error::{Source, TlsFault};
use crate::session::{SEAL_BYTES_MAX, Session, TlsInfo, TlsVersion};

/// Bytes of plaintext in a record (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 16 << 10;

/// Of the records that keys may seal so many are left to a seal under way and the session's own words.
const SPARE_RECORDS: u64 = 64;

#[derive(Debug)]
struct TlsSession {
    rustls: Connection,
    /// Whatever the peer shows is looked at.
    is_verifying: bool,
    start: Start,
    /// The certificates of a peer that was refused.
    refused: Vec<Vec<u8>>,
    /// Nothing more is received.
    broken: Option<Source>,
    is_peer_closed: bool,
    /// Our half was ended: nothing more is said.
    is_closed: bool,
    /// Records of the program's that were sealed.
    sealed: u64,
    /// An earlier session was shown to this server: those that are kept of it.
    shown: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    kept: Arc<Kept>,
    server: ServerName<'static>,
}

/// A session of a client with that name.
pub(super) fn of_client(
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
    kept: Option<&Arc<Kept>>,
    is_verifying: bool,
) -> Result<Box<dyn Session>, Source> {
    take_shown();
    let connection = ClientConnection::new(config, server.clone());
    let connection = connection.map_err(|error| source_of(&error))?;
    let kept = kept.filter(|_| take_shown()).cloned();
    let shown = kept.map(|kept| Shown { kept, server });
    Ok(TlsSession::boxed(connection.into(), is_verifying, shown))
}

/// A session of a server.
pub(super) fn of_server(config: Arc<ServerConfig>) -> Result<Box<dyn Session>, Source> {
    let connection = ServerConnection::new(config).map_err(|error| source_of(&error))?;
    Ok(TlsSession::boxed(connection.into(), true, None))
}

/// The name that a certificate must be for. Of an address the zone is nobody's but this machine's (RFC 4007 §11.2), and
/// the dot at the end of a name is no part of it (RFC 6066 §3).
pub(super) fn name_of(host: &str) -> Option<ServerName<'static>> {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if let Ok(address) = address.parse::<IpAddr>() {
        return Some(ServerName::from(address));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    Some(ServerName::try_from(name).ok()?.to_owned())
}

impl TlsSession {
    fn boxed(mut rustls: Connection, is_verifying: bool, shown: Option<Shown>) -> Box<dyn Session> {
        // What is sealed is taken at once, and its bound is the caller's.
        rustls.set_buffer_limit(None);
        Box::new(TlsSession {
            rustls,
            is_verifying,
            start: Start::default(),
            refused: Vec::new(),
            broken: None,
            is_peer_closed: false,
            is_closed: false,
            sealed: 0,
            shown,
        })
    }

    fn process(&mut self, mut line: &[u8], program: &mut dyn FnMut(&[u8])) -> Result<(), Source> {
        self.start.check(line)?;
        // Behind a close_notify rustls takes nothing more.
        while !line.is_empty() && !self.is_peer_closed {
            // It refuses only what a message that is too long would need, which it has told before.
            let taken = self.rustls.read_tls(&mut line);
            let taken = taken.map_err(|_| Source::Tls(TlsFault::TooLarge))?;
            let processed = self.process_new_packets();
            let known = processed.as_ref().map(IoState::plaintext_bytes_to_read);
            self.hand_out(known.unwrap_or(usize::MAX), program);
            let state = processed?;
            self.is_peer_closed = state.peer_has_closed();
            debug_assert!(taken > 0, "rustls takes what there is");
        }
        Ok(())
    }

    /// Behind its own close_notify rustls 0.23 asserts, in debug builds, that it never needs another alert: a peer that
    /// breaks the session then would be a panic of the program's. (In release builds it is an error, as it should be.)
    fn process_new_packets(&mut self) -> Result<IoState, Source> {
        let rustls = &mut self.rustls;
        let processed = match self.is_closed && cfg!(debug_assertions) {
            false => rustls.process_new_packets(),
            true => catch_unwind(AssertUnwindSafe(|| rustls.process_new_packets()))
                .map_err(|_| Source::Tls(TlsFault::Misbehaved))?,
        };
        processed.map_err(|error| source_of(&error))
    }

    /// Hands out so many bytes of plaintext, or all there are.
    fn hand_out(&mut self, mut left: usize, program: &mut dyn FnMut(&[u8])) {
        let mut reader = self.rustls.reader();
        while left > 0
            && let Ok(bytes @ [_, ..]) = reader.fill_buf()
        {
            let n = bytes.len();
            program(bytes);
            reader.consume(n);
            left = left.saturating_sub(n);
        }
    }
}

impl Drop for TlsSession {
    fn drop(&mut self) {
        if let Some(shown) = &self.shown
            && self.rustls.is_handshaking()
        {
            shown.kept.forget(&shown.server);
        }
    }
}

impl Session for TlsSession {
    fn receive(&mut self, line: &[u8], program: &mut dyn FnMut(&[u8])) -> Result<(), Source> {
        if let Some(source) = self.broken {
            return Err(source);
        }
        let processed = self.process(line, program);
        if let Err(source) = processed {
            self.broken = Some(source);
            self.refused = take_refused();
            if let (Source::Alert(_), Some(shown)) = (source, &self.shown)
                && self.rustls.is_handshaking()
            {
                shown.kept.heed_refusal(&shown.server);
            }
        }
        processed
    }

    fn seal(&mut self, program: &[u8], line: &mut Vec<u8>) {
        debug_assert!(program.len() <= SEAL_BYTES_MAX && !self.is_handshaking());
        self.sealed += program.len().div_ceil(RECORD_BYTES_MAX) as u64;
        let sealed = self.rustls.writer().write(program);
        debug_assert!(self.broken.is_some() || sealed.is_ok_and(|n| n == program.len()));
        self.transmit(line);
    }

    /// Keys of TLS 1.2 are never renewed: at their limit rustls ends the session by itself, and drops what it is given.
    fn is_used_up(&self) -> bool {
        let limit = match self.rustls.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => suite.common.confidentiality_limit,
            _ => return false,
        };
        self.sealed > limit.saturating_sub(SPARE_RECORDS)
    }

    fn has_words(&self) -> bool {
        self.rustls.wants_write()
    }

    fn transmit(&mut self, line: &mut Vec<u8>) {
        // A close_notify was the last of our half: an alert has no place behind it.
        if self.is_closed && self.broken.is_some() {
            return;
        }
        while self.rustls.wants_write() {
            if self.rustls.write_tls(line).is_err() {
                return;
            }
        }
    }

    fn close(&mut self) {
        self.rustls.send_close_notify();
        self.is_closed = true;
    }

    fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    fn is_peer_closed(&self) -> bool {
        self.is_peer_closed
    }

    fn info(&self) -> TlsInfo {
        let rustls = &self.rustls;
        let shown = rustls.peer_certificates().unwrap_or_default();
        let mut certificates: Vec<Vec<u8>> = shown.iter().map(|der| der.to_vec()).collect();
        if certificates.is_empty() {
            certificates.clone_from(&self.refused);
        }
        let is_accepted = self.refused.is_empty() && !rustls.is_handshaking();
        TlsInfo {
            version: rustls.protocol_version().and_then(version_of),
            cipher: rustls
                .negotiated_cipher_suite()
                .and_then(|suite| name_of_suite(suite.suite())),
            alpn: rustls.alpn_protocol().map(<[u8]>::to_vec),
            is_resumed: rustls.handshake_kind() == Some(HandshakeKind::Resumed),
            is_verified: self.is_verifying && is_accepted && !certificates.is_empty(),
            certificates,
            handshake: None,
        }
    }
}

fn version_of(version: ProtocolVersion) -> Option<TlsVersion> {
    match version {
        ProtocolVersion::TLSv1_2 => Some(TlsVersion::Tls12),
        ProtocolVersion::TLSv1_3 => Some(TlsVersion::Tls13),
        _ => None,
    }
}

/// As IANA's registry has it: rustls tells those of TLS 1.3 apart by a name of its own.
fn name_of_suite(suite: CipherSuite) -> Option<&'static str> {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => Some("TLS_AES_128_GCM_SHA256"),
        CipherSuite::TLS13_AES_256_GCM_SHA384 => Some("TLS_AES_256_GCM_SHA384"),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some("TLS_CHACHA20_POLY1305_SHA256"),
        other => other.as_str(),
    }
}

/// Whether the peer speaks TLS at all, by the first bytes it sends: the head of a record (RFC 8446 §5.1), its type and
/// the first half of its version. Told from the first byte that is wrong, for a peer may say no more than `-ERR`.
#[derive(Debug, Default)]
struct Start {
    seen: usize,
}

impl Start {
    fn check(&mut self, line: &[u8]) -> Result<(), Source> {
        for byte in line {
            let is_right = match self.seen {
                0 => (20..=23).contains(byte),
                1 => *byte == 3,
                _ => return Ok(()),
            };
            if !is_right {
                return Err(Source::Tls(TlsFault::NotTls));
            }
            self.seen += 1;
        }
        Ok(())
    }
}
