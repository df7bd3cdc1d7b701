//! Warm connections: the minimum stands whether requests need it or not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::*;
use taut::{Framing, Timeouts, Upstream};

#[test]
fn a_warm_connection_that_is_lost_is_made_again_by_itself_and_outlives_the_idle_timeout() {
    let mut client = client();
    let peer = Peer::new();
    let timeouts = Timeouts {
        idle: ms(30),
        ..Timeouts::default()
    };
    let upstream = Upstream::new(peer.target())
        .connections(1..=2)
        .timeouts(timeouts);
    let upstream = client.add(upstream).unwrap();
    let first = peer.accept();
    turn_until(&mut client, "it stands", |it| {
        it.upstream_stats(upstream).unwrap().open == 1
    });
    let idle_twice = std::time::Instant::now() + ms(60);
    turn_until(&mut client, "idle time passes", |_| {
        std::time::Instant::now() >= idle_twice
    });
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 0);
    drop(first);
    turn_until(&mut client, "it is made again", |it| {
        it.upstream_stats(upstream).unwrap().connects == 2
    });
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 1);
    drop(peer.accept());
}

#[test]
fn connections_beyond_the_minimum_come_with_demand_and_end_idle() {
    let mut client = client();
    let peer = Peer::new();
    let timeouts = Timeouts {
        idle: ms(30),
        ..Timeouts::default()
    };
    let upstream = Upstream::new(peer.target())
        .framing(Framing::line())
        .connections(1..=2)
        .timeouts(timeouts);
    let upstream = client.add(upstream).unwrap();
    turn_until(&mut client, "one stands", |it| {
        it.upstream_stats(upstream).unwrap().open == 1
    });
    let mut ledger = Ledger::default();
    let requests = [b"a\n", b"b\n"].map(|line| ledger.request(&mut client, upstream, line, far()));
    turn_until(&mut client, "two stand", |it| {
        it.upstream_stats(upstream).unwrap().open == 2
    });
    let mut streams = [peer.accept(), peer.accept()];
    for stream in &mut streams {
        client.flush();
        assert_eq!(read_exactly(stream, 2).len(), 2);
        std::io::Write::write_all(stream, b"ok\n").unwrap();
    }
    for request in requests {
        assert_eq!(ledger.until(&mut client, request).reply(), b"ok");
    }
    turn_until(&mut client, "one ends idle", |it| {
        it.upstream_stats(upstream).unwrap().open == 1
    });
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 1);
}

/// It was tried again with each tick of the wheel: thousands of turns a second for nothing.
#[test]
fn a_warm_connection_without_a_slot_waits_for_one_without_spinning() {
    let mut client = client_with(|it| it.limits.connections_max = 1);
    let peer = Peer::new();
    let (upstream, streams) = standing(&mut client, &peer, |it| it.connections(1..=1));
    drop(streams);
    turn_until(&mut client, "the loss", |client| {
        client.upstream_stats(upstream).unwrap().losses == 1 && client.connections() == 0
    });
    let other = client.connect(&peer.target(), Framing::line()).unwrap();
    until_connected(&mut client, other);
    let _stream = peer.accept();
    // By then its pause is over.
    stall_until(std::time::Instant::now() + ms(110));
    for _ in 0..3 {
        client.turn(Some(ms(1))).unwrap();
    }
    let wait = client.next_timeout();
    assert!(wait.is_none_or(|it| it > ms(1000)), "spins: {wait:?}");
    client.abort(other).unwrap();
    until_closed(&mut client, other);
    turn_until(&mut client, "its return", |client| {
        client.upstream_stats(upstream).unwrap().open == 1
    });
}
