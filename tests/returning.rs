//! Coming back after an outage, over real sockets: one attempt at a time while the server is away, and the rest in steps
//! when it is back.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use support::*;
use taut::{Breaker, Upstream};

const CONNECTIONS: usize = 8;

/// A listener whose backlog is full, with the connections that fill it: a SYN to it is dropped.
fn full_listener() -> (SocketAddr, Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if socket.connect_timeout(&address, ms(30)).is_err() {
            return (address.as_socket().unwrap(), listener, waiting);
        }
        waiting.push(socket);
    }
}

/// Attempts to connect to this port that the kernel knows of: in SYN_SENT.
fn attempts(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let to = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.len() > 3 && columns[2].ends_with(&to) && columns[3] == "02"
    };
    table.lines().filter(is_one).count()
}

#[test]
fn a_server_that_is_away_sees_one_attempt_at_a_time_and_when_it_is_back_the_rest_in_steps() {
    let (address, listener, waiting) = full_listener();
    let mut client = client_with(|it| {
        it.timeouts.connect = ms(200);
        it.reconnect.pause_max = ms(20);
        it.breaker = Breaker::off();
    });
    let upstream = client
        .add(Upstream::new(address.to_string()).connections(CONNECTIONS..=CONNECTIONS))
        .unwrap();
    let failures =
        |client: &taut::Client| client.upstream_stats(upstream).unwrap().connect_failures;
    turn_until(&mut client, "the end of the first attempts", |client| {
        failures(client) >= CONNECTIONS as u64
    });
    let mut seen = BTreeSet::new();
    turn_until(&mut client, "five more attempts", |client| {
        let connecting = client.upstream_stats(upstream).unwrap().connecting;
        assert!(connecting <= 1, "{connecting} attempts at a time");
        // The kernel's table may be long: it is read once an attempt.
        if connecting == 1 && !seen.contains(&failures(client)) {
            let attempts = attempts(address.port());
            assert!(attempts <= 1, "{attempts} attempts at a time");
            seen.extend((attempts == 1).then_some(failures(client)));
        }
        failures(client) >= CONNECTIONS as u64 + 5
    });
    assert!(seen.len() > 1, "they were not seen: {seen:?}");

    // It takes whoever comes, first those who waited.
    listener.listen(128).unwrap();
    let (accepts, accepted_at) = mpsc::channel();
    let of_test = waiting.len();
    let accepting = std::thread::spawn(move || {
        for nth in 0..of_test + CONNECTIONS {
            let (socket, _) = listener.accept().unwrap();
            if nth >= of_test {
                accepts.send(Instant::now()).unwrap();
                std::thread::spawn(move || echo(patient(socket.into())));
            }
        }
    });
    drop(waiting);
    turn_until(&mut client, "all connections", |client| {
        client.upstream_stats(upstream).unwrap().open == CONNECTIONS
    });
    accepting.join().unwrap();
    let accepted_at: Vec<Instant> = accepted_at.iter().collect();
    // 1, 2 and 4 others in steps of 100 ms: the last one in the last quarter of the third. The thread that accepts may
    // have come late to the first.
    let lasted = *accepted_at.last().unwrap() - accepted_at[0];
    assert!(lasted >= ms(150), "all at once: {lasted:?}");

    let mut ledger = Ledger::default();
    for _ in 0..100 {
        ledger.request(&mut client, upstream, b"ping\n", far());
    }
    ledger.until_all(&mut client);
    assert_eq!(ledger.replies(), 100);
}

#[test]
fn a_retry_that_is_asked_for_does_not_wait_for_the_pause() {
    let (address, listener, waiting) = full_listener();
    let mut client = client_with(|it| {
        it.timeouts.connect = ms(200);
        // By chance it may be short, and hardly ever is.
        it.reconnect.first_pause_max = std::time::Duration::from_secs(100_000);
        it.reconnect.pause_max = std::time::Duration::from_secs(100_000);
    });
    let upstream = client
        .add(Upstream::new(address.to_string()).connections(3))
        .unwrap();
    turn_until(&mut client, "the end of the first attempts", |client| {
        client.upstream_stats(upstream).unwrap().connect_failures == 3
    });
    listener.listen(128).unwrap();
    drop(waiting);
    eventually("room in the backlog", || {
        listener.set_nonblocking(true).unwrap();
        listener.accept().is_err()
    });
    client.retry_now(upstream).unwrap();
    assert_eq!(client.upstream_stats(upstream).unwrap().connecting, 1);
    turn_until(&mut client, "the connection", |client| {
        client.upstream_stats(upstream).unwrap().open == 1
    });
}
