//! A TLS server whose connections have a thread each, and that writes down what came on them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use socket2::SockRef;

use super::{Conversation, Terms};
use crate::support::{eventually, patient};

/// One of its connections.
#[derive(Debug)]
struct Note {
    from: SocketAddr,
    heard: Vec<u8>,
    is_over: bool,
}

pub(crate) struct TlsServer {
    listener: Arc<TcpListener>,
    notes: Arc<Mutex<Vec<Note>>>,
}

impl TlsServer {
    /// Each connection ends when `speak` returns, which is told its number, counted from 0. What is still on the line
    /// then is written down before.
    pub(crate) fn start(
        terms: &Terms,
        speak: impl Fn(&mut Conversation, usize) + Send + Sync + 'static,
    ) -> TlsServer {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let notes = Arc::<Mutex<Vec<Note>>>::default();
        let (terms, speak) = (terms.clone(), Arc::new(speak));
        let (listening, noting) = (listener.clone(), notes.clone());
        std::thread::spawn(move || {
            while let Ok((stream, from)) = listening.accept() {
                let nth = {
                    let mut notes = noting.lock().unwrap();
                    notes.push(Note {
                        from,
                        heard: Vec::new(),
                        is_over: false,
                    });
                    notes.len() - 1
                };
                let mut conversation = Conversation::new(patient(stream), &terms);
                let (speak, notes) = (speak.clone(), noting.clone());
                std::thread::spawn(move || {
                    speak(&mut conversation, nth);
                    let heard = std::mem::take(&mut conversation.heard);
                    drop(conversation);
                    let note = &mut notes.lock().unwrap()[nth];
                    (note.heard, note.is_over) = (heard, true);
                });
            }
        });
        TlsServer { listener, notes }
    }

    /// One that answers every line in capitals.
    pub(crate) fn answering(terms: &Terms) -> TlsServer {
        TlsServer::start(terms, |conversation, _| {
            if conversation.handshake() {
                conversation.answer_lines();
            }
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn target(&self) -> String {
        self.address().to_string()
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.notes.lock().unwrap().len()
    }

    /// Waits until every connection has ended: nothing more will be read. The client must be gone.
    pub(crate) fn until_quiet(&self) {
        // Connections are accepted in their order: when this one was, no other waits.
        let last = TcpStream::connect(self.address()).unwrap();
        let from = last.local_addr().unwrap();
        eventually("the last connection accepted", || {
            let notes = self.notes.lock().unwrap();
            notes.iter().any(|it| it.from == from)
        });
        drop(last);
        self.heard();
    }

    /// What came on each connection, when all have ended.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        eventually("the end of the server's connections", || {
            self.notes.lock().unwrap().iter().all(|it| it.is_over)
        });
        let notes = self.notes.lock().unwrap();
        notes.iter().map(|it| it.heard.clone()).collect()
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // Ends a blocked accept(2).
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
    }
}
