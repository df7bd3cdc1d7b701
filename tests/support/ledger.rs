//! The book of a test's requests: each ends exactly once, or the test fails.

use std::collections::{BTreeMap, BTreeSet};

use taut::{Client, Deadline, Error, Event, RequestId, UpstreamId};

use super::{assert_silent, client_until};

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Reply(Vec<u8>),
    Failed(Error),
}

impl Ended {
    #[track_caller]
    pub(crate) fn error(self) -> Error {
        match self {
            Ended::Failed(error) => error,
            Ended::Reply(bytes) => panic!(
                "a reply instead of a failure: {:?}",
                bytes.escape_ascii().to_string()
            ),
        }
    }

    #[track_caller]
    pub(crate) fn reply(self) -> Vec<u8> {
        match self {
            Ended::Reply(bytes) => bytes,
            Ended::Failed(error) => panic!("a failure instead of a reply: {error}"),
        }
    }
}

/// Every request of a test, and that each ends exactly once.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: BTreeSet<RequestId>,
    ended: BTreeMap<RequestId, Ended>,
}

impl Ledger {
    #[track_caller]
    pub(crate) fn request(
        &mut self,
        client: &mut Client,
        upstream: UpstreamId,
        payload: &[u8],
        deadline: Deadline,
    ) -> RequestId {
        let request = client.request(upstream, payload, deadline).unwrap();
        assert!(self.open.insert(request), "{request} was named before");
        request
    }

    /// A request that was made elsewhere; always true.
    pub(crate) fn adopt(&mut self, request: RequestId) -> bool {
        assert!(self.open.insert(request), "{request} was named before");
        true
    }

    /// Books an event; it must be the first end of a request that was made.
    #[track_caller]
    pub(crate) fn book(&mut self, client: &Client, event: Event) -> RequestId {
        let (request, ended) = match event {
            Event::Reply { request, frame, .. } => {
                (request, Ended::Reply(client.bytes(&frame).to_vec()))
            }
            Event::Failed { request, error, .. } => (request, Ended::Failed(error)),
            other => panic!("not of a request: {other:?}"),
        };
        assert!(
            self.open.remove(&request),
            "{request} ended twice or was never made: {ended:?}"
        );
        self.ended.insert(request, ended);
        request
    }

    /// Turns until this request has ended; others may end before it.
    #[track_caller]
    pub(crate) fn until(&mut self, client: &mut Client, request: RequestId) -> Ended {
        if let Some(ended) = self.ended.get(&request) {
            return ended.clone();
        }
        client_until(client, |client, event| {
            (self.book(client, event) == request).then_some(())
        });
        self.ended[&request].clone()
    }

    /// Turns until all have ended, and some turns more in which nothing may be told.
    #[track_caller]
    pub(crate) fn until_all(&mut self, client: &mut Client) {
        while let Some(&request) = self.open.first() {
            self.until(client, request);
        }
        assert_silent(client);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn ended(&self, request: RequestId) -> Option<&Ended> {
        self.ended.get(&request)
    }

    pub(crate) fn replies(&self) -> usize {
        self.ended
            .values()
            .filter(|ended| matches!(ended, Ended::Reply(_)))
            .count()
    }

    pub(crate) fn failures(&self) -> usize {
        self.ended.len() - self.replies()
    }
}
