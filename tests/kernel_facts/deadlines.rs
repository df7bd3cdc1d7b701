//! What no look can see, and which of the kernel's timers ends it.
//!
//! A partition is made by a socket filter at the far end that drops every segment for it: no
//! privileges, and no other connection is touched.

use std::net::TcpStream;
use std::time::Duration;

use socket2::{SockFilter, SockRef, TcpKeepalive};

use crate::support::{
    drain, errno, eventually, fill, narrow_pair, pair, send_all, so_error, until_received,
    until_state,
};
use crate::sys;

/// From now on nothing that is sent to this socket reaches it, and nobody is told.
fn cut_off(socket: &TcpStream) {
    let drop_everything =
        SockFilter::new(u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap(), 0, 0, 0);
    SockRef::from(socket)
        .attach_filter(&[drop_everything])
        .unwrap();
}

fn user_timeout(socket: &TcpStream, timeout: Duration) {
    SockRef::from(socket)
        .set_tcp_user_timeout(Some(timeout))
        .unwrap();
}

#[test]
fn a_partition_is_invisible_to_every_look() {
    let (near, far) = pair();
    cut_off(&far);
    send_all(&near, b"into the void");
    eventually("a retransmission", || {
        let info = sys::tcp_info(&near);
        info.total_retrans > 0 && info.retransmits > 0
    });

    assert_eq!(errno(sys::peek(&near)), libc::EAGAIN);
    assert_eq!(so_error(&near), None);
    send_all(&near, b"more");
    let info = sys::tcp_info(&near);
    assert_eq!((info.state, info.bytes_acked), (sys::ESTABLISHED, 1));
    assert!(info.unacked > 0, "{info:?}");
    assert_eq!(sys::outq(&near), 17);
}

#[test]
fn a_hung_application_is_acknowledged_by_its_kernel() {
    let (near, far) = pair();
    send_all(&near, b"is anybody there");
    until_received(&far, 16);
    eventually("the ack", || sys::tcp_info(&near).bytes_acked == 17);
    assert_eq!(errno(sys::peek(&near)), libc::EAGAIN);
}

#[test]
fn the_user_timeout_ends_a_partition_with_etimedout_and_the_counts_survive() {
    let (near, far) = pair();
    send_all(&near, b"acked");
    until_received(&far, 5);
    eventually("the ack", || sys::outq(&near) == 0);
    cut_off(&far);
    user_timeout(&near, Duration::from_millis(300));
    send_all(&near, b"never acked");
    until_state(&near, sys::CLOSE);

    let info = sys::tcp_info(&near);
    assert_eq!((info.bytes_acked, info.bytes_received), (5 + 1, 0));
    assert_eq!(sys::outq(&near), 11);
    assert_eq!(errno(sys::peek(&near)), libc::ETIMEDOUT);
    assert_eq!(sys::peek(&near).unwrap(), 0);
    assert_eq!(sys::tcp_info(&near).bytes_acked, 5 + 1);
}

#[test]
fn the_user_timeout_kills_a_live_peer_that_holds_its_window_shut() {
    let (near, far) = narrow_pair();
    user_timeout(&near, Duration::from_millis(300));
    let written = fill(&near);
    until_state(&near, sys::CLOSE);

    assert_eq!(so_error(&near), Some(libc::ETIMEDOUT));
    // The peer was well all the time: it has, and can read, every acknowledged byte.
    let acked = sys::tcp_info(&near).bytes_acked - 1;
    assert!(acked < written, "{acked} of {written}");
    assert_eq!(drain(&far).0, acked);
}

#[test]
fn keepalive_does_not_run_while_data_is_in_flight() {
    let (idle, idle_far) = pair();
    let (busy, busy_far) = pair();
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new()
        .with_time(second)
        .with_interval(second)
        .with_retries(1);
    cut_off(&busy_far);
    cut_off(&idle_far);
    // The busy one first: whatever ends the idle one would have ended this one before.
    send_all(&busy, b"in flight");
    for end in [&busy, &idle] {
        SockRef::from(end).set_tcp_keepalive(&keepalive).unwrap();
    }
    until_state(&idle, sys::CLOSE);

    assert_eq!(so_error(&idle), Some(libc::ETIMEDOUT));
    let info = sys::tcp_info(&busy);
    assert_eq!(info.state, sys::ESTABLISHED);
    assert!(info.unacked > 0 && info.total_retrans > 0, "{info:?}");
    assert_eq!(so_error(&busy), None);
    assert_eq!(errno(sys::peek(&busy)), libc::EAGAIN);
}
