//! A request's own deadline: kept in whatever phase the request is, never early, and without harm to its neighbours.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use support::*;
use taut::{Class, Deadline, Error, Event, Phase, Sent, Source};

#[track_caller]
fn assert_deadline(error: Error, phase: Phase, sent: Sent, deadline: Instant) {
    assert!(
        Instant::now() >= deadline,
        "{:?} early",
        deadline - Instant::now()
    );
    assert_eq!(
        (error.class, error.source),
        (Class::Local, Source::Deadline),
        "{error}"
    );
    assert_eq!((error.phase, error.sent), (phase, sent), "{error}");
}

/// Late enough for a busy machine to have sent the request by then.
fn soon() -> Instant {
    Instant::now() + ms(150)
}

#[test]
fn while_it_waits_for_a_connection() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let sent = ledger.request(&mut client, upstream, b"sent\n", far());
    let deadline = soon();
    let waits = ledger.request(&mut client, upstream, b"waits\n", Deadline::at(deadline));
    assert_deadline(
        ledger.until(&mut client, waits).error(),
        Phase::Connect,
        Sent::No,
        deadline,
    );
    streams[0].write_all(b"ok\n").unwrap();
    assert_eq!(ledger.until(&mut client, sent).reply(), b"ok");
    assert_eq!(read_exactly(&mut streams[0], 5), b"sent\n");
    ledger.until_all(&mut client);
    drop(client);
    assert_eq!(read_to_the_end(&mut streams[0]), b"");
}

#[test]
fn after_it_was_sent_its_lonely_connection_ends_with_it() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(4));
    let deadline = soon();
    let request = ledger.request(&mut client, upstream, b"ping\n", Deadline::at(deadline));
    assert_deadline(
        ledger.until(&mut client, request).error(),
        Phase::Read,
        Sent::Maybe,
        deadline,
    );
    assert_eq!(client.upstream_stats(upstream).unwrap().open, 0);
    assert_eq!(read_to_the_end(&mut streams[0]), b"ping\n");
    ledger.until_all(&mut client);
}

#[test]
fn while_its_reply_is_coming_it_is_known_to_have_been_sent() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let deadline = soon();
    let request = ledger.request(&mut client, upstream, b"ping\n", Deadline::at(deadline));
    streams[0].write_all(b"").unwrap();
    client.flush();
    read_exactly(&mut streams[0], 5);
    streams[0].write_all(b"half a repl").unwrap();
    assert_deadline(
        ledger.until(&mut client, request).error(),
        Phase::Read,
        Sent::Yes,
        deadline,
    );
    ledger.until_all(&mut client);
}

/// The kernel is full of the first one. The second leaves no byte; the third is served as if it had never been.
#[test]
fn while_not_a_byte_of_it_was_written_it_is_taken_back() {
    let large = 12 << 20;
    let mut client = client_with(|it| it.limits.send_queue_bytes_max = 16 << 20);
    let (peer, mut ledger) = (Peer::narrow(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(3));
    let first = ledger.request(&mut client, upstream, &vec![b'1'; large], far());
    client.flush();
    let deadline = soon();
    let second = ledger.request(&mut client, upstream, b"22222", Deadline::at(deadline));
    let third = ledger.request(&mut client, upstream, b"333", far());
    let fourth = ledger.request(&mut client, upstream, b"4444", far());
    assert_eq!(client.upstream_stats(upstream).unwrap().waiting, 1);
    assert_deadline(
        ledger.until(&mut client, second).error(),
        Phase::Write,
        Sent::No,
        deadline,
    );
    // Its place is free again, for the one that waited.
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.waiting, stats.in_flight), (0, 3));

    let mut stream = streams.remove(0);
    let server = std::thread::spawn(move || {
        let got = read_exactly(&mut stream, large + 7);
        assert!(got[..large].iter().all(|&byte| byte == b'1'));
        assert_eq!(&got[large..], b"3334444");
        stream.write_all(b"one\nthree\nfour\n").unwrap();
        read_to_the_end(&mut stream)
    });
    for (request, reply) in [(first, &b"one"[..]), (third, b"three"), (fourth, b"four")] {
        assert_eq!(ledger.until(&mut client, request).reply(), reply);
    }
    ledger.until_all(&mut client);
    drop(client);
    assert_eq!(server.join().unwrap(), b"");
}

#[test]
fn while_it_is_written_in_part_it_is_maybe_sent() {
    let mut client = client_with(|it| it.limits.send_queue_bytes_max = 16 << 20);
    let (peer, mut ledger) = (Peer::narrow(), Ledger::default());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it);
    let deadline = soon();
    let request = ledger.request(
        &mut client,
        upstream,
        &[b'x'; 15 << 20],
        Deadline::at(deadline),
    );
    assert_deadline(
        ledger.until(&mut client, request).error(),
        Phase::Write,
        Sent::Maybe,
        deadline,
    );
    assert_eq!(client.upstream_stats(upstream).unwrap().open, 0);
    ledger.until_all(&mut client);
}

#[test]
fn the_late_reply_is_swallowed_and_the_neighbours_get_their_own() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(8));
    let mut ask = |deadline| ledger.request(&mut client, upstream, b"x\n", deadline);
    let deadline = soon();
    let (one, two) = (ask(far()), ask(Deadline::at(deadline)));
    let (three, four) = (ask(Deadline::at(deadline)), ask(far()));
    for request in [two, three] {
        assert_deadline(
            ledger.until(&mut client, request).error(),
            Phase::Read,
            Sent::Maybe,
            deadline,
        );
    }
    // A connection with a request that timed out takes no new one.
    let new = ledger.request(&mut client, upstream, b"new\n", Deadline::after(ms(1)));
    assert_eq!(ledger.until(&mut client, new).error().sent, Sent::No);
    for (reply, ends) in [
        (&b"1\n"[..], Some(one)),
        (b"2\n", None),
        (b"3\n", None),
        (b"4\n", Some(four)),
    ] {
        streams[0].write_all(reply).unwrap();
        if let Some(request) = ends {
            assert_eq!(ledger.until(&mut client, request).reply(), reply[..1]);
        }
    }
    ledger.until_all(&mut client);
    assert_eq!(read_exactly(&mut streams[0], 8), b"x\nx\nx\nx\n");
    assert_eq!(client.upstream_stats(upstream).unwrap().in_flight, 0);
}

#[test]
fn a_connection_on_which_nobody_waits_any_more_ends_at_once() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(8));
    let one = ledger.request(&mut client, upstream, b"x\n", far());
    let two = ledger.request(&mut client, upstream, b"x\n", Deadline::at(soon()));
    ledger.until(&mut client, two).error();
    assert_eq!(client.upstream_stats(upstream).unwrap().open, 1);
    streams[0].write_all(b"1\n").unwrap();
    assert_eq!(ledger.until(&mut client, one).reply(), b"1");
    ledger.until_all(&mut client);
    assert_eq!(client.upstream_stats(upstream).unwrap().open, 0);
    assert_eq!(read_to_the_end(&mut streams[0]), b"x\nx\n");
}

#[test]
fn deadlines_below_a_millisecond_are_never_early_and_keep_their_order() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it.depth(1000));
    let start = Instant::now();
    let mut expected = Vec::new();
    for n in 1..=200 {
        let deadline = start + Duration::from_micros(300 * n);
        let request = client
            .request_tagged(upstream, b"x\n", Deadline::at(deadline), n)
            .unwrap();
        expected.push((request, n, deadline));
    }
    for (request, tag, deadline) in expected {
        let failed = client_until(&mut client, |_, event| match event {
            Event::Failed {
                request,
                tag,
                error,
            } => {
                assert_eq!(error.source, Source::Deadline);
                Some((request, tag))
            }
            other => panic!("{other:?}"),
        });
        assert!(
            Instant::now() >= deadline,
            "{tag}: {:?} early",
            deadline - Instant::now()
        );
        assert_eq!(failed, (request, tag));
    }
    assert_silent(&mut client);
}

/// The nearest deadline is not the one that was filed first.
#[test]
fn a_later_request_with_an_earlier_deadline_ends_first() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it.depth(8));
    let slow = ledger.request(
        &mut client,
        upstream,
        b"x\n",
        Deadline::after(Duration::from_secs(5)),
    );
    client.turn(Some(ms(1))).unwrap();
    let deadline = soon();
    let quick = ledger.request(&mut client, upstream, b"x\n", Deadline::at(deadline));
    assert_deadline(
        ledger.until(&mut client, quick).error(),
        Phase::Read,
        Sent::Maybe,
        deadline,
    );
    assert_eq!(ledger.ended(slow), None);
}

#[test]
fn a_request_whose_deadline_has_passed_is_not_written() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(4));
    let past = client
        .request(upstream, b"past\n", Deadline::at(Instant::now()))
        .unwrap_err();
    assert_eq!((past.source, past.sent), (Source::Deadline, Sent::No));
    let deadline = Instant::now() + ms(2);
    let stalled = ledger.request(&mut client, upstream, b"stalled\n", Deadline::at(deadline));
    let kept = ledger.request(&mut client, upstream, b"kept\n", far());
    stall_until(deadline);
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_exactly(&mut streams[0], 5), b"kept\n");
    assert_deadline(
        ledger.until(&mut client, stalled).error(),
        Phase::Write,
        Sent::No,
        deadline,
    );
    streams[0].write_all(b"ok\n").unwrap();
    assert_eq!(ledger.until(&mut client, kept).reply(), b"ok");
    ledger.until_all(&mut client);
}

#[test]
fn the_standard_deadline_is_that_of_the_settings() {
    let (mut client, peer, mut ledger) = (
        client_with(|it| it.timeouts.request = ms(150)),
        Peer::new(),
        Ledger::default(),
    );
    let (upstream, _streams) = standing(&mut client, &peer, |it| it);
    let deadline = soon();
    let request = ledger.request(&mut client, upstream, b"x\n", Deadline::Standard);
    assert_deadline(
        ledger.until(&mut client, request).error(),
        Phase::Read,
        Sent::Maybe,
        deadline,
    );
}

/// The program cannot pull while it is in a call, and what is held back is never late otherwise: it never ended.
#[test]
fn a_call_ends_by_its_deadline_although_frames_not_pulled_hold_its_connection_back() {
    let (mut client, peer) = (
        client_with(|it| (it.limits.unpulled_bytes_max, it.limits.read_bytes) = (1, 64)),
        Peer::new(),
    );
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(16));
    for _ in 0..8 {
        client.request(upstream, b"x\n", far()).unwrap();
    }
    client.flush();
    let reply = [&[b'y'; 59][..], b"\n"].concat();
    streams[0].write_all(&reply.repeat(9)).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let outcome = client.call(upstream, b"x\n", Deadline::after(ms(50)));
        let mut replies = 0;
        while replies < 8 {
            while let Some(event) = client.next_event() {
                assert!(matches!(event, Event::Reply { .. }), "{event:?}");
                replies += 1;
            }
            client.turn(Some(ms(5))).unwrap();
        }
        tell.send(outcome).unwrap();
    });
    let error = told.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert_eq!((error.sent, error.source), (Sent::Maybe, Source::Deadline));
}
