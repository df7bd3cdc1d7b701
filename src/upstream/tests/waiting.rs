//! Requests that wait for a connection, and how their waiting ends.

use super::*;

#[test]
fn waiting_is_bounded_by_number_and_bytes_and_first_in_is_first_out() {
    let mut service = connected(1, 1);
    let mut wait =
        |n: u64, payload: &[u8]| service.wait(at(0), RequestId(n), n, at(5_000), payload);
    assert_eq!(wait(1, b"one"), Ok(()));
    assert_eq!(wait(2, b"12345678"), Err(Error::full(Limit::WaitingBytes)));
    assert_eq!(wait(3, b"three"), Ok(()));
    assert_eq!(wait(4, b""), Ok(()));
    assert_eq!(wait(5, b""), Err(Error::full(Limit::WaitingRequests)));
    for expected in [(1, &b"one"[..]), (3, b"three"), (4, b"")] {
        let (waiter, payload) = service.waiter().unwrap();
        assert_eq!((waiter.asked.tag, payload), expected);
        service.waiter_served();
    }
    assert!(service.waiter().is_none());
}

#[test]
fn a_waiter_gives_up_by_its_own_deadline_or_by_the_waits_and_says_which() {
    let mut service = connected(1, 1);
    service
        .wait(at(0), RequestId(1), 1, at(5_000), b"a")
        .unwrap();
    service.wait(at(0), RequestId(2), 2, at(500), b"b").unwrap();
    service
        .wait(at(0), RequestId(3), 3, at(5_000), b"c")
        .unwrap();
    assert_eq!(service.poll_timeout(), at(500));
    let mut failed = Vec::new();
    service.handle_timeout(at(500), 0, &mut failed);
    assert_eq!(
        service.waiter().unwrap().1,
        b"a",
        "those before it keep their place"
    );
    service.waiter_served();
    assert_eq!(service.waiter().unwrap().1, b"c", "and those behind it too");
    service.handle_timeout(at(1_000), 0, &mut failed);
    let told: Vec<_> = failed
        .iter()
        .map(|(_, tag, error)| (*tag, error.source))
        .collect();
    assert_eq!(
        told,
        [
            (2, Source::Deadline),
            (3, Source::Timeout(Duration::from_secs(1)))
        ]
    );
    assert!(failed.iter().all(|(_, _, error)| error.sent == Sent::No));
}

#[test]
fn the_waiting_fail_at_once_when_their_last_hope_fails_to_connect() {
    let mut service = service(2, 1);
    for _ in 0..2 {
        let member = service.poll_connect(at(0)).unwrap();
        service.handle_connecting(member, member);
    }
    service
        .wait(at(0), RequestId(1), 1, at(5_000), b"a")
        .unwrap();
    let mut failed = Vec::new();
    service.handle_closed(at(1), 0, 0, progress(0, false), REFUSED, &mut failed);
    assert_eq!(failed, [], "another member may still make it");
    service.handle_closed(at(1), 1, 0, progress(0, false), REFUSED, &mut failed);
    assert_eq!(failed, [(RequestId(1), 1, REFUSED)]);
    assert_eq!(service.stats().connect_failures, 2);
}

/// Where nobody may wait, a connection that was lost was never made again, and every request was refused for ever.
#[test]
fn a_request_that_may_not_even_wait_has_a_lost_connection_made_again_after_the_pause() {
    let mut service = connected(1, 1);
    let (lost, pause) = (progress(0, false), at(101));
    service.handle_closed(at(1), 0, u64::MAX, lost, REFUSED, &mut vec![]);
    assert_eq!(service.poll_connect(pause), None, "nobody asked");
    let too_long = b"12345678901";
    let refused = service.wait(at(2), RequestId(1), 1, at(5_000), too_long);
    assert_eq!(refused, Err(Error::full(Limit::WaitingBytes)));
    assert_eq!(service.poll_connect(at(2)), None, "the pause is kept");
    assert!(service.poll_timeout() <= pause);
    assert_eq!(service.poll_connect(pause), Some(0));
    service.handle_connecting(0, 0);
    assert_eq!(service.poll_connect(pause), None, "once");
}

/// It was remembered for ever: long after others had been served, a connection that its peer had ended was made again
/// although nobody asked.
#[test]
fn who_was_turned_away_wants_no_connection_when_others_have_been_served_since() {
    let mut service = connected(1, 1);
    service.assign(0, request(1, 0..5, at(5_000)));
    let too_long = [0; 11];
    let turned_away = service.wait(at(0), RequestId(2), 2, at(5_000), &too_long);
    assert_eq!(turned_away, Err(Error::full(Limit::WaitingBytes)));
    assert!(service.handle_reply(0, None, 5).is_some());
    let end = Error {
        phase: Phase::Idle,
        source: Source::Eof,
        ..REFUSED
    };
    service.handle_closed(at(10), 0, 0, progress(5, false), end, &mut Vec::new());
    assert_eq!(service.poll_connect(at(60_000)), None);
}

/// As when its send queue is full. It was remembered until something happened to a connection.
#[test]
fn who_is_turned_away_while_a_connection_has_room_wants_no_other() {
    let mut service = connected(1, 1);
    let too_long = [0; 11];
    let turned_away = service.wait(at(0), RequestId(1), 1, at(5_000), &too_long);
    assert_eq!(turned_away, Err(Error::full(Limit::WaitingBytes)));
    let mut failed = Vec::new();
    service.handle_closed(at(10), 0, 0, progress(0, false), REFUSED, &mut failed);
    assert_eq!(service.poll_connect(at(60_000)), None);
}
