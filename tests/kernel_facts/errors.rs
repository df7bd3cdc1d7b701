//! Errors are told once, and which one depends on who ended first.

use std::io::{IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::{
    drain, errno, fill, narrow_pair, pair, reset, send_all, so_error, until_received, until_state,
};
use crate::sys;

/// Our end of a connection that the peer has reset, the error not yet told.
fn reset_connection() -> TcpStream {
    let (near, far) = pair();
    reset(far);
    until_state(&near, sys::CLOSE);
    near
}

/// The same with a FIN before the RST: the peer read everything and closed, and our next send met
/// nobody.
fn closed_then_reset_connection() -> TcpStream {
    let (near, far) = pair();
    drop(far);
    until_state(&near, sys::CLOSE_WAIT);
    send_all(&near, b"to nobody");
    until_state(&near, sys::CLOSE);
    near
}

#[test]
fn the_first_peek_after_a_reset_says_so_and_the_second_looks_like_a_clean_end() {
    let near = reset_connection();
    assert_eq!(errno(sys::peek(&near)), libc::ECONNRESET);
    assert_eq!(sys::peek(&near).unwrap(), 0);
    assert_eq!(sys::recv(&near, &mut [0; 8]).unwrap(), 0);
    assert_eq!(so_error(&near), None);
}

#[test]
fn recv_consumes_the_error() {
    let near = reset_connection();
    assert_eq!(errno(sys::recv(&near, &mut [0; 8])), libc::ECONNRESET);
    assert_eq!(sys::recv(&near, &mut [0; 8]).unwrap(), 0);
    assert_eq!(so_error(&near), None);
}

#[test]
fn so_error_consumes_the_error() {
    let near = reset_connection();
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
    assert_eq!(so_error(&near), None);
    assert_eq!(sys::peek(&near).unwrap(), 0);
}

#[test]
fn send_consumes_the_error_and_says_epipe_from_then_on() {
    let near = reset_connection();
    assert_eq!(errno(sys::send(&near, b"x")), libc::ECONNRESET);
    assert_eq!(errno(sys::send(&near, b"x")), libc::EPIPE);
    assert_eq!(errno(sys::send(&near, b"x")), libc::EPIPE);
    assert_eq!(sys::peek(&near).unwrap(), 0);
}

#[test]
fn poll_and_tcp_info_and_outq_consume_nothing() {
    let near = reset_connection();
    let wanted = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
    for _ in 0..2 {
        let said = sys::poll(&near, wanted, Duration::ZERO);
        assert_eq!(said, wanted | libc::POLLHUP | libc::POLLERR);
        assert_eq!(sys::tcp_info(&near).state, sys::CLOSE);
        assert_eq!(sys::outq(&near), 0);
    }
    assert_eq!(errno(sys::peek(&near)), libc::ECONNRESET);
    // The error told, poll(2) no longer says POLLERR; the hang-up stays.
    let said = sys::poll(&near, wanted, Duration::ZERO);
    assert_eq!(said, wanted | libc::POLLHUP);
}

#[test]
fn a_failed_peer_addr_consumes_nothing() {
    let near = reset_connection();
    assert_eq!(errno(near.peer_addr()), libc::ENOTCONN);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
}

#[test]
fn the_first_send_after_the_peers_fin_succeeds_and_the_second_gives_epipe() {
    let (near, far) = pair();
    drop(far);
    until_state(&near, sys::CLOSE_WAIT);

    assert_eq!(sys::send(&near, b"lost").unwrap(), 4);
    until_state(&near, sys::CLOSE);
    assert_eq!(errno(sys::send(&near, b"x")), libc::EPIPE);
}

#[test]
fn sends_after_a_half_close_go_on_succeeding() {
    let (near, far) = pair();
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    for count in 1..=3 {
        send_all(&near, b"x");
        until_received(&far, count);
    }
    assert_eq!(drain(&far).0, 3);
}

#[test]
fn a_reset_without_a_fin_is_econnreset() {
    assert_eq!(so_error(&reset_connection()), Some(libc::ECONNRESET));
}

#[test]
fn a_reset_after_a_fin_is_epipe() {
    let near = closed_then_reset_connection();
    assert_eq!(so_error(&near), Some(libc::EPIPE));
    assert_eq!(so_error(&near), None);
}

#[test]
fn a_reset_after_a_half_close_is_epipe_too() {
    let (near, far) = pair();
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    reset(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(so_error(&near), Some(libc::EPIPE));
}

/// The exception to "peek and recv consume the error": once a FIN was seen they say 0, whatever
/// came later, and leave the error to SO_ERROR and send.
#[test]
fn peek_and_recv_hide_a_reset_after_a_fin_and_leave_its_error() {
    let near = closed_then_reset_connection();
    assert_eq!(sys::peek(&near).unwrap(), 0);
    assert_eq!(sys::recv(&near, &mut [0; 8]).unwrap(), 0);
    assert_eq!(so_error(&near), Some(libc::EPIPE));
}

#[test]
fn after_our_own_shutdown_a_reset_without_a_fin_is_econnreset() {
    let (near, far) = pair();
    near.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::FIN_WAIT2);
    reset(far);
    until_state(&near, sys::CLOSE);

    assert_eq!(sys::tcp_info(&near).bytes_received, 0);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
}

#[test]
fn after_our_own_shutdown_a_reset_after_a_fin_is_econnreset_too() {
    // Ours first, with unsent data before our FIN; then the peer's FIN; then its RST.
    let (near, far) = narrow_pair();
    fill(&near);
    near.shutdown(Shutdown::Write).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSING);
    reset(far);
    until_state(&near, sys::CLOSE);

    // The count tells what the errno no longer does.
    assert_eq!(sys::tcp_info(&near).bytes_received, 1);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
}

#[test]
fn a_shutdown_between_the_peers_fin_and_its_reset_makes_it_econnreset() {
    let (near, far) = narrow_pair();
    fill(&near);
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    near.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::LAST_ACK);
    reset(far);
    until_state(&near, sys::CLOSE);

    assert_eq!(sys::tcp_info(&near).bytes_received, 1);
    // As after any FIN, recv says 0 and the error is SO_ERROR's to tell.
    assert_eq!(sys::recv(&near, &mut [0; 8]).unwrap(), 0);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
}

#[test]
fn a_send_after_our_own_shutdown_is_epipe_and_says_nothing_of_the_peer() {
    let (near, far) = pair();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(errno(sys::send(&near, b"x")), libc::EPIPE);
    assert_eq!(so_error(&near), None);
    send_all(&far, b"still here");
    until_received(&near, 10);
    assert_eq!(sys::recv(&near, &mut [0; 64]).unwrap(), 10);
}

#[test]
fn a_send_with_msg_nosignal_gives_epipe_and_no_sigpipe() {
    let near = closed_then_reset_connection();
    assert_eq!(so_error(&near), Some(libc::EPIPE));
    let raised = sys::raises_sigpipe(|| {
        assert_eq!(errno(sys::send(&near, b"x")), libc::EPIPE);
    });
    assert!(!raised);
}

#[test]
fn stds_vectored_write_raises_sigpipe_and_its_plain_write_does_not() {
    let mut near = closed_then_reset_connection();
    assert_eq!(so_error(&near), Some(libc::EPIPE));
    let raised = sys::raises_sigpipe(|| {
        let slices = [IoSlice::new(b"x"), IoSlice::new(b"y")];
        assert_eq!(errno(near.write_vectored(&slices)), libc::EPIPE);
    });
    assert!(raised);
    let raised = sys::raises_sigpipe(|| {
        assert_eq!(errno(near.write(b"x")), libc::EPIPE);
    });
    assert!(!raised);
}
