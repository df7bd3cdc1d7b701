//! The time between `connect` and its outcome.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use mio::Token;
use socket2::{Domain, Socket, Type};

use crate::support::{
    BOTH, Seen, Watch, errno, eventually, localhost, reset, send_all, so_error, until_state,
};
use crate::sys;

/// A nonblocking connect to the socket's address; it must not have failed at once.
fn begin_connect(to: &Socket) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let result = socket.connect(&to.local_addr().unwrap());
    assert_eq!(errno(result), libc::EINPROGRESS);
    socket.into()
}

fn bound() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&localhost().into()).unwrap();
    socket
}

/// A listener whose accept queue is full, so that further SYNs are dropped; and who fills it.
fn full_listener() -> (Socket, TcpStream) {
    let listener = bound();
    listener.listen(0).unwrap();
    let filler = begin_connect(&listener);
    // Of a listener, `unacked` is the queue's length and `sacked` its bound.
    eventually("a full accept queue", || {
        let info = sys::tcp_info(&listener);
        info.unacked > info.sacked
    });
    (listener, filler)
}

#[test]
fn peer_addr_says_enotconn_while_connecting() {
    let (listener, _filler) = full_listener();
    let connecting = begin_connect(&listener);

    assert_eq!(sys::tcp_info(&connecting).state, sys::SYN_SENT);
    assert_eq!(so_error(&connecting), None);
    assert_eq!(errno(connecting.peer_addr()), libc::ENOTCONN);
    assert_eq!(sys::poll(&connecting, libc::POLLOUT, Duration::ZERO), 0);
}

#[test]
fn a_send_while_connecting_would_block_and_so_would_a_peek() {
    let (listener, _filler) = full_listener();
    let connecting = begin_connect(&listener);

    assert_eq!(errno(sys::send(&connecting, b"x")), libc::EAGAIN);
    assert_eq!(errno(sys::peek(&connecting)), libc::EAGAIN);
}

#[test]
fn a_connecting_socket_registered_after_connect_tells_nothing_until_it_is_connected() {
    let (listener, _filler) = full_listener();
    let mut connecting = mio::net::TcpStream::from_std(begin_connect(&listener));
    let mut watch = Watch::new();
    watch.register(&mut connecting, Token(0), BOTH);
    watch.nothing();

    // Room in the queue: the SYN's next copy (after a second) is answered.
    drop(listener.accept().unwrap());

    let seen = watch.one();
    assert!(
        seen.writable && !seen.error && !seen.write_closed,
        "{seen:?}"
    );
    assert!(connecting.take_error().unwrap().is_none());
    assert!(connecting.peer_addr().is_ok());
}

#[test]
fn an_unconnected_socket_reports_out_and_hup() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let said = sys::poll(&socket, libc::POLLIN | libc::POLLOUT, Duration::ZERO);
    assert_eq!(said, libc::POLLOUT | libc::POLLHUP);

    let mut stream = mio::net::TcpStream::from_std(socket.into());
    let mut watch = Watch::new();
    watch.register(&mut stream, Token(0), BOTH);
    assert_eq!(watch.one(), Seen::of(Token(0), "Wrw"));
    // Looks like both a connection and its end; the look says neither.
    assert!(stream.take_error().unwrap().is_none());
    assert_eq!(errno(stream.peer_addr()), libc::ENOTCONN);
}

#[test]
fn a_refused_connect_is_told_once_and_looks_like_waiting_afterwards() {
    let nobody_listens = bound();
    let refused = begin_connect(&nobody_listens);
    until_state(&refused, sys::CLOSE);
    let mut refused = mio::net::TcpStream::from_std(refused);
    let mut watch = Watch::new();
    watch.register(&mut refused, Token(0), BOTH);

    assert_eq!(watch.one(), Seen::of(Token(0), "RWrwe"));
    let error = refused.take_error().unwrap().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // Whoever drops that answer sees "no error, ENOTCONN": the look of a socket still connecting.
    assert!(refused.take_error().unwrap().is_none());
    assert_eq!(errno(refused.peer_addr()), libc::ENOTCONN);
    assert_eq!(sys::tcp_info(&refused).state, sys::CLOSE);
}

#[test]
fn a_read_close_at_connect_may_mean_connected_replied_and_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    connecting.set_nonblocking(true).unwrap();
    let (server, _) = listener.accept().unwrap();
    send_all(&server, b"busy, go away");
    drop(server);
    until_state(&connecting, sys::CLOSE_WAIT);

    let mut connecting = mio::net::TcpStream::from_std(connecting);
    let mut watch = Watch::new();
    watch.register(&mut connecting, Token(0), BOTH);
    assert_eq!(watch.one(), Seen::of(Token(0), "RWr"));
    assert!(connecting.take_error().unwrap().is_none());
    assert!(connecting.peer_addr().is_ok());
    assert_eq!(sys::recv(&connecting, &mut [0; 64]).unwrap(), 13);
}

#[test]
fn a_connection_reset_before_the_look_says_enotconn_once_its_error_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    reset(listener.accept().unwrap().0);
    until_state(&connecting, sys::CLOSE);

    assert_eq!(errno(connecting.peer_addr()), libc::ENOTCONN);
    assert_eq!(so_error(&connecting), Some(libc::ECONNRESET));
    assert_eq!(so_error(&connecting), None);
    assert_eq!(errno(connecting.peer_addr()), libc::ENOTCONN);
}

#[test]
fn a_socket_can_connect_to_itself() {
    let socket = bound();
    let own = socket.local_addr().unwrap();
    socket.set_nonblocking(true).unwrap();
    // A simultaneous open with itself: no listener needed.
    if let Err(error) = socket.connect(&own) {
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
    }
    let stream = TcpStream::from(socket);
    until_state(&stream, sys::ESTABLISHED);

    assert_eq!(so_error(&stream), None);
    assert_eq!(stream.peer_addr().unwrap(), stream.local_addr().unwrap());
    send_all(&stream, b"to myself");
    eventually("an echo", || sys::peek(&stream).is_ok());
    assert_eq!(sys::recv(&stream, &mut [0; 64]).unwrap(), 9);
}
