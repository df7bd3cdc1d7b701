//! Whether what failed may be made again, and when: the column *again* of the table in `docs/errors.md`.
//!
//! Two questions, kept apart: is it *safe* (`sent`), and is it *sensible* (the cause may be gone by then)? Nothing here
//! makes anything again.

use std::time::Duration;

use super::{Class, Error, Limit, Sent, Source};

impl Error {
    /// Whether to make the request again is safe and sensible, whatever it asks for: not one byte of it was handed to
    /// the kernel, and the cause may pass by itself.
    ///
    /// That is so when `sent` is [`Sent::No`] and the class [`Transient`](Class::Transient) or
    /// [`Resource`](Class::Resource), when a breaker is open, and when the peer ended the stream within another
    /// request's reply ([`Source::Truncated`]). Not before [`Error::retry_after`], where that says something; otherwise
    /// after a pause of the program's own. Of what may have been sent only the program knows whether it may be made
    /// twice: [`Error::is_retryable_if_idempotent`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// /// After how long a request may be made again, if at all.
    /// fn again(error: &taut::Error, is_idempotent: bool) -> Option<Duration> {
    ///     let may_be = match is_idempotent {
    ///         true => error.is_retryable_if_idempotent(),
    ///         false => error.is_retryable(),
    ///     };
    ///     may_be.then(|| error.retry_after().unwrap_or(Duration::from_millis(100)))
    /// }
    /// ```
    pub fn is_retryable(&self) -> bool {
        self.sent == Sent::No && self.may_pass()
    }

    /// The same of a request that may be carried out twice without harm: then it does not matter what was sent, only
    /// whether the cause may pass by itself.
    pub fn is_retryable_if_idempotent(&self) -> bool {
        self.may_pass()
    }

    /// How long nothing of the kind will be let through, where that is known: what is left of an open breaker's time, or
    /// until a rate limit allows the next.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.source {
            Source::BreakerOpen { retry_after }
            | Source::Full {
                limit: Limit::RequestRate { retry_after },
            } => Some(retry_after),
            _ => None,
        }
    }

    /// Whether the cause may be gone at another try.
    fn may_pass(&self) -> bool {
        match self.source {
            Source::BreakerOpen { .. } => true,
            // A peer that dies between two frames is transient. That it died within one is chance, and no other
            // breach of the protocol.
            Source::Truncated { .. } => true,
            _ => matches!(self.class, Class::Transient | Class::Resource),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Phase;

    fn error(source: Source, sent: Sent) -> Error {
        Error {
            sent,
            ..Error::new(Phase::Read, source)
        }
    }

    #[test]
    fn what_may_have_been_sent_is_made_again_only_if_it_is_idempotent() {
        for (sent, is_safe) in [(Sent::No, true), (Sent::Maybe, false), (Sent::Yes, false)] {
            let lost = error(Source::Eof, sent);
            assert_eq!(lost.is_retryable(), is_safe, "{lost}");
            assert!(lost.is_retryable_if_idempotent(), "{lost}");
        }
    }

    #[test]
    fn what_will_not_pass_is_not_made_again_though_nothing_was_sent() {
        for source in [
            Source::Deadline,
            Source::Cancelled,
            Source::ShuttingDown,
            Source::Malformed("not of the protocol"),
            Source::Os(crate::errno::EAFNOSUPPORT),
        ] {
            let error = error(source, Sent::No);
            assert!(!error.is_retryable(), "{error}");
            assert!(!error.is_retryable_if_idempotent(), "{error}");
        }
    }

    #[test]
    fn an_open_breaker_and_a_rate_say_when() {
        let retry_after = Duration::from_millis(1_500);
        let limit = Limit::RequestRate { retry_after };
        for source in [Source::BreakerOpen { retry_after }, Source::Full { limit }] {
            let refused = error(source, Sent::No);
            assert!(refused.is_retryable());
            assert_eq!(refused.retry_after(), Some(retry_after));
        }
        assert_eq!(error(Source::Eof, Sent::No).retry_after(), None);
    }
}
