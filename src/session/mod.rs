//! The seam between the line and the program: what runs above TCP on one connection.
//!
//! A [`Session`] turns bytes of the line into bytes of the program and back; `tls` implements it with rustls, tests with
//! sessions of their own. [`Secured`] keeps what lies between the two sides on one connection. Nothing here knows a
//! socket or a clock; what a peer sends grows nothing without a bound.

mod info;
mod seals;
mod secured;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use info::{TlsInfo, TlsVersion};
pub(crate) use secured::{LineEnd, Secured};

use crate::error::Source;

/// Plaintext that is sealed at a time, at most: four records of TLS (RFC 8446 §5.1).
pub(crate) const SEAL_BYTES_MAX: usize = 64 << 10;

/// One connection's session. It is made when the TCP connection stands, with its first words ready to be taken.
pub(crate) trait Session: fmt::Debug + Send {
    /// Takes bytes of the line, all of them; hands out what they hold of the program's, in order, as it comes. Bytes
    /// behind the peer's end of the session are dropped.
    ///
    /// # Errors
    /// What broke the session. What came before it was handed out, and nothing more is received; an alert may be ready
    /// to be taken.
    fn receive(&mut self, line: &[u8], program: &mut dyn FnMut(&[u8])) -> Result<(), Source>;

    /// Seals bytes of the program, at most [`SEAL_BYTES_MAX`], behind what is in `line`. Only while it stands and our
    /// half has not been ended.
    fn seal(&mut self, program: &[u8], line: &mut Vec<u8>);

    /// Its keys have sealed nearly as much as they may: nothing more of the program's is to be sealed.
    fn is_used_up(&self) -> bool {
        false
    }

    /// Puts what the session itself has to say behind what is in `line`: its handshake, answers to key updates, alerts.
    fn transmit(&mut self, line: &mut Vec<u8>);

    /// Ends our half: a close_notify is ready to be taken.
    fn close(&mut self);

    /// Nothing of the program's may pass yet: the peer is not verified.
    fn is_handshaking(&self) -> bool;

    /// The peer has ended its half within the session (close_notify), and all before it was handed out.
    fn is_peer_closed(&self) -> bool;

    /// What was agreed on; and of a peer that was refused, what it has shown.
    #[cfg_attr(
        not(feature = "_tls"),
        allow(dead_code, reason = "asked for with TLS alone")
    )]
    fn info(&self) -> TlsInfo;
}

/// Begins the sessions of one upstream, one sink or one listener.
pub(crate) trait Sessions: fmt::Debug + Send + Sync {
    /// A session with a host, as a target names it: a name or an address, without brackets. Of a listener it is empty.
    ///
    /// # Errors
    /// A host that no certificate could be for.
    fn begin(&self, host: &str) -> Result<Box<dyn Session>, Source>;

    /// Whether there can be one.
    ///
    /// # Errors
    /// As for [`Sessions::begin`].
    fn check(&self, host: &str) -> Result<(), Source> {
        self.begin(host).map(|_| ())
    }
}

/// Sessions with one host, at whichever of its addresses they are begun.
#[derive(Debug)]
pub(crate) struct WithHost {
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) host: Box<str>,
}

impl Sessions for WithHost {
    fn begin(&self, _: &str) -> Result<Box<dyn Session>, Source> {
        self.sessions.begin(&self.host)
    }

    fn check(&self, _: &str) -> Result<(), Source> {
        self.sessions.check(&self.host)
    }
}
