//! A line server that writes down what its program has read, and the judgement of a ledger by that.
//!
//! Requests are numbers, a line each, and so are their replies. What a client says of a request (`sent`) is held
//! against what was really read: that is the one witness who knows. A number counts as read when its line came whole.
#![allow(dead_code, reason = "no test binary uses all of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use taut::{Client, Deadline, RequestId, Sent, UpstreamId};

use crate::support::{Ended, Ledger, client_until, eventually, patient};

#[derive(Default)]
struct Notes {
    times_read: BTreeMap<u64, u32>,
    accepted_from: Vec<SocketAddr>,
    open: usize,
}

/// The server: a thread that accepts, and one for each connection.
pub(crate) struct Recorder {
    listener: Arc<TcpListener>,
    notes: Arc<Mutex<Notes>>,
}

/// One connection of the server.
pub(crate) struct Conversation {
    /// Counted from 0, in the order of accepting.
    pub(crate) nth: u64,
    notes: Arc<Mutex<Notes>>,
    lines: BufReader<TcpStream>,
}

/// How the requests of a test ended, each as the server's notes allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) replies: usize,
    pub(crate) not_sent: usize,
    pub(crate) maybe_sent: usize,
    /// Of those, how many the server did read.
    pub(crate) maybe_and_read: usize,
    pub(crate) surely_sent: usize,
}

/// The bytes of a request, and of its reply.
pub(crate) fn line_of(number: u64) -> Vec<u8> {
    format!("{number:08}\n").into_bytes()
}

impl Recorder {
    /// Serves each connection in a thread of its own; a connection ends when `speak` returns.
    pub(crate) fn start(
        listener: TcpListener,
        speak: impl Fn(&mut Conversation) + Send + Sync + 'static,
    ) -> Recorder {
        let (listener, speak) = (Arc::new(listener), Arc::new(speak));
        let notes = Arc::<Mutex<Notes>>::default();
        let (listening, noting) = (listener.clone(), notes.clone());
        std::thread::spawn(move || {
            while let Ok((stream, from)) = listening.accept() {
                let mut conversation = Conversation::new(stream, from, noting.clone());
                let speak = speak.clone();
                std::thread::spawn(move || speak(&mut conversation));
            }
        });
        Recorder { listener, notes }
    }

    /// A server on loopback that answers everything.
    pub(crate) fn answering() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Recorder::start(listener, Conversation::answer_all)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// How often the line of this number was read.
    pub(crate) fn times_read(&self, number: u64) -> u32 {
        let notes = self.notes.lock().unwrap();
        notes.times_read.get(&number).copied().unwrap_or(0)
    }

    /// Waits until every connection has ended: nothing more will be read. The client must be gone.
    pub(crate) fn until_quiet(&self) {
        // Connections are accepted in their order: when this one was, no other waits.
        let last = TcpStream::connect(self.address()).unwrap();
        let from = last.local_addr().unwrap();
        eventually("the last connection accepted", || {
            self.notes.lock().unwrap().accepted_from.contains(&from)
        });
        drop(last);
        eventually("the end of the server's connections", || {
            self.notes.lock().unwrap().open == 0
        });
    }

    /// Holds what the client was told against what was read here. The client must be gone.
    #[track_caller]
    pub(crate) fn judge(&self, asked: &Asked) -> Outcomes {
        self.until_quiet();
        asked.judge(|number| self.times_read(number))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Ends a blocked accept(2).
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
    }
}

impl Conversation {
    fn new(stream: TcpStream, from: SocketAddr, notes: Arc<Mutex<Notes>>) -> Conversation {
        let nth = {
            let mut notes = notes.lock().unwrap();
            notes.open += 1;
            notes.accepted_from.push(from);
            notes.accepted_from.len() as u64 - 1
        };
        Conversation {
            nth,
            notes,
            lines: BufReader::new(patient(stream)),
        }
    }

    /// The next request, written down; `None` at the end, however it came.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => {}
            _ => return None,
        }
        let number = line.trim_end().parse().unwrap();
        let mut notes = self.notes.lock().unwrap();
        *notes.times_read.entry(number).or_default() += 1;
        Some(number)
    }

    /// Whether the reply could be handed to the kernel.
    pub(crate) fn reply(&mut self, number: u64) -> bool {
        self.stream().write_all(&line_of(number)).is_ok()
    }

    pub(crate) fn answer_all(&mut self) {
        while let Some(number) = self.next() {
            if !self.reply(number) {
                return;
            }
        }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.lines.get_mut()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // Ended before it is counted as ended: nothing is read any more.
        let _ = self.stream().shutdown(std::net::Shutdown::Read);
        self.notes.lock().unwrap().open -= 1;
    }
}

/// Numbered requests of one client, and how they end.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) ledger: Ledger,
    pub(crate) numbers: Vec<(RequestId, u64)>,
}

impl Asked {
    /// Turns until fewer than so many are under way.
    #[track_caller]
    pub(crate) fn until_fewer(&mut self, client: &mut Client, under_way: usize) {
        while self.ledger.open() >= under_way {
            client_until(client, |client, event| {
                self.ledger.book(client, event);
                Some(())
            });
        }
    }

    /// Makes the next request.
    #[track_caller]
    pub(crate) fn ask(
        &mut self,
        client: &mut Client,
        upstream: UpstreamId,
        deadline: Deadline,
    ) -> RequestId {
        let number = self.numbers.len() as u64;
        let payload = line_of(number);
        let request = self.ledger.request(client, upstream, &payload, deadline);
        self.numbers.push((request, number));
        request
    }

    /// Keeps so many requests under way until so many more were made and all have ended; `at` is called before each,
    /// with its number counted from 0.
    #[track_caller]
    pub(crate) fn keep_asking(
        &mut self,
        client: &mut Client,
        upstream: UpstreamId,
        requests: usize,
        under_way: usize,
        mut at: impl FnMut(usize),
    ) {
        for n in 0..requests {
            at(n);
            self.until_fewer(client, under_way);
            self.ask(client, upstream, Deadline::after(Duration::from_secs(60)));
            client.flush();
        }
        self.ledger.until_all(client);
    }

    /// Holds how each request ended against how often its line was read by the server.
    #[track_caller]
    pub(crate) fn judge(&self, times_read: impl Fn(u64) -> u32) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for &(request, number) in &self.numbers {
            let read = times_read(number);
            let ended = self.ledger.ended(request).unwrap().clone();
            let what = format!("{number}, read {read} times, ended as {ended:?}");
            match &ended {
                Ended::Reply(bytes) => {
                    let line = line_of(number);
                    assert_eq!(bytes[..], line[..line.len() - 1], "another's reply: {what}");
                    assert_eq!(read, 1, "{what}");
                    outcomes.replies += 1;
                }
                Ended::Failed(error) => match error.sent {
                    Sent::No => {
                        assert_eq!(read, 0, "{what}");
                        outcomes.not_sent += 1;
                    }
                    Sent::Maybe => {
                        assert!(read <= 1, "{what}");
                        outcomes.maybe_sent += 1;
                        outcomes.maybe_and_read += read as usize;
                    }
                    Sent::Yes => {
                        assert_eq!(read, 1, "{what}");
                        outcomes.surely_sent += 1;
                    }
                },
            }
        }
        outcomes
    }
}
