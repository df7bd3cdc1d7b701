//! The largest frame of a framing that tells a length first, and what is done with a larger one.

use super::{Decoded, FrameError};

#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) bytes: usize,
    /// A larger frame is dropped as it comes, and is no error.
    pub(super) skips: bool,
}

impl Limit {
    /// A limit beyond which there is nothing but an error.
    #[cfg(test)]
    pub(super) const fn of(bytes: usize) -> Limit {
        Limit {
            bytes,
            skips: false,
        }
    }

    /// What becomes of a frame over the limit that uses up `consumed` bytes (`None`: more than can be counted).
    #[cold]
    pub(super) fn over(&self, claimed: u64, consumed: Option<u64>) -> Result<Decoded, FrameError> {
        let limit = self.bytes;
        match consumed {
            Some(consumed) if self.skips => Ok(Decoded::Skip {
                limit,
                claimed,
                consumed,
            }),
            _ => Err(FrameError::Oversize { limit, claimed }),
        }
    }
}
