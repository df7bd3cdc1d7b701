//! What a client says of itself in figures: each thing that happens is counted once, and each gauge has its bound.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Instant;

use support::*;
use taut::{
    Class, Client, Deadline, Event, Framing, Gauge, Limits, Phase, Pool, Sent, TargetStats,
    Upstream,
};

#[test]
fn a_new_client_has_counted_nothing_and_names_its_bounds() {
    let client = client();
    let (stats, limits) = (client.stats(), Limits::default());
    assert_eq!((stats.requests, stats.failures.total()), (0, 0));
    for (gauge, max) in [
        (stats.connections, limits.connections_max),
        (stats.connecting, limits.connecting_max),
        (stats.events, limits.events_max),
        (stats.submissions, limits.submissions_max),
        (stats.pooled_bytes, 2 * limits.pool_bytes_max),
        (stats.in_flight, 0),
        (stats.waiting, 0),
    ] {
        assert_eq!(gauge, Gauge { now: 0, max });
    }
}

#[test]
fn requests_connections_and_bytes_are_counted_by_how_they_end() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
    for _ in 0..3 {
        client.request(upstream, b"ping\n", far()).unwrap();
    }
    client.request(upstream, b"", far()).unwrap_err();
    let stats = client.stats();
    assert_eq!((stats.refusals, stats.breakers.closed), (1, 1));
    assert_eq!(stats.in_flight, Gauge { now: 2, max: 2 });
    assert_eq!((stats.waiting.now, stats.waiting.max), (1, 1_024));
    assert_eq!((stats.connections.now, stats.connecting.now), (1, 0));
    turn(&mut client, ms(10));
    streams[0].write_all(b"pong\n").unwrap();
    client_until(&mut client, |_, event| {
        assert!(matches!(event, Event::Reply { .. }), "{event:?}");
        Some(())
    });
    turn(&mut client, ms(10));
    read_exactly(&mut streams[0], 15);
    reset(streams.remove(0));
    for _ in 0..2 {
        client_until(&mut client, |_, event| {
            assert!(matches!(event, Event::Failed { .. }), "{event:?}");
            Some(())
        });
    }
    let stats = client.stats();
    assert_eq!((stats.requests, stats.replies), (3, 1));
    assert_eq!((stats.bytes_written, stats.bytes_received), (15, 5));
    let failed: Vec<_> = stats.failures.iter().collect();
    let kind = (Class::Transient, Phase::Read, Sent::Maybe);
    assert_eq!(failed, [(kind.0, kind.1, kind.2, 2)]);
    assert_eq!(stats.failures.count(kind.0, kind.1, kind.2), 2);
    assert_eq!((stats.connects, stats.losses.total()), (1, 1));
    assert_eq!(stats.connect_failures.total(), 0);
}

#[test]
fn raw_connections_and_connects_in_vain_are_counted_too() {
    let (mut client, peer) = (client(), Peer::new());
    let (raw, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"hello\n").unwrap();
    assert_eq!(next_frame(&mut client, raw), b"hello");
    drop(stream);
    until_closed(&mut client, raw);
    let refused = Peer::new().target();
    let raw = client.connect(&refused, Framing::line()).unwrap();
    until_closed(&mut client, raw);
    let upstream = client.add(Upstream::new(refused)).unwrap();
    turn_until(&mut client, "a connect that fails", |client| {
        client.upstream_stats(upstream).unwrap().connect_failures > 0
    });
    let stats = client.stats();
    assert_eq!((stats.connects, stats.bytes_received), (1, 6));
    let in_vain: Vec<_> = stats.connect_failures.iter().collect();
    assert_eq!(in_vain, [(Class::Transient, Phase::Connect, Sent::No, 2)]);
    assert_eq!(stats.losses.total(), 1);
}

/// What is closed in peace, or by a program that has what it wanted, is no failure.
#[test]
fn what_waits_elsewhere_is_a_gauge_and_an_end_in_peace_is_no_failure() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, streams) = standing(&mut client, &peer, |it| it);
    let handle = client.handle();
    for tag in 0..3 {
        let soon = Deadline::after(ms(1));
        handle.request(upstream, "ping\n", soon, tag).unwrap();
    }
    assert_eq!(client.stats().submissions.now, 3);
    turn(&mut client, ms(10));
    assert_eq!(client.stats().submissions.now, 0);
    assert!(client.stats().requests <= 3);
    let (raw, stream) = {
        let raw = client.connect(&peer.target(), Framing::line()).unwrap();
        client_until(&mut client, |_, event| match event {
            Event::Connected { .. } => Some(()),
            _ => None,
        });
        (raw, peer.accept())
    };
    let losses = client.stats().losses.total();
    client.close(raw).unwrap();
    turn(&mut client, ms(10));
    drop(stream);
    client_until(&mut client, |_, event| match event {
        Event::Closed { error, .. } => {
            assert_eq!(error, None);
            Some(())
        }
        _ => None,
    });
    assert_eq!(client.stats().losses.total(), losses);
    drop(streams);
}

/// Of two targets one refuses, as often in a row as it may: it is left alone until it is told.
#[test]
fn each_target_of_an_upstream_says_how_it_stands() {
    let (mut client, peer) = (client(), Peer::new());
    let (good, bad) = (peer.target(), Peer::new().target());
    let pool = Pool {
        ejection_failures: 1,
        ejection_first_max: PATIENCE,
        ejection_max: PATIENCE,
        ..Pool::default()
    };
    let upstream = Upstream::new(good.clone()).and(bad.clone()).pool(pool);
    let before = Instant::now();
    let upstream = client.add(upstream.connections(2)).unwrap();
    let stands = |client: &mut Client| {
        let stats = client.upstream_stats(upstream).unwrap();
        stats.ejected == 1 && stats.open == 1 && stats.connecting == 0
    };
    turn_until(&mut client, "one stands, one is ejected", stands);
    client.request(upstream, b"ping\n", far()).unwrap();
    let targets: Vec<_> = client.targets_of(upstream).collect();
    let [standing, ejected] = &targets[..] else {
        panic!("{targets:?}");
    };
    assert_eq!((standing.target, ejected.target), (&*good, &*bad));
    let figures = |it: &TargetStats| (it.open, it.connecting, it.in_flight);
    assert_eq!(
        (figures(standing), figures(ejected)),
        ((1, 0, 1), (0, 0, 0))
    );
    assert_eq!(standing.ejected_until, None);
    let until = ejected.ejected_until.unwrap();
    assert!(until > before + PATIENCE / 2 && until < Instant::now() + PATIENCE);
    let other = support::client();
    assert_eq!(other.targets_of(upstream).count(), 0, "it has none");
}
