//! Connecting to what does not answer, to what a router or filter refuses, and to what is refused only at first
//! (fault list 7, 8, 9).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use taut::{Class, Config, Error, Framing, Phase, Sent, Source, Upstream};

use crate::common::*;
use crate::support::namespaces::Link;
use crate::support::*;

/// What a refused connect says: of what class it is, and in which words.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    errno: i32,
    class: Class,
    words: &'static str,
}

const REFUSED: Refusal = Refusal {
    errno: libc::ECONNREFUSED,
    class: Class::Transient,
    words: "Connection refused",
};
const NO_ROUTE: Refusal = Refusal {
    errno: libc::EHOSTUNREACH,
    class: Class::Transient,
    words: "No route to host",
};
const NO_NETWORK: Refusal = Refusal {
    errno: libc::ENETUNREACH,
    class: Class::Transient,
    words: "Network is unreachable",
};
const DENIED: Refusal = Refusal {
    errno: libc::EACCES,
    class: Class::Persistent,
    words: "Permission denied",
};

#[track_caller]
fn assert_refused(error: Error, refusal: Refusal, what: &str) {
    assert_eq!(error.errno(), Some(refusal.errno), "{what}: {error}");
    assert_eq!(
        (error.class, error.phase, error.sent),
        (refusal.class, Phase::Connect, Sent::No),
        "{what}: {error}"
    );
    assert!(error.to_string().contains(refusal.words), "{what}: {error}");
}

/// A raw connection to `refused` ends so, once; where another address follows, that one is taken.
#[track_caller]
fn assert_refused_and_the_next_address_taken(
    refused: SocketAddr,
    next: &Peer,
    refusal: Refusal,
    what: &str,
) {
    let mut client = client();
    let connection = client
        .connect(&refused.to_string(), Framing::line())
        .unwrap();
    // What fails at once is not open any more.
    if let Err(error) = client.send(connection, b"not sent\n") {
        assert_eq!(error.source, Source::NotOpen, "{what}");
    }
    let told = until_closed(&mut client, connection);
    assert_refused(told.error.unwrap(), refusal, what);
    assert_eq!(told.written, 0, "{what}");
    assert_silent(&mut client);

    let mut client = client_with_addresses(&[refused, next.addr()], Config::default());
    let connection = client.connect("two.addresses:1", Framing::line()).unwrap();
    until_connected(&mut client, connection);
    assert_eq!(client.peer_addr(connection), Some(next.addr()), "{what}");
    drop(next.accept());
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_syn_black_hole_ends_at_the_connect_timeout_and_not_before() {
    let link = Link::new("syn-hole");
    black_hole(&link.far);
    let _inside = link.near.enter();
    for address in [Link::FAR, Link::FAR_V6] {
        let mut client = client_with(|it| it.timeouts.connect = ms(300));
        let calm = Calm::begins();
        let target = SocketAddr::from((address, PORT)).to_string();
        let connection = client.connect(&target, Framing::line()).unwrap();
        client.send(connection, b"not sent\n").unwrap();
        let told = until_closed(&mut client, connection);
        assert_in_time(&calm, ms(300));
        calm.ends(1);
        let error = told.error.unwrap();
        assert_eq!(
            (error.class, error.phase, error.sent),
            (Class::Transient, Phase::Connect, Sent::No)
        );
        assert_eq!((error.source, told.written), (Source::Timeout(ms(300)), 0));
        assert_nothing_is_left(client, &link.near);
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn requests_that_wait_for_a_syn_black_hole_fail_with_its_timeout_and_are_served_when_it_is_gone() {
    let link = Link::new("syn-hole");
    let _serving = Serving::echo(&link);
    black_hole(&link.far);
    let _inside = link.near.enter();
    let mut client = client_with(|it| {
        it.timeouts.connect = ms(300);
        it.reconnect.pause_max = ms(50);
    });
    let mut ledger = Ledger::default();
    let calm = Calm::begins();
    let target = server().to_string();
    let upstream = client.add(Upstream::new(target).connections(4)).unwrap();
    let requests: Vec<_> = (0..20)
        .map(|_| ledger.request(&mut client, upstream, b"ping\n", far()))
        .collect();
    for request in requests {
        let error = ledger.until(&mut client, request).error();
        assert_eq!(
            (error.class, error.phase, error.sent),
            (Class::Transient, Phase::Connect, Sent::No)
        );
        assert_eq!(error.source, Source::Timeout(ms(300)));
    }
    assert_in_time(&calm, ms(300));
    calm.ends(4);
    ledger.until_all(&mut client);

    link.far.clear_filters();
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    assert_eq!(ledger.until(&mut client, request).reply(), b"ping");
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}

/// Where the program has more patience than the kernel, the kernel's own end is told as it is.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_kernel_that_gives_up_a_syn_first_is_told_as_etimedout() {
    let link = Link::new("syn-retries");
    link.near.sysctl("net.ipv4.tcp_syn_linear_timeouts", "0");
    link.near.sysctl("net.ipv4.tcp_syn_retries", "1");
    black_hole(&link.far);
    let _inside = link.near.enter();
    let mut client = client_with(|it| {
        it.timeouts.connect = Duration::from_secs(30);
        it.socket.user_timeout = None;
    });
    let calm = Calm::begins();
    let connection = client
        .connect(&server().to_string(), Framing::line())
        .unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    println!("given up after {:?}", calm.lasts());
    calm.ends(1);
    assert_eq!(
        (error.class, error.phase, error.sent, error.errno()),
        (
            Class::Transient,
            Phase::Connect,
            Sent::No,
            Some(libc::ETIMEDOUT)
        )
    );
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_a_filter_refuses_is_told_by_its_name_and_the_next_address_is_tried() {
    let rejects: [(IpAddr, &str, Refusal); 11] = [
        (Link::FAR, "tcp reset", REFUSED),
        (Link::FAR, "icmp host-unreachable", NO_ROUTE),
        (Link::FAR, "icmp net-unreachable", NO_NETWORK),
        (Link::FAR, "icmp port-unreachable", REFUSED),
        (Link::FAR, "icmp admin-prohibited", NO_ROUTE),
        (Link::FAR, "icmp host-prohibited", NO_ROUTE),
        (Link::FAR, "icmp net-prohibited", NO_NETWORK),
        (Link::FAR_V6, "icmpv6 no-route", NO_NETWORK),
        (Link::FAR_V6, "icmpv6 addr-unreachable", NO_ROUTE),
        (Link::FAR_V6, "icmpv6 port-unreachable", REFUSED),
        (Link::FAR_V6, "icmpv6 admin-prohibited", DENIED),
    ];
    let link = Link::new("rejects");
    link.far.sysctl("net.ipv4.icmp_ratelimit", "0");
    link.far.sysctl("net.ipv6.icmp.ratelimit", "0");
    let next = link.far.within(|| Peer::at((Link::FAR, PORT + 1)));
    let _inside = link.near.enter();
    let port = |case: usize| PORT + 10 + case as u16;
    let rules = rejects.iter().enumerate().map(|(case, (_, with, _))| {
        let kind = with.replacen(' ', " type ", usize::from(with.starts_with("icmp")));
        format!("tcp dport {} reject with {kind}", port(case))
    });
    link.far.filter_input(&rules.collect::<Vec<_>>().join("\n"));
    // A second for some: a message of ICMP that comes while connect(2) holds the socket ends nothing.
    std::thread::scope(|scope| {
        for (case, (address, with, refusal)) in rejects.into_iter().enumerate() {
            let (refused, next) = (SocketAddr::from((address, port(case))), &next);
            scope.spawn(move || {
                let calm = Calm::begins();
                assert_refused_and_the_next_address_taken(refused, next, refusal, with);
                calm.ends(3);
            });
        }
    });
    assert_eq!(sockets_of(&link.near), 0);
}

/// The handshake's last ACK is answered by ICMP before the loop has looked: SO_ERROR tells that of a connection that
/// stands.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_a_router_says_as_the_connection_comes_to_stand_is_no_end_of_it() {
    let link = Link::new("last-ack");
    let _serving = Serving::echo(&link);
    link.far.filter_input(&format!(
        "tcp dport {PORT} tcp flags & syn != syn reject with icmp type host-unreachable"
    ));
    let _inside = link.near.enter();
    let mut client = client();
    let connection = client
        .connect(&server().to_string(), Framing::line())
        .unwrap();
    client.send(connection, b"hello\n").unwrap();
    eventually("the message of ICMP", || {
        counter(&link.near, "Icmp", "InDestUnreachs") > 0
    });
    link.far.clear_filters();
    until_connected(&mut client, connection);
    assert_eq!(next_frame(&mut client, connection), b"hello");
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_this_machines_routes_refuse_is_told_by_its_name_and_the_next_address_is_tried() {
    let link = Link::new("routes");
    link.near.ip("route add unreachable 10.77.101.0/24\n\
         route add prohibit 10.77.102.0/24\n\
         route add throw 10.77.103.0/24");
    let next = link.far.within(|| Peer::at((Link::FAR, PORT)));
    let _inside = link.near.enter();
    for (net, refusal) in [
        (101, NO_ROUTE),
        (102, DENIED),
        (103, NO_NETWORK),
        (104, NO_NETWORK),
    ] {
        let refused = SocketAddr::from(([10, 77, net, 1], PORT));
        assert_refused_and_the_next_address_taken(refused, &next, refusal, &refused.to_string());
    }
    assert_eq!(sockets_of(&link.near), 0);
}

/// A host of the own network that nobody has: the system asks for its link address and gives up.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_host_that_nobody_knows_is_unreachable_and_the_next_address_is_tried() {
    let link = Link::new("neighbour");
    link.near.sysctl("net.ipv4.neigh.link0.mcast_solicit", "1");
    link.near
        .sysctl("net.ipv4.neigh.link0.retrans_time_ms", "100");
    let next = link.far.within(|| Peer::at((Link::FAR, PORT)));
    let _inside = link.near.enter();
    let nobody = SocketAddr::from(([10, 77, 0, 9], PORT));
    let calm = Calm::begins();
    assert_refused_and_the_next_address_taken(nobody, &next, NO_ROUTE, "nobody");
    calm.ends(3);
    assert_eq!(sockets_of(&link.near), 0);
}

/// Each attempt is refused until somebody listens; the next one after that stands, and comes within the longest pause.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn refused_and_then_listening_is_up_within_one_pause() {
    let link = Link::new("refused");
    let _inside = link.near.enter();
    let pause_max = ms(200);
    let mut client = client_with(|it| {
        it.reconnect.first_pause_max = ms(20);
        it.reconnect.pause_max = pause_max;
    });
    let mut ledger = Ledger::default();
    let warm = Upstream::new(server().to_string()).connections(1..=1);
    let upstream = client.add(warm).unwrap();
    let failures =
        |client: &taut::Client| client.upstream_stats(upstream).unwrap().connect_failures;
    let calm = Calm::begins();
    turn_until(&mut client, "ten refusals", |it| failures(it) >= 10);
    calm.ends(10);
    let error = client.upstream_stats(upstream).unwrap().last_error.unwrap();
    assert_refused(error, REFUSED, "nobody listens");

    let _serving = Serving::echo(&link);
    let (before, calm) = (failures(&client), Calm::begins());
    turn_until(&mut client, "the connection", |it| {
        it.upstream_stats(upstream).unwrap().open == 1
    });
    println!(
        "up {:?} after it listened, pauses being up to {pause_max:?}",
        calm.lasts()
    );
    assert!(calm.lasts() < pause_max + Duration::from_secs(1));
    // One may have been refused before it listened and not been told yet.
    assert!(failures(&client) <= before + 1);
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    assert_eq!(ledger.until(&mut client, request).reply(), b"ping");
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}

/// The race ended with the first address, and a container without IPv6 could not connect to `localhost`.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn where_ipv6_is_off_the_next_address_is_taken() {
    let link = Link::new("without-v6");
    for namespace in [&link.near, &link.far] {
        namespace.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
    }
    let next = link.far.within(|| Peer::at((Link::FAR, PORT)));
    let _inside = link.near.enter();
    let refusal = Refusal {
        errno: libc::EADDRNOTAVAIL,
        class: Class::Resource,
        words: "Cannot assign requested address",
    };
    for host in ["::1", "2001:db8::1"] {
        let refused = SocketAddr::new(host.parse().unwrap(), PORT);
        assert_refused_and_the_next_address_taken(refused, &next, refusal, host);
    }
    assert_eq!(sockets_of(&link.near), 0);
}

/// The name has addresses of both families, and what is sent to one of them is lost on the way.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_black_hole_in_one_family_costs_a_moment_and_once() {
    let link = Link::new("one-family");
    let next = link.far.within(|| Peer::at((Link::FAR, PORT)));
    link.far
        .filter_input(&format!("meta nfproto ipv6 tcp dport {PORT} drop"));
    let _inside = link.near.enter();
    let both = [SocketAddr::new(Link::FAR_V6, PORT), next.addr()];
    let mut config = Config::default();
    config.timeouts.connect_next = ms(100);
    let mut client = client_with_addresses(&both, config);
    let attempts = || counter(&link.near, "Tcp", "ActiveOpens");
    for (expected, pause) in [(2, ms(100)), (1, ms(0))] {
        let (calm, before) = (Calm::begins(), attempts());
        let connection = client.connect("both.families:1", Framing::line()).unwrap();
        until_connected(&mut client, connection);
        assert_eq!(client.peer_addr(connection), Some(next.addr()));
        // The one that stood goes first the next time, and the other is not even asked.
        assert_eq!(attempts() - before, expected);
        assert!(calm.lasts() >= pause, "{:?}", calm.lasts());
    }
    assert_eq!(client.connections(), 2);
}
