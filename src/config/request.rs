//! What a program may say of one request, besides its bytes.

use super::Deadline;

/// How a request is to be made; see [`Client::request_with`](crate::Client::request_with). The default is a request with
/// the upstream's own timeout, the tag 0, and not idempotent.
///
/// ```
/// use std::time::Duration;
/// use taut::{Deadline, RequestOptions};
///
/// let soon = Deadline::after(Duration::from_millis(50));
/// let options = RequestOptions::new().deadline(soon).tag(7).idempotent();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    pub(crate) deadline: Deadline,
    pub(crate) tag: u64,
    pub(crate) is_idempotent: bool,
}

impl Default for RequestOptions {
    fn default() -> RequestOptions {
        RequestOptions {
            deadline: Deadline::Standard,
            tag: 0,
            is_idempotent: false,
        }
    }
}

impl RequestOptions {
    /// As the default.
    pub fn new() -> RequestOptions {
        RequestOptions::default()
    }

    /// When it ends at the latest, waiting and being made again included. Default: [`Deadline::Standard`].
    pub fn deadline(mut self, deadline: Deadline) -> RequestOptions {
        self.deadline = deadline;
        self
    }

    /// A number of the program's own that comes back with the event; where replies are matched by id it is the
    /// request's id ([`Upstream::matched_by_id`](crate::Upstream::matched_by_id)). Default: 0.
    pub fn tag(mut self, tag: u64) -> RequestOptions {
        self.tag = tag;
        self
    }

    /// To make it twice does no more than to make it once: a read, or a write that says its outcome (`SET`, not
    /// `INCR`). Such a request may be made again after its connection was lost when part of it had left already.
    pub fn idempotent(mut self) -> RequestOptions {
        self.is_idempotent = true;
        self
    }
}
