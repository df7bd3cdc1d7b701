//! Connections to look at, and waiting without sleeping.
//!
//! A wait is always for a condition, with a deadline that only a failure reaches. Sockets of a
//! pair are std's, nonblocking; `Watch` is what the engine sees of them through mio.

#[path = "../support/namespaces.rs"]
pub(crate) mod namespaces;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};

use crate::sys;

/// No wait of a passing test takes this long, on however busy a machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How long nothing must come before "nothing comes" is believed.
pub(crate) const QUIET: Duration = Duration::from_millis(20);

pub(crate) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came: {what}");
        // Waits for nothing, for 1 ms: two cores are shared with other tests.
        sys::poll(&sys::NoSocket, 0, Duration::from_millis(1));
    }
}

/// Waits until the connection is in this TCP state.
pub(crate) fn until_state(socket: &impl AsRawFd, state: u8) {
    eventually(&format!("TCP state {state}"), || {
        sys::tcp_info(socket).state == state
    });
}

/// Waits until this many bytes have come in (a FIN counts as one).
pub(crate) fn until_received(socket: &impl AsRawFd, bytes: u64) {
    eventually(&format!("{bytes} bytes received"), || {
        sys::tcp_info(socket).bytes_received == bytes
    });
}

/// A connection on loopback: the end that connected and the end that accepted.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    connect_to(&TcpListener::bind("127.0.0.1:0").unwrap())
}

/// The same with buffers that a few hundred KiB fill.
pub(crate) fn narrow_pair() -> (TcpStream, TcpStream) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(8 << 10).unwrap();
    listener.bind(&localhost().into()).unwrap();
    listener.listen(1).unwrap();
    let (client, server) = connect_to(&listener.into());
    SockRef::from(&client)
        .set_send_buffer_size(64 << 10)
        .unwrap();
    (client, server)
}

pub(crate) fn connect_to(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, from) = listener.accept().unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    for end in [&client, &server] {
        end.set_nonblocking(true).unwrap();
        end.set_nodelay(true).unwrap();
    }
    until_state(&client, sys::ESTABLISHED);
    until_state(&server, sys::ESTABLISHED);
    (client, server)
}

pub(crate) fn localhost() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Sends all of a few bytes.
pub(crate) fn send_all(socket: &impl AsRawFd, bytes: &[u8]) {
    assert_eq!(sys::send(socket, bytes).unwrap(), bytes.len());
}

/// Writes until the peer's window is shut: the rest waits unsent. Returns how much was written.
pub(crate) fn fill(socket: &impl AsRawFd) -> u64 {
    let chunk = [b'x'; 4 << 10];
    let mut written = 0;
    eventually("a full window", || {
        match sys::send(socket, &chunk) {
            Ok(sent) => written += u64::try_from(sent).unwrap(),
            Err(full) => {
                assert_eq!(full.kind(), ErrorKind::WouldBlock);
                let info = sys::tcp_info(socket);
                return info.notsent_bytes > 0 && info.unacked == 0;
            }
        }
        false
    });
    written
}

/// Reads what there is; the count, and what ended it (`Ok` for an end of stream).
pub(crate) fn drain(socket: &impl AsRawFd) -> (u64, io::Result<()>) {
    let mut room = [0; 16 << 10];
    let mut count = 0;
    loop {
        match sys::recv(socket, &mut room) {
            Ok(0) => return (count, Ok(())),
            Ok(n) => count += u64::try_from(n).unwrap(),
            Err(error) => return (count, Err(error)),
        }
    }
}

/// Ends a connection with a RST: SO_LINGER of zero, then close.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// The errno of a call that had to fail.
pub(crate) fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

/// The errno that SO_ERROR tells (and forgets).
pub(crate) fn so_error(socket: &TcpStream) -> Option<i32> {
    socket.take_error().unwrap()?.raw_os_error()
}

/// What one event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) read_closed: bool,
    pub(crate) write_closed: bool,
    pub(crate) error: bool,
}

impl Seen {
    /// The token and flags named: `R`eadable, `W`ritable, `r`ead closed, `w`rite closed, `e`rror.
    pub(crate) fn of(token: Token, flags: &str) -> Seen {
        Seen {
            token,
            readable: flags.contains('R'),
            writable: flags.contains('W'),
            read_closed: flags.contains('r'),
            write_closed: flags.contains('w'),
            error: flags.contains('e'),
        }
    }
}

impl From<&Event> for Seen {
    fn from(event: &Event) -> Seen {
        Seen {
            token: event.token(),
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed(),
            write_closed: event.is_write_closed(),
            error: event.is_error(),
        }
    }
}

/// A `Poll` and the events it gave.
pub(crate) struct Watch {
    pub(crate) poll: Poll,
    events: Events,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch::with_capacity(16)
    }

    pub(crate) fn with_capacity(events: usize) -> Watch {
        Watch {
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(events),
        }
    }

    pub(crate) fn register(&self, source: &mut impl Source, token: Token, interest: Interest) {
        self.poll
            .registry()
            .register(source, token, interest)
            .unwrap();
    }

    /// The next batch; empty after `timeout`.
    pub(crate) fn batch(&mut self, timeout: Duration) -> Vec<Seen> {
        self.poll.poll(&mut self.events, Some(timeout)).unwrap();
        self.events.iter().map(Seen::from).collect()
    }

    /// The next event, which must be alone in its batch.
    pub(crate) fn one(&mut self) -> Seen {
        let batch = self.batch(DEADLINE);
        assert_eq!(batch.len(), 1, "one event expected: {batch:?}");
        batch[0]
    }

    /// Asserts that nothing (more) comes.
    pub(crate) fn nothing(&mut self) {
        assert_eq!(self.batch(QUIET), []);
    }
}

/// A connection whose near end mio watches (as `Token(0)`, its first "writable" taken), and the
/// far end.
pub(crate) struct Watched {
    pub(crate) watch: Watch,
    pub(crate) near: mio::net::TcpStream,
    pub(crate) far: TcpStream,
}

pub(crate) fn watched(interest: Interest) -> Watched {
    let (near, far) = pair();
    let mut near = mio::net::TcpStream::from_std(near);
    let mut watch = Watch::new();
    watch.register(&mut near, Token(0), interest);
    if interest.is_writable() {
        assert_eq!(watch.one(), Seen::of(Token(0), "W"));
    }
    watch.nothing();
    Watched { watch, near, far }
}
