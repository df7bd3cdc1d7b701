//! A name that moves while connections to its old address stand.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use taut::{Sent, Upstream};

use crate::server::Rule;
use crate::support::*;
use crate::world::in_a_world_with_names;

const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 2);

/// Answers each request on a connection that the test holds.
fn answer(stream: &mut TcpStream) {
    let line = read_exactly(stream, 4);
    std::io::Write::write_all(stream, &line).unwrap();
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn connections_that_stand_are_used_after_their_name_has_moved_and_new_ones_go_where_it_is() {
    in_a_world_with_names("dns-moves", |names| {
        let old = Peer::at((OLD, 0));
        let port = old.addr().port();
        let new = Peer::at((NEW, port));
        names.say("moves.test", Rule::addresses([OLD]));
        let mut client = client_with(|it| {
            it.lookups.fresh_for = ms(100);
            it.lookups.negative_for = ms(20);
            it.reconnect.first_pause_max = ms(10);
            it.reconnect.pause_max = ms(20);
        });
        let upstream = Upstream::new(format!("moves.test:{port}"));
        let upstream = client.add(upstream).unwrap();
        let mut ledger = Ledger::default();
        let first = ledger.request(&mut client, upstream, b"one\n", far());
        client.turn(Some(ms(1))).unwrap();
        let served = std::thread::spawn(move || {
            let mut stream = old.accept();
            answer(&mut stream);
            (old, stream)
        });
        assert_eq!(ledger.until(&mut client, first).reply(), b"one");
        let (old, mut stream) = served.join().unwrap();

        // It moves. What stands is asked all the same, and nobody asks for the name.
        names.say("moves.test", Rule::addresses([NEW]));
        stall_until(Instant::now() + ms(120));
        let second = ledger.request(&mut client, upstream, b"two\n", far());
        client.turn(Some(ms(1))).unwrap();
        answer(&mut stream);
        assert_eq!(ledger.until(&mut client, second).reply(), b"two");
        assert_eq!(names.asked("moves.test"), 1);

        // The old address goes. The next connection is made to the new one.
        drop((old, stream));
        let connection = only_connection(&client, upstream);
        until_in_kernel(&client, connection, "one\ntwo\n".len() as u64 + 1);
        let served = std::thread::spawn(move || answer(&mut new.accept()));
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "never served again");
            let third = ledger.request(&mut client, upstream, b"tri\n", far());
            match ledger.until(&mut client, third) {
                Ended::Reply(reply) => break assert_eq!(reply, b"tri"),
                Ended::Failed(error) => assert_eq!(error.sent, Sent::No, "{error}"),
            }
        }
        served.join().unwrap();
        assert_eq!(names.asked("moves.test"), 2);
    });
}

/// An address that is still fresh and that nobody serves any more is not believed for as long as it is fresh.
#[test]
#[ignore = "needs root: makes namespaces"]
fn a_fresh_address_that_cannot_be_connected_to_is_asked_for_again_soon() {
    in_a_world_with_names("dns-stale", |names| {
        let old = Peer::at((OLD, 0));
        let port = old.addr().port();
        names.say("moves.test", Rule::addresses([OLD]));
        let mut client = client_with(|it| {
            it.lookups.negative_for = ms(20);
            it.reconnect.first_pause_max = ms(10);
            it.reconnect.pause_max = ms(20);
        });
        let warm = Upstream::new(format!("moves.test:{port}")).connections(1..=1);
        let upstream = client.add(warm).unwrap();
        let until_open = |client: &mut taut::Client, connects| {
            let deadline = Instant::now() + PATIENCE;
            while client.upstream_stats(upstream).unwrap().connects < connects {
                assert!(Instant::now() < deadline, "no connection stands");
                turn(client, ms(5));
                while client.next_event().is_some() {}
            }
        };
        until_open(&mut client, 1);
        let new = Peer::at((NEW, port));
        names.say("moves.test", Rule::addresses([NEW]));
        drop((old.accept(), old));
        until_open(&mut client, 2);
        new.accept();
        assert!(names.asked("moves.test") >= 2);
    });
}
