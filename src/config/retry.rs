//! Whether and how often requests are made again that were lost with their connection.

use super::refuse;
use crate::error::Error;

/// Requests that are made again, inside their deadlines, when the connection that had them is lost: those of which not
/// a byte was written, and those that the program called idempotent
/// ([`RequestOptions::idempotent`](crate::RequestOptions::idempotent)) of which no reply had begun.
///
/// What ends by the program's own doing (its deadline, a cancel, a shutdown) is not made again, nor what was lost for a
/// reason that another try would meet as well ([`Class::Persistent`](crate::Class::Persistent); of what may have been
/// sent, where [`Error::is_retryable_if_idempotent`](crate::Error::is_retryable_if_idempotent) says so), nor one whose
/// reply broke off: its peer has done its work. Nothing is made again of an upstream whose breaker is open. A request that is made again waits in front of all that came after it, and
/// ends once, whatever became of it before.
///
/// A budget keeps a server that is in trouble from being asked more by those whom it fails: each upstream has a bucket
/// that fills by `percent` of the requests made of it and by `per_second`, holds `burst_max`, is full at first, and
/// pays for each that is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Of a hundred requests so many may be made again. At most 100. Default: 20.
    pub percent: u32,
    /// And so many a second, whatever is made. Default: 3.
    pub per_second: u32,
    /// So many at once, saved up. Default: 100.
    pub burst_max: u32,
    /// How often one request is made again. 0: none is. Default: 2.
    pub attempts_max: u8,
    /// Bytes of the requests of one upstream that are kept to be made again: those of the idempotent ones until they
    /// end, those of others from one connection to the next. What finds no room is not made again. Default: 8 MiB.
    pub kept_bytes_max: usize,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            percent: 20,
            per_second: 3,
            burst_max: 100,
            attempts_max: 2,
            kept_bytes_max: 8 << 20,
        }
    }
}

impl Retry {
    /// Nothing is made again.
    pub fn off() -> Retry {
        Retry {
            attempts_max: 0,
            ..Retry::default()
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        refuse(&[
            (
                self.percent > 100,
                "retry.percent is above 100; more would be made again than are made",
            ),
            (
                self.per_second > 1_000_000,
                "retry.per_second is above 1,000,000; 3 is usual",
            ),
            (
                self.burst_max > 1_000_000,
                "retry.burst_max is above 1,000,000; 100 is usual",
            ),
        ])
    }
}
