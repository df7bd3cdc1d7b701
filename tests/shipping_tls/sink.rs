//! A TLS sink of octet-counted lines whose connections end as a test says: the first that brings a line by the first
//! habit, the second by the second, and all that follow in peace.
//!
//! Its program asks its TLS library for one line after the other, and the library reads a record at a time: so what it
//! holds of one when the program closes is read by the one and not by the other.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::ServerConnection;
use socket2::SockRef;

use crate::shipping::{Framed, number_in};
use crate::support::{PATIENCE, eventually};
use crate::tls::{Authority, Terms};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Habit {
    /// As it should: everything is read, then come its close_notify and its FIN.
    Peaceful,
    /// The same without the close_notify.
    Untold,
    /// Everything is read, and then it is reset; with its close_notify before that, or without.
    Reset { said: bool },
    /// Everything is read, its close_notify comes, and the line stays open.
    HalfEnded,
    /// After so many lines its program closes in peace, whatever its library holds.
    ClosesAfter(u64),
    /// The same without the close_notify.
    CutsAfter(u64),
    /// After so many lines it is reset; with its close_notify before that, or without.
    ResetsAfter { lines: u64, said: bool },
    /// After so many lines the program dies: all its connections end at once, and what it had of this one is gone.
    DiesAfter(u64),
    /// Everything is read, and then the same.
    DiesAtTheEnd,
}

#[derive(Default)]
struct Kept {
    times: HashMap<u64, u32>,
    habits: VecDeque<Habit>,
    /// Connections that follow them end like this.
    usual: Option<Habit>,
    streams: Vec<TcpStream>,
}

pub(crate) struct Sink {
    listener: Arc<TcpListener>,
    kept: Arc<Mutex<Kept>>,
}

impl Sink {
    pub(crate) fn start(authority: &Authority, habits: &[Habit]) -> Sink {
        Sink::with(&Terms::new(&authority.issue_local()), habits)
    }

    pub(crate) fn with(terms: &Terms, habits: &[Habit]) -> Sink {
        Sink::begin(terms, habits, false)
    }

    /// Serves one connection after the other.
    pub(crate) fn serial(terms: &Terms) -> Sink {
        Sink::begin(terms, &[], true)
    }

    fn begin(terms: &Terms, habits: &[Habit], is_serial: bool) -> Sink {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let kept = Arc::<Mutex<Kept>>::default();
        kept.lock().unwrap().habits.extend(habits);
        let (listening, keeping, terms) = (listener.clone(), kept.clone(), terms.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listening.accept() {
                let kept = keeping.clone();
                stream.set_read_timeout(Some(3 * PATIENCE)).unwrap();
                let copy = stream.try_clone().unwrap();
                kept.lock().unwrap().streams.push(copy);
                let session = ServerConnection::new(terms.config.clone()).unwrap();
                let connection = Connection::new(stream, session, kept);
                match is_serial {
                    true => connection.serve(),
                    false => drop(std::thread::spawn(move || connection.serve())),
                }
            }
        });
        Sink { listener, kept }
    }

    /// Each connection ends like this, for ever.
    pub(crate) fn always(authority: &Authority, habit: Habit) -> Sink {
        let sink = Sink::start(authority, &[]);
        sink.kept.lock().unwrap().usual = Some(habit);
        sink
    }

    pub(crate) fn target(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// By its name, which its certificate has, too.
    pub(crate) fn named(&self) -> String {
        format!("localhost:{}", self.listener.local_addr().unwrap().port())
    }

    pub(crate) fn times_read(&self, number: u64) -> u32 {
        let kept = self.kept.lock().unwrap();
        kept.times.get(&number).copied().unwrap_or(0)
    }

    /// Lines that it has, each time it has them.
    pub(crate) fn lines(&self) -> u64 {
        let kept = self.kept.lock().unwrap();
        kept.times.values().map(|times| u64::from(*times)).sum()
    }

    /// Waits until the connections have been as a test wants them.
    #[track_caller]
    pub(crate) fn until_all_harm_is_done(&self) {
        eventually("all the habits", || {
            self.kept.lock().unwrap().habits.is_empty()
        });
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Ends a blocked accept(2), and whoever reads.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        for stream in self.kept.lock().unwrap().streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct Connection {
    stream: TcpStream,
    session: ServerConnection,
    kept: Arc<Mutex<Kept>>,
    habit: Option<Habit>,
    /// What the program has asked for, and is no whole line.
    bytes: Vec<u8>,
    /// Lines that are not stored yet.
    read: Vec<u64>,
    lines: u64,
    /// Nothing more comes.
    is_gone: bool,
}

/// Why no more is read.
enum Over {
    /// The client has ended its half, as it should.
    Ended,
    /// The habit says so.
    Enough,
    /// The client is gone, or this sink.
    Gone,
}

impl Connection {
    fn new(stream: TcpStream, session: ServerConnection, kept: Arc<Mutex<Kept>>) -> Connection {
        Connection {
            stream,
            session,
            kept,
            habit: None,
            bytes: Vec::new(),
            read: Vec::new(),
            lines: 0,
            is_gone: false,
        }
    }

    fn serve(mut self) {
        let over = loop {
            if let Some(over) = self.take_lines() {
                break over;
            }
            if self.is_gone {
                break Over::Gone;
            }
            self.hear();
        };
        let habit = self.habit.unwrap_or(Habit::Peaceful);
        match (over, habit) {
            (Over::Gone, _) => self.store(),
            (_, Habit::DiesAfter(_) | Habit::DiesAtTheEnd) => self.die(),
            (Over::Ended, Habit::Untold) | (Over::Enough, Habit::CutsAfter(_)) => self.store(),
            (Over::Ended, Habit::Reset { said })
            | (Over::Enough, Habit::ResetsAfter { said, .. }) => {
                self.store();
                if said {
                    self.say_farewell();
                }
                let no_time = Some(std::time::Duration::ZERO);
                SockRef::from(&self.stream).set_linger(no_time).unwrap();
                self.forget_copy();
            }
            (Over::Ended, Habit::HalfEnded) => {
                self.store();
                self.say_farewell();
                std::mem::forget(self.stream.try_clone());
            }
            _ => {
                self.store();
                self.say_farewell();
            }
        }
    }

    /// Takes one record, as most libraries do: its head, and then exactly what that announces.
    fn hear(&mut self) {
        let mut record = vec![0; 5];
        let mut outcome = self.stream.read_exact(&mut record);
        if outcome.is_ok() {
            let length = u16::from_be_bytes([record[3], record[4]]);
            record.resize(5 + usize::from(length), 0);
            outcome = self.stream.read_exact(&mut record[5..]);
        }
        self.is_gone |= outcome.is_err();
        let mut rest = &record[..];
        while !rest.is_empty() && !self.is_gone {
            let taken = self.session.read_tls(&mut rest);
            let is_taken = taken.is_ok_and(|n| n > 0);
            self.is_gone |= !is_taken || self.session.process_new_packets().is_err();
            self.drain_library();
        }
        self.write_out();
    }

    fn drain_library(&mut self) {
        let mut plain = [0; 16 << 10];
        while let Ok(n @ 1..) = self.session.reader().read(&mut plain) {
            self.bytes.extend_from_slice(&plain[..n]);
        }
    }

    fn write_out(&mut self) {
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.stream).is_err() {
                return;
            }
        }
    }

    /// The program's share: one line after the other.
    fn take_lines(&mut self) -> Option<Over> {
        let mut from = 0;
        while let Some((line, bytes)) = Framed::Octet.first(&self.bytes[from..]) {
            let number = number_in(line).expect("a line that was sent");
            from += bytes;
            let habit = *self.habit.get_or_insert_with(|| {
                let mut kept = self.kept.lock().unwrap();
                let usual = kept.usual.unwrap_or(Habit::Peaceful);
                kept.habits.pop_front().unwrap_or(usual)
            });
            self.read.push(number);
            self.lines += 1;
            let upto = match habit {
                Habit::ClosesAfter(lines) | Habit::CutsAfter(lines) => lines,
                Habit::ResetsAfter { lines, .. } | Habit::DiesAfter(lines) => lines,
                _ => u64::MAX,
            };
            if self.lines >= upto {
                return Some(Over::Enough);
            }
        }
        self.bytes.drain(..from);
        let state = self.session.process_new_packets();
        let is_over = state.is_ok_and(|state| state.peer_has_closed());
        is_over.then_some(Over::Ended)
    }

    fn store(&mut self) {
        let mut kept = self.kept.lock().unwrap();
        for number in self.read.drain(..) {
            *kept.times.entry(number).or_default() += 1;
        }
    }

    fn say_farewell(&mut self) {
        self.session.send_close_notify();
        self.write_out();
        self.forget_copy();
    }

    /// The stream here is the only one, so that its drop closes it.
    fn forget_copy(&self) {
        let own = self.stream.peer_addr().ok();
        let mut kept = self.kept.lock().unwrap();
        kept.streams.retain(|it| it.peer_addr().ok() != own);
    }

    /// What a kernel does for a process that was killed.
    fn die(&mut self) {
        let mut kept = self.kept.lock().unwrap();
        for stream in kept.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.forget_copy();
    }
}
