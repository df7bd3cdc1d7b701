//! EHOSTUNREACH and ETIMEDOUT, which loopback never says: they need a link on which something can be missing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::support::namespaces::Link;
use crate::support::{
    connect_to, errno, eventually, send_all, so_error, until_received, until_state,
};
use crate::sys;

const PORT: u16 = 7000;

/// A connection over the link, given up when data stays unacknowledged for half a second.
fn pair_over(link: &Link) -> (TcpStream, TcpStream) {
    let listener = link
        .far
        .within(|| TcpListener::bind((Link::FAR, PORT)).unwrap());
    let (near, far) = link.near.within(|| connect_to(&listener));
    let timeout = Some(Duration::from_millis(500));
    SockRef::from(&near).set_tcp_user_timeout(timeout).unwrap();
    (near, far)
}

/// What arrives at the far end of the link meets this verdict.
fn far_end_says(link: &Link, verdict: &str) {
    link.far.sysctl("net.ipv4.icmp_ratelimit", "0");
    let rule = format!("tcp dport {PORT} {verdict}");
    link.far.filter_input(&rule);
}

/// Seven bytes that arrived, three that came, five that are lost; the connection has ended by itself.
fn ended_by_its_user_timeout(verdict: &str) -> (TcpStream, TcpStream) {
    let link = Link::new("fact");
    let (near, far) = pair_over(&link);
    send_all(&near, b"1234567");
    until_received(&far, 7);
    send_all(&far, b"123");
    until_received(&near, 3);
    assert_eq!(sys::recv(&near, &mut [0; 8]).unwrap(), 3);
    eventually("the acknowledgement", || sys::tcp_info(&near).unacked == 0);
    far_end_says(&link, verdict);
    send_all(&near, b"54321");
    until_state(&near, sys::CLOSE);
    (near, far)
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_host_that_nobody_knows_is_ehostunreach_while_connecting() {
    let link = Link::new("fact");
    link.near.sysctl("net.ipv4.neigh.link0.mcast_solicit", "1");
    let make = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let socket = link.near.within(make);
    socket.set_nonblocking(true).unwrap();
    let nobody = SocketAddr::from(([10, 77, 0, 9], PORT));
    assert_eq!(errno(socket.connect(&nobody.into())), libc::EINPROGRESS);
    let stream = TcpStream::from(socket);
    until_state(&stream, sys::CLOSE);
    assert_eq!(so_error(&stream), Some(libc::EHOSTUNREACH));
    assert_eq!(so_error(&stream), None);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_icmp_message_is_no_error_of_a_connection_that_stands() {
    let link = Link::new("fact");
    let (near, _far) = pair_over(&link);
    SockRef::from(&near).set_tcp_user_timeout(None).unwrap();
    far_end_says(&link, "reject with icmp type host-unreachable");
    send_all(&near, b"refused");
    eventually("segments sent again", || {
        sys::tcp_info(&near).total_retrans >= 2
    });
    assert_eq!(errno(sys::peek(&near)), libc::EAGAIN);
    // SO_ERROR tells it all the same.
    assert_eq!(so_error(&near), Some(libc::EHOSTUNREACH));
    send_all(&near, b"taken all the same");
    assert_eq!(sys::tcp_info(&near).state, sys::ESTABLISHED);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_user_timeout_says_what_icmp_said_and_otherwise_etimedout() {
    for (verdict, expected, kept) in [
        (
            "reject with icmp type host-unreachable",
            libc::EHOSTUNREACH,
            Some(libc::EHOSTUNREACH),
        ),
        (
            "reject with icmp type net-unreachable",
            libc::ENETUNREACH,
            Some(libc::ENETUNREACH),
        ),
        ("drop", libc::ETIMEDOUT, None),
    ] {
        let (near, _far) = ended_by_its_user_timeout(verdict);
        assert_eq!(errno(sys::peek(&near)), expected, "{verdict}");
        // Told once: from then on it looks like a clean end.
        assert_eq!(sys::peek(&near).unwrap(), 0, "{verdict}");
        // What ICMP said is SO_ERROR's to tell once more.
        assert_eq!(so_error(&near), kept, "{verdict}");
        assert_eq!(so_error(&near), None, "{verdict}");
        assert_eq!(errno(sys::send(&near, b"x")), libc::EPIPE, "{verdict}");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_counts_survive_a_user_timeout_until_close() {
    for verdict in ["reject with icmp type host-unreachable", "drop"] {
        let (near, _far) = ended_by_its_user_timeout(verdict);
        for _ in 0..2 {
            let info = sys::tcp_info(&near);
            // Ours counts the SYN.
            assert_eq!(
                (info.bytes_acked, info.bytes_received),
                (7 + 1, 3),
                "{verdict}"
            );
            assert_eq!(sys::outq(&near), 5, "{verdict}");
            let _ = sys::peek(&near);
        }
    }
}
