//! What a `Poll` tells, on both of mio's Linux backends.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::support::{
    BOTH, DEADLINE, QUIET, Seen, Watch, Watched, eventually, pair, reset, send_all, until_received,
    until_state, watched,
};
use crate::sys;

#[test]
fn data_and_a_fin_arrive_as_one_event() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(BOTH);
    send_all(&far, b"last words");
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);

    let seen = watch.one();
    assert!(seen.readable && seen.read_closed, "{seen:?}");
    assert!(!seen.error && !seen.write_closed, "{seen:?}");
}

#[test]
fn a_short_read_of_data_and_fin_brings_no_further_event() {
    let Watched {
        mut watch,
        mut near,
        far,
    } = watched(BOTH);
    send_all(&far, b"last words");
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    assert!(watch.one().read_closed);

    let mut room = [0; 64];
    assert_eq!(near.read(&mut room).unwrap(), 10);

    watch.nothing();
    // The end is there for who asks, only nobody tells it again.
    assert_eq!(near.read(&mut room).unwrap(), 0);
    watch.nothing();
}

#[test]
fn a_fin_behind_unread_data_is_told_once() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(BOTH);
    send_all(&far, b"unread");
    let data = watch.one();
    assert!(data.readable && !data.read_closed, "{data:?}");

    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);

    let fin = watch.one();
    assert!(fin.read_closed && !fin.write_closed, "{fin:?}");
    watch.nothing();
}

#[test]
fn a_fin_is_not_told_without_readable_interest() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(Interest::WRITABLE);
    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);

    let batch = watch.batch(QUIET);
    assert!(batch.iter().all(|seen| !seen.read_closed), "{batch:?}");
    // It has come all the same.
    assert_eq!(sys::peek(&near).unwrap(), 0);
}

#[test]
fn a_reset_is_told_with_readable_interest_alone() {
    let Watched {
        mut watch,
        near,
        far,
    } = watched(Interest::READABLE);
    reset(far);
    until_state(&near, sys::CLOSE);

    let seen = watch.one();
    assert!(seen.read_closed && seen.write_closed, "{seen:?}");
    assert!(seen.error && seen.readable, "{seen:?}");
    watch.nothing();
}

#[test]
fn registering_again_fires_again() {
    let Watched {
        mut watch,
        mut near,
        far: _far,
    } = watched(BOTH);

    watch
        .poll
        .registry()
        .reregister(&mut near, Token(0), BOTH)
        .unwrap();

    assert_eq!(watch.one(), Seen::of(Token(0), "W"));
    watch.nothing();
}

#[test]
fn an_event_in_a_batch_may_be_for_an_fd_that_was_closed_and_reused() {
    let (first, first_far) = pair();
    let (second, second_far) = pair();
    let mut second = mio::net::TcpStream::from_std(second);
    let mut first = mio::net::TcpStream::from_std(first);
    let (old_generation, new_generation) = (Token(1), Token(2));
    let mut watch = Watch::new();
    watch.register(&mut first, Token(0), Interest::READABLE);
    watch.register(&mut second, old_generation, Interest::READABLE);
    for (near, far) in [(&first, &first_far), (&second, &second_far)] {
        send_all(far, b"x");
        until_received(near, 1);
    }

    // One batch for both. Handling the first of them closes the other and opens a new one, which
    // gets the number that was freed.
    let batch = watch.batch(DEADLINE);
    assert_eq!(batch.len(), 2, "{batch:?}");
    watch.poll.registry().deregister(&mut second).unwrap();
    let (reopened, reopened_far) = pair();
    let mut reopened = sys::take_over_number(second, reopened);
    watch.register(&mut reopened, new_generation, Interest::READABLE);

    // The batch in hand still says that this number is readable. Only its token tells it is stale.
    assert!(batch.contains(&Seen::of(old_generation, "R")));
    let nothing_there = reopened.read(&mut [0; 8]).unwrap_err();
    assert_eq!(nothing_there.kind(), ErrorKind::WouldBlock);

    send_all(&reopened_far, b"y");
    let seen = watch.one();
    assert!(seen.token == new_generation && seen.readable, "{seen:?}");
}

#[test]
fn a_wait_is_interrupted_by_a_signal_and_leaves_no_events_of_the_turn_before() {
    let (near, _far) = pair();
    let mut near = mio::net::TcpStream::from_std(near);
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    poll.registry()
        .register(&mut near, Token(0), Interest::WRITABLE)
        .unwrap();
    poll.poll(&mut events, Some(DEADLINE)).unwrap();
    assert_eq!(events.iter().count(), 1);

    // SA_RESTART is set on the handler, and does not help.
    let waiter = sys::Interruptible::this_thread();
    let over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            // Again and again: the first may come before the wait has begun.
            eventually("an interrupted wait", || {
                if !over.load(Ordering::Acquire) {
                    waiter.interrupt();
                }
                over.load(Ordering::Acquire)
            });
        });
        let result = poll.poll(&mut events, Some(DEADLINE));
        over.store(true, Ordering::Release);
        result
    });

    assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(events.is_empty());
}

#[test]
fn a_wait_is_never_shorter_than_asked() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1);
    for timeout in [1, 100, 999, 1_000, 1_001, 2_500].map(Duration::from_micros) {
        let begin = Instant::now();
        poll.poll(&mut events, Some(timeout)).unwrap();
        let whole_ms = Duration::from_millis(timeout.as_micros().div_ceil(1_000) as u64);
        assert!(begin.elapsed() >= whole_ms, "{timeout:?} rounds up");
    }
}
