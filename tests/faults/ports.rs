//! Source ports that run out, and a connection that meets itself (fault list 19, 20): a namespace may have as few ports
//! as a test likes.

use std::net::SocketAddr;

use taut::{
    Class, Client, Deadline, Framing, Phase, Sent, Source, Upstream, UpstreamId, UpstreamStats,
};

use crate::common::*;
use crate::support::namespaces::{Link, Namespace};
use crate::support::*;

const RANGE: &str = "net.ipv4.ip_local_port_range";

fn stats(client: &Client, upstream: UpstreamId) -> UpstreamStats {
    client.upstream_stats(upstream).unwrap()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_raw_connection_without_a_port_fails_as_a_resource_and_succeeds_when_one_is_free() {
    let link = Link::new("ports");
    let _serving = Serving::echo(&link);
    link.near.sysctl(RANGE, "40000 40003");
    let _inside = link.near.enter();
    let mut client = client();
    let target = server().to_string();
    let four: Vec<_> = (0..4)
        .map(|_| {
            let connection = client.connect(&target, Framing::line()).unwrap();
            until_connected(&mut client, connection);
            connection
        })
        .collect();
    let fifth = client.connect(&target, Framing::line()).unwrap();
    let error = until_closed(&mut client, fifth).error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.sent, error.errno()),
        (
            Class::Resource,
            Phase::Connect,
            Sent::No,
            Some(libc::EADDRNOTAVAIL)
        )
    );
    assert!(
        error
            .to_string()
            .contains("Cannot assign requested address"),
        "{error}"
    );
    // A reset leaves no TIME_WAIT behind: the port is free at once.
    client.abort(four[0]).unwrap();
    until_closed(&mut client, four[0]);
    let sixth = client.connect(&target, Framing::line()).unwrap();
    until_connected(&mut client, sixth);
    client.send(sixth, b"served\n").unwrap();
    assert_eq!(next_frame(&mut client, sixth), b"served");
    assert_nothing_is_left(client, &link.near);
}

/// Eight connections are wanted and four can be: those serve all; for the others is tried again with pauses, by as many
/// attempts as pauses fit in, and not by a spin.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_upstream_is_served_by_the_connections_for_which_there_are_ports_and_grows_when_there_are_more()
 {
    let link = Link::new("ports");
    let _serving = Serving::echo(&link);
    link.near.sysctl(RANGE, "40000 40003");
    let _inside = link.near.enter();
    let pause = ms(50);
    let mut client = client_with(|it| {
        (it.reconnect.first_pause_max, it.reconnect.pause_max) = (pause, pause);
    });
    let mut ledger = Ledger::default();
    let calm = Calm::begins();
    let eight = Upstream::new(server().to_string()).connections(8..=8);
    let upstream = client.add(eight).unwrap();
    for number in 0..400 {
        let line = format!("{number}\n");
        ledger.request(&mut client, upstream, line.as_bytes(), far());
    }
    ledger.until_all(&mut client);
    assert_eq!((ledger.replies(), ledger.failures()), (400, 0));
    turn_until(&mut client, "twenty failures", |client| {
        stats(client, upstream).connect_failures >= 20
    });
    let it = stats(&client, upstream);
    let error = it.last_error.unwrap();
    println!("{it:?} after {:?}", calm.lasts());
    assert_eq!((it.open, it.connects), (4, 4));
    assert_eq!(
        (error.class, error.errno()),
        (Class::Resource, Some(libc::EADDRNOTAVAIL))
    );
    // Four members that pause for 25 ms on the average, and their first attempts; thrice that is not chance.
    let attempts_max = 12 + 3 * 4 * (calm.lasts().as_millis() as u64 / 25 + 1);
    assert!(it.connect_failures <= attempts_max, "{it:?}");
    calm.ends(400 + it.connect_failures as usize);

    link.near.sysctl(RANGE, "40000 40100");
    turn_until(&mut client, "the other four", |client| {
        stats(client, upstream).open == 8
    });
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn requests_for_which_no_connection_can_be_made_for_want_of_ports_fail_as_a_resource() {
    let link = Link::new("ports");
    let _serving = Serving::echo(&link);
    link.near.sysctl(RANGE, "40000 40000");
    let _inside = link.near.enter();
    let mut client = client();
    let holds_the_port = client
        .connect(&server().to_string(), Framing::line())
        .unwrap();
    until_connected(&mut client, holds_the_port);
    let mut ledger = Ledger::default();
    let upstream = client.add(Upstream::new(server().to_string())).unwrap();
    let calm = Calm::begins();
    let all: Vec<_> = (0..20)
        .map(|_| {
            ledger.request(
                &mut client,
                upstream,
                b"no port\n",
                Deadline::after(ms(500)),
            )
        })
        .collect();
    ledger.until_all(&mut client);
    calm.ends(20);
    for request in all {
        let error = ledger.ended(request).unwrap().clone().error();
        assert_eq!(
            (error.class, error.phase, error.sent, error.errno()),
            (
                Class::Resource,
                Phase::Connect,
                Sent::No,
                Some(libc::EADDRNOTAVAIL)
            )
        );
    }
    client.abort(holds_the_port).unwrap();
    until_closed(&mut client, holds_the_port);
    let request = ledger.request(&mut client, upstream, b"a port\n", far());
    assert_eq!(ledger.until(&mut client, request).reply(), b"a port");
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}

/// With one port there is no other to connect from: a connection to that port of this machine meets itself each time,
/// and would get back as replies what it sent as requests.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_connection_that_meets_itself_is_refused_by_name_until_somebody_listens() {
    let namespace = Namespace::new("itself");
    namespace.sysctl(RANGE, "40000 40000");
    let _inside = namespace.enter();
    let itself = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let mut client = client_with(|it| it.reconnect.pause_max = ms(50));
    let connection = client
        .connect(&itself.to_string(), Framing::line())
        .unwrap();
    client.send(connection, b"not sent\n").unwrap();
    let told = until_closed(&mut client, connection);
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.sent, error.source),
        (
            Class::Transient,
            Phase::Connect,
            Sent::No,
            Source::SelfConnect
        )
    );
    assert_eq!(told.written, 0);

    let mut ledger = Ledger::default();
    let upstream = client.add(Upstream::new(itself.to_string())).unwrap();
    let request = ledger.request(&mut client, upstream, b"to myself\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_eq!((error.sent, error.source), (Sent::No, Source::SelfConnect));
    let calm = Calm::begins();
    let before = stats(&client, upstream).connect_failures;
    ledger.until_all(&mut client);
    calm.ends(0);
    assert!(stats(&client, upstream).connect_failures <= before + 1);

    // Somebody has the port now, so that nobody else can connect from it, and others there are again.
    let serving = Serving::at(&namespace, itself, taut::server::Service::Echo);
    namespace.sysctl(RANGE, "40000 40100");
    let request = ledger.request(&mut client, upstream, b"to somebody\n", far());
    assert_eq!(ledger.until(&mut client, request).reply(), b"to somebody");
    ledger.until_all(&mut client);
    drop(serving);
    assert_nothing_is_left(client, &namespace);
}
