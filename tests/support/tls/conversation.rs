//! One connection of a TLS server, driven by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::ServerConnection;

use super::{APPLICATION_DATA, Epoch, Sealing, Terms, records};
use crate::support::{End, reset};

pub(crate) struct Conversation {
    pub(crate) tls: ServerConnection,
    pub(crate) stream: TcpStream,
    /// Every byte that the client has put on the line.
    pub(crate) heard: Vec<u8>,
    /// What came of the program's bytes and was not asked for yet.
    read: Vec<u8>,
    /// Records that the session has sealed with its traffic keys.
    sealed: u64,
    terms: Terms,
    ending: Option<Ending>,
}

/// How the client's half has ended, in the order in which things are told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// Its close_notify, and then a FIN.
    Orderly,
    /// A FIN without a close_notify.
    Truncated,
    /// A reset; whether a close_notify came before it.
    Reset { said: bool },
    /// It has sent an alert, or something that is no TLS; what the session says of it.
    Broken(rustls::Error),
}

impl Conversation {
    pub(crate) fn new(stream: TcpStream, terms: &Terms) -> Conversation {
        Conversation {
            tls: ServerConnection::new(terms.config.clone()).unwrap(),
            stream,
            heard: Vec::new(),
            read: Vec::new(),
            sealed: 0,
            terms: terms.clone(),
            ending: None,
        }
    }

    // The line.

    /// Waits for bytes of the client's, and has the session take them. False: there are no more.
    pub(crate) fn hear(&mut self) -> bool {
        if self.ending.is_some() {
            return false;
        }
        let mut buffer = [0; 16 << 10];
        let said = self.peer_has_closed();
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.ending = Some(match said {
                    true => Ending::Orderly,
                    false => Ending::Truncated,
                });
            }
            Ok(n) => {
                self.heard.extend_from_slice(&buffer[..n]);
                self.take(&buffer[..n]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.ending = Some(Ending::Reset { said });
            }
            Err(error) => panic!("{error}; heard so far: {} bytes", self.heard.len()),
        }
        self.ending.is_none()
    }

    fn take(&mut self, mut line: &[u8]) {
        while !line.is_empty() {
            let taken = self.tls.read_tls(&mut line).unwrap();
            match self.tls.process_new_packets() {
                // Behind a close_notify nothing is taken.
                Ok(_) if taken == 0 => return,
                Ok(_) => {}
                Err(error) => {
                    // Its alert, if it has one.
                    let alert = self.said();
                    self.line(&alert);
                    self.ending = Some(Ending::Broken(error));
                    return;
                }
            }
            let mut plain = [0; 16 << 10];
            while let Ok(n @ 1..) = self.tls.reader().read(&mut plain) {
                self.read.extend_from_slice(&plain[..n]);
            }
        }
    }

    fn peer_has_closed(&mut self) -> bool {
        let state = self.tls.process_new_packets();
        state.is_ok_and(|state| state.peer_has_closed())
    }

    /// What the session wants on the line; it is not put there.
    pub(crate) fn said(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut said).unwrap();
        }
        if !self.tls.is_handshaking() {
            let is_sealed = |kind: u8| kind == APPLICATION_DATA;
            self.sealed += records(&said)
                .iter()
                .filter(|it| is_sealed(it.kind))
                .count() as u64;
        }
        said
    }

    /// Puts bytes on the line, whatever they are. False: the client takes no more.
    pub(crate) fn line(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                assert!(kinds.contains(&error.kind()), "{error}");
                false
            }
        }
    }

    /// Puts on the line what the session wants there.
    pub(crate) fn say(&mut self) -> bool {
        let said = self.said();
        self.line(&said)
    }

    // The session.

    /// The handshake, to its end. False: it has broken.
    pub(crate) fn handshake(&mut self) -> bool {
        while self.tls.is_handshaking() {
            if !self.hear() || !self.say() {
                return false;
            }
        }
        true
    }

    /// Takes the client's first words; what the server would answer. It is not on the line yet.
    pub(crate) fn first_answer(&mut self) -> Vec<u8> {
        while self.hear() {
            let said = self.said();
            if !said.is_empty() {
                return said;
            }
        }
        panic!("no hello: {:?}", self.ending);
    }

    /// Bytes of the program, as many as come at a time; none at the end.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        while self.read.is_empty() && self.hear() {}
        std::mem::take(&mut self.read)
    }

    /// The next line of the program, without its end; `None` at the end.
    pub(crate) fn read_line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.read.iter().position(|it| *it == b'\n') {
                let mut line: Vec<u8> = self.read.drain(..=end).collect();
                line.pop();
                return Some(line);
            }
            if !self.hear() {
                return None;
            }
        }
    }

    /// Says bytes of the program.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.tls.writer().write_all(bytes).unwrap();
        self.say()
    }

    /// The line service: every line comes back in capitals. To its end, which is answered by our own.
    pub(crate) fn answer_lines(&mut self) {
        while let Some(line) = self.read_line() {
            if !self.answer(&line) {
                return;
            }
        }
        if self.ending == Some(Ending::Orderly) {
            self.close_notify();
        }
    }

    /// One line of it. False: the client takes no more.
    pub(crate) fn answer(&mut self, line: &[u8]) -> bool {
        self.write(&[&line.to_ascii_uppercase()[..], b"\n"].concat())
    }

    /// Seals by hand from here on, with the session's own keys; it must say nothing more itself.
    pub(crate) fn sealing(&mut self) -> Sealing {
        assert!(!self.tls.wants_write());
        self.sealing_of(Epoch::Traffic, self.sealed)
    }

    /// The same with these keys, that so many records were sealed with before.
    pub(crate) fn sealing_of(&mut self, epoch: Epoch, before: u64) -> Sealing {
        // Behind the headers of the record and of the hello, and the version.
        let random = &self.heard[5 + 4 + 2..][..32];
        let suite = self.tls.negotiated_cipher_suite().unwrap();
        self.terms.secrets.sealing(epoch, random, suite, before)
    }

    // Ends.

    pub(crate) fn close_notify(&mut self) -> bool {
        self.tls.send_close_notify();
        self.say()
    }

    /// A FIN, with nothing said before it. A client that has reset the connection meanwhile needs none.
    pub(crate) fn fin(&mut self) {
        if let Err(error) = self.stream.shutdown(Shutdown::Write) {
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
        }
    }

    /// Ends it from this side; what the client has put on the line until then.
    pub(crate) fn end(mut self, by: End) -> Vec<u8> {
        match by {
            End::Fin => {
                self.fin();
                self.ended();
            }
            End::Rst => reset(self.stream),
        }
        self.heard
    }

    /// How the client ends it. What it says before that is dropped.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Ending {
        while self.hear() {}
        self.ending.clone().unwrap()
    }

    /// The line, to its end: also what comes behind the end of the session.
    pub(crate) fn hear_all(&mut self) -> &[u8] {
        while self.hear() {}
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = self.stream.read(&mut buffer) {
            self.heard.extend_from_slice(&buffer[..n]);
        }
        &self.heard
    }
}
