//! Readiness that is not what it seems: an edge of a connection that is no more, and one behind which there is nothing.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and dup(2) of a socket the client owns is how both are made"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::*;
use taut::{Framing, Source};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// A copy of the descriptor keeps the old registration alive in epoll: its edges come under the old token, when the
/// slot is another's. The peer's FIN of then must not be taken for the present peer's.
#[test]
fn an_edge_of_an_earlier_connection_of_the_slot_is_dropped() {
    let (mut client, peer) = (client(), Peer::new());
    let (old, old_stream) = connected(&mut client, &peer, Framing::line());
    let copy = duplicate_of_socket_at(old_stream.peer_addr().unwrap());
    client.abort(old).unwrap();
    assert_eq!(
        until_closed(&mut client, old).error.unwrap().source,
        Source::Closed
    );
    client.turn(NOW).unwrap();

    let (new, mut stream) = connected(&mut client, &peer, Framing::line());
    old_stream.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..10 {
        client.turn(Some(ms(1))).unwrap();
    }
    client.send(new, b"hello\n").unwrap();
    client.turn(NOW).unwrap();
    assert_eq!(client.queued(new), Some(0));
    assert_eq!(read_exactly(&mut stream, 6), b"hello\n");
    drop(copy);
}

/// Somebody else has read what the edge told of: the read finds nothing, and that is no end and no frame. (epoll takes an
/// edge back whose reason has gone before the wait, so the loop is cut by its quota between the edge and the read.)
#[test]
fn readiness_behind_which_there_is_nothing_is_nothing() {
    const READ: usize = 64;
    let mut client =
        client_with(|it| (it.limits.read_bytes, it.limits.turn_bytes_max) = (READ, READ));
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let copy = TcpStream::from(duplicate_of_socket_at(stream.peer_addr().unwrap()));
    let first = [vec![b'x'; READ - 1], b"\n".to_vec()].concat();
    for round in 1..=20 {
        stream.write_all(&first).unwrap();
        stream.write_all(b"stolen\n").unwrap();
        let per_round = (READ + 7 + 7) as u64;
        until_in_kernel(&client, connection, round * per_round - 7);
        assert_eq!(next_frame(&mut client, connection), &first[..READ - 1]);
        assert_eq!(client.next_timeout(), Some(Duration::ZERO), "there is more");
        assert_eq!((&copy).read(&mut [0; READ]).unwrap(), 7);
        for _ in 0..3 {
            client.turn(NOW).unwrap();
            assert_eq!(client.next_event(), None);
        }
        assert!(
            client.next_timeout() > Some(Duration::from_secs(1)),
            "it spins"
        );
        stream.write_all(b"for us\n").unwrap();
        assert_eq!(next_frame(&mut client, connection), b"for us");
    }
}

/// A duplicate of the descriptor, in this process, of the socket with this local address.
fn duplicate_of_socket_at(address: std::net::SocketAddr) -> std::os::fd::OwnedFd {
    use std::os::fd::BorrowedFd;
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    for fd in fds
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    {
        // SAFETY: the descriptor may be closed by another test meanwhile; then the calls fail, nothing is closed here.
        let Ok(copy) = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned() else {
            continue;
        };
        let local = socket2::SockRef::from(&copy).local_addr();
        let remote = socket2::SockRef::from(&copy).peer_addr();
        if remote.is_ok() && local.is_ok_and(|local| local.as_socket() == Some(address)) {
            return copy;
        }
    }
    panic!("no socket at {address}");
}
