//! Out of descriptors: told by name, without spinning, and over as soon as there are some again. Alone in its
//! process, because it lowers RLIMIT_NOFILE for all of it.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and setrlimit(2)"
)]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::{Class, Client, Config, Framing, Phase, Sent, Upstream};

#[test]
fn without_descriptors_connecting_fails_as_a_resource_and_comes_back_by_itself() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (standing_before, mut stream) = connected(&mut client, &peer, Framing::line());
    let limit = limit_descriptors_to(8);
    let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();

    let error = Client::new(Config::default()).unwrap_err();
    assert_eq!(
        (error.class, error.errno()),
        (Class::Resource, Some(libc::EMFILE))
    );

    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    let told = until_closed(&mut client, connection);
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Resource, Phase::Connect, Sent::No)
    );
    assert_eq!(error.errno(), Some(libc::EMFILE));

    let upstream = client
        .add(Upstream::new(peer.target()).connections(2))
        .unwrap();
    let request = ledger.request(&mut client, upstream, b"x\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_eq!(
        (error.class, error.sent, error.errno()),
        (Class::Resource, Sent::No, Some(libc::EMFILE))
    );
    // While a request waits, it is tried again after a pause and not at once.
    let stats = client.upstream_stats(upstream).unwrap();
    assert!(stats.connect_failures <= 4, "{stats:?}");
    assert_eq!(stats.connects, 0);

    // What stood before goes on.
    client.send(standing_before, b"still here\n").unwrap();
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_exactly(&mut stream, 11), b"still here\n");
    stream.write_all(b"me too\n").unwrap();
    assert_eq!(next_frame(&mut client, standing_before), b"me too");

    drop(taken);
    limit_descriptors_to(limit);
    let request = ledger.request(&mut client, upstream, b"again\n", far());
    turn_until(&mut client, "a connection", |client| {
        client.upstream_stats(upstream).unwrap().open > 0
    });
    client.turn(Some(Duration::ZERO)).unwrap();
    let mut stream = peer.accept();
    assert_eq!(read_exactly(&mut stream, 6), b"again\n");
    stream.write_all(b"ok\n").unwrap();
    assert_eq!(ledger.until(&mut client, request).reply(), b"ok");
    ledger.until_all(&mut client);
}

/// Sets the soft RLIMIT_NOFILE and returns what it was. Open descriptors stay open.
fn limit_descriptors_to(count: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes one rlimit, setrlimit reads one.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let before = std::mem::replace(&mut limit.rlim_cur, count);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        before
    }
}
