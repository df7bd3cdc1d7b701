//! A sink that does what a script says and writes down what its program has read, line by line.
//!
//! It accepts in one thread and reads each connection in another, or in the same where one is served at a time. What it
//! has noted it has read: a break comes when so many lines are noted and, where it is to come within the next one, so
//! many bytes of that are read, and not one byte more. Connections after a break are read on. Nothing of it outlives it.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::shipping::{Framed, number_in};
use crate::support::eventually;

/// How a sink ends a connection of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A close after one byte of the next line: a RST if more waits unread (RFC 1122 §4.2.2.13), a FIN if not.
    OneByteIn,
    /// A close between two lines.
    Between,
    /// The same at [`Sink::let_go`]; nothing is read before that.
    WhenTold,
    /// A RST between two lines, whatever waits.
    Reset,
    /// A FIN between two lines; it reads on to the end.
    HalfClosed,
    /// A FIN between two lines; it reads nothing more, and closes at [`Sink::let_go`].
    HalfClosedAndDeaf,
}

/// When so many lines were read in all, the connection that brought the last of them ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Break {
    pub(crate) after: u64,
    pub(crate) ends: Ends,
}

/// How a sink reads.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) framed: Framed,
    /// In their order.
    pub(crate) breaks: Vec<Break>,
    /// Reads of a few lines, with a pause after each.
    pub(crate) slowly: bool,
    pub(crate) one_at_a_time: bool,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            framed: Framed::Octet,
            breaks: Vec::new(),
            slowly: false,
            one_at_a_time: false,
        }
    }
}

#[derive(Default)]
struct Notes {
    /// By number.
    times_read: Vec<u32>,
    /// Lines that are no numbered ones.
    others: Vec<Vec<u8>>,
    total: u64,
    /// The newest line so far, and lines that were read for the first time behind a newer one.
    newest: u64,
    late: u64,
    /// Lines that came behind a newer one, or themselves, on the same connection.
    out_of_order: u64,
    /// Breaks that a connection has taken upon itself, and those that are done.
    taken: usize,
    broken: usize,
    /// Connections that have brought lines and are not closed, and the most there were at a time.
    busy: usize,
    busy_max: usize,
    open: Vec<Weak<TcpStream>>,
    is_let_go: bool,
    ended: bool,
}

pub(crate) struct Sink {
    listener: Arc<TcpListener>,
    notes: Arc<Mutex<Notes>>,
}

/// A socket that listens at a free port, with receive buffers of so many bytes where that is said.
pub(crate) fn listener_at(address: IpAddr, receive_bytes: Option<usize>) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.listen(64).unwrap();
    socket.into()
}

impl Sink {
    pub(crate) fn start(listener: TcpListener, manner: Manner) -> Sink {
        let listener = Arc::new(listener);
        let notes = Arc::<Mutex<Notes>>::default();
        let (listening, noting) = (listener.clone(), notes.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listening.accept() {
                let reader = Reader::new(stream, noting.clone(), manner.clone());
                match manner.one_at_a_time {
                    true => reader.read_on(),
                    false => drop(std::thread::spawn(move || reader.read_on())),
                }
            }
        });
        Sink { listener, notes }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn times_read(&self, number: u64) -> u32 {
        self.lock().times_read(number)
    }

    /// Whether all these lines were read.
    pub(crate) fn has(&self, mut numbers: impl Iterator<Item = u64>) -> bool {
        let notes = self.lock();
        numbers.all(|number| notes.times_read(number) > 0)
    }

    /// Lines read, those that were read before too.
    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    /// Breaks that are done: the connection has been closed.
    pub(crate) fn broken(&self) -> usize {
        self.lock().broken
    }

    /// Connections with lines that are open here.
    pub(crate) fn busy(&self) -> usize {
        self.lock().busy
    }

    /// The most connections with lines that were open here at a time.
    pub(crate) fn busy_max(&self) -> usize {
        self.lock().busy_max
    }

    /// Lines that came behind a newer one on the same connection.
    pub(crate) fn out_of_order(&self) -> u64 {
        self.lock().out_of_order
    }

    /// Lines that were new and came behind a newer one on whatever connection.
    pub(crate) fn late(&self) -> u64 {
        self.lock().late
    }

    /// Lines that are no numbered ones, as they came.
    pub(crate) fn others(&self) -> Vec<Vec<u8>> {
        self.lock().others.clone()
    }

    /// Whoever reads nothing any more may close.
    pub(crate) fn let_go(&self) {
        self.lock().is_let_go = true;
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Ends a blocked accept(2), and blocked reads.
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
        if let Ok(mut notes) = self.notes.lock() {
            (notes.ended, notes.is_let_go) = (true, true);
            for stream in notes.open.iter().filter_map(Weak::upgrade) {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

impl Notes {
    fn times_read(&self, number: u64) -> u32 {
        self.times_read.get(number as usize).copied().unwrap_or(0)
    }

    /// Notes a line that came on a connection behind another; its number, where it has one.
    fn note(&mut self, line: &[u8], behind: u64) -> u64 {
        self.total += 1;
        let Some(number) = number_in(line) else {
            self.others.push(line.to_vec());
            return behind;
        };
        let at = number as usize;
        self.out_of_order += u64::from(number <= behind);
        self.late += u64::from(number < self.newest && self.times_read(number) == 0);
        self.newest = self.newest.max(number);
        if self.times_read.len() <= at {
            self.times_read.resize(at + 1, 0);
        }
        self.times_read[at] += 1;
        number
    }
}

/// What a connection does next.
enum Next {
    /// Reads so many bytes at most.
    Read(usize),
    Break(Ends),
}

/// One connection.
struct Reader {
    stream: Arc<TcpStream>,
    notes: Arc<Mutex<Notes>>,
    manner: Manner,
    /// Of a line that has not come whole.
    pending: Vec<u8>,
    is_busy: bool,
    /// The number of its last line.
    last: u64,
}

impl Reader {
    fn new(stream: TcpStream, notes: Arc<Mutex<Notes>>, manner: Manner) -> Reader {
        let stream = Arc::new(stream);
        let mut open = notes.lock().unwrap();
        open.open.push(Arc::downgrade(&stream));
        if open.ended {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        drop(open);
        Reader {
            stream,
            notes,
            manner,
            pending: Vec::new(),
            is_busy: false,
            last: 0,
        }
    }

    /// Reads to the end, or to a break.
    fn read_on(mut self) {
        let mut buffer = vec![0; if self.manner.slowly { 512 } else { 64 << 10 }];
        loop {
            let room = match self.next() {
                Next::Read(room) => buffer.len().min(room),
                Next::Break(ends) => return self.break_off(ends),
            };
            match (&*self.stream).read(&mut buffer[..room]) {
                Ok(n @ 1..) => self.take(&buffer[..n]),
                _ => break,
            }
            if self.manner.slowly {
                std::thread::park_timeout(Duration::from_micros(100));
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let mut notes = self.notes.lock().unwrap();
        if !std::mem::replace(&mut self.is_busy, true) {
            notes.busy += 1;
            notes.busy_max = notes.busy_max.max(notes.busy);
        }
        let mut taken = 0;
        while let Some((line, bytes)) = self.manner.framed.first(&self.pending[taken..]) {
            self.last = notes.note(line, self.last);
            taken += bytes;
        }
        drop(notes);
        self.pending.drain(..taken);
    }

    /// What is to be done next. A break is taken by one connection alone, which has brought lines.
    fn next(&self) -> Next {
        let mut notes = self.notes.lock().unwrap();
        let Some(due) = self.manner.breaks.get(notes.taken) else {
            return Next::Read(usize::MAX);
        };
        let lines = due.after.saturating_sub(notes.total);
        let into_the_next = u64::from(due.ends == Ends::OneByteIn);
        let bytes = lines * self.manner.framed.wire_bytes() + into_the_next;
        match bytes.saturating_sub(self.pending.len() as u64) {
            0 if !self.is_busy => Next::Read(usize::MAX),
            0 => {
                notes.taken += 1;
                Next::Break(due.ends)
            }
            room => Next::Read(room as usize),
        }
    }

    fn break_off(self, ends: Ends) {
        let noting = self.notes.clone();
        let done = || noting.lock().unwrap().broken += 1;
        match ends {
            Ends::OneByteIn | Ends::Between => drop(self),
            Ends::WhenTold => self.listen_to_nothing(),
            Ends::Reset => {
                SockRef::from(&*self.stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
                drop(self);
            }
            Ends::HalfClosed | Ends::HalfClosedAndDeaf => {
                self.stream.shutdown(std::net::Shutdown::Write).unwrap();
                done();
                return match ends {
                    Ends::HalfClosed => self.read_on(),
                    _ => self.listen_to_nothing(),
                };
            }
        }
        done();
    }

    fn listen_to_nothing(self) {
        eventually("leave to go", || self.notes.lock().unwrap().is_let_go);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Before the peer can know of it.
        self.notes.lock().unwrap().busy -= usize::from(self.is_busy);
    }
}
