//! Peers from which nothing comes any more: black holes with data in flight and while idle, and peers that vanish
//! without a word (fault list 10, 11, 14).
//!
//! What is idle is watched by TCP's keepalive here, which counts whole seconds; by the heartbeat in `heartbeat.rs`.

use std::io::Write;
use std::time::Duration;

use taut::{Class, Framing, Keepalive, Phase, Sent, Source};

use crate::common::*;
use crate::support::namespaces::{Link, Namespace, join};
use crate::support::*;
use crate::sys::forget;

const USER_TIMEOUT: Duration = Duration::from_millis(600);

#[test]
#[ignore = "needs root: makes network namespaces"]
fn data_in_flight_in_a_black_hole_is_given_up_at_the_user_timeout() {
    let link = Link::new("in-flight");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| user_timeout(it, USER_TIMEOUT));
    let (mut ledger, source) = (Ledger::default(), Source::Os(libc::ETIMEDOUT));
    let (peer, upstream, _stream) = one_connection(&mut client, &link, 3);
    black_hole(&link.far);
    let calm = Calm::begins();
    let requests = [0; 3].map(|_| ledger.request(&mut client, upstream, b"ping\n", far()));
    for request in requests {
        let error = ledger.until(&mut client, request).error();
        assert_lost(error, Phase::Read, Sent::Maybe, source);
    }
    assert_in_the_kernels_time(&calm, USER_TIMEOUT);
    calm.ends(3);
    ledger.until_all(&mut client);

    link.far.clear_filters();
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_black_hole_is_found_by_the_first_byte_timeout_where_that_is_sooner() {
    let link = Link::new("first-byte");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| it.timeouts.first_byte = ms(250));
    let mut ledger = Ledger::default();
    let (peer, upstream, _stream) = one_connection(&mut client, &link, 1);
    black_hole(&link.far);
    let calm = Calm::begins();
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_in_time(&calm, ms(250));
    calm.ends(1);
    assert_lost(error, Phase::Read, Sent::Maybe, Source::Timeout(ms(250)));
    ledger.until_all(&mut client);

    link.far.clear_filters();
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

/// Only what comes from the peer is lost: it got both requests, and half of an answer arrived.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_rest_of_a_reply_lost_on_its_way_is_found_by_the_read_stall() {
    let link = Link::new("read-stall");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| it.timeouts.read_stall = ms(250));
    let mut ledger = Ledger::default();
    let (peer, upstream, mut stream) = one_connection(&mut client, &link, 2);
    let first = ledger.request(&mut client, upstream, b"one\n", far());
    let second = ledger.request(&mut client, upstream, b"two\n", far());
    client.flush();
    read_exactly(&mut stream, 8);
    stream.write_all(b"half of").unwrap();
    until_in_kernel(&client, only_connection(&client, upstream), 7);
    black_hole(&link.near);
    stream.write_all(b" it\nall of it\n").unwrap();
    let calm = Calm::begins();
    let (first, second) = (
        ledger.until(&mut client, first).error(),
        ledger.until(&mut client, second).error(),
    );
    assert_in_time(&calm, ms(250));
    calm.ends(2);
    assert_lost(first, Phase::Read, Sent::Yes, Source::Timeout(ms(250)));
    assert_lost(second, Phase::Read, Sent::Maybe, Source::Timeout(ms(250)));
    ledger.until_all(&mut client);

    link.near.clear_filters();
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

/// More than the kernel takes: part of the first request was handed over, nothing of the second.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_request_that_a_black_hole_swallows_in_part_is_given_up_by_the_write_stall() {
    let link = Link::new("write-stall");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| {
        it.timeouts.write_stall = ms(250);
        it.limits.send_queue_bytes_max = 32 << 20;
        it.retry = taut::Retry::off();
    });
    let mut ledger = Ledger::default();
    let (peer, upstream, _stream) = one_connection(&mut client, &link, 2);
    black_hole(&link.far);
    let calm = Calm::begins();
    let large = ledger.request(&mut client, upstream, &[b'x'; 16 << 20], far());
    let behind = ledger.request(&mut client, upstream, b"behind\n", far());
    let (large, behind) = (
        ledger.until(&mut client, large).error(),
        ledger.until(&mut client, behind).error(),
    );
    assert_in_time(&calm, ms(250));
    calm.ends(2);
    assert_lost(large, Phase::Write, Sent::Maybe, Source::Timeout(ms(250)));
    assert_lost(behind, Phase::Write, Sent::No, Source::Timeout(ms(250)));
    ledger.until_all(&mut client);

    link.far.clear_filters();
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

/// After a second of quiet a probe, and after another second without an answer the end.
const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(1),
    interval: Duration::from_secs(1),
    count: 1,
};

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_idle_raw_connection_in_a_black_hole_is_found_by_keepalive() {
    let link = Link::new("keepalive");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| it.socket.keepalive = Some(KEEPALIVE));
    let peer = link.far.within(|| Peer::at(server()));
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    // Bytes that were acknowledged are no proof that the peer's program got them.
    client.send(connection, b"hello\n").unwrap();
    client.flush();
    assert_eq!(read_exactly(&mut stream, 6), b"hello\n");
    black_hole(&link.far);
    let calm = Calm::begins();
    let told = until_closed(&mut client, connection);
    assert!(calm.lasts() >= ms(900), "early: {:?}", calm.lasts());
    println!("told after {:?}, for {KEEPALIVE:?}", calm.lasts());
    calm.ends(1);
    assert_lost(
        told.error.unwrap(),
        Phase::Idle,
        Sent::Maybe,
        Source::Os(libc::ETIMEDOUT),
    );
    assert_silent(&mut client);
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_idle_upstream_connection_in_a_black_hole_goes_silently_and_the_next_request_is_not_sent() {
    let link = Link::new("keepalive");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| it.socket.keepalive = Some(KEEPALIVE));
    let mut ledger = Ledger::default();
    let (peer, upstream, _stream) = one_connection(&mut client, &link, 1);
    black_hole(&link.far);
    let calm = Calm::begins();
    turn_until(&mut client, "the keepalive's end", |client| {
        client.upstream_stats(upstream).unwrap().open == 0
    });
    calm.ends(1);
    let error = client.upstream_stats(upstream).unwrap().last_error.unwrap();
    assert_lost(error, Phase::Idle, Sent::No, Source::Os(libc::ETIMEDOUT));

    // Known to be gone: the request waits for another connection, which the black hole swallows too.
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_lost(error, Phase::Connect, Sent::No, Source::Timeout(ms(300)));
    ledger.until_all(&mut client);

    link.far.clear_filters();
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

/// Before keepalive has found it, no look at the line can: the next request may have been sent, the one after it not.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_request_on_a_connection_lost_while_idle_is_maybe_sent_and_the_next_one_is_not() {
    let link = Link::new("idle-hole");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| user_timeout(it, USER_TIMEOUT));
    let mut ledger = Ledger::default();
    let (peer, upstream, _stream) = one_connection(&mut client, &link, 1);
    black_hole(&link.far);
    let calm = Calm::begins();
    let first = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, first).error();
    assert_in_the_kernels_time(&calm, USER_TIMEOUT);
    assert_lost(error, Phase::Read, Sent::Maybe, Source::Os(libc::ETIMEDOUT));
    let second = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, second).error();
    assert_lost(error, Phase::Connect, Sent::No, Source::Timeout(ms(300)));
    calm.ends(2);
    ledger.until_all(&mut client);

    link.far.clear_filters();
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

/// A socket closed in repair mode says nothing: the peer's machine has forgotten the connection, as after a restart,
/// and answers the next segment with a RST.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_peer_that_forgot_its_connection_resets_the_next_request_which_is_maybe_sent() {
    let link = Link::new("forgets");
    let _inside = link.near.enter();
    let mut client = patient_client(|_| {});
    let mut ledger = Ledger::default();
    let (peer, upstream, stream) = one_connection(&mut client, &link, 1);
    forget(stream);
    assert_silent(&mut client);
    let calm = Calm::begins();
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_lost(
        error,
        Phase::Read,
        Sent::Maybe,
        Source::Os(libc::ECONNRESET),
    );
    calm.ends(1);
    ledger.until_all(&mut client);
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

/// The same with keepalive: its probe is answered by the RST, and no request is lost to it.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_peer_that_forgot_its_idle_connection_is_found_by_keepalive() {
    let link = Link::new("forgets");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| it.socket.keepalive = Some(KEEPALIVE));
    let mut ledger = Ledger::default();
    let (peer, upstream, stream) = one_connection(&mut client, &link, 1);
    forget(stream);
    let calm = Calm::begins();
    turn_until(&mut client, "the answer to the probe", |client| {
        client.upstream_stats(upstream).unwrap().open == 0
    });
    calm.ends(1);
    let error = client.upstream_stats(upstream).unwrap().last_error.unwrap();
    assert_lost(error, Phase::Idle, Sent::No, Source::Os(libc::ECONNRESET));
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &link.near);
}

/// The device itself is taken away, with a request in flight and a large one that the kernel has taken.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_link_that_is_destroyed_ends_its_requests_by_the_user_timeout_and_the_next_at_once() {
    let link = Link::new("destroyed");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| user_timeout(it, USER_TIMEOUT));
    let mut ledger = Ledger::default();
    let (_peer, upstream, _stream) = one_connection(&mut client, &link, 2);
    let first = ledger.request(&mut client, upstream, b"acknowledged\n", far());
    client.flush();
    let connection = only_connection(&client, upstream);
    eventually("the acknowledgement", || {
        // The SYN counts as one.
        client.tcp_info(connection).unwrap().bytes_acked == 1 + 13
    });
    link.near.ip("link delete link0");
    let calm = Calm::begins();
    let second = ledger.request(&mut client, upstream, &[b'x'; 32 << 10], far());
    for request in [first, second] {
        let error = ledger.until(&mut client, request).error();
        println!("{error} after {:?}", calm.lasts());
        assert_eq!((error.class, error.sent), (Class::Transient, Sent::Maybe));
        assert!(matches!(
            error.errno(),
            Some(libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::ENETUNREACH)
        ));
    }
    assert_in_the_kernels_time(&calm, USER_TIMEOUT);
    let third = ledger.request(&mut client, upstream, b"no way\n", far());
    let error = ledger.until(&mut client, third).error();
    assert_lost(
        error,
        Phase::Connect,
        Sent::No,
        Source::Os(libc::ENETUNREACH),
    );
    calm.ends(3);
    ledger.until_all(&mut client);
    assert_nothing_is_left(client, &link.near);
}

/// The peer's machine is no more, and its end of the link neither: nobody is left to send a FIN or a RST. Then another
/// one stands in its place, under the same address.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_machine_that_is_no_more_ends_its_requests_and_another_in_its_place_serves_the_next() {
    let Link { near, far: machine } = Link::new("machine");
    let _inside = near.enter();
    let mut client = patient_client(|it| user_timeout(it, USER_TIMEOUT));
    let mut ledger = Ledger::default();
    let upstream = {
        let peer = machine.within(|| Peer::at(server()));
        let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
        // A namespace lives as long as a socket in it.
        forget(streams.remove(0));
        upstream
    };
    drop(machine);
    eventually("the end of the link", || {
        let devices = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        !devices.contains(Link::DEVICE)
    });
    let calm = Calm::begins();
    let both = [0; 2].map(|_| ledger.request(&mut client, upstream, b"ping\n", far()));
    for request in both {
        let error = ledger.until(&mut client, request).error();
        println!("{error} after {:?}", calm.lasts());
        assert_eq!((error.class, error.sent), (Class::Transient, Sent::Maybe));
    }
    calm.ends(2);
    ledger.until_all(&mut client);

    let machine = Namespace::new("machine-next");
    join(&near, &machine, 0);
    let peer = machine.within(|| Peer::at(server()));
    assert_served_again(&mut client, &peer, upstream, &mut ledger);
    assert_nothing_is_left(client, &near);
}
