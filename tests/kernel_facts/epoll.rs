//! What holds on mio's epoll backend alone: edges.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::{Interest, Token};

use crate::support::{
    BOTH, DEADLINE, Seen, Watch, Watched, drain, eventually, fill, narrow_pair, pair, reset,
    send_all, until_received, until_state, watched,
};
use crate::sys;

const NEAR: Token = Token(0);

#[test]
fn every_data_edge_also_says_writable() {
    let Watched {
        mut watch,
        near: _near,
        far,
    } = watched(BOTH);
    for _ in 0..3 {
        send_all(&far, b"x");
        assert_eq!(watch.one(), Seen::of(NEAR, "RW"));
        watch.nothing();
    }
}

#[test]
fn data_and_a_fin_are_one_edge_that_says_everything() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(BOTH);
    send_all(&far, b"x");
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    assert_eq!(watch.one(), Seen::of(NEAR, "RWr"));
    watch.nothing();
}

#[test]
fn a_short_read_without_a_fin_means_drained_and_the_next_data_is_a_new_edge() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(BOTH);
    for _ in 0..3 {
        send_all(&far, b"abc");
        assert_eq!(watch.one(), Seen::of(NEAR, "RW"));
        assert_eq!(near.read(&mut [0; 64]).unwrap(), 3);
        watch.nothing();
    }
}

#[test]
fn data_left_unread_is_not_told_again_but_more_data_is() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(BOTH);
    send_all(&far, b"abc");
    assert_eq!(watch.one(), Seen::of(NEAR, "RW"));
    assert_eq!(near.read(&mut [0; 1]).unwrap(), 1);
    watch.nothing();
    send_all(&far, b"d");
    assert_eq!(watch.one(), Seen::of(NEAR, "RW"));
}

#[test]
fn a_fin_behind_unread_data_is_a_fresh_edge_that_says_everything() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(BOTH);
    send_all(&far, b"unread");
    assert_eq!(watch.one(), Seen::of(NEAR, "RW"));
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    assert_eq!(watch.one(), Seen::of(NEAR, "RWr"));
    watch.nothing();
}

#[test]
fn without_readable_interest_a_fin_is_an_edge_that_says_writable_and_no_more() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(Interest::WRITABLE);
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    assert_eq!(watch.one(), Seen::of(NEAR, "W"));
    watch.nothing();
}

#[test]
fn a_reset_says_everything_at_once() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(BOTH);
    reset(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(watch.one(), Seen::of(NEAR, "RWrwe"));
    watch.nothing();
}

#[test]
fn acknowledgements_raise_no_edge() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(BOTH);
    send_all(&near, b"x");
    until_received(&far, 1);
    eventually("the ack", || sys::outq(&near) == 0);
    watch.nothing();
}

#[test]
fn a_writer_that_met_would_block_gets_an_edge_when_room_is_made() {
    let (near, far) = narrow_pair();
    let mut near = mio::net::TcpStream::from_std(near);
    let mut watch = Watch::new();
    watch.register(&mut near, NEAR, BOTH);
    assert_eq!(watch.one(), Seen::of(NEAR, "W"));
    fill(&near);
    watch.batch(Duration::ZERO);
    watch.nothing();

    eventually("the far end read all", || {
        let _ = drain(&far);
        sys::outq(&near) == 0
    });
    assert_eq!(watch.one(), Seen::of(NEAR, "W"));
}

#[test]
fn a_full_batch_leaves_the_rest_for_the_next() {
    let ends = [pair(), pair(), pair()].map(|(near, far)| {
        send_all(&far, b"x");
        until_received(&near, 1);
        (mio::net::TcpStream::from_std(near), far)
    });
    let mut watch = Watch::with_capacity(2);
    let mut kept = Vec::new();
    for (number, (mut near, far)) in ends.into_iter().enumerate() {
        watch.register(&mut near, Token(number), BOTH);
        kept.push((near, far));
    }
    let first = watch.batch(DEADLINE);
    let second = watch.batch(DEADLINE);
    assert_eq!((first.len(), second.len()), (2, 1));
    let mut told: Vec<usize> = first.iter().chain(&second).map(|s| s.token.0).collect();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
    watch.nothing();
}

#[test]
fn closing_an_fd_ends_its_registration_unless_a_duplicate_lives() {
    let (near, far) = pair();
    let duplicate = near.try_clone().unwrap();
    let mut near = mio::net::TcpStream::from_std(near);
    let mut watch = Watch::new();
    watch.register(&mut near, NEAR, Interest::READABLE);
    drop(near);
    send_all(&far, b"x");
    // The fd is gone and cannot be deregistered; its token still comes.
    assert_eq!(watch.one(), Seen::of(NEAR, "R"));

    drop(duplicate);
    let _ = sys::send(&far, b"y");
    until_state(&far, sys::CLOSE);
    watch.nothing();
}

#[test]
fn the_poll_is_an_fd_that_another_loop_can_wait_on() {
    let Watched {
        mut watch,
        near: _near,
        far,
    } = watched(BOTH);
    assert!(watch.poll.as_raw_fd() >= 0);
    assert_eq!(sys::poll(&watch.poll, libc::POLLIN, Duration::ZERO), 0);
    send_all(&far, b"x");
    assert_eq!(sys::poll(&watch.poll, libc::POLLIN, DEADLINE), libc::POLLIN);
    assert_eq!(watch.one(), Seen::of(NEAR, "RW"));
    assert_eq!(sys::poll(&watch.poll, libc::POLLIN, Duration::ZERO), 0);
}
