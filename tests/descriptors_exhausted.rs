//! Out of descriptors: told by name, without spinning, and over as soon as there are some again. These tests are alone
//! in their process, and one after the other, because they lower RLIMIT_NOFILE for all of it.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and setrlimit(2)"
)]

mod support;

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use support::*;
use taut::server::{Server, ServerConfig};
use taut::{Class, Client, Config, Framing, Phase, Sent, Upstream};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Takes every descriptor below a low limit, until it is dropped.
struct Exhausted {
    limit_before: libc::rlim_t,
    taken: Vec<File>,
}

impl Exhausted {
    fn begins() -> Exhausted {
        let limit_before = limit_descriptors_to(32);
        let taken = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        Exhausted {
            limit_before,
            taken,
        }
    }

    /// Does something with exactly so many descriptors.
    fn with_free<T>(&mut self, count: usize, work: impl FnOnce() -> T) -> T {
        self.taken.truncate(self.taken.len() - count);
        let value = work();
        self.taken
            .extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
        value
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        self.taken.clear();
        limit_descriptors_to(self.limit_before);
    }
}

/// Makes something with no descriptor, with one, with two, … until that succeeds. Until then EMFILE is told, and none of
/// them is kept.
#[track_caller]
fn assert_each_may_be_missing<T>(what: &str, make: impl Fn() -> Result<T, taut::Error>) {
    let mut exhausted = Exhausted::begins();
    let all = exhausted.taken.len();
    for free in 0..all {
        let outcome = exhausted.with_free(free, || make().map(drop));
        assert_eq!(
            exhausted.taken.len(),
            all,
            "{what} with {free} descriptors keeps some"
        );
        match outcome {
            Ok(()) if free > 0 => return println!("{what} needs {free} descriptors"),
            Ok(()) => panic!("{what} needs no descriptor"),
            Err(error) => assert_eq!(
                (error.class, error.errno()),
                (Class::Resource, Some(libc::EMFILE)),
                "{what} with {free} descriptors: {error}"
            ),
        }
    }
    panic!("{what} was never made");
}

#[test]
fn each_descriptor_of_a_client_and_of_a_server_may_be_missing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    assert_each_may_be_missing("a client", || Client::new(Config::default()));
    let at = ([127, 0, 0, 1], 0).into();
    assert_each_may_be_missing("a server", || Server::bind(at, ServerConfig::default()));
}

#[test]
fn without_descriptors_a_lookup_fails_as_a_resource_and_not_as_a_name_that_does_not_exist() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Each connect is a lookup.
    let mut client = client_with(|it| {
        (it.lookups.fresh_for, it.lookups.stale_for) = (Duration::ZERO, Duration::ZERO);
    });
    let peer = Peer::new();
    let target = format!("localhost:{}", peer.addr().port());
    // The first lookup of a process reads more files than the second.
    for _ in 0..2 {
        let exhausted = Exhausted::begins();
        let connection = client.connect(&target, Framing::line()).unwrap();
        let error = until_closed(&mut client, connection).error.unwrap();
        assert_eq!(
            (error.class, error.phase, error.sent, error.errno()),
            (
                Class::Resource,
                Phase::Resolve,
                Sent::No,
                Some(libc::EMFILE)
            ),
            "{error}"
        );
        assert!(error.to_string().contains("Too many open files"), "{error}");
        drop(exhausted);
        let connection = client.connect(&target, Framing::line()).unwrap();
        until_connected(&mut client, connection);
        drop(peer.accept());
        until_closed(&mut client, connection);
    }
}

#[test]
fn without_descriptors_connecting_fails_as_a_resource_and_comes_back_by_itself() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (standing_before, mut stream) = connected(&mut client, &peer, Framing::line());
    let exhausted = Exhausted::begins();

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

    drop(exhausted);
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
