//! What is known of a connection at its end: how much of what was written the peer took, and how its end came.
//!
//! Plain facts, taken before the socket was closed, for then the kernel forgets them. What they prove of the peer's
//! program is in `docs/guarantees.md`.

use crate::error::{Error, Source};

/// What was known of a raw connection when it ended. Told by [`Client::parting`](crate::Client::parting).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parting {
    /// Bytes that were handed to the kernel, if only in part: of what lies behind them the peer has nothing.
    pub written: u64,
    /// Of those, what was handed to it with all that the peer needs to read them: within TLS they go in seals of up to
    /// 64 KiB, and count when the last byte of theirs has left. As `written` without it.
    pub left: u64,
    /// Of those, what the peer's TCP had acknowledged; our SYN and FIN are not counted. `None` where the system does
    /// not tell it. At most `written`.
    pub acked: Option<u64>,
    /// Our FIN had been handed to the kernel.
    pub fin_sent: bool,
    /// The peer's FIN was there before any other end: when its program closed, it had read all that had come, which is
    /// what was `acked` (RFC 1122 §4.2.2.13; a peer with unread input resets). A peer that ends only its own half
    /// looks the same. Within TLS it was its TLS library that had read it, up to a record of which the program may not
    /// have asked for; so only the end of a connection that we have ended proves anything.
    pub fin_first: bool,
    /// The peer had acknowledged our FIN, and with it every byte, when its own FIN was first seen. Of the two together
    /// neither proves it: its FIN may come while our bytes are still on their way. Within TLS our close_notify stands
    /// for our FIN, for a peer that has read it need not wait for that; and the peer's, where it says one, for its own.
    pub fin_acked: bool,
    /// Within TLS: whether the peer's close_notify came, which nobody can say in its name, before any other end. `None`
    /// without TLS.
    pub close_notify: Option<bool>,
    /// The first error, as [`Event::Closed`](crate::Event::Closed) tells it.
    pub error: Option<Error>,
}

impl Parting {
    /// Whether the peer's end proves that its program has read every byte: we ended our half, and the peer ended its
    /// own after it had acknowledged that, without an error; within TLS with its close_notify and with its FIN, for it
    /// says the one whatever it has read, and what it has not it resets.
    pub fn is_commit(&self) -> bool {
        self.is_read_out() && self.error.is_none() && self.close_notify != Some(false)
    }

    /// The same by the word of its system alone: without its close_notify, which others than the peer can leave out.
    pub(crate) fn is_read_out(&self) -> bool {
        let is_peaceful = match self.error {
            None => true,
            Some(error) => {
                self.close_notify == Some(false) && matches!(error.source, Source::Truncated { .. })
            }
        };
        self.fin_sent && self.fin_first && self.fin_acked && is_peaceful
    }
}
