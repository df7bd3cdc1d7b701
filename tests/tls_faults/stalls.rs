//! Handshakes that come to a stand: at any step, or a byte at a time for ever. They end at their own time, which bytes
//! do not put off, and the loop rests meanwhile.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use taut::{Class, Client, Framing, Phase, Sent, Source, Timeouts, Upstream};

use crate::common::*;
use crate::proxy::Proxy;
use crate::support::*;
use crate::tls::*;

const HANDSHAKE: Duration = Duration::from_millis(300);

fn client_of_little_patience() -> Client {
    client_with(|it| it.timeouts.handshake = HANDSHAKE)
}

/// A raw connection and a request, each with a line, that meet a handshake that goes no further.
#[track_caller]
fn assert_given_up(client: &mut Client, target: &str, tls: &taut::TlsConfig, what: &str) {
    let line = [MARKER, b"\n"].concat();
    let expected = (Class::Transient, Phase::Handshake, Sent::No);

    let calm = Calm::begins();
    let connection = client.connect_tls(target, Framing::line(), tls).unwrap();
    client.send(connection, &line).unwrap();
    let told = until_closed(client, connection);
    let error = told.error.unwrap();
    assert_eq!(
        (kind(&error), told.written),
        (expected, 0),
        "{what}: {error}"
    );
    assert_eq!(error.source, Source::Timeout(HANDSHAKE), "{what}");
    assert_in_time(&calm, HANDSHAKE);
    calm.ends(4);

    let calm = Calm::begins();
    let upstream = Upstream::new(target).tls(tls.clone());
    let (upstream, mut ledger) = (client.add(upstream).unwrap(), Ledger::default());
    let request = ledger.request(client, upstream, &line, far());
    let error = ledger.until(client, request).error();
    assert_eq!(kind(&error), expected, "{what}: {error}");
    assert_eq!(error.source, Source::Timeout(HANDSHAKE), "{what}");
    assert_in_time(&calm, HANDSHAKE);
    calm.ends(4);
    ledger.until_all(client);
}

#[test]
fn a_handshake_that_stalls_anywhere_ends_at_its_own_time_and_nothing_was_sent() {
    let ours = Authority::new("ours");
    let mut client = client_of_little_patience();
    for version in [&TLS12, &TLS13] {
        let terms = Terms::speaking(&ours.issue_even(), &[version]);
        let tls = trusting_with(&ours, |it| it.sessions_max(0));
        // None; within a header, a hello, a certificate; before the last byte of TLS 1.3.
        for after in [0, 3, 60, 200, 500] {
            let server = TlsServer::answering(&terms);
            let proxy = Proxy::recording(server.address());
            // The rest of it comes an hour later.
            proxy.set(|it| {
                it.to_client.slices = Some((after.max(1), Duration::from_secs(3600)));
                it.to_client.stalled = after == 0;
            });
            let what = format!("{version:?} after {after}");
            assert_given_up(&mut client, &proxy.target(), &tls, &what);
            assert_eq!(sockets_to(proxy.address()), 0, "{what}");
            for heard in proxy.recorded() {
                assert_nothing_of_the_program(&heard);
            }
        }
    }
    assert_no_timers_are_left(client);
}

/// Nobody accepts: the kernel has completed the connection, and says nothing more.
#[test]
fn a_server_that_never_accepts_is_given_up_by_the_handshakes_time() {
    let ours = Authority::new("ours");
    let peer = Peer::new();
    let mut client = client_of_little_patience();
    assert_given_up(&mut client, &peer.target(), &trusting(&ours), "no accept");
    assert_eq!(sockets_to(peer.addr()), 0);
    assert_no_timers_are_left(client);
}

#[test]
fn a_handshake_that_drips_is_not_kept_alive_by_its_bytes() {
    let (ours, terms) = ours();
    let server = TlsServer::answering(&terms);
    let proxy = Proxy::recording(server.address());
    proxy.set(|it| it.to_client.slices = Some((1, ms(5))));
    let line = [MARKER, b"\n"].concat();
    let mut client = client_of_little_patience();
    let calm = Calm::begins();
    let tls = trusting(&ours);
    let connection = client.connect_tls(&proxy.target(), Framing::line(), &tls);
    let connection = connection.unwrap();
    client.send(connection, &line).unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!(error.source, Source::Timeout(HANDSHAKE), "{error}");
    assert_in_time(&calm, HANDSHAKE);
    // Each byte that comes is a turn.
    calm.ends(80);
    assert_nothing_of_the_program(&proxy.recorded()[0]);
    assert_nothing_is_left(client, proxy.address());
}

/// The handshake's time is within that of connecting, whichever is the shorter.
#[test]
fn a_handshake_has_no_more_time_than_all_of_connecting() {
    let ours = Authority::new("ours");
    let peer = Peer::new();
    let mut client = client_with(|it| it.timeouts.connect = HANDSHAKE);
    assert!(Timeouts::default().handshake > HANDSHAKE);
    let calm = Calm::begins();
    let tls = trusting(&ours);
    let connection = client.connect_tls(&peer.target(), Framing::line(), &tls);
    let error = until_closed(&mut client, connection.unwrap())
        .error
        .unwrap();
    let expected = (Class::Transient, Phase::Handshake, Sent::No);
    assert_eq!(kind(&error), expected, "{error}");
    assert_eq!(error.source, Source::Timeout(HANDSHAKE));
    assert_in_time(&calm, HANDSHAKE);
    calm.ends(1);
    assert_nothing_is_left(client, peer.addr());
}

/// The program lets go of it, in the midst.
#[test]
fn a_handshake_that_is_let_go_ends_at_once_and_nothing_was_sent() {
    let (ours, terms) = ours();
    let server = TlsServer::answering(&terms);
    let proxy = Proxy::recording(server.address());
    let tls = trusting(&ours);
    let mut client = client();
    for after in [1, 100, 300] {
        for abort in [false, true] {
            proxy.set(|it| it.to_client.slices = Some((after, Duration::from_secs(3600))));
            let connection = client.connect_tls(&proxy.target(), Framing::line(), &tls);
            let connection = connection.unwrap();
            client.send(connection, &[MARKER, b"\n"].concat()).unwrap();
            turn_until(&mut client, "bytes of the server's", |client| {
                let info = client.tcp_info(connection);
                info.is_ok_and(|info| info.bytes_received >= after as u64)
            });
            match abort {
                false => client.close(connection).unwrap(),
                true => client.abort(connection).unwrap(),
            }
            let calm = Calm::begins();
            let told = until_closed(&mut client, connection);
            assert_eq!(told.written, 0);
            calm.ends(2);
            proxy.heal();
        }
    }
    for heard in proxy.recorded() {
        assert_nothing_of_the_program(&heard);
    }
    assert_nothing_is_left(client, proxy.address());
}

/// A handshake over a line that drips in both directions stands in the end, and is used like any other.
#[test]
fn a_handshake_and_a_request_one_byte_at_a_time_come_through() {
    let ours = Authority::new("ours");
    for version in [&TLS12, &TLS13] {
        let terms = Terms::speaking(&ours.issue_local(), &[version]);
        let server = TlsServer::answering(&terms);
        let proxy = Proxy::recording(server.address());
        proxy.set(|it| it.both_ways(|way| way.slices = Some((1, Duration::from_micros(20)))));
        let (mut client, mut ledger) = (client(), Ledger::default());
        let upstream = Upstream::new(proxy.target()).tls(trusting(&ours));
        let upstream = client.add(upstream.depth(4)).unwrap();
        let requests = [3, 100, 2_000].map(|bytes| {
            let line = [&marked(bytes)[..], b"\n"].concat();
            (ledger.request(&mut client, upstream, &line, far()), line)
        });
        for (request, line) in requests {
            let mut reply = line.to_ascii_uppercase();
            reply.pop();
            assert_eq!(ledger.until(&mut client, request).reply(), reply);
        }
        ledger.until_all(&mut client);
        let stats = client.upstream_stats(upstream).unwrap();
        assert_eq!((stats.connects, stats.losses), (1, 0));
        assert_no_sockets_are_left(client, proxy.address());
        assert_sealed(&proxy.recorded()[0]);
    }
}
