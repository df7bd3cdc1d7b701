//! A breaker over real sockets: a server dies, requests are refused at once, and one trial brings it back.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use support::*;
use taut::{
    Breaker, BreakerState, Client, Error, Event, Limit, RequestId, Source, Upstream, UpstreamId,
};

const REQUEST: &[u8] = b"get a\n";

/// Short pauses, so that connecting is tried often and a trial is soon made.
fn quick() -> Client {
    client_with(|config| {
        config.reconnect.first_pause_max = ms(5);
        config.reconnect.pause_max = ms(5);
        config.breaker = Breaker {
            connect_failures: 3,
            first_pause_max: ms(100),
            pause_max: ms(100),
            ..Breaker::default()
        };
    })
}

fn warm(upstream: Upstream) -> Upstream {
    upstream.connections(1..=1).tell_state()
}

fn state(client: &Client, upstream: UpstreamId) -> BreakerState {
    client.upstream_stats(upstream).unwrap().breaker
}

fn ask(client: &mut Client, upstream: UpstreamId) -> Result<RequestId, Error> {
    client.request(upstream, REQUEST, far())
}

/// Asks until it is let through.
fn let_through(client: &mut Client, upstream: UpstreamId) -> RequestId {
    let mut made = None;
    eventually("a trial", || {
        turn(client, ms(1));
        made = ask(client, upstream).ok();
        made.is_some()
    });
    made.unwrap()
}

fn until_told(client: &mut Client, upstream: UpstreamId, wanted: fn(&Event) -> bool) {
    client_until(client, |_, event| match event {
        event if wanted(&event) => Some(()),
        Event::Up { upstream: it } | Event::Down { upstream: it, .. } if it == upstream => None,
        other => panic!("{other:?}"),
    });
}

fn answered(client: &mut Client, request: RequestId, stream: &mut TcpStream) {
    client.flush();
    read_exactly(stream, REQUEST.len());
    stream.write_all(b"value a\n").unwrap();
    client_until(client, |_, event| match event {
        Event::Reply { request: it, .. } if it == request => Some(()),
        Event::Up { .. } => None,
        other => panic!("{other:?}"),
    });
}

/// The server of a standing upstream is gone; the breaker is open.
fn server_dies(client: &mut Client) -> (UpstreamId, SocketAddr) {
    let peer = Peer::new();
    let address = peer.addr();
    let upstream = client.add(warm(Upstream::new(peer.target()))).unwrap();
    let mut stream = peer.accept();
    until_told(client, upstream, |event| matches!(event, Event::Up { .. }));
    let request = ask(client, upstream).unwrap();
    answered(client, request, &mut stream);
    drop((peer, stream));
    until_told(client, upstream, |event| {
        matches!(event, Event::BreakerOpen { .. })
    });
    (upstream, address)
}

#[test]
fn while_a_server_is_gone_requests_are_refused_at_once_and_nothing_follows() {
    let mut client = quick();
    let (upstream, _) = server_dies(&mut client);
    let mut refused = 0;
    while state(&client, upstream) == BreakerState::Open {
        match ask(&mut client, upstream) {
            Ok(_) => break,
            Err(error) => {
                let Source::BreakerOpen { retry_after } = error.source else {
                    panic!("{error}");
                };
                assert!(retry_after <= ms(100), "{retry_after:?}");
                refused += 1;
            }
        }
        turn(&mut client, ms(1));
    }
    assert!(refused > 0);
    // The trial had no connection, and failed with the next attempt: it is open again.
    let error = client_until(&mut client, |_, event| match event {
        Event::Failed { error, .. } => Some(error),
        Event::Up { .. } | Event::Down { .. } => None,
        other => panic!("{other:?}"),
    });
    assert_eq!(error.errno(), Some(libc::ECONNREFUSED), "{error}");
    assert_eq!(state(&client, upstream), BreakerState::Open);
    assert_eq!(client.upstream_stats(upstream).unwrap().waiting, 0);
}

#[test]
fn a_server_that_is_back_is_closed_by_one_trial() {
    let mut client = quick();
    let (upstream, address) = server_dies(&mut client);
    let peer = Peer::at(address);
    until_told(&mut client, upstream, |event| {
        matches!(event, Event::Up { .. })
    });
    // A connection stands: a trial may be made, before the pause is over.
    assert_eq!(state(&client, upstream), BreakerState::HalfOpen);
    let mut stream = peer.accept();
    let trial = let_through(&mut client, upstream);
    let error = ask(&mut client, upstream).unwrap_err();
    assert!(
        matches!(error.source, Source::BreakerOpen { .. }),
        "{error}"
    );
    answered(&mut client, trial, &mut stream);
    assert_eq!(state(&client, upstream), BreakerState::Closed);
    until_told(&mut client, upstream, |event| {
        matches!(event, Event::BreakerClosed { .. })
    });
    let request = ask(&mut client, upstream).unwrap();
    answered(&mut client, request, &mut stream);
}

#[test]
fn a_client_without_a_breaker_tries_each_request() {
    let (mut client, peer) = (quick(), Peer::new());
    let upstream = Upstream::new(peer.target()).breaker(Breaker::off());
    drop(peer);
    let upstream = client.add(upstream).unwrap();
    for _ in 0..20 {
        let request = ask(&mut client, upstream).unwrap();
        client_until(&mut client, |_, event| {
            event_ends(&event, request).then_some(())
        });
    }
}

fn event_ends(event: &Event, request: RequestId) -> bool {
    matches!(event, Event::Failed { request: it, .. } if *it == request)
}

#[test]
fn frames_come_no_faster_than_the_program_allows_and_nothing_spins() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) =
        standing(&mut client, &peer, |it| it.depth(64).frames_per_second(20));
    let mut stream = streams.remove(0);
    for _ in 0..8 {
        ask(&mut client, upstream).unwrap();
    }
    client.flush();
    read_exactly(&mut stream, 8 * REQUEST.len());
    let (begun, before) = (Instant::now(), turns());
    stream.write_all(&b"value\n".repeat(8)).unwrap();
    for _ in 0..8 {
        client_until(&mut client, |_, event| match event {
            Event::Reply { .. } => Some(()),
            other => panic!("{other:?}"),
        });
    }
    // Two at once, and then one each 50 ms: never sooner.
    assert!(begun.elapsed() >= ms(295), "{:?}", begun.elapsed());
    assert!(turns() - before < 100, "it spins");
}

#[test]
fn a_setting_that_cannot_be_is_refused_by_name() {
    let mut client = client();
    let upstream = || Upstream::new("127.0.0.1:1");
    let lease = Breaker {
        lease: ms(0),
        ..Breaker::default()
    };
    for (upstream, word) in [
        (upstream().frames_per_second(0), "frames"),
        (upstream().in_flight_max(0), "in flight"),
        (upstream().breaker(lease), "breaker.lease"),
        (
            upstream().rate(taut::Rate {
                requests_per_second: 0,
                burst: 1,
            }),
            "rate",
        ),
    ] {
        let error = client.add(upstream).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = Error {
        class: taut::Class::Resource,
        phase: taut::Phase::Write,
        sent: taut::Sent::No,
        source: Source::Full {
            limit: Limit::RequestRate { retry_after: ms(5) },
        },
    };
    assert!(error.to_string().contains("requests_per_second"), "{error}");
}
