//! Both sides of a client at once: received bytes are read while something is sent.

use super::upstreams::request;
use super::{Client, held};
use crate::config::{Deadline, RequestOptions};
use crate::engine::{Core, Inbox};
use crate::error::Error;
use crate::event::{ConnectionId, Frame, RequestId, UpstreamId};
use crate::net::Net;

impl Client {
    /// Both sides at once: received bytes to read while something is sent.
    pub fn split(&mut self) -> (Received<'_>, Outgoing<'_>) {
        (
            Received {
                inbox: &self.engine.inbox,
            },
            Outgoing {
                core: &mut self.engine.core,
            },
        )
    }
}

/// The received side of a client; see [`Client::split`].
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    inbox: &'a Inbox,
}

impl<'a> Received<'a> {
    /// As [`Client::bytes`].
    ///
    /// # Panics
    /// When the frame was given up.
    pub fn bytes(&self, frame: &Frame) -> &'a [u8] {
        held(self.inbox.bytes(frame))
    }
}

/// The sending side of a client; see [`Client::split`].
#[derive(Debug)]
pub struct Outgoing<'a> {
    core: &'a mut Core<Net>,
}

impl Outgoing<'_> {
    /// As [`Client::send`].
    ///
    /// # Errors
    /// As for [`Client::send`].
    pub fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Result<(), Error> {
        self.core.send(connection, bytes)
    }

    /// As [`Client::close`].
    ///
    /// # Errors
    /// As for [`Client::close`].
    pub fn close(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.core.close(connection)
    }

    /// As [`Client::request_tagged`].
    ///
    /// # Errors
    /// As for [`Client::request`].
    pub fn request(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        deadline: Deadline,
        tag: u64,
    ) -> Result<RequestId, Error> {
        let options = RequestOptions::new().deadline(deadline).tag(tag);
        self.request_with(upstream, payload, options)
    }

    /// As [`Client::request_with`].
    ///
    /// # Errors
    /// As for [`Client::request`].
    pub fn request_with(
        &mut self,
        upstream: UpstreamId,
        payload: &[u8],
        options: RequestOptions,
    ) -> Result<RequestId, Error> {
        request(self.core, upstream, payload, options)
    }

    /// As [`Client::cancel`].
    pub fn cancel(&mut self, request: RequestId) -> bool {
        self.core.cancel(request)
    }
}
