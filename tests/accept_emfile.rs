//! An accept refused for want of fds raises no further edge (docs/sockets.md).
//!
//! Alone in its process, because it lowers RLIMIT_NOFILE for all of it. The connection stays in
//! the queue; whoever waits for an event to try again waits for ever.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test of system calls makes them itself, and panics when they fail"
)]

use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

const DEADLINE: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(20);

#[test]
fn after_emfile_at_accept_no_further_edge_comes_for_the_waiting_connection() {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let second = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    poll.registry()
        .register(&mut listener, Token(0), Interest::READABLE)
        .unwrap();
    let first = TcpStream::connect(address).unwrap();
    poll.poll(&mut events, Some(DEADLINE)).unwrap();
    assert_eq!(events.iter().count(), 1);

    // The three of stdio are always open. Not 0: poll(2) refuses more entries than the limit.
    let limit = limit_fds_to(3);
    let refused = listener.accept().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));

    poll.poll(&mut events, Some(QUIET)).unwrap();
    assert!(events.is_empty(), "{events:?}");
    assert!(waits_in_queue(&listener));

    // Another connection is an edge of its own; mio's poll(2) backend stays silent even then, since
    // no operation returned WouldBlock.
    second.connect(&address.into()).unwrap();
    let again = cfg!(not(mio_unsupported_force_poll_poll));
    let timeout = if again { DEADLINE } else { QUIET };
    poll.poll(&mut events, Some(timeout)).unwrap();
    assert_eq!(!events.is_empty(), again);
    let refused = listener.accept().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));

    // Fds being free again is no event either; but trying works, in the order of arrival.
    limit_fds_to(limit);
    poll.poll(&mut events, Some(QUIET)).unwrap();
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(listener.accept().unwrap().1, first.local_addr().unwrap());
    assert_eq!(
        listener.accept().unwrap().1,
        second.local_addr().unwrap().as_socket().unwrap()
    );
}

/// Sets the soft RLIMIT_NOFILE and returns what it was. Open fds stay open.
fn limit_fds_to(count: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes one rlimit, setrlimit reads one.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let before = std::mem::replace(&mut limit.rlim_cur, count);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        before
    }
}

/// What poll(2), which knows no edges, says of the listener.
fn waits_in_queue(listener: &TcpListener) -> bool {
    let mut entry = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, as the count says.
    let ready = unsafe { libc::poll(&raw mut entry, 1, 0) };
    ready == 1
}
