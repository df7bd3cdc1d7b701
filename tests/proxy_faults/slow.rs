//! Fault 27: a program that does not pull its events, behind a way that is slow or not.

use std::io::Write;
use std::time::{Duration, Instant};

use taut::{Client, Event, Framing};

use crate::proxy::Proxy;
use crate::recorder::{Asked, Recorder};
use crate::support::*;

/// Turns and pulls nothing for as long as anything moves at the proxy.
fn turn_without_pulling(client: &mut Client, proxy: &Proxy) {
    let (mut before, mut since) = (proxy.counts(), Instant::now());
    while since.elapsed() < ms(100) {
        client.turn(Some(ms(1))).unwrap();
        let now = proxy.counts();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

#[test]
fn replies_that_a_slow_program_does_not_pull_wait_for_it_in_order_over_every_way() {
    let ways: [fn(&mut crate::proxy::Way); 4] = [
        |_| (),
        |way| way.slices = Some((3, Duration::ZERO)),
        |way| way.latency = ms(5),
        |way| way.bytes_per_second = Some(20_000),
    ];
    for change in ways {
        let server = Recorder::answering();
        let proxy = Proxy::new(server.address());
        proxy.set(|it| it.both_ways(change));
        let mut client = client_with(|it| it.limits.events_max = 16);
        let mut asked = Asked::default();
        let upstream = client
            .add(taut::Upstream::new(proxy.target()).depth(100))
            .unwrap();
        for _ in 0..100 {
            asked.ask(&mut client, upstream, far());
        }
        eventually("all replies passed on", || {
            client.turn(Some(ms(1))).unwrap();
            proxy.counts().to_client == 900
        });
        // Events wait, so it reads no more than it must.
        for _ in 0..4 {
            client.turn(Some(Duration::ZERO)).unwrap();
        }
        let (mut told, mut next) = (0, 0);
        while let Some(event) = client.next_event() {
            let request = asked.ledger.book(&client, event);
            assert_eq!(request, asked.numbers[next].0, "out of turn");
            (told, next) = (told + 1, next + 1);
        }
        assert_eq!(told, 16, "events wait only up to their bound");
        asked.ledger.until_all(&mut client);
        drop((client, proxy));
        assert_eq!(server.judge(&asked).replies, 100);
    }
}

#[test]
fn a_program_that_does_not_pull_holds_the_peer_back_through_the_proxy_and_loses_nothing() {
    let (limit, read) = (32 << 10, 16 << 10);
    let mut client =
        client_with(|it| (it.limits.unpulled_bytes_max, it.limits.read_bytes) = (limit, read));
    let peer = Peer::new();
    let proxy = Proxy::new(peer.addr());
    let connection = client.connect(&proxy.target(), Framing::line()).unwrap();
    until_connected(&mut client, connection);
    let mut stream = peer.accept();
    let lines: Vec<Vec<u8>> = (0..400_000).map(|n| format!("{n:027}\n").into()).collect();
    let bytes = lines.concat();
    let server = std::thread::spawn(move || stream.write_all(&bytes));
    turn_without_pulling(&mut client, &proxy);
    let received = client.transferred(connection).unwrap().1 as usize;
    assert!(received <= limit + read, "{received} bytes taken");
    assert!(!server.is_finished(), "nothing holds the peer back");

    // Lifted and set while it catches up.
    for (n, line) in lines.iter().enumerate() {
        match n % 100_000 {
            20_000 => proxy.set(|it| it.to_client.slices = Some((5_000, Duration::ZERO))),
            50_000 => proxy.set(|it| it.to_client.latency = ms(2)),
            80_000 => proxy.heal(),
            _ => {}
        }
        assert_eq!(next_frame(&mut client, connection), line[..27]);
    }
    server.join().unwrap().unwrap();
    assert!(until_closed(&mut client, connection).frames.is_empty());
}

/// The loop of the program stands still while replies and the end of the connection come.
#[test]
fn a_program_that_stood_still_is_told_first_what_came_and_then_the_end() {
    for end in End::BOTH {
        let server = Recorder::answering();
        let proxy = Proxy::new(server.address());
        let (mut client, mut asked) = (client(), Asked::default());
        let upstream = client
            .add(taut::Upstream::new(proxy.target()).depth(8))
            .unwrap();
        proxy.set(|it| it.to_client.limit = Some((5 * 9, end)));
        for _ in 0..8 {
            asked.ask(&mut client, upstream, far());
        }
        turn_until(&mut client, "the connection", |client| {
            client.upstream_stats(upstream).unwrap().open == 1
        });
        client.flush();
        eventually("the cut", || proxy.counts().to_client == 45);
        asked.ledger.until_all(&mut client);
        assert_eq!((asked.ledger.replies(), asked.ledger.failures()), (5, 3));
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.next_event(), None::<Event>);
        drop((client, proxy));
        let outcomes = server.judge(&asked);
        assert_eq!((outcomes.replies, outcomes.maybe_sent), (5, 3));
    }
}
