//! Routers and filters that speak up about a connection that stands: ICMP alone is not its end, a RST is
//! (fault list 8; connecting is in `connecting`).

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use taut::{Class, Client, Phase, Sent, UpstreamId};

use crate::common::*;
use crate::support::namespaces::Link;
use crate::support::*;

/// One standing connection of an upstream, and the peer that accepted it.
fn standing_connection(
    link: &Link,
    user_timeout: Duration,
) -> (Client, UpstreamId, Peer, TcpStream) {
    link.far.sysctl("net.ipv4.icmp_ratelimit", "0");
    let mut client = client_with(|it| crate::common::user_timeout(it, user_timeout));
    let peer = link.far.within(|| Peer::at(server()));
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    (client, upstream, peer, streams.remove(0))
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_router_that_says_unreachable_for_a_while_ends_nothing_that_stands() {
    let link = Link::new("icmp-stands");
    let _inside = link.near.enter();
    let (mut client, upstream, _peer, mut stream) =
        standing_connection(&link, Duration::from_secs(20));
    let mut ledger = Ledger::default();
    for with in [
        "host-unreachable",
        "net-unreachable",
        "port-unreachable",
        "admin-prohibited",
    ] {
        link.far
            .filter_input(&format!("tcp dport {PORT} reject with icmp type {with}"));
        let connection = only_connection(&client, upstream);
        let before = client.tcp_info(connection).unwrap().retransmits;
        let request = ledger.request(&mut client, upstream, b"ping\n", far());
        // Each segment was answered by ICMP: the request itself, and its first copies.
        turn_until(&mut client, "segments sent again", |client| {
            client.tcp_info(connection).unwrap().retransmits >= before + 2
        });
        link.far.clear_filters();
        assert_eq!(read_exactly(&mut stream, 5), b"ping\n", "{with}");
        stream.write_all(b"pong\n").unwrap();
        assert_eq!(
            ledger.until(&mut client, request).reply(),
            b"pong",
            "{with}"
        );
    }
    ledger.until_all(&mut client);
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 0);
    assert_nothing_is_left(client, &link.near);
}

/// When TCP gives up, it tells what the router said, and not that nothing came.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_router_that_goes_on_saying_unreachable_is_the_reason_told_at_the_user_timeout() {
    let link = Link::new("icmp-ends");
    let _inside = link.near.enter();
    let (mut client, upstream, _peer, _stream) = standing_connection(&link, ms(600));
    let mut ledger = Ledger::default();
    link.far.filter_input(&format!(
        "tcp dport {PORT} reject with icmp type host-unreachable"
    ));
    let calm = Calm::begins();
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_in_the_kernels_time(&calm, ms(600));
    calm.ends(1);
    assert_eq!(
        (error.class, error.phase, error.sent, error.errno()),
        (
            Class::Transient,
            Phase::Read,
            Sent::Maybe,
            Some(libc::EHOSTUNREACH)
        )
    );
    assert!(error.to_string().contains("No route to host"), "{error}");
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}

/// A filter that forgot the connection and resets it says nothing while it is idle.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_filter_that_resets_what_stands_ends_the_next_request_as_maybe_sent() {
    let link = Link::new("resets");
    let _inside = link.near.enter();
    let (mut client, upstream, _peer, _stream) =
        standing_connection(&link, Duration::from_secs(20));
    let mut ledger = Ledger::default();
    link.far
        .filter_input(&format!("tcp dport {PORT} reject with tcp reset"));
    assert_silent(&mut client);
    let calm = Calm::begins();
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    calm.ends(1);
    assert_eq!(
        (error.class, error.phase, error.sent, error.errno()),
        (
            Class::Transient,
            Phase::Read,
            Sent::Maybe,
            Some(libc::ECONNRESET)
        )
    );
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}
