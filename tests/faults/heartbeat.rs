//! Peers that fall silent while nothing is asked of them, found by the heartbeat (fault list 11, 13).
//!
//! Nothing else in these tests would find them: keepalive and TCP_USER_TIMEOUT are off where it is the heartbeat's
//! turn, and as they are by default where each is to find its own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use taut::server::Service;
use taut::{
    Class, Client, Deadline, Expect, Heartbeat, Phase, Source, Upstream, UpstreamId, UpstreamStats,
};

use crate::common::*;
use crate::support::namespaces::Link;
use crate::support::*;

const AFTER: Duration = Duration::from_millis(400);
const TIMEOUT: Duration = Duration::from_millis(300);

/// What the shouting server answers to.
fn beat(after: Duration, timeout: Duration) -> Heartbeat {
    Heartbeat {
        after,
        timeout,
        ..Heartbeat::new(b"beat\n", Expect::exactly(b"BEAT"))
    }
}

/// So many warm connections that have a heartbeat, all of which have been asked and have answered.
fn beating(client: &mut Client, connections: usize, heartbeat: Heartbeat) -> UpstreamId {
    let upstream = Upstream::new(server().to_string()).depth(4);
    let upstream = upstream.connections(connections..=connections);
    let upstream = client.add(upstream.heartbeat(heartbeat)).unwrap();
    turn_until(client, "the connections", |client| {
        stats(client, upstream).open == connections
    });
    upstream
}

fn stats(client: &Client, upstream: UpstreamId) -> UpstreamStats {
    client.upstream_stats(upstream).unwrap()
}

#[track_caller]
fn until_lost(client: &mut Client, upstream: UpstreamId, connections: u64) {
    turn_until(client, "the end of what is silent", |client| {
        stats(client, upstream).losses == connections
    });
}

/// What found them was the heartbeat.
#[track_caller]
fn assert_missed(client: &Client, upstream: UpstreamId, connections: u64, timeout: Duration) {
    let stats = stats(client, upstream);
    assert_eq!(stats.heartbeats_missed, connections);
    let error = stats.last_error.unwrap();
    assert_eq!(error.class, Class::Transient, "{error}");
    if error.phase != Phase::Connect {
        assert_eq!(
            (error.phase, error.source),
            (Phase::Idle, Source::Timeout(timeout))
        );
    }
}

/// The way is free again: the warm connections are back without anybody asking, and a request is answered.
#[track_caller]
fn assert_back(client: &mut Client, upstream: UpstreamId, connections: usize) {
    turn_until(client, "the warm connections", |client| {
        stats(client, upstream).open == connections
    });
    let mut ledger = Ledger::default();
    let request = ledger.request(client, upstream, b"again\n", far());
    assert_eq!(ledger.until(client, request).reply(), b"AGAIN");
    ledger.until_all(client);
}

/// Whatever is lost on the way, the question or its answer.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_idle_connection_in_a_black_hole_is_found_by_the_heartbeat_and_made_again() {
    for loses_answers in [false, true] {
        let link = Link::new("beat-hole");
        let _serving = Serving::at(&link.far, server(), Service::Shout);
        let _inside = link.near.enter();
        let mut client = patient_client(|_| {});
        let upstream = beating(&mut client, 2, beat(AFTER, TIMEOUT));
        turn_until(&mut client, "answered heartbeats", |client| {
            stats(client, upstream).heartbeats >= 6
        });
        assert_eq!(stats(&client, upstream).losses, 0);

        let hole = if loses_answers { &link.near } else { &link.far };
        black_hole(hole);
        let calm = Calm::begins();
        until_lost(&mut client, upstream, 2);
        println!("found after {:?}", calm.lasts());
        // A question may have been out already; its answer was not.
        assert!(calm.lasts() < AFTER + TIMEOUT + Duration::from_secs(1));
        calm.ends(8);
        assert_missed(&client, upstream, 2, TIMEOUT);

        hole.clear_filters();
        assert_back(&mut client, upstream, 2);
        assert_nothing_is_left(client, &link.near);
    }
}

/// Its kernel acknowledges whatever comes: nothing but an answer of the program tells that it is well.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_program_that_hangs_behind_a_kernel_that_acknowledges_is_found_by_the_heartbeat_and_reset() {
    let link = Link::new("beat-hangs");
    let _inside = link.near.enter();
    let mut client = patient_client(|it| it.socket.keepalive = Some(Default::default()));
    let peer = link.far.within(|| Peer::at(server()));
    let upstream = beating(&mut client, 1, beat(AFTER, TIMEOUT));
    let mut stream = peer.accept();
    answer_one(&mut client, &mut stream);
    let calm = Calm::begins();
    until_lost(&mut client, upstream, 1);
    assert!(
        calm.lasts() >= TIMEOUT,
        "before the next answer could be missed"
    );
    calm.ends(4);
    assert_missed(&client, upstream, 1, TIMEOUT);
    assert_eq!(read_exactly(&mut stream, 5), b"beat\n", "the one it missed");
    assert_eq!(ended_by(&mut stream), End::Rst);
    drop(client);
}

/// Turns the client until its heartbeat is here, and answers it.
fn answer_one(client: &mut Client, stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut asked = String::new();
    turn_until(client, "a heartbeat", |_| {
        let mut reader = BufReader::new(&*stream);
        reader.read_line(&mut asked).is_ok()
    });
    assert_eq!(asked, "beat\n");
    stream.set_nonblocking(false).unwrap();
    stream.write_all(b"BEAT\n").unwrap();
}

/// A link that is down for longer than the heartbeat is patient, and one that is not.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_link_down_for_a_second_costs_an_idle_connection_nothing_that_is_given_more_time() {
    let link = Link::new("beat-down");
    let _serving = Serving::at(&link.far, server(), Service::Shout);
    let _inside = link.near.enter();
    let mut client = patient_client(|_| {});
    let upstream = beating(&mut client, 4, beat(ms(100), Duration::from_secs(8)));
    link.near.ip("link set link0 down");
    let down = Instant::now() + Duration::from_secs(1);
    turn_until(&mut client, "a second", |_| Instant::now() >= down);
    let asked = stats(&client, upstream).heartbeats;
    link.near.ip("link set link0 up");
    turn_until(&mut client, "answers, and other questions", |client| {
        stats(client, upstream).heartbeats >= asked + 8
    });
    let stats = stats(&client, upstream);
    assert_eq!(
        (stats.connects, stats.losses, stats.heartbeats_missed),
        (4, 0, 0)
    );
    assert_back(&mut client, upstream, 4);
    assert_nothing_is_left(client, &link.near);
}

/// With every timeout as it is by default, but for a first byte that may take its time: what is idle is found by the
/// heartbeat, what is in flight by TCP_USER_TIMEOUT, both within the half minute.
#[test]
#[ignore = "needs root: makes network namespaces; and takes a minute"]
fn long_a_link_down_for_half_a_minute_is_found_and_all_is_back_when_it_is_up() {
    let link = Link::new("beat-down");
    let _serving = Serving::at(&link.far, server(), Service::Shout);
    let _inside = link.near.enter();
    let mut client = client_with(|it| {
        it.timeouts.first_byte = Duration::from_secs(120);
        it.socket.keepalive = None;
    });
    let heartbeat = Heartbeat::new(b"beat\n", Expect::exactly(b"BEAT"));
    let timeout = heartbeat.timeout;
    let upstream = beating(&mut client, 4, heartbeat);
    link.near.ip("link set link0 down");
    let calm = Calm::begins();
    let mut ledger = Ledger::default();
    let patient = Deadline::after(Duration::from_secs(120));
    let request = ledger.request(&mut client, upstream, b"lost\n", patient);
    let back_at = Instant::now() + Duration::from_secs(30);
    while Instant::now() < back_at {
        turn(&mut client, ms(50));
        while let Some(event) = client.next_event() {
            ledger.book(&client, event);
        }
        if stats(&client, upstream).losses < 4 {
            assert!(calm.lasts() < Duration::from_secs(24), "not found");
        }
    }
    let error = ledger.until(&mut client, request).error();
    assert_lost(
        error,
        Phase::Read,
        taut::Sent::Maybe,
        Source::Os(libc::ETIMEDOUT),
    );
    assert_missed(&client, upstream, 3, timeout);
    link.near.ip("link set link0 up");
    // The longest pause, and a connect.
    let back_by = Instant::now() + Duration::from_secs(20);
    while stats(&client, upstream).open < 4 {
        assert!(
            Instant::now() < back_by,
            "the warm connections are not back"
        );
        turn(&mut client, ms(50));
        assert_eq!(client.next_event(), None);
    }
    println!("back {:?} after the link", back_at.elapsed());
    assert_back(&mut client, upstream, 4);
    assert_nothing_is_left(client, &link.near);
}
