//! Sessions that a client keeps to go on from, and servers that will have none of them.
//!
//! Some servers hand out sessions and refuse whoever shows one: of OpenSSL's those that ask for a certificate and were
//! given no context for their sessions (SSL_CTX_set_session_id_context(3): internal_error), as rsyslogd's `ossl`. rustls
//! keeps a session of TLS 1.2 until another takes its place, and would show it to such a server for ever. So what a
//! handshake ended with in which one was shown is heeded: an alert, and that server is shown none again; any other end,
//! and those that are kept of it are forgotten. It never keeps more servers than it was told.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

thread_local! {
    /// A session was handed out on this thread: the store is not told for which connection.
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

/// Whether one was handed out since this was asked last.
pub(super) fn take_shown() -> bool {
    SHOWN.take()
}

#[derive(Debug)]
pub(super) struct Kept {
    sessions: ClientSessionMemoryCache,
    /// Servers that are shown none, the one known longest first.
    refusing: Mutex<VecDeque<ServerName<'static>>>,
    refusing_max: usize,
}

impl Kept {
    pub(super) fn new(sessions_max: usize) -> Kept {
        Kept {
            sessions: ClientSessionMemoryCache::new(sessions_max),
            refusing: Mutex::default(),
            refusing_max: sessions_max,
        }
    }

    /// This server has refused one: it is shown none again.
    pub(super) fn heed_refusal(&self, server: &ServerName<'static>) {
        self.forget(server);
        if self.is_refusing(server) {
            return;
        }
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        if refusing.len() >= self.refusing_max {
            refusing.pop_front();
        }
        refusing.push_back(server.clone());
    }

    /// None of those that are kept of this server is shown.
    pub(super) fn forget(&self, server: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server);
        while self.sessions.take_tls13_ticket(server).is_some() {}
    }

    fn is_refusing(&self, server: &ServerName<'_>) -> bool {
        let refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        refusing.iter().any(|it| it == server)
    }
}

impl ClientSessionStore for Kept {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.sessions.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        if !self.is_refusing(&server) {
            self.sessions.set_tls12_session(server, session);
        }
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let session = self.sessions.tls12_session(server);
        SHOWN.set(SHOWN.get() || session.is_some());
        session
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        if !self.is_refusing(&server) {
            self.sessions.insert_tls13_ticket(server, ticket);
        }
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.sessions.take_tls13_ticket(server);
        SHOWN.set(SHOWN.get() || ticket.is_some());
        ticket
    }
}
