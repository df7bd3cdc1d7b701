//! Making requests from other threads, through the loop of a client.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::config::{Deadline, RequestOptions};
use crate::engine::{Mailbox, Submission, Terms};
use crate::error::{Error, Phase, Sent, Source};
use crate::event::UpstreamId;
use crate::net::{Alarm, Epoch};

pub use crate::engine::Outcome;

/// How long [`Handle::call`] waits beyond the deadline for the loop to say how the request ended.
const GRACE: Duration = Duration::from_secs(1);

/// Makes requests of a client's upstreams from any thread. Cheap to clone; made with
/// [`Client::handle`](crate::Client::handle).
///
/// Requests go into a mailbox of at most [`Limits::submissions_max`](crate::Limits::submissions_max), which the loop
/// empties when it is woken. The thread of the client must go on turning it.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) alarm: Alarm,
    pub(crate) epoch: Epoch,
}

impl Handle {
    /// Makes a request that ends as an event of the loop, with this tag.
    ///
    /// # Errors
    /// `Full` when the mailbox is; `NotOpen` when the client is gone. Nothing was queued then.
    pub fn request(
        &self,
        upstream: UpstreamId,
        payload: impl Into<Vec<u8>>,
        deadline: Deadline,
        tag: u64,
    ) -> Result<(), Error> {
        let options = RequestOptions::new().deadline(deadline).tag(tag);
        self.request_with(upstream, payload, options)
    }

    /// The same, with all that can be said of a request.
    ///
    /// # Errors
    /// As for [`Handle::request`].
    pub fn request_with(
        &self,
        upstream: UpstreamId,
        payload: impl Into<Vec<u8>>,
        options: RequestOptions,
    ) -> Result<(), Error> {
        self.submit(upstream, payload.into(), options, None)
    }

    /// Makes a request whose outcome is sent to a channel, exactly once; also when the client ends before it.
    ///
    /// # Errors
    /// As for [`Handle::request`]; then nothing is sent.
    pub fn request_to(
        &self,
        upstream: UpstreamId,
        payload: impl Into<Vec<u8>>,
        deadline: Deadline,
        tag: u64,
        reply_to: &Sender<Outcome>,
    ) -> Result<(), Error> {
        let options = RequestOptions::new().deadline(deadline).tag(tag);
        self.request_to_with(upstream, payload, options, reply_to)
    }

    /// The same, with all that can be said of a request.
    ///
    /// # Errors
    /// As for [`Handle::request`]; then nothing is sent.
    pub fn request_to_with(
        &self,
        upstream: UpstreamId,
        payload: impl Into<Vec<u8>>,
        options: RequestOptions,
        reply_to: &Sender<Outcome>,
    ) -> Result<(), Error> {
        self.submit(upstream, payload.into(), options, Some(reply_to.clone()))
    }

    /// Makes a request and waits for its reply, blocking this thread (never the client's own: it would wait for
    /// itself, until the deadline).
    ///
    /// # Errors
    /// As for [`Handle::request`], and however the request ended; `Deadline` with `sent = maybe` when the client is not
    /// being turned. Only the loop knows the length of [`Deadline::Standard`]: with it, a call waits for as long as the
    /// client is there and not turned.
    pub fn call(
        &self,
        upstream: UpstreamId,
        payload: impl Into<Vec<u8>>,
        deadline: Deadline,
    ) -> Result<Vec<u8>, Error> {
        self.call_with(upstream, payload, RequestOptions::new().deadline(deadline))
    }

    /// The same, with all that can be said of a request.
    ///
    /// # Errors
    /// As for [`Handle::call`].
    pub fn call_with(
        &self,
        upstream: UpstreamId,
        payload: impl Into<Vec<u8>>,
        options: RequestOptions,
    ) -> Result<Vec<u8>, Error> {
        let deadline = options.deadline;
        let (reply_to, outcome) = channel();
        self.submit(upstream, payload.into(), options, Some(reply_to))?;
        let received = match self.epoch.time_of(deadline) {
            Some(end) => outcome.recv_timeout(end.since(self.epoch.now()).saturating_add(GRACE)),
            None => outcome.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(outcome) => outcome.result,
            Err(RecvTimeoutError::Timeout) => Err(Error {
                sent: Sent::Maybe,
                ..Error::new(Phase::Read, Source::Deadline)
            }),
            Err(RecvTimeoutError::Disconnected) => Err(Error::new(Phase::Drain, Source::Closed)),
        }
    }

    fn submit(
        &self,
        upstream: UpstreamId,
        payload: Vec<u8>,
        options: RequestOptions,
        reply_to: Option<Sender<Outcome>>,
    ) -> Result<(), Error> {
        let RequestOptions {
            deadline,
            tag,
            is_idempotent,
        } = options;
        if self.mailbox.put(Submission {
            upstream,
            payload,
            deadline: self.epoch.time_of(deadline),
            terms: Terms { tag, is_idempotent },
            reply_to,
        })? {
            self.alarm.wake();
        }
        Ok(())
    }
}
