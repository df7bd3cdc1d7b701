//! A request apart from its bytes: what goes with it wherever it is, waiting, in flight or on its way from one
//! connection to the next.

use crate::error::Sent;
use crate::event::RequestId;
use crate::time::Time;
use crate::upstream::kept::KeptKey;

/// What is known of a request, wherever it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) request: RequestId,
    pub(crate) tag: u64,
    pub(crate) deadline: Time,
    pub(crate) again: Again,
}

/// Whether it may be made again, and what has become of it before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    /// The program said that to make it twice does no harm.
    pub(crate) is_idempotent: bool,
    /// What the connections before had of it: never less than `sent` of how it ends.
    pub(crate) sent: Sent,
    /// How often it was made again.
    pub(crate) times: u8,
    /// Its bytes, where they are kept apart.
    pub(crate) kept: Option<KeptKey>,
}

impl Again {
    pub(crate) fn new(is_idempotent: bool) -> Again {
        Again {
            is_idempotent,
            sent: Sent::No,
            times: 0,
            kept: None,
        }
    }
}
