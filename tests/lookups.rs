//! One lookup serves all who ask for a name, what it found is kept for a while, and a resolver that hangs holds up
//! neither the loop nor the next lookup.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use support::*;
use taut::{
    Client, Config, ConnectionId, Event, Framing, Phase, ResolveError, Source, Timeouts, Upstream,
};

type Asked = Receiver<(String, u16)>;

fn client_asking(change: impl FnOnce(&mut Config)) -> (Client, Asked, Sender<Answer>) {
    let (resolver, asked, answer) = scripted();
    let mut config = Config::default();
    config.timeouts.resolve = ms(30);
    change(&mut config);
    let client = Client::with_resolver(config, resolver).unwrap();
    (client, asked, answer)
}

fn next(asked: &Asked) -> String {
    asked.recv_timeout(PATIENCE).unwrap().0
}

fn connect(client: &mut Client, host: &str) -> ConnectionId {
    client
        .connect(&format!("{host}:1"), Framing::line())
        .unwrap()
}

/// Connects by a name whose lookup does not come back.
fn hang(client: &mut Client, host: &str) {
    let connection = connect(client, host);
    let error = until_closed(client, connection).error.unwrap();
    let source = Source::Timeout(ms(30));
    assert_eq!((error.phase, error.source), (Phase::Resolve, source));
}

#[test]
fn a_hundred_connections_to_one_name_cost_one_lookup_and_so_do_those_that_come_after() {
    let (mut client, asked, answer) = client_asking(|it| it.timeouts.resolve = PATIENCE);
    let peer = Peer::new();
    for _ in 0..100 {
        connect(&mut client, "a.name");
    }
    answer.send(Ok(vec![peer.addr()])).unwrap();
    for _ in 0..100 {
        client_until(&mut client, |_, event| match event {
            Event::Connected { .. } => Some(()),
            other => panic!("{other:?}"),
        });
    }
    let later = connect(&mut client, "a.name");
    until_connected(&mut client, later);
    assert_eq!(next(&asked), "a.name");
    assert!(asked.try_recv().is_err(), "asked for again");
}

#[test]
fn a_failed_lookup_answers_the_next_to_ask() {
    let (mut client, asked, answer) = client_asking(|it| it.timeouts.resolve = PATIENCE);
    answer.send(Err(ResolveError::NotFound)).unwrap();
    for _ in 0..2 {
        let connection = connect(&mut client, "a.name");
        let error = until_closed(&mut client, connection).error.unwrap();
        assert_eq!(error.source, Source::Resolve(ResolveError::NotFound));
    }
    assert_eq!(next(&asked), "a.name");
    assert!(asked.try_recv().is_err(), "asked for again");
}

#[test]
fn when_the_resolver_hangs_a_name_that_was_known_is_connected_to_all_the_same() {
    let (mut client, asked, answer) = client_asking(|it| it.lookups.fresh_for = Duration::ZERO);
    let peer = Peer::new();
    answer.send(Ok(vec![peer.addr()])).unwrap();
    let first = connect(&mut client, "a.name");
    until_connected(&mut client, first);
    for _ in 0..3 {
        let later = connect(&mut client, "a.name");
        until_connected(&mut client, later);
    }
    // The first and one that hung; after that the name was not asked for again so soon.
    assert_eq!(
        (next(&asked), next(&asked)),
        ("a.name".into(), "a.name".into())
    );
    assert!(asked.try_recv().is_err(), "asked for again");
}

#[test]
fn threads_that_are_stuck_are_replaced_and_used_again_when_they_come_back() {
    let (mut client, asked, answer) = client_asking(|it| {
        it.lookups.threads_max = 1;
        it.lookups.stuck_threads_max = 2;
    });
    for host in ["a", "b", "c"] {
        hang(&mut client, host);
        assert_eq!(next(&asked), host);
    }
    // As many are stuck as may be: this one finds no thread.
    hang(&mut client, "d");
    assert!(asked.try_recv().is_err(), "a fourth thread was started");
    // One comes back.
    answer.send(Err(ResolveError::TryAgain)).unwrap();
    let (e, _) = (
        connect(&mut client, "e"),
        answer.send(Err(ResolveError::NotFound)),
    );
    let error = until_closed(&mut client, e).error.unwrap();
    assert_eq!(next(&asked), "e");
    let found = Source::Resolve(ResolveError::NotFound);
    assert!(
        [found, Source::Timeout(ms(30))].contains(&error.source),
        "{error}"
    );
}

/// Each connect took another thread, until there was none for any other name.
#[test]
fn a_name_that_hangs_again_and_again_leaves_threads_to_the_others() {
    let (mut client, asked, _answer) = client_asking(|_| {});
    for _ in 0..9 {
        hang(&mut client, "a.name");
    }
    connect(&mut client, "b.name");
    let looked_up: Vec<_> = (0..3).map(|_| next(&asked)).collect();
    assert_eq!(looked_up, ["a.name", "a.name", "b.name"]);
}

#[test]
fn a_name_whose_lookup_hangs_is_looked_up_anew_and_served_when_the_resolver_is_back() {
    let (mut client, asked, answer) = client_asking(|_| {});
    let peer = Peer::new();
    hang(&mut client, "a.name");
    hang(&mut client, "a.name");
    assert_eq!(
        (next(&asked), next(&asked)),
        ("a.name".into(), "a.name".into())
    );
    for _ in 0..3 {
        answer.send(Ok(vec![peer.addr()])).unwrap();
    }
    // A connect may still time out on a machine that is busy; the name is not lost for that.
    eventually("the name is found", || {
        connect(&mut client, "a.name");
        client_until(&mut client, |_, event| match event {
            Event::Connected { peer: found, .. } => Some(found == peer.addr()),
            Event::Closed { .. } => Some(false),
            other => panic!("{other:?}"),
        })
    });
}

#[test]
fn an_upstream_whose_server_has_moved_finds_it_at_its_new_address() {
    let (resolver, asked, answer) = scripted();
    let mut config = Config::default();
    config.lookups.negative_for = ms(1);
    let mut client = Client::with_resolver(config, resolver).unwrap();
    let (old, new) = (Peer::new(), Peer::new());
    answer.send(Ok(vec![old.addr()])).unwrap();
    let upstream = client
        .add(Upstream::new("a.name:1").connections(1..=1))
        .unwrap();
    let mut ledger = Ledger::default();
    let first = ledger.request(&mut client, upstream, b"one\n", far());
    let server = std::thread::spawn(move || {
        let mut stream = old.accept();
        read_exactly(&mut stream, 4);
        std::io::Write::write_all(&mut stream, b"one\n").unwrap();
        // Then it is gone, and nobody listens there any more.
    });
    assert_eq!(ledger.until(&mut client, first).reply(), b"one");
    server.join().unwrap();
    answer.send(Ok(vec![new.addr()])).unwrap();
    turn_until(&mut client, "a connection to the new address", |_| {
        new.has_waiting()
    });
    assert_eq!(
        (next(&asked), next(&asked)),
        ("a.name".into(), "a.name".into())
    );
    assert!(asked.try_recv().is_err(), "asked for again");
}

/// It was joined although it had been dropped from the queue, and whoever joined it waited in vain.
#[test]
fn a_lookup_that_was_dropped_before_it_began_is_begun_for_the_next_to_ask() {
    let (mut client, asked, answer) = client_asking(|it| {
        it.timeouts.resolve = PATIENCE;
        it.timeouts.connect = PATIENCE;
        it.lookups.threads_max = 1;
        it.lookups.stuck_threads_max = 0;
    });
    let peer = Peer::new();
    connect(&mut client, "a");
    assert_eq!(next(&asked), "a");
    let dropped = connect(&mut client, "b");
    client.abort(dropped).unwrap();
    until_closed(&mut client, dropped);
    let joins = connect(&mut client, "b");
    for _ in 0..2 {
        answer.send(Ok(vec![peer.addr()])).unwrap();
    }
    assert_eq!(next(&asked), "b");
    let is_up = |_: &mut Client, event| match event {
        Event::Connected { connection, .. } => (connection == joins).then_some(()),
        other => panic!("{other:?}"),
    };
    client_until(&mut client, is_up);
}

/// Who joined late a lookup that hangs is not left alone with it: another is begun while it waits.
#[test]
fn a_lookup_that_hangs_is_begun_anew_for_those_who_joined_it_late() {
    let (mut client, asked, answer) = client_asking(|it| it.timeouts.resolve = ms(50));
    let peer = Peer::new();
    let patient = Timeouts {
        resolve: PATIENCE,
        connect: PATIENCE,
        ..Timeouts::default()
    };
    let first = connect(&mut client, "a.name");
    let upstream = Upstream::new("a.name:1").timeouts(patient);
    let upstream = client.add(upstream).unwrap();
    until_closed(&mut client, first);
    assert_eq!([next(&asked), next(&asked)], ["a.name", "a.name"]);
    for _ in 0..2 {
        answer.send(Ok(vec![peer.addr()])).unwrap();
    }
    turn_until(&mut client, "a connection", |client| {
        client.upstream_stats(upstream).unwrap().open == 1
    });
}

/// Each is tried once, however often it is named, and the one that answers is found.
#[test]
fn of_a_hundred_answers_the_one_that_serves_is_found() {
    let (mut client, _asked, answer) = client_asking(|it| it.timeouts.resolve = PATIENCE);
    let peer = Peer::new();
    let port = peer.addr().port();
    // Loopback is all of 127/8, and nobody listens at these.
    let mut addresses: Vec<SocketAddr> = (0..99)
        .map(|last| SocketAddr::from(([127, 0, 22, last], port)))
        .collect();
    addresses.push(peer.addr());
    answer.send(Ok(addresses)).unwrap();
    let connection = connect(&mut client, "a.name");
    until_connected(&mut client, connection);
    assert_eq!(client.peer_addr(connection), Some(peer.addr()));
}

#[test]
fn whatever_a_resolver_answers_is_told_by_name() {
    let nowhere = ResolveError::NotFound;
    for (says, expected) in [
        (Err(nowhere), nowhere),
        (Ok(Vec::new()), nowhere),
        (Err(ResolveError::TryAgain), ResolveError::TryAgain),
        (Err(ResolveError::Failed(-4)), ResolveError::Failed(-4)),
    ] {
        let (mut client, _asked, answer) = client_asking(|it| it.timeouts.resolve = PATIENCE);
        answer.send(says).unwrap();
        let connection = connect(&mut client, "a.name");
        let error = until_closed(&mut client, connection).error.unwrap();
        assert_eq!(error.phase, Phase::Resolve);
        assert_eq!(error.source, Source::Resolve(expected));
    }
}

/// No time is too short and none too long for it to be a time.
#[test]
fn times_and_bounds_at_their_extremes_serve_all_the_same() {
    for (time, bound) in [(Duration::ZERO, 0), (Duration::MAX, usize::MAX)] {
        let (mut client, _asked, answer) = client_asking(|it| {
            it.timeouts.resolve = Duration::MAX;
            it.timeouts.connect = Duration::MAX;
            it.timeouts.connect_next = time;
            it.timeouts.connect_address = time.max(Duration::from_nanos(1));
            it.limits.connect_attempts_max = bound.max(1);
            let lookups = &mut it.lookups;
            (lookups.fresh_for, lookups.negative_for) = (time, time);
            (lookups.stale_for, lookups.winner_for) = (time, time);
            lookups.names_max = bound.min(1 << 20);
            lookups.addresses_max = bound.max(1);
            (lookups.threads_max, lookups.stuck_threads_max) = (bound.max(1), bound);
        });
        let peer = Peer::new();
        for _ in 0..3 {
            answer.send(Ok(vec![peer.addr()])).unwrap();
            let connection = connect(&mut client, "a.name");
            until_connected(&mut client, connection);
        }
    }
}
