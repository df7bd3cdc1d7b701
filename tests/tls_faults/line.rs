//! An upstream's one connection and the peer's end of it, both in the hands of a test.

use taut::{Client, Config, ConnectionId, RequestId, UpstreamId};

use crate::common::*;
use crate::support::*;
use crate::tls::*;

/// An upstream whose one connection stands and has answered a request, with the peer's end of it.
pub(crate) struct Line {
    peer: Peer,
    terms: Terms,
    pub(crate) client: Client,
    pub(crate) ledger: Ledger,
    pub(crate) upstream: UpstreamId,
    pub(crate) conversation: Conversation,
}

impl Line {
    pub(crate) fn new(
        terms: impl FnOnce(&Identity) -> Terms,
        change: impl FnOnce(&mut Config),
    ) -> Line {
        let ours = Authority::new("ours");
        let terms = terms(&ours.issue_local());
        let (peer, tls, mut client) = (Peer::new(), trusting(&ours), client_with(change));
        let (upstream, conversation) = secured_upstream(&mut client, &peer, &terms, &tls);
        let mut line = Line {
            peer,
            terms,
            client,
            ledger: Ledger::default(),
            upstream,
            conversation,
        };
        line.ask_and_answer();
        line
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        only_connection(&self.client, self.upstream)
    }

    pub(crate) fn ask(&mut self) -> RequestId {
        let line = [MARKER, b"\n"].concat();
        let (client, upstream) = (&mut self.client, self.upstream);
        self.ledger.request(client, upstream, &line, far())
    }

    /// A request is made, and answered on the connection that stands.
    pub(crate) fn ask_and_answer(&mut self) {
        let request = self.ask();
        self.client.flush();
        let asked = self.conversation.read_line().expect("the request");
        assert_eq!(asked, MARKER);
        assert!(self.conversation.answer(&asked));
        let reply = self.ledger.until(&mut self.client, request).reply();
        assert_eq!(reply, MARKER.to_ascii_uppercase());
    }

    /// Puts bytes on the line and waits, without a turn, until they are in the client's kernel.
    pub(crate) fn line(&mut self, bytes: &[u8]) {
        let connection = self.connection();
        let before = self.client.tcp_info(connection).unwrap().bytes_received;
        assert!(self.conversation.line(bytes));
        let wanted = before + bytes.len() as u64;
        until_in_kernel(&self.client, connection, wanted);
    }

    /// The same with a FIN behind them.
    pub(crate) fn last_line(&mut self, bytes: &[u8]) {
        let connection = self.connection();
        let before = self.client.tcp_info(connection).unwrap().bytes_received;
        assert!(self.conversation.line(bytes));
        self.conversation.fin();
        let wanted = before + bytes.len() as u64 + 1;
        until_in_kernel(&self.client, connection, wanted);
    }

    /// The connection that stood had nothing of a further request; its farewell, if there was one, is no alert.
    pub(crate) fn assert_old_had_nothing_more(&mut self) {
        assert_eq!(self.conversation.read_line(), None, "it was written");
        assert_sealed(&self.conversation.heard);
        let ending = self.conversation.ended();
        assert!(!matches!(ending, Ending::Broken(_)), "{ending:?}");
    }

    /// The next connection is made, and takes a request that waits or is made now.
    pub(crate) fn next_connection_answers(&mut self, request: Option<RequestId>) {
        let request = request.unwrap_or_else(|| self.ask());
        let (upstream, connects) = (self.upstream, self.connects());
        self.conversation =
            next_conversation(&mut self.client, &self.peer, &self.terms, |client| {
                client.upstream_stats(upstream).unwrap().connects > connects
            });
        self.client.flush();
        let asked = self.conversation.read_line().expect("the request");
        assert!(self.conversation.answer(&asked));
        let reply = self.ledger.until(&mut self.client, request).reply();
        assert_eq!(reply, MARKER.to_ascii_uppercase());
    }

    pub(crate) fn connects(&self) -> u64 {
        self.client.upstream_stats(self.upstream).unwrap().connects
    }

    /// Everything has ended, and nothing is left.
    pub(crate) fn ends(mut self) {
        self.ledger.until_all(&mut self.client);
        assert_no_sockets_are_left(self.client, self.peer.addr());
    }
}
