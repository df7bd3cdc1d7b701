//! A name server that is silent: for one name, for one family, for so many that every thread is stuck.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use taut::{Client, ConnectionId, Framing, Phase, ResolveError, Sent, Source, Upstream};

use crate::server::Rule;
use crate::support::*;
use crate::world::in_a_world_with_names;

const HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// The helper threads, and those that may be started in the place of stuck ones, by default.
const THREADS: usize = 4 + 4;

fn connect(client: &mut Client, name: &str, port: u16) -> ConnectionId {
    client
        .connect(&format!("{name}:{port}"), Framing::line())
        .unwrap()
}

fn hanging(timeout: Duration) -> Client {
    client_with(|it| it.timeouts.resolve = timeout)
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn a_name_server_that_hangs_ends_each_request_by_its_own_time_and_holds_up_nobody_else() {
    in_a_world_with_names("dns-hangs", |names| {
        names.say("hangs.test", Rule::silent());
        let (target, _other) = serve(1, echo);
        let mut client = hanging(ms(200));
        let began = Instant::now();
        let stuck = Upstream::new("hangs.test:7000").connections(2).depth(4);
        let stuck = client.add(stuck).unwrap();
        let other = client.add(Upstream::new(target)).unwrap();
        let mut ledger = Ledger::default();
        let hung: Vec<_> = (0..20)
            .map(|_| ledger.request(&mut client, stuck, b"never\n", far()))
            .collect();
        // The loop goes on: another upstream is served as long as the name hangs.
        while ledger.failures() == 0 {
            let request = ledger.request(&mut client, other, b"meanwhile\n", far());
            assert_eq!(ledger.until(&mut client, request).reply(), b"meanwhile");
        }
        ledger.until_all(&mut client);
        assert!(began.elapsed() >= ms(200), "{:?}", began.elapsed());
        for request in hung {
            let error = ledger.ended(request).unwrap().clone().error();
            assert_eq!(
                (error.phase, error.sent, error.source),
                (Phase::Resolve, Sent::No, Source::Timeout(ms(200)))
            );
        }
        assert!(ledger.replies() > 0);
    });
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn an_upstream_whose_name_server_comes_back_is_served_without_being_added_again() {
    in_a_world_with_names("dns-back", |names| {
        names.say("back.test", Rule::silent());
        let peer = Peer::at((HOME, 0));
        let mut client = client_with(|it| {
            it.timeouts.resolve = ms(100);
            it.timeouts.wait = ms(300);
            it.lookups.negative_for = ms(50);
            it.reconnect.pause_max = ms(50);
        });
        let target = format!("back.test:{}", peer.addr().port());
        let upstream = client.add(Upstream::new(target)).unwrap();
        let mut ledger = Ledger::default();
        let request = ledger.request(&mut client, upstream, b"too early\n", far());
        assert_eq!(ledger.until(&mut client, request).error().sent, Sent::No);
        names.say("back.test", Rule::addresses([HOME]));
        let served = std::thread::spawn(move || echo(peer.accept()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "never served again");
            let request = ledger.request(&mut client, upstream, b"again\n", far());
            match ledger.until(&mut client, request) {
                Ended::Reply(reply) => break assert_eq!(reply, b"again"),
                Ended::Failed(error) => assert_eq!(error.sent, Sent::No, "{error}"),
            }
        }
        ledger.until_all(&mut client);
        drop(client);
        served.join().unwrap();
    });
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn when_every_thread_is_stuck_addresses_and_known_names_still_connect_and_threads_come_back() {
    in_a_world_with_names("dns-stuck", |names| {
        let peer = Peer::at((HOME, 0));
        let port = peer.addr().port();
        names.say("known.test", Rule::addresses([HOME]));
        let mut client = hanging(ms(150));
        let known = connect(&mut client, "known.test", port);
        until_connected(&mut client, known);
        for n in 0..=THREADS {
            let name = format!("stuck-{n}.test");
            names.say(&name, Rule::silent());
            let stuck = connect(&mut client, &name, port);
            let error = until_closed(&mut client, stuck).error.unwrap();
            let timeout = Source::Timeout(ms(150));
            assert_eq!((error.phase, error.source), (Phase::Resolve, timeout));
        }
        // The first threads may have come back by now, so the last names may have found one again.
        assert!((0..THREADS).all(|n| names.asked(&format!("stuck-{n}.test")) > 0));
        for target in [format!("known.test:{port}"), peer.target()] {
            let connection = client.connect(&target, Framing::line()).unwrap();
            until_connected(&mut client, connection);
        }
        names.say("new.test", Rule::addresses([HOME]));
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no thread came back");
            let new = connect(&mut client, "new.test", port);
            let connected = client_until(&mut client, |_, event| match event {
                taut::Event::Connected { connection, .. } => Some(connection == new),
                taut::Event::Closed { connection, .. } => {
                    assert_eq!(connection, new);
                    Some(false)
                }
                other => panic!("{other:?}"),
            });
            if connected {
                break;
            }
        }
    });
}

/// glibc asks for both families at once and waits for both: the one that is silent costs its own time, and the answer
/// of the other is used when that is over.
#[test]
#[ignore = "needs root: makes namespaces"]
fn a_name_server_that_is_silent_for_one_family_costs_time_and_no_connection() {
    in_a_world_with_names("dns-one-family", |names| {
        let half = Rule {
            silent_for_v6: true,
            ..Rule::addresses([HOME])
        };
        names.say("half.test", half);
        let peer = Peer::at((HOME, 0));
        let port = peer.addr().port();
        // Whoever has less time is told so.
        let mut hasty = hanging(ms(100));
        let connection = connect(&mut hasty, "half.test", port);
        let error = until_closed(&mut hasty, connection).error.unwrap();
        let timeout = Source::Timeout(ms(100));
        assert_eq!((error.phase, error.source), (Phase::Resolve, timeout));
        // Whoever has more gets what there is.
        let mut patient = client_with(|it| {
            it.timeouts.resolve = PATIENCE;
            it.timeouts.connect = PATIENCE;
        });
        let began = Instant::now();
        let connection = connect(&mut patient, "half.test", port);
        until_connected(&mut patient, connection);
        println!("connected after {:?}", began.elapsed());
        // And the lookup that came too late for the first is not in vain.
        let connection = connect(&mut hasty, "half.test", port);
        until_connected(&mut hasty, connection);
        assert_silent(&mut hasty);
    });
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn an_address_of_the_family_that_nobody_serves_gives_way_to_the_other() {
    in_a_world_with_names("dns-families", |names| {
        let both = Rule {
            v6: vec![Ipv6Addr::LOCALHOST],
            ..Rule::addresses([HOME])
        };
        names.say("both.test", both);
        let peer = Peer::at((HOME, 0));
        let mut client = client();
        let connection = connect(&mut client, "both.test", peer.addr().port());
        until_connected(&mut client, connection);
        assert_eq!(client.peer_addr(connection), Some(peer.addr()));
        let error = connect(&mut client, "neither.test", 1);
        let error = until_closed(&mut client, error).error.unwrap();
        assert_eq!(error.source, Source::Resolve(ResolveError::NotFound));
    });
}
