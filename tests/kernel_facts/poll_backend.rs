//! What holds on mio's poll(2) backend alone: it forgets what it told until an operation through
//! mio's type returned WouldBlock, and then remembers everything.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;

use mio::{Interest, Token};
use socket2::{Domain, Socket, Type};

use crate::support::{
    BOTH, DEADLINE, Seen, Watch, Watched, errno, pair, reset, send_all, until_received,
    until_state, watched,
};
use crate::sys;

const NEAR: Token = Token(0);

#[test]
fn after_a_short_read_new_data_is_never_told() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(BOTH);
    send_all(&far, b"abc");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 3);

    send_all(&far, b"def");
    until_received(&near, 6);
    watch.nothing();
}

#[test]
fn a_read_that_would_block_arms_both_directions_again() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(BOTH);
    assert_eq!(errno(near.read(&mut [0; 64])), libc::EAGAIN);
    // So a loop that reads to WouldBlock on every event turns without end while registered for
    // writing too: the socket is nearly always writable.
    assert_eq!(watch.one(), Seen::of(NEAR, "W"));
    watch.nothing();
    send_all(&far, b"abc");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
}

#[test]
fn with_readable_interest_alone_reading_to_would_block_is_told_of_new_data() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(Interest::READABLE);
    for _ in 0..3 {
        send_all(&far, b"abc");
        assert_eq!(watch.one(), Seen::of(NEAR, "R"));
        assert_eq!(near.read(&mut [0; 64]).unwrap(), 3);
        assert_eq!(errno(near.read(&mut [0; 64])), libc::EAGAIN);
        watch.nothing();
    }
}

#[test]
fn a_peek_through_mio_arms_and_a_peek_past_it_does_not() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(Interest::READABLE);
    send_all(&far, b"abc");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 3);

    assert_eq!(errno(sys::peek(&near)), libc::EAGAIN);
    send_all(&far, b"def");
    until_received(&near, 6);
    watch.nothing();

    assert_eq!(sys::recv(&near, &mut [0; 64]).unwrap(), 3);
    assert_eq!(errno(near.peek(&mut [0])), libc::EAGAIN);
    send_all(&far, b"ghi");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
}

#[test]
fn a_system_call_inside_try_io_arms() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(Interest::READABLE);
    send_all(&far, b"abc");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 3);

    assert_eq!(errno(near.try_io(|| sys::peek(&near))), libc::EAGAIN);
    send_all(&far, b"def");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
}

#[test]
fn a_data_event_does_not_say_writable() {
    let Watched {
        mut watch,
        near: _near,
        far,
    } = watched(BOTH);
    send_all(&far, b"x");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
}

#[test]
fn a_fin_behind_told_data_says_read_closed_without_readable() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(BOTH);
    send_all(&far, b"unread");
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    assert_eq!(watch.one(), Seen::of(NEAR, "r"));
    watch.nothing();
}

#[test]
fn without_readable_interest_a_fin_is_not_told_at_all() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(Interest::WRITABLE);
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    watch.nothing();
}

#[test]
fn mio_forgets_a_source_that_hung_up_and_says_not_found() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(BOTH);
    reset(far);
    until_state(&near, sys::CLOSE);
    let seen = watch.one();
    assert!(seen.error && seen.read_closed, "{seen:?}");

    let registry = watch.poll.registry();
    let again = registry.reregister(&mut near, NEAR, BOTH).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    let gone = registry.deregister(&mut near).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    // That failure cleared the source's own record, so now it can be registered anew.
    watch.register(&mut near, NEAR, BOTH);
}

#[test]
fn a_socket_registered_before_connect_is_lost() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let to = listener.local_addr().unwrap().into();
    let connect = socket.try_clone().unwrap();
    let mut stream = mio::net::TcpStream::from_std(socket.into());
    let mut watch = Watch::new();
    watch.register(&mut stream, NEAR, BOTH);
    // The OUT|HUP of an unconnected socket counts as its end, and the registration is dropped.
    assert_eq!(watch.one(), Seen::of(NEAR, "Wrw"));

    assert_eq!(errno(connect.connect(&to)), libc::EINPROGRESS);
    until_state(&stream, sys::ESTABLISHED);
    watch.nothing();
    // Even WouldBlock is not what a caller gets then.
    let error = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn events_grow_by_themselves() {
    let mut watch = Watch::with_capacity(1);
    let mut kept = Vec::new();
    for number in 0..3 {
        let (near, far) = pair();
        let mut near = mio::net::TcpStream::from_std(near);
        watch.register(&mut near, Token(number), Interest::WRITABLE);
        kept.push((near, far));
    }
    assert_eq!(watch.batch(DEADLINE).len(), 3);
}

#[test]
fn dropping_a_source_ends_its_registration_even_while_a_duplicate_lives() {
    let (near, far) = pair();
    let duplicate = near.try_clone().unwrap();
    let mut near = mio::net::TcpStream::from_std(near);
    let mut watch = Watch::new();
    watch.register(&mut near, NEAR, Interest::READABLE);
    drop(near);
    send_all(&far, b"x");
    until_received(&duplicate, 1);
    watch.nothing();
}
