//! Peers and waits for the behaviour tests.
//!
//! Most peers live in the test's own thread: the kernel completes connections and keeps bytes while nobody accepts or
//! reads, so a test says in order what both sides do, and nothing races. Where a peer must move while the client does,
//! [`serve`] gives it a thread. A wait is always for a condition, with a deadline that only a failure reaches; what
//! has reached the client's kernel but not the client is asked of TCP_INFO, or of `/proc/net/tcp` for a RST.
#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]

mod calm;
mod ledger;
#[cfg(target_os = "linux")]
pub(crate) mod namespaces;
mod peers;
mod resolver;
mod running;

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use taut::{
    Breaker, Client, Config, ConnectionId, Deadline, Error, Event, Framing, Retry, Upstream,
    UpstreamId,
};

pub(crate) use calm::*;
pub(crate) use ledger::*;
pub(crate) use peers::*;
pub(crate) use resolver::*;
pub(crate) use running::*;

/// No wait of a passing test takes this long, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The length of one turn while waiting: short enough to look at the deadline, too long to hide a lost wake-up as a
/// slow one only.
const TURN: Duration = Duration::from_millis(100);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A deadline that a passing test never meets.
pub(crate) fn far() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// With the default settings, but for the breaker.
pub(crate) fn client() -> Client {
    client_with(|_| {})
}

/// Without a breaker, where the test does not ask for one: its servers fail all the time, and it is to see how each
/// request fails, not that it was refused. The breaker itself is on in the simulation and in tests/breaker.rs.
pub(crate) fn client_with(change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config {
        breaker: Breaker::off(),
        ..Config::default()
    };
    change(&mut config);
    Client::new(config).unwrap()
}

/// What is lost is told: nothing is made again.
pub(crate) fn client_without_retries() -> Client {
    client_with(|it| it.retry = Retry::off())
}

// Waiting.

thread_local! {
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// One turn, counted.
pub(crate) fn turn(client: &mut Client, timeout: Duration) {
    TURNS.set(TURNS.get() + 1);
    client.turn(Some(timeout)).unwrap();
}

/// Turns that this thread has made so far in the waits of this file: a loop that spins makes many.
pub(crate) fn turns() -> u64 {
    TURNS.get()
}

/// Waits until the condition holds, without turning any client.
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, condition);
}

/// The same where what is waited for takes longer by its nature.
pub(crate) fn eventually_within(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + patience;
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
        turn(client, TURN);
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
        turn(client, ms(5));
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
