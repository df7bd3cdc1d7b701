//! Peers and waits for the behaviour tests.
//!
//! Most peers live in the test's own thread: the kernel completes connections and keeps bytes while nobody accepts or
//! reads, so a test says in order what both sides do, and nothing races. Where a peer must move while the client does,
//! [`serve`] gives it a thread. A wait is always for a condition, with a deadline that only a failure reaches; what
//! has reached the client's kernel but not the client is asked of TCP_INFO, or of `/proc/net/tcp` for a RST.
#![allow(dead_code, reason = "no test binary uses all of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use taut::{
    Client, Config, ConnectionId, Deadline, Error, Event, Framing, RequestId, Upstream, UpstreamId,
};

/// No wait of a passing test takes this long, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The length of one turn while waiting: short enough to look at the deadline, too long to hide a lost wake-up as a
/// slow one only.
const TURN: Duration = Duration::from_millis(100);

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A deadline that a passing test never meets.
pub(crate) fn far() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub(crate) fn client() -> Client {
    Client::new(Config::default()).unwrap()
}

pub(crate) fn client_with(change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::default();
    change(&mut config);
    Client::new(config).unwrap()
}

// Waiting.

/// Waits until the condition holds, without turning any client.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

/// Lets time itself pass; the loop of the client stands still meanwhile.
pub(crate) fn stall_until(instant: Instant) {
    while let Some(rest) = instant.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest.max(Duration::from_micros(50)));
    }
}

/// Turns the client until an event is what the test waits for. Events after that one stay in the client.
#[track_caller]
pub(crate) fn client_until<T>(
    client: &mut Client,
    mut look: impl FnMut(&mut Client, Event) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(event) = client.next_event() {
            if let Some(found) = look(client, event) {
                return found;
            }
        }
        assert!(Instant::now() < deadline, "the event never came");
        client.turn(Some(TURN)).unwrap();
    }
}

/// Turns the client until a condition of it holds; no event may come meanwhile.
#[track_caller]
pub(crate) fn turn_until(
    client: &mut Client,
    what: &str,
    mut condition: impl FnMut(&mut Client) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !condition(client) {
        assert!(Instant::now() < deadline, "never came: {what}");
        client.turn(Some(ms(5))).unwrap();
        assert_eq!(
            client.next_event(),
            None,
            "an event while waiting for: {what}"
        );
    }
}

/// Turns a few times and finds nothing more to tell.
#[track_caller]
pub(crate) fn assert_silent(client: &mut Client) {
    for _ in 0..4 {
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.next_event(), None, "told once too often");
    }
}

/// Waits, without a turn, until so many bytes have reached the client's kernel; a FIN counts as one.
#[track_caller]
pub(crate) fn until_in_kernel(client: &Client, connection: ConnectionId, bytes: u64) {
    eventually(&format!("{bytes} bytes in the kernel"), || {
        client
            .tcp_info(connection)
            .is_ok_and(|info| info.bytes_received >= bytes)
    });
}

/// The addresses of a connection as the peer's end of it sees them: the client's, its own.
pub(crate) fn both_ends(stream: &TcpStream) -> [SocketAddr; 2] {
    [stream.peer_addr().unwrap(), stream.local_addr().unwrap()]
}

/// Waits, without a turn, until a RST has reached the client's end of a connection: it leaves the kernel's table.
/// Both addresses count, for a port may be another connection's too.
pub(crate) fn until_reset_arrived(ends: [SocketAddr; 2]) {
    let ports = ends.map(|end| format!(":{:04X}", end.port()));
    eventually("the RST", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let is_it = |line: &str| {
            let mut columns = line.split_whitespace().skip(1);
            ports.iter().all(|port| {
                columns
                    .next()
                    .is_some_and(|address| address.ends_with(port))
            })
        };
        !table.lines().any(is_it)
    });
}

// Peers.

/// A listening socket whose connections the test accepts itself.
pub(crate) struct Peer {
    listener: TcpListener,
}

impl Peer {
    pub(crate) fn new() -> Peer {
        Peer {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    /// A peer whose connections have receive buffers of a few KiB.
    pub(crate) fn narrow() -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        socket.listen(16).unwrap();
        Peer {
            listener: socket.into(),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn target(&self) -> String {
        self.addr().to_string()
    }

    /// The next connection; its reads and writes give up after [`PATIENCE`].
    #[track_caller]
    pub(crate) fn accept(&self) -> TcpStream {
        self.listener.set_nonblocking(true).unwrap();
        let mut accepted = None;
        eventually("a connection to accept", || match self.listener.accept() {
            Ok((stream, _)) => {
                accepted = Some(stream);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("accept: {error}"),
        });
        patient(accepted.unwrap())
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn has_waiting(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().is_ok()
    }
}

pub(crate) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Runs a peer in a thread of its own: one call of `speak` a connection, one after the other, `connections` times.
pub(crate) fn serve(
    connections: usize,
    mut speak: impl FnMut(TcpStream) + Send + 'static,
) -> (String, JoinHandle<()>) {
    let peer = Peer::new();
    let target = peer.target();
    let thread = std::thread::spawn(move || {
        for _ in 0..connections {
            speak(peer.accept());
        }
    });
    (target, thread)
}

/// Sends back whatever comes, until the end.
pub(crate) fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if stream.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        }
    }
}

/// Exactly so many bytes from the client.
#[track_caller]
pub(crate) fn read_exactly(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    stream.read_exact(&mut buffer).unwrap();
    buffer
}

/// All that still comes until the client's FIN or RST.
pub(crate) fn read_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("{error} after {} bytes", all.len()),
        }
    }
}

/// Ends a connection with a RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// How a peer ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Rst,
}

impl End {
    pub(crate) const BOTH: [End; 2] = [End::Fin, End::Rst];

    /// Ends it. Unread bytes turn a close into a RST, so a FIN is a shutdown, and the stream is kept for its drop.
    pub(crate) fn of(self, stream: TcpStream) -> Option<TcpStream> {
        match self {
            End::Fin => {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                Some(stream)
            }
            End::Rst => {
                reset(stream);
                None
            }
        }
    }
}

// Raw connections.

/// A raw connection that stands, and the peer's end of it.
#[track_caller]
pub(crate) fn connected(
    client: &mut Client,
    peer: &Peer,
    framing: Framing,
) -> (ConnectionId, TcpStream) {
    let connection = client.connect(&peer.target(), framing).unwrap();
    until_connected(client, connection);
    (connection, peer.accept())
}

#[track_caller]
pub(crate) fn until_connected(client: &mut Client, connection: ConnectionId) {
    client_until(client, |_, event| match event {
        Event::Connected { connection: it, .. } if it == connection => Some(()),
        other => panic!("instead of connected: {other:?}"),
    });
}

/// What a raw connection told until its end.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) error: Option<Error>,
    pub(crate) written: u64,
    pub(crate) half_closed: bool,
}

/// Turns until the connection has closed; events of others are not expected.
#[track_caller]
pub(crate) fn until_closed(client: &mut Client, connection: ConnectionId) -> Told {
    let mut frames = Vec::new();
    let mut half_closed = false;
    client_until(client, |client, event| match event {
        Event::Frame {
            connection: it,
            frame,
        } if it == connection => {
            frames.push(client.bytes(&frame).to_vec());
            None
        }
        Event::HalfClosed { connection: it } if it == connection => {
            assert!(!std::mem::replace(&mut half_closed, true));
            None
        }
        Event::Closed {
            connection: it,
            error,
            written,
        } if it == connection => Some(Told {
            frames: std::mem::take(&mut frames),
            error,
            written,
            half_closed,
        }),
        other => panic!("not of {connection}: {other:?}"),
    })
}

/// The next frame of a raw connection.
#[track_caller]
pub(crate) fn next_frame(client: &mut Client, connection: ConnectionId) -> Vec<u8> {
    client_until(client, |client, event| match event {
        Event::Frame {
            connection: it,
            frame,
        } if it == connection => Some(client.bytes(&frame).to_vec()),
        other => panic!("instead of a frame: {other:?}"),
    })
}

// Upstreams.

/// An upstream whose connections all stand, and the peer's ends of them in the order of their making.
#[track_caller]
pub(crate) fn standing(
    client: &mut Client,
    peer: &Peer,
    shape: impl FnOnce(Upstream) -> Upstream,
) -> (UpstreamId, Vec<TcpStream>) {
    let upstream = client.add(shape(Upstream::new(peer.target()))).unwrap();
    let wanted = client.upstream_stats(upstream).unwrap().connecting;
    turn_until(client, "the upstream's connections", |client| {
        client.upstream_stats(upstream).unwrap().open == wanted
    });
    (upstream, (0..wanted).map(|_| peer.accept()).collect())
}

/// The one connection of an upstream.
#[track_caller]
pub(crate) fn only_connection(client: &Client, upstream: UpstreamId) -> ConnectionId {
    let mut all = client.connections_of(upstream);
    let connection = all.next().unwrap();
    assert!(all.next().is_none(), "more than one connection");
    connection
}

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
