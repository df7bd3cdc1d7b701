//! What `close`, `shutdown` and SO_LINGER send, and what they destroy.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::support::{
    drain, errno, eventually, fill, narrow_pair, pair, reset, send_all, so_error, until_received,
    until_state,
};
use crate::sys;

#[test]
fn close_without_unread_input_sends_a_fin() {
    let (near, far) = pair();
    send_all(&near, b"read");
    until_received(&far, 4);
    assert_eq!(drain(&far).0, 4);
    drop(far);
    until_state(&near, sys::CLOSE_WAIT);
    assert_eq!(sys::peek(&near).unwrap(), 0);
    assert_eq!(so_error(&near), None);
}

#[test]
fn close_with_unread_input_sends_a_rst() {
    let (near, far) = pair();
    send_all(&near, b"unread");
    until_received(&far, 6);
    drop(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
}

#[test]
fn close_with_one_byte_unread_sends_a_rst_as_well() {
    let (near, far) = pair();
    send_all(&near, b"almost");
    until_received(&far, 6);
    assert_eq!(sys::recv(&far, &mut [0; 5]).unwrap(), 5);
    drop(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
}

#[test]
fn close_with_an_unread_fin_alone_is_a_clean_end() {
    let (near, far) = pair();
    near.shutdown(Shutdown::Write).unwrap();
    until_state(&far, sys::CLOSE_WAIT);
    drop(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(so_error(&near), None);
    assert_eq!(sys::peek(&near).unwrap(), 0);
}

#[test]
fn close_of_one_of_two_duplicates_sends_nothing_and_shutdown_does() {
    let (near, far) = pair();
    let duplicate = far.try_clone().unwrap();
    drop(far);
    send_all(&duplicate, b"x");
    until_received(&near, 1);
    assert_eq!(sys::tcp_info(&near).state, sys::ESTABLISHED);
    duplicate.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
}

#[test]
fn close_with_unread_input_destroys_our_own_unsent_tail() {
    let (near, far) = narrow_pair();
    send_all(&far, b"unread");
    until_received(&near, 6);
    let written = fill(&near);
    drop(near);
    until_state(&far, sys::CLOSE);
    let (read, end) = drain(&far);
    assert_eq!(errno(end), libc::ECONNRESET);
    assert!(read < written, "{read} of {written}");
}

#[test]
fn close_without_unread_input_still_delivers_the_unsent_tail() {
    let (near, far) = narrow_pair();
    let written = fill(&near);
    drop(near);
    let mut read = 0;
    eventually("all that was written", || {
        let (count, end) = drain(&far);
        read += count;
        end.is_ok()
    });
    assert_eq!(read, written);
}

#[test]
fn shutdown_then_reading_to_the_end_loses_nothing() {
    let (near, far) = narrow_pair();
    send_all(&far, b"unread");
    until_received(&near, 6);
    let written = fill(&near);
    near.shutdown(Shutdown::Write).unwrap();
    let mut read = 0;
    eventually("the far end's end", || {
        let (count, end) = drain(&far);
        read += count;
        end.is_ok()
    });
    drop(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(read, written);
    let (parting, end) = drain(&near);
    assert_eq!(parting, 6);
    assert!(end.is_ok());
    // A commit: everything, the SYN and our FIN acknowledged, and no error.
    assert_eq!(sys::tcp_info(&near).bytes_acked, written + 2);
    assert_eq!((sys::outq(&near), so_error(&near)), (0, None));
}

#[test]
fn a_peer_that_stops_reading_and_closes_after_our_shutdown_commits_nothing() {
    let (near, far) = narrow_pair();
    let written = fill(&near);
    near.shutdown(Shutdown::Write).unwrap();
    drop(far);
    until_state(&near, sys::CLOSE);
    assert!(sys::tcp_info(&near).bytes_acked < written + 2);
    assert_eq!(so_error(&near), Some(libc::ECONNRESET));
}

#[test]
fn a_linger_of_zero_resets_and_throws_away_what_was_not_sent() {
    let (near, far) = narrow_pair();
    let written = fill(&near);
    reset(near);
    until_state(&far, sys::CLOSE);
    let (read, end) = drain(&far);
    assert_eq!(errno(end), libc::ECONNRESET);
    assert!(read < written, "{read} of {written}");
}

/// Linux does not ask O_NONBLOCK at close: lingering would stop the whole loop, and end with the
/// tail as unsent as before.
#[test]
fn close_of_a_nonblocking_socket_waits_for_its_linger_and_saves_nothing() {
    let (near, far) = narrow_pair();
    let written = fill(&near);
    let linger = Duration::from_secs(1);
    SockRef::from(&near).set_linger(Some(linger)).unwrap();
    let begin = Instant::now();
    drop(near);
    // Kernel ticks round; half of it is proof enough that it waited.
    assert!(begin.elapsed() >= linger / 2, "{:?}", begin.elapsed());
    let received = sys::tcp_info(&far).bytes_received;
    assert!(received < written, "{received} of {written}");
}
