//! The look before a write, `recv(fd, buf, 1, MSG_PEEK|MSG_DONTWAIT)`: one test a row.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use crate::support::{drain, errno, pair, reset, send_all, so_error, until_received, until_state};
use crate::sys;

const RDHUP: i16 = libc::POLLRDHUP;

#[test]
fn eagain_while_nothing_is_known_against_the_peer() {
    let (near, _far) = pair();
    assert_eq!(errno(sys::peek(&near)), libc::EAGAIN);
    // It does not wait, on a blocking socket either.
    near.set_nonblocking(false).unwrap();
    assert_eq!(errno(sys::peek(&near)), libc::EAGAIN);
}

#[test]
fn a_peek_takes_nothing() {
    let (near, far) = pair();
    send_all(&far, b"abc");
    until_received(&near, 3);
    assert_eq!(sys::peek(&near).unwrap(), 1);
    assert_eq!(sys::peek(&near).unwrap(), 1);
    assert_eq!(sys::recv(&near, &mut [0; 8]).unwrap(), 3);
    assert_eq!(errno(sys::peek(&near)), libc::EAGAIN);
}

#[test]
fn queued_data_hides_a_fin_from_a_peek_and_not_from_poll_or_tcp_info() {
    let (near, far) = pair();
    send_all(&far, b"parting words");
    until_received(&near, 13);
    assert_eq!(sys::poll(&near, RDHUP, Duration::ZERO), 0);
    assert_eq!(sys::tcp_info(&near).state, sys::ESTABLISHED);

    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);

    assert_eq!(sys::peek(&near).unwrap(), 1);
    assert_eq!(sys::poll(&near, RDHUP, Duration::ZERO), RDHUP);
    assert_eq!(sys::tcp_info(&near).bytes_received, 14);
    assert_eq!(drain(&near).0, 13);
    assert_eq!(sys::peek(&near).unwrap(), 0);
}

#[test]
fn queued_data_hides_even_a_reset_from_a_peek_and_not_from_poll_or_tcp_info() {
    let (near, far) = pair();
    send_all(&far, b"parting words");
    until_received(&near, 13);
    reset(far);
    until_state(&near, sys::CLOSE);

    assert_eq!(sys::peek(&near).unwrap(), 1);
    let said = sys::poll(&near, RDHUP, Duration::ZERO);
    assert_eq!(said, RDHUP | libc::POLLHUP | libc::POLLERR);
    assert_eq!(sys::tcp_info(&near).bytes_received, 13);

    // The data outlives the reset, and the error comes behind it.
    let (read, end) = drain(&near);
    assert_eq!(read, 13);
    assert_eq!(errno(end), libc::ECONNRESET);
    assert_eq!(sys::peek(&near).unwrap(), 0);
}

#[test]
fn zero_on_a_fin_again_and_again() {
    let (near, far) = pair();
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    for _ in 0..3 {
        assert_eq!(sys::peek(&near).unwrap(), 0);
    }
    assert_eq!(sys::poll(&near, RDHUP, Duration::ZERO), RDHUP);
}

#[test]
fn zero_after_our_own_shutdown_of_reading_though_the_peer_is_well() {
    let (near, far) = pair();
    near.shutdown(Shutdown::Read).unwrap();
    assert_eq!(sys::peek(&near).unwrap(), 0);
    assert_eq!(sys::poll(&near, RDHUP, Duration::ZERO), RDHUP);
    // TCP knows nothing of it: the state tells this 0 from a FIN's.
    assert_eq!(sys::tcp_info(&near).state, sys::ESTABLISHED);
    assert_eq!(sys::tcp_info(&near).bytes_received, 0);

    send_all(&near, b"x");
    until_received(&far, 1);
    // Nor is anything refused: data still comes in, and is read.
    send_all(&far, b"abc");
    until_received(&near, 3);
    assert_eq!(sys::peek(&near).unwrap(), 1);
    assert_eq!(drain(&near).0, 3);
}

#[test]
fn zero_once_the_error_was_consumed() {
    let (near, far) = pair();
    reset(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
    assert_eq!(sys::peek(&near).unwrap(), 0);
    // Only the state still tells: CLOSE_WAIT would be a FIN's.
    assert_eq!(sys::tcp_info(&near).state, sys::CLOSE);
}

#[test]
fn econnreset_once() {
    let (near, far) = pair();
    reset(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(errno(sys::peek(&near)), libc::ECONNRESET);
    assert_eq!(sys::peek(&near).unwrap(), 0);
}

#[test]
fn a_local_fault_is_an_errno_of_its_own() {
    assert_eq!(errno(sys::peek(&sys::NoSocket)), libc::EBADF);
}

#[test]
fn a_peek_that_succeeds_leaves_a_stale_errno_standing() {
    let (near, far) = pair();
    send_all(&far, b"x");
    until_received(&near, 1);
    sys::leave_errno_at_ebadf();
    let result = sys::peek(&near);
    let errno_now = io::Error::last_os_error().raw_os_error();
    assert_eq!(result.unwrap(), 1);
    assert_eq!(errno_now, Some(libc::EBADF));
}

#[test]
fn a_peek_of_an_unconnected_socket_is_enotconn() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert_eq!(errno(sys::peek(&socket)), libc::ENOTCONN);
}
