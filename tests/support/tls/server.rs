//! A TLS server whose connections have a thread each, and that writes down what came on them.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use socket2::SockRef;

use super::{Conversation, Terms};
use crate::support::{eventually, patient};

/// One of its connections.
#[derive(Debug, Default)]
struct Note {
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
            while let Ok((stream, _)) = listening.accept() {
                let nth = {
                    let mut notes = noting.lock().unwrap();
                    notes.push(Note::default());
                    notes.len() - 1
                };
                let mut conversation = Conversation::new(patient(stream), &terms);
                let (speak, notes) = (speak.clone(), noting.clone());
                std::thread::spawn(move || {
                    speak(&mut conversation, nth);
                    let heard = std::mem::take(&mut conversation.heard);
                    drop(conversation);
                    notes.lock().unwrap()[nth] = Note {
                        heard,
                        is_over: true,
                    };
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
