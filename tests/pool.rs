//! How long connections of an upstream are kept: one request each, a lifetime, what peers teach of their patience, and
//! what becomes of those that rest when the peer is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::server::{ServerConfig, Service};
use taut::{Client, Pool, Upstream, UpstreamId, UpstreamStats};

fn stats(client: &Client, upstream: UpstreamId) -> UpstreamStats {
    client.upstream_stats(upstream).unwrap()
}

fn echo_server(idle_timeout: Duration) -> Running {
    Running::start(ServerConfig {
        service: Service::Echo,
        idle_timeout,
        ..ServerConfig::default()
    })
}

#[test]
fn each_connection_serves_one_request_and_is_ended_by_our_fin() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let upstream = Upstream::new(peer.target())
        .connections(1)
        .one_request_per_connection();
    let upstream = client.add(upstream).unwrap();
    assert_eq!(client.connections(), 0, "none is made before it is needed");
    let requests = [b"1\n", b"2\n", b"3\n"];
    let requests = requests.map(|line| ledger.request(&mut client, upstream, line, far()));
    for (n, request) in requests.into_iter().enumerate() {
        turn_until(&mut client, "a connection", |client| {
            stats(client, upstream).in_flight == 1
        });
        client.flush();
        let mut stream = peer.accept();
        let line = read_exactly(&mut stream, 2);
        // What it says beyond its reply is read, and no reason for a reset.
        stream.write_all(&line).unwrap();
        assert_eq!(ledger.until(&mut client, request).reply(), line[..1]);
        stream.write_all(b"and more\n").unwrap();
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(ended_by(&mut stream), End::Fin);
        let now = stats(&client, upstream);
        assert_eq!((now.retired, now.losses), (n as u64 + 1, n as u64 + 1));
        assert!(now.open + now.connecting <= 1, "{now:?}");
        drop(stream);
    }
    turn_until(&mut client, "the last end", |it| it.connections() == 0);
    assert_eq!(stats(&client, upstream).lingering, 0);
}

#[test]
fn a_peer_that_does_not_end_its_half_is_waited_for_as_long_as_linger_says_and_no_place_is_lost() {
    let mut client = client_with(|it| it.timeouts.linger = ms(50));
    let (peer, mut ledger) = (Peer::new(), Ledger::default());
    let upstream = Upstream::new(peer.target())
        .connections(2)
        .one_request_per_connection();
    let upstream = client.add(upstream).unwrap();
    let mut streams = Vec::new();
    for _ in 0..5 {
        let request = ledger.request(&mut client, upstream, b"a\n", far());
        turn_until(&mut client, "a connection", |client| {
            stats(client, upstream).in_flight == 1
        });
        client.flush();
        let mut stream = peer.accept();
        read_exactly(&mut stream, 2);
        stream.write_all(b"a\n").unwrap();
        assert_eq!(ledger.until(&mut client, request).reply(), b"a");
        assert!(stats(&client, upstream).lingering <= 2);
        streams.push(stream);
    }
    turn_until(&mut client, "the end of lingering", |it| {
        it.connections() == 0
    });
    for mut stream in streams {
        assert_eq!(ended_by(&mut stream), End::Fin);
    }
}

#[test]
fn a_connection_past_its_lifetime_is_replaced_and_no_request_notices() {
    let server = echo_server(Duration::from_secs(60));
    let mut client = client();
    let upstream = Upstream::new(server.address.to_string())
        .connections(1..=1)
        .pool(Pool {
            lifetime: ms(5),
            ..Pool::default()
        });
    let upstream = client.add(upstream).unwrap();
    let mut ledger = Ledger::default();
    while stats(&client, upstream).retired < 10 {
        let request = ledger.request(&mut client, upstream, b"a\n", far());
        assert_eq!(ledger.until(&mut client, request).reply(), b"a");
    }
    assert!(stats(&client, upstream).connects >= 10);
    assert_eq!(stats(&client, upstream).last_error, None, "nothing failed");
    drop(client);
    server.stop();
}

/// Once it is known how patient the server is, the client ends connections before it does.
#[test]
fn the_patience_of_a_server_is_learned_and_connections_end_before_it_ends_them() {
    let server = echo_server(ms(300));
    let mut client = client();
    let upstream = client
        .add(Upstream::new(server.address.to_string()))
        .unwrap();
    let mut ledger = Ledger::default();
    // With timeouts.idle, 20 s, none would be let go here within the patience of a test.
    while stats(&client, upstream).retired < 3 {
        let request = ledger.request(&mut client, upstream, b"a\n", far());
        assert_eq!(ledger.until(&mut client, request).reply(), b"a");
        turn_until(&mut client, "the end of its rest", |client| {
            stats(client, upstream).open == 0
        });
    }
    let ended_by_server = stats(&client, upstream).losses - stats(&client, upstream).retired;
    assert!(ended_by_server >= 2, "two ends teach it");
    drop(client);
    server.stop();
}

/// Two servers, and one is killed: those that were asked of it may fail, all others are served by the other one.
#[test]
fn connections_are_spread_over_targets_and_one_that_dies_is_made_up_for_by_the_others() {
    let (good, doomed) = (echo_server(Duration::from_secs(60)), Peer::new());
    let mut client = client();
    let upstream = Upstream::new(doomed.target())
        .and(good.address.to_string())
        .connections(4..=4);
    let upstream = client.add(upstream).unwrap();
    turn_until(&mut client, "all stand", |it| stats(it, upstream).open == 4);
    let streams = [doomed.accept(), doomed.accept()];
    assert!(!doomed.has_waiting(), "each target has its share");
    drop((doomed, streams));
    turn_until(&mut client, "two are lost", |it| {
        stats(it, upstream).open == 2
    });
    let mut ledger = Ledger::default();
    for _ in 0..20 {
        let requests = [(); 4].map(|()| ledger.request(&mut client, upstream, b"a\n", far()));
        for request in requests {
            assert_eq!(ledger.until(&mut client, request).reply(), b"a");
        }
    }
    turn_until(&mut client, "all stand again", |it| {
        stats(it, upstream).open == 4
    });
    let standing = client.connections_of(upstream);
    let peers: Vec<_> = standing.filter_map(|it| client.peer_addr(it)).collect();
    assert_eq!(peers, [good.address; 4], "capacity remains");
    drop(client);
    good.stop();
}

/// Nobody listens any more: what rests is not kept for a request to find out.
#[test]
fn a_refused_connect_ends_those_that_rest_and_have_heard_nothing_since() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, streams) = standing(&mut client, &peer, |it| it.connections(2..=2));
    let [first, mut second] = <[_; 2]>::try_from(streams).unwrap();
    drop((peer, first));
    while stats(&client, upstream).open > 0 {
        turn(&mut client, ms(5));
        assert_eq!(client.next_event(), None);
    }
    assert!(stats(&client, upstream).connect_failures >= 1);
    assert_eq!(ended_by(&mut second), End::Fin);
}
