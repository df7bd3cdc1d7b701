//! A client's session and a server's, with a line between them that cuts what it carries into pieces.

use super::people::HOST;
use crate::error::Source;
use crate::session::Session;
use crate::tls::{TlsConfig, TlsServerConfig};

/// One end: its session, what it has heard of the other's program, and what broke it.
pub(super) struct End {
    pub(super) session: Box<dyn Session>,
    pub(super) heard: Vec<u8>,
    pub(super) broke: Option<Source>,
    /// What it has put on the line, in its life.
    pub(super) said: usize,
}

impl End {
    pub(super) fn new(session: Box<dyn Session>) -> End {
        End {
            session,
            heard: Vec::new(),
            broke: None,
            said: 0,
        }
    }

    /// Takes bytes of the line. No byte of the program's comes before the handshake is over.
    pub(super) fn receive(&mut self, line: &[u8]) {
        let before = self.heard.len();
        let heard = &mut self.heard;
        let received = self
            .session
            .receive(line, &mut |bytes| heard.extend_from_slice(bytes));
        let is_early = self.session.is_handshaking() && self.heard.len() > before;
        assert!(!is_early, "plaintext before the peer is known");
        self.broke = self.broke.or(received.err());
    }

    /// What the session itself has to say.
    pub(super) fn words(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.session.transmit(&mut line);
        self.said += line.len();
        line
    }

    pub(super) fn seal(&mut self, program: &[u8]) -> Vec<u8> {
        let mut line = Vec::new();
        self.session.seal(program, &mut line);
        self.said += line.len();
        line
    }

    pub(super) fn is_up(&self) -> bool {
        !self.session.is_handshaking() && self.broke.is_none()
    }
}

pub(super) struct Pair {
    pub(super) client: End,
    pub(super) server: End,
    /// Bytes of the line that come at a time.
    pub(super) piece: usize,
}

impl Pair {
    pub(super) fn new(client: &TlsConfig, server: &TlsServerConfig) -> Pair {
        Pair::to(HOST, client, server)
    }

    pub(super) fn to(host: &str, client: &TlsConfig, server: &TlsServerConfig) -> Pair {
        Pair {
            client: End::new(client.sessions().begin(host).unwrap()),
            server: End::new(server.sessions().begin("").unwrap()),
            piece: usize::MAX,
        }
    }

    /// Both have said all they had to.
    pub(super) fn talk(mut self) -> Pair {
        self.settle();
        self
    }

    pub(super) fn settle(&mut self) {
        loop {
            let (said, answered) = (self.client.words(), self.server.words());
            if said.is_empty() && answered.is_empty() {
                return;
            }
            carry(&said, self.piece, &mut self.server);
            carry(&answered, self.piece, &mut self.client);
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.client.is_up() && self.server.is_up()
    }

    /// The program of one side speaks to the other's.
    pub(super) fn say(&mut self, program: &[u8]) {
        for part in program.chunks(crate::session::SEAL_BYTES_MAX) {
            let line = self.client.seal(part);
            carry(&line, self.piece, &mut self.server);
        }
    }

    pub(super) fn answer(&mut self, program: &[u8]) {
        for part in program.chunks(crate::session::SEAL_BYTES_MAX) {
            let line = self.server.seal(part);
            carry(&line, self.piece, &mut self.client);
        }
    }
}

pub(super) fn carry(line: &[u8], piece: usize, to: &mut End) {
    for part in line.chunks(piece) {
        to.receive(part);
    }
}
