//! Peers: plain std sockets that say and do what a test tells them to.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use taut::{Resolve, ResolveError};

use super::{PATIENCE, eventually};

/// A listening socket whose connections the test accepts itself.
pub(crate) struct Peer {
    listener: TcpListener,
}

impl Peer {
    pub(crate) fn new() -> Peer {
        Peer::at(([127, 0, 0, 1], 0))
    }

    /// A peer at this address, in the network of this thread.
    pub(crate) fn at(address: impl Into<SocketAddr>) -> Peer {
        Peer {
            listener: TcpListener::bind(address.into()).unwrap(),
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

/// The addresses of whatever name, in this order.
pub(crate) struct Addresses(pub(crate) Vec<SocketAddr>);

impl Resolve for Addresses {
    fn resolve(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        Ok(self.0.clone())
    }
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

/// By what the client ends a connection on which nothing comes any more.
#[track_caller]
pub(crate) fn ended_by(stream: &mut TcpStream) -> End {
    match stream.read(&mut [0]) {
        Ok(0) => End::Fin,
        Ok(_) => panic!("something came"),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Rst,
        Err(error) => panic!("{error}"),
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
