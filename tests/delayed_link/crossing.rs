//! Replies on their way while the client closes, gives up or waits.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use taut::{Class, Deadline, Event, Framing, Phase, Sent, Source};

use crate::delayed_link::Direction::{Back, Out};
use crate::delayed_link::Link;
use crate::ends::{scene, standing_upstream};
use crate::recorder::{Asked, Conversation, Recorder};
use crate::support::*;

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_reply_that_crosses_our_close_is_told_before_the_clean_end() {
    scene(|link, mut client, peer| {
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        client.send(connection, b"ping\n").unwrap();
        client.flush();
        assert_eq!(read_exactly(&mut stream, 5), b"ping\n");
        link.hold(Back, |packet| packet.payload > 0);
        stream.write_all(b"pong\n").unwrap();
        link.until_entered(Back, "the reply on its way", |it| it.payload_bytes == 5);
        client.close(connection).unwrap();
        client.flush();
        link.until_left(Out, "our FIN", |it| it.fin == 1);
        assert_eq!(read_to_the_end(&mut stream), b"");
        // What is said after our FIN came is told, too.
        stream.write_all(b"and bye\n").unwrap();
        drop(stream);
        link.release(Back);
        let told = until_closed(&mut client, connection);
        assert_eq!(told.frames, [&b"pong"[..], b"and bye"]);
        assert_eq!((told.error, told.written), (None, 5));
        assert_silent(&mut client);
        assert_eq!([Out, Back].map(|way| link.counts(way).entered.rst), [0, 0]);
    });
}

/// Both FINs are on the wire at the same time.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn two_closes_that_cross_are_a_clean_end() {
    scene(|link, mut client, peer| {
        let (connection, stream) = connected(&mut client, &peer, Framing::line());
        for way in [Out, Back] {
            link.hold(way, |packet| packet.fin);
        }
        drop(stream);
        client.close(connection).unwrap();
        client.flush();
        for way in [Out, Back] {
            link.until_entered(way, "a FIN on its way", |it| it.fin == 1);
        }
        assert_silent(&mut client);
        for way in [Out, Back] {
            link.release(way);
        }
        assert_eq!(until_closed(&mut client, connection).error, None);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn replies_in_flight_when_either_side_ends_its_half_are_all_told() {
    for ours in [true, false] {
        scene(|link, _, peer| {
            let mut client = client_with(|it| it.half_close = true);
            let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
            client.send(connection, b"all\n").unwrap();
            client.flush();
            assert_eq!(read_exactly(&mut stream, 4), b"all\n");
            link.hold(Back, |packet| packet.payload > 0 || packet.fin);
            for n in 0..20 {
                stream.write_all(format!("{n}\n").as_bytes()).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
            link.until_entered(Back, "all and the FIN", |it| it.fin == 1);
            if ours {
                client.close(connection).unwrap();
                client.flush();
                link.until_left(Out, "our FIN", |it| it.fin == 1);
            }
            link.release(Back);
            for n in 0..20 {
                assert_eq!(
                    next_frame(&mut client, connection),
                    n.to_string().as_bytes()
                );
            }
            if !ours {
                client_until(&mut client, |_, event| match event {
                    Event::HalfClosed { .. } => Some(()),
                    other => panic!("{other:?}"),
                });
                client.send(connection, b"thanks\n").unwrap();
                client.close(connection).unwrap();
            }
            let told = until_closed(&mut client, connection);
            assert!(told.error.is_none() && told.frames.is_empty(), "{told:?}");
            let rest: &[u8] = if ours { b"" } else { b"thanks\n" };
            assert_eq!(read_to_the_end(&mut stream), rest);
        });
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_reply_in_flight_at_its_deadline_is_swallowed_and_its_neighbours_get_their_own() {
    scene(|link, mut client, peer| {
        let mut ledger = Ledger::default();
        let (upstream, mut stream) = standing_upstream(&mut client, &peer, 4);
        let mut ask = |deadline| ledger.request(&mut client, upstream, b"x\n", deadline);
        let deadline = Instant::now() + ms(150);
        let [one, late, three] = [far(), Deadline::at(deadline), far()].map(&mut ask);
        client.flush();
        assert_eq!(read_exactly(&mut stream, 6), b"x\nx\nx\n");
        link.hold(Back, |packet| packet.payload > 0);
        stream.write_all(b"1\n2\n3\n").unwrap();
        link.until_entered(Back, "the replies on their way", |it| it.payload_bytes == 6);
        let error = ledger.until(&mut client, late).error();
        assert!(Instant::now() >= deadline);
        assert_eq!(
            (error.class, error.phase, error.sent, error.source),
            (Class::Local, Phase::Read, Sent::Maybe, Source::Deadline)
        );
        link.release(Back);
        assert_eq!(ledger.until(&mut client, one).reply(), b"1");
        assert_eq!(ledger.until(&mut client, three).reply(), b"3");
        ledger.until_all(&mut client);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_connect_deadline_shorter_than_the_round_trip_is_kept_and_the_late_answer_harms_nobody() {
    scene(|link, _, peer| {
        let patience = ms(30);
        let mut client = client_with(|it| it.timeouts.connect = patience);
        link.hold(Back, |packet| packet.syn);
        let asked_at = Instant::now();
        let late = client.connect(&peer.target(), Framing::line()).unwrap();
        let told = until_closed(&mut client, late);
        assert!(asked_at.elapsed() >= patience);
        let error = told.error.unwrap();
        assert_eq!(
            (error.class, error.phase, error.sent, error.source),
            (
                Class::Transient,
                Phase::Connect,
                Sent::No,
                Source::Timeout(patience)
            )
        );
        link.until_entered(Back, "the peer's answer", |it| it.syn >= 1);
        link.release(Back);
        link.until_left(Out, "a reset for the late answer", |it| it.rst >= 1);
        assert_silent(&mut client);
        assert_eq!(client.connections(), 0);

        let mut patient_client = crate::support::client();
        let connection = patient_client
            .connect(&peer.target(), Framing::line())
            .unwrap();
        until_connected(&mut patient_client, connection);
    });
}

/// No reply is back before the last request is on its way.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn pipelining_over_a_long_way_reaches_its_depth_and_keeps_the_order() {
    const DEPTH: usize = 64;
    let link = Link::new(ms(20));
    let server = Recorder::start(link.listener(), Conversation::answer_all);
    link.near(|| {
        let (mut client, mut asked) = (client(), Asked::default());
        let upstream = taut::Upstream::new(server.address().to_string()).depth(DEPTH);
        let upstream = client.add(upstream).unwrap();
        turn_until(&mut client, "the connection", |client| {
            client.upstream_stats(upstream).unwrap().open == 1
        });
        link.hold(Back, |packet| packet.payload > 0);
        for _ in 0..DEPTH {
            asked.ask(&mut client, upstream, far());
            client.flush();
        }
        assert_eq!(client.upstream_stats(upstream).unwrap().in_flight, DEPTH);
        link.until_left(Out, "all requests", |it| {
            it.payload_bytes == 9 * DEPTH as u64
        });
        assert_eq!(link.counts(Back).left.payload_bytes, 0);
        link.release(Back);
        let mut next = 0;
        while next < DEPTH {
            client_until(&mut client, |client, event| {
                let request = asked.ledger.book(client, event);
                assert_eq!(request, asked.numbers[next].0, "out of turn");
                Some(())
            });
            next += 1;
        }
        asked.keep_asking(&mut client, upstream, 1_000, DEPTH, |_| ());
        drop(client);
        assert_eq!(server.judge(&asked).replies, DEPTH + 1_000);
    });
}

/// What is in flight when one direction goes dark fails by name, and nothing is asked twice.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_way_that_goes_dark_with_requests_in_flight_fails_them_as_maybe_sent() {
    for dark in [Out, Back] {
        let link = Link::new(ms(5));
        // A server that hears nothing gives up by itself.
        let server = Recorder::start(link.listener(), |it| {
            it.stream().set_read_timeout(Some(ms(500))).unwrap();
            it.answer_all();
        });
        link.near(|| {
            let patience = ms(400);
            let mut client = client_with(|it| it.timeouts.first_byte = patience);
            let mut asked = Asked::default();
            let upstream = taut::Upstream::new(server.address().to_string()).depth(8);
            let upstream = client.add(upstream).unwrap();
            asked.ask(&mut client, upstream, far());
            asked.ledger.until_all(&mut client);
            link.block(dark);
            let lost = [0; 8].map(|_| asked.ask(&mut client, upstream, far()));
            for request in lost {
                let error = asked.ledger.until(&mut client, request).error();
                assert_eq!(
                    (error.class, error.sent, error.source),
                    (Class::Transient, Sent::Maybe, Source::Timeout(patience))
                );
            }
            // The reset that gives them up is lost with what was blocked, or tells the server.
            eventually("our reset", || {
                let counts = link.counts(Out);
                counts.entered.rst == 1 && (counts.lost.rst == 1) == (dark == Out)
            });
            assert!(link.counts(dark).lost.with_payload > 0);
            link.unblock(dark);
            let after = asked.ask(
                &mut client,
                upstream,
                Deadline::after(Duration::from_secs(5)),
            );
            let ended = asked.ledger.until(&mut client, after);
            ended.reply();
            asked.ledger.until_all(&mut client);
            drop(client);
            let outcomes = server.judge(&asked);
            assert_eq!((outcomes.replies, outcomes.maybe_sent), (2, 8));
            match dark {
                Out => assert_eq!(outcomes.maybe_and_read, 0),
                Back => assert_eq!(outcomes.maybe_and_read, 8),
            }
        });
    }
}
