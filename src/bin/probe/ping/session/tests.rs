//! Which phase a deadline is told of, and when a kept connection that is away is tried for.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn asked(now: Instant, interval: Duration) -> (Session, Asked) {
    let reuse = !interval.is_zero();
    let session = Session::new("name:1".parse().unwrap(), None, reuse, now);
    let asked = Asked {
        request: b"ping\n".to_vec(),
        framing: taut::Framing::line(),
        expect: None,
        timeout: Duration::from_secs(1),
        interval,
        reuse,
    };
    (session, asked)
}

/// It was told as a deadline of the connect.
#[test]
fn a_deadline_that_passes_in_the_lookup_is_one_of_the_lookup() {
    for (dns, phase) in [(None, "resolve"), (Some(Duration::ZERO), "connect")] {
        let now = Instant::now();
        let (mut session, asked) = asked(now, Duration::ZERO);
        session.start_connecting(now, &asked);
        let probe = session.expire(dns, now + asked.timeout, 0, &asked);
        assert_eq!(probe.failure.unwrap().phase, phase);
        assert_eq!(probe.dns, dns);
    }
}

#[test]
fn a_deadline_that_passes_in_the_handshake_is_one_of_the_handshake() {
    let now = Instant::now();
    let (mut session, asked) = asked(now, Duration::ZERO);
    session.start_connecting(now, &asked);
    session.shaken_hands(Some(TlsInfo::default()));
    let probe = session.expire(Some(Duration::ZERO), now + asked.timeout, 0, &asked);
    assert_eq!(probe.failure.unwrap().phase, "handshake");
    assert!(probe.tls_info.is_some() && probe.tls.is_none());
}

/// On a kept connection the handshake is of the first probe alone; what was agreed on is of all.
#[test]
fn the_handshake_has_its_own_time_and_is_no_part_of_connect() {
    let ms = Duration::from_millis;
    let now = Instant::now();
    let (mut session, asked) = asked(now, ms(1));
    session.start_connecting(now, &asked);
    let mut info = TlsInfo::default();
    info.handshake = Some(ms(5));
    let peer = ([127, 0, 0, 1], 1).into();
    session.connected(now + ms(9), peer, Some(ms(1)), Some(info));
    let probe = session.answer(now + ms(10), b"pong", None, &asked);
    assert_eq!((probe.dns, probe.connect), (Some(ms(1)), Some(ms(3))));
    assert_eq!(probe.tls, Some(ms(5)));
    session.start_on(now + ms(11), 4, &asked);
    let probe = session.answer(now + ms(12), b"pong", None, &asked);
    assert_eq!((probe.connect, probe.tls), (None, None));
    assert!(probe.tls_info.is_some());
}

/// A probe that is due now, on a connection that is lost while it is asked for; how long none is tried for then.
fn pause_after_a_loss(session: &mut Session, now: Instant, asked: &Asked) -> Duration {
    assert!(session.start_away(now, asked).is_none(), "it may be tried");
    session.start_connecting(now, asked);
    let probe = session.lost(None, now, u64::MAX, asked);
    assert!(probe.failure.is_some());
    session.away.as_ref().unwrap().until - now
}

#[test]
fn pauses_double_up_to_ten_seconds_and_an_answer_ends_them() {
    let mut now = Instant::now();
    let (mut session, asked) = asked(now, Duration::from_millis(1));
    let mut seq = 0;
    for ceiling_ms in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        let pause = pause_after_a_loss(&mut session, now, &asked);
        let ceiling = Duration::from_millis(ceiling_ms);
        assert!(pause < ceiling && pause > ceiling * 9 / 10, "{pause:?}");
        // One that is due before it is over is told all the same, with what went wrong.
        let early = session.start_away(now + pause / 2, &asked).unwrap();
        seq += 2;
        assert_eq!((early.seq, early.dns), (seq, None));
        assert_eq!(
            early.failure,
            session.away.as_ref().map(|it| it.failure.clone())
        );
        now += pause;
    }
    session.start_connecting(now, &asked);
    session.connected(now, ([127, 0, 0, 1], 1).into(), None, None);
    session.answer(now, b"pong", None, &asked);
    let pause = pause_after_a_loss(&mut session, now, &asked);
    assert!(pause < Duration::from_millis(100), "{pause:?}");
}

#[test]
fn without_an_interval_the_next_is_due_when_it_may_be_tried_for() {
    let now = Instant::now();
    let (mut session, mut asked) = asked(now, Duration::from_millis(1));
    asked.interval = Duration::ZERO;
    let pause = pause_after_a_loss(&mut session, now, &asked);
    assert_eq!(session.next_instant(), Some(now + pause));
}
