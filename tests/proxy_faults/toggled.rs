//! Fault 41: what is wrong with the way changes while requests are in flight.

use std::time::Duration;

use taut::{Class, Client, Config, Deadline, Sent, Source, Upstream, UpstreamId};

use crate::proxy::{Faults, Proxy};
use crate::recorder::{Asked, Recorder};
use crate::support::*;

struct Scene {
    server: Recorder,
    proxy: Proxy,
    client: Client,
    upstream: UpstreamId,
    asked: Asked,
}

fn scene(change: impl FnOnce(&mut Config), shape: impl FnOnce(Upstream) -> Upstream) -> Scene {
    let server = Recorder::answering();
    let proxy = Proxy::new(server.address());
    let mut client = client_with(change);
    let upstream = client.add(shape(Upstream::new(proxy.target()))).unwrap();
    Scene {
        server,
        proxy,
        client,
        upstream,
        asked: Asked::default(),
    }
}

/// Many losses in a row make no pause longer than this.
fn comes_back_soon(config: &mut Config) {
    config.reconnect.first_pause_max = ms(2);
    config.reconnect.pause_max = ms(5);
    config.timeouts.wait = PATIENCE;
}

/// Nothing of this loses a byte, so nothing may fail: each is set and lifted while 16 requests are in flight.
#[test]
fn what_only_delays_fails_no_request_however_often_it_is_set_and_lifted() {
    let mut scene = scene(|_| (), |it| it.connections(2).depth(8));
    let faults: [fn(&mut Faults); 7] = [
        |it| it.both_ways(|way| way.latency = ms(2)),
        |it| it.to_server.latency = ms(4),
        |it| it.to_client.bytes_per_second = Some(50_000),
        |it| it.both_ways(|way| way.slices = Some((1, Duration::ZERO))),
        |it| it.to_client.slices = Some((4, Duration::from_micros(100))),
        |it| it.both_ways(|way| way.slow_close = ms(50)),
        |it| it.both_ways(|way| way.resets_for_fin = true),
    ];
    let proxy = &scene.proxy;
    let (asked, client) = (&mut scene.asked, &mut scene.client);
    asked.keep_asking(client, scene.upstream, 1_400, 16, |n| match n % 100 {
        10 => proxy.set(faults[n / 100 % faults.len()]),
        60 => proxy.heal(),
        _ => {}
    });
    drop(scene.client);
    assert_eq!(scene.server.judge(&scene.asked).replies, 1_400);
    assert_eq!(scene.proxy.counts().accepted, 2);
}

#[test]
fn requests_in_flight_outlast_a_stall_of_either_way_and_get_their_own_replies() {
    let stalls: [fn(&mut Faults); 3] = [
        |it| it.to_server.stalled = true,
        |it| it.to_client.stalled = true,
        |it| it.both_ways(|way| way.stalled = true),
    ];
    let mut scene = scene(|_| (), |it| it.depth(8));
    for stall in stalls.into_iter().cycle().take(12) {
        scene.proxy.set(stall);
        let before = scene.proxy.counts();
        let (asked, client) = (&mut scene.asked, &mut scene.client);
        for _ in 0..8 {
            asked.ask(client, scene.upstream, far());
        }
        // All that can move has moved; the requests hang.
        turn_until(client, "the requests at the proxy", |_| {
            scene.proxy.counts().from_client == before.from_client + 72
        });
        assert_eq!(asked.ledger.open(), 8);
        scene.proxy.heal();
        asked.ledger.until_all(client);
    }
    drop(scene.client);
    assert_eq!(scene.server.judge(&scene.asked).replies, 96);
    assert_eq!(scene.proxy.counts().accepted, 1);
}

#[test]
fn a_stall_longer_than_the_first_byte_may_take_fails_what_is_in_flight_and_the_next_is_answered() {
    let patience = ms(400);
    for stall_replies in [false, true] {
        let mut scene = scene(|it| it.timeouts.first_byte = patience, |it| it.depth(4));
        let (asked, client) = (&mut scene.asked, &mut scene.client);
        asked.ask(client, scene.upstream, far());
        asked.ledger.until_all(client);
        scene.proxy.set(|it| match stall_replies {
            false => it.to_server.stalled = true,
            true => it.to_client.stalled = true,
        });
        let lost = [0; 4].map(|_| asked.ask(client, scene.upstream, far()));
        for request in lost {
            let error = asked.ledger.until(client, request).error();
            assert_eq!(
                (error.class, error.sent, error.source),
                (Class::Transient, Sent::Maybe, Source::Timeout(patience))
            );
        }
        scene.proxy.heal();
        let after = asked.ask(client, scene.upstream, Deadline::after(PATIENCE));
        asked.ledger.until(client, after).reply();
        asked.ledger.until_all(client);
        drop(scene.client);
        let outcomes = scene.server.judge(&scene.asked);
        assert_eq!((outcomes.replies, outcomes.maybe_sent), (2, 4));
    }
}

/// Cut with a FIN or a reset, at any moment, with requests in flight, waiting, and on their way back.
#[test]
fn cuts_at_any_moment_end_each_request_once_and_what_is_said_of_it_is_true() {
    let mut total = [0; 4];
    for end in End::BOTH {
        for latency in [Duration::ZERO, ms(1)] {
            let mut scene = scene(comes_back_soon, |it| it.connections(3).depth(6));
            let proxy = &scene.proxy;
            proxy.set(|it| it.both_ways(|way| way.latency = latency));
            let (asked, client) = (&mut scene.asked, &mut scene.client);
            asked.keep_asking(client, scene.upstream, 1_000, 30, |n| match n % 50 {
                20 => proxy.cut(end),
                40 => {
                    // Each connection that stands, at some byte of its replies.
                    let far_along = 20 * (n as u64 / 50 % 7);
                    proxy.set(|it| it.to_client.limit = Some((far_along, end)));
                }
                45 => proxy.set(|it| it.to_client.limit = None),
                _ => {}
            });
            proxy.heal();
            asked.keep_asking(client, scene.upstream, 20, 1, |_| ());
            // Healed, it serves all.
            for (request, _) in &asked.numbers[1_000..] {
                asked.ledger.ended(*request).unwrap().clone().reply();
            }
            drop(scene.client);
            let it = scene.server.judge(&scene.asked);
            for (sum, n) in
                total
                    .iter_mut()
                    .zip([it.replies, it.not_sent, it.maybe_sent, it.surely_sent])
            {
                *sum += n;
            }
        }
    }
    let [replies, not_sent, maybe, surely] = total;
    println!("{replies} replies; not sent {not_sent}, maybe {maybe}, surely {surely}");
    assert!(replies > 0 && maybe > 0, "the cuts met nothing");
}

#[test]
fn a_server_that_goes_down_with_requests_in_flight_is_refused_by_name_and_found_again() {
    let mut scene = scene(comes_back_soon, |it| it.depth(4));
    let (asked, client) = (&mut scene.asked, &mut scene.client);
    for _ in 0..5 {
        asked.ask(client, scene.upstream, Deadline::after(PATIENCE));
        asked.ledger.until_all(client);
        scene.proxy.set(|it| {
            it.down = true;
            it.to_client.stalled = true;
        });
        let in_flight = [0; 3].map(|_| asked.ask(client, scene.upstream, far()));
        client.flush();
        scene.proxy.cut(End::Rst);
        for request in in_flight {
            let error = asked.ledger.until(client, request).error();
            assert_eq!((error.class, error.sent), (Class::Transient, Sent::Maybe));
        }
        let refused = asked.ask(client, scene.upstream, Deadline::after(PATIENCE));
        let error = asked.ledger.until(client, refused).error();
        assert_eq!(
            (error.class, error.sent, error.errno()),
            (Class::Transient, Sent::No, Some(libc::ECONNREFUSED))
        );
        scene.proxy.heal();
    }
    let back = asked.ask(client, scene.upstream, Deadline::after(PATIENCE));
    asked.ledger.until(client, back).reply();
    drop(scene.client);
    let outcomes = scene.server.judge(&scene.asked);
    assert_eq!((outcomes.replies, outcomes.not_sent), (6, 5));
}

/// The server ends its connections politely, but its FIN comes late or as a reset.
#[test]
fn a_slow_close_is_no_end_before_it_comes() {
    let mut scene = scene(|_| (), |it| it);
    let (asked, client) = (&mut scene.asked, &mut scene.client);
    asked.ask(client, scene.upstream, far());
    asked.ledger.until_all(client);
    let hour = Duration::from_secs(3600);
    scene.proxy.set(|it| it.to_client.slow_close = hour);
    let connection = only_connection(client, scene.upstream);
    // Our own half of this other connection ends it at the server, whose FIN is held back.
    let raw = client
        .connect(&scene.proxy.target(), taut::Framing::line())
        .unwrap();
    until_connected(client, raw);
    client.close(raw).unwrap();
    let told = until_closed(client, raw);
    let error = told.error.unwrap();
    assert_eq!(
        error.source,
        Source::Timeout(Config::default().timeouts.linger)
    );
    assert_eq!(only_connection(client, scene.upstream), connection);
    scene.proxy.heal();
    asked.ask(client, scene.upstream, far());
    asked.ledger.until_all(client);
    drop(scene.client);
    assert_eq!(scene.server.judge(&scene.asked).replies, 2);
}
