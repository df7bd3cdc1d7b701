//! What the families share: a server at the far end, filters, and what must hold whatever was done: few turns while
//! nothing happens, and sockets, connections and timers back where they began.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::thread::JoinHandle;
use std::time::Duration;

use taut::server::{Server, ServerConfig, Service, Stopper};
use taut::{Class, Client, Config, Error, Phase, Sent, Source, UpstreamId};

use crate::support::namespaces::{Link, Namespace};
use crate::support::*;
use crate::sys;

/// The port of every server; each test has networks of its own.
pub(crate) const PORT: u16 = 7000;

/// The server's address at the far end of a link.
pub(crate) fn server() -> SocketAddr {
    SocketAddr::from((Link::FAR, PORT))
}

/// No segment of the server's port arrives in this namespace, whichever way it goes.
#[track_caller]
pub(crate) fn black_hole(namespace: &Namespace) {
    namespace.filter_input(&format!("tcp dport {PORT} drop\ntcp sport {PORT} drop"));
}

/// The bundled server in a thread of its own in a namespace; it ends when dropped.
pub(crate) struct Serving {
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Serving {
    pub(crate) fn at(namespace: &Namespace, at: SocketAddr, service: Service) -> Serving {
        let config = ServerConfig {
            service,
            drain_timeout: ms(50),
            linger_timeout: ms(50),
            connections_max: 50_000,
            ..ServerConfig::default()
        };
        let mut server = namespace.within(|| Server::bind(at, config)).unwrap();
        let stopper = server.stopper();
        let thread = namespace.spawn(move || server.run());
        Serving {
            stopper,
            thread: Some(thread),
        }
    }

    /// At [`server`], sending back what it reads.
    pub(crate) fn echo(link: &Link) -> Serving {
        Serving::at(&link.far, server(), Service::Echo)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stopper.stop();
        // A test that has failed already may have left it nothing to end by.
        if !std::thread::panicking() {
            let thread = self.thread.take().unwrap();
            eventually("the server's end", || thread.is_finished());
            thread.join().unwrap().unwrap();
        }
    }
}

/// Sockets of this process that were made in a namespace and are not closed, whatever state they are in.
pub(crate) fn sockets_of(namespace: &Namespace) -> usize {
    let wanted = std::fs::metadata(namespace.path()).unwrap().ino();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    descriptors
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|descriptor| sys::namespace_of_socket(descriptor).ok())
        .filter(|it| it.metadata().unwrap().ino() == wanted)
        .count()
}

/// One of a namespace's counters of a protocol, as netstat(8) shows them.
pub(crate) fn counter(namespace: &Namespace, protocol: &str, name: &str) -> u64 {
    let table = namespace.within(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let mut lines = table
        .lines()
        .filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs.find(|(it, _)| *it == name).unwrap();
    value.parse().unwrap()
}

/// A client after everything: it tells nothing more, and has as many sockets as connections; when those are none, its
/// timers run out (the wheel takes back a cleared one when its time comes). It is dropped, and then no socket is left.
#[track_caller]
pub(crate) fn assert_nothing_is_left(mut client: Client, near: &Namespace) {
    turn_until(&mut client, "a socket a connection", |client| {
        sockets_of(near) == client.connections()
    });
    turn_until(&mut client, "no timer without an owner", |client| {
        client.connections() > 0 || client.next_timeout().is_none()
    });
    drop(client);
    assert_eq!(sockets_of(near), 0, "sockets after the client is gone");
}

/// A client that finds a silent peer by what the test is about, and by nothing else.
pub(crate) fn patient_client(change: impl FnOnce(&mut Config)) -> Client {
    client_with(|it| {
        it.timeouts.first_byte = Duration::from_secs(30);
        it.timeouts.read_stall = Duration::from_secs(30);
        it.timeouts.write_stall = Duration::from_secs(30);
        it.timeouts.idle = Duration::from_secs(60);
        it.timeouts.connect = ms(300);
        it.reconnect.pause_max = ms(50);
        it.socket.keepalive = None;
        it.socket.user_timeout = None;
        change(it);
    })
}

/// The kernel gives up what is not acknowledged for so long. Whatever it does not even take is given up sooner.
pub(crate) fn user_timeout(config: &mut Config, timeout: Duration) {
    config.socket.user_timeout = Some(timeout);
    config.timeouts.write_stall = timeout * 9 / 10;
}

/// A peer of [`server`] at the far end, an upstream of one standing connection to it, and its end of that.
pub(crate) fn one_connection(
    client: &mut Client,
    link: &Link,
    depth: usize,
) -> (Peer, UpstreamId, TcpStream) {
    let peer = link.far.within(|| Peer::at(server()));
    let (upstream, mut streams) = standing(client, &peer, |it| it.depth(depth));
    (peer, upstream, streams.remove(0))
}

#[track_caller]
pub(crate) fn assert_lost(error: Error, phase: Phase, sent: Sent, source: Source) {
    assert_eq!(
        (error.class, error.phase, error.sent, error.source),
        (Class::Transient, phase, sent, source),
        "{error}"
    );
}

/// The path works again: a request of the same upstream is answered by the same peer.
#[track_caller]
pub(crate) fn assert_served_again(
    client: &mut Client,
    peer: &Peer,
    upstream: UpstreamId,
    ledger: &mut Ledger,
) {
    let connects = client.upstream_stats(upstream).unwrap().connects;
    let request = ledger.request(client, upstream, b"again\n", far());
    turn_until(client, "another connection", |client| {
        client.upstream_stats(upstream).unwrap().connects > connects
    });
    turn(client, Duration::ZERO);
    let mut stream = peer.accept();
    assert_eq!(read_exactly(&mut stream, 6), b"again\n");
    stream.write_all(b"yes\n").unwrap();
    assert_eq!(ledger.until(client, request).reply(), b"yes");
    ledger.until_all(client);
}

/// A client whose names have these addresses.
pub(crate) fn client_with_addresses(addresses: &[SocketAddr], config: Config) -> Client {
    let resolver = crate::support::Addresses(addresses.to_vec());
    Client::with_resolver(config, std::sync::Arc::new(resolver)).unwrap()
}
