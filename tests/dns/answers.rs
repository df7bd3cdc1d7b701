//! What a name server says at once.

use std::net::{Ipv4Addr, SocketAddr};

use taut::{Class, Client, ConnectionId, Error, Framing, Phase, ResolveError, Sent, Source};

use crate::server::Rule;
use crate::support::*;
use crate::world::in_a_world_with_names;

const HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

fn connect(client: &mut Client, name: &str, peer: SocketAddr) -> ConnectionId {
    let target = format!("{name}:{}", peer.port());
    client.connect(&target, Framing::line()).unwrap()
}

/// Why a connection to a name could not be made.
fn refusal(client: &mut Client, name: &str) -> Error {
    let connection = client
        .connect(&format!("{name}:1"), Framing::line())
        .unwrap();
    until_closed(client, connection).error.unwrap()
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn a_name_is_asked_for_once_and_whatever_it_says_of_its_time_to_live() {
    in_a_world_with_names("dns-once", |names| {
        names.say("a.test", Rule::addresses([HOME]));
        let (mut client, peer) = (client(), Peer::at((HOME, 0)));
        for _ in 0..3 {
            let connection = connect(&mut client, "a.test", peer.addr());
            until_connected(&mut client, connection);
            assert_eq!(client.peer_addr(connection), Some(peer.addr()));
        }
        assert_eq!(names.asked("a.test"), 1);
    });
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn each_refusal_has_its_name_and_holds_for_a_while() {
    in_a_world_with_names("dns-refusals", |names| {
        names.say("failing.test", Rule::code(2));
        names.say("empty.test", Rule::default());
        let mut client = client();
        for (name, said, class) in [
            ("unknown.test", ResolveError::NotFound, Class::Persistent),
            ("failing.test", ResolveError::TryAgain, Class::Transient),
            ("empty.test", ResolveError::NotFound, Class::Persistent),
        ] {
            let error = refusal(&mut client, name);
            assert_eq!(
                (error.class, error.phase, error.sent, error.source),
                (class, Phase::Resolve, Sent::No, Source::Resolve(said)),
                "{name}"
            );
            let asked = names.asked(name);
            assert!(asked > 0, "{name} was not asked for");
            assert_eq!(refusal(&mut client, name), error);
            assert_eq!(names.asked(name), asked, "{name} was asked for again");
        }
        assert_silent(&mut client);
    });
}

#[test]
#[ignore = "needs root: makes namespaces"]
fn a_name_that_begins_to_exist_is_found_when_the_refusal_no_longer_holds() {
    in_a_world_with_names("dns-begins", |names| {
        let mut client = client_with(|it| it.lookups.negative_for = ms(50));
        let peer = Peer::at((HOME, 0));
        let error = refusal(&mut client, "a.test");
        assert_eq!(error.source, Source::Resolve(ResolveError::NotFound));
        names.say("a.test", Rule::addresses([HOME]));
        stall_until(std::time::Instant::now() + ms(60));
        let connection = connect(&mut client, "a.test", peer.addr());
        until_connected(&mut client, connection);
    });
}

/// They do not fit into a datagram, so the answer comes over TCP. One of them is somebody's; whichever it is it is found,
/// for all are tried.
#[test]
#[ignore = "needs root: makes namespaces"]
fn of_a_hundred_addresses_the_only_one_that_listens_is_found() {
    in_a_world_with_names("dns-hundred", |names| {
        let all: Vec<Ipv4Addr> = (1..=100).map(|n| Ipv4Addr::new(127, 0, 1, n)).collect();
        names.say("many.test", Rule::addresses(all.clone()));
        for home in [all[0], all[41], all[99]] {
            let (mut client, peer) = (client(), Peer::at((home, 0)));
            let connection = connect(&mut client, "many.test", peer.addr());
            until_connected(&mut client, connection);
            assert_eq!(client.peer_addr(connection), Some(peer.addr()));
            assert_eq!(client.connections(), 1);
        }
        assert!(names.asked_by_stream("many.test") > 0);
        // And where nobody is: one end, by name.
        let mut client = client();
        let error = refusal(&mut client, "many.test");
        assert_eq!(error.errno(), Some(nix::libc::ECONNREFUSED));
        assert_silent(&mut client);
    });
}
