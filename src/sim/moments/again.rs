//! Requests that are made again with the next connection: how often, how many, and in which order.

use std::time::Duration;

use super::{Bench, failed, ms};
use crate::config::{Config, Reconnect, Retry};
use crate::engine::Terms;
use crate::event::UpstreamId;
use crate::kernel::Kernel;
use crate::sim::kernel::SimSocket;
use crate::time::Time;
use crate::upstream::Upstream;

const SOON: Duration = Duration::from_millis(10);

/// An upstream of one connection that is made again soon, and its other end.
fn standing(retry: Retry, depth: usize) -> (Bench, UpstreamId, SimSocket) {
    let mut bench = Bench::new(Config {
        retry,
        reconnect: Reconnect {
            first_pause_max: SOON,
            pause_max: SOON,
            ..Reconnect::default()
        },
        ..Config::default()
    });
    let upstream = Upstream::new(bench.at.to_string()).connections(1..=1);
    let (upstream, socket) = bench.standing(upstream.depth(depth));
    (bench, upstream, socket)
}

/// Asks for what may be made twice.
fn ask(bench: &mut Bench, upstream: UpstreamId, tag: u64) {
    let terms = Terms {
        tag,
        is_idempotent: true,
    };
    let deadline = |now: Time, _: &_, _: &_| now.after(Duration::from_secs(60));
    let line = format!("{tag}\n");
    let core = &mut bench.engine.core;
    core.request(upstream, line.as_bytes(), terms, deadline)
        .unwrap();
}

/// What has come on a connection.
fn read(bench: &mut Bench, socket: &SimSocket) -> Vec<u8> {
    assert_eq!(bench.events(ms(1)), []);
    let mut came = [0; 64];
    let n = bench.peer.read(socket, &mut came).unwrap_or(0);
    came[..n].to_vec()
}

/// The peer resets a connection; who failed with it.
fn reset(bench: &mut Bench, socket: SimSocket) -> Vec<u64> {
    bench.peer.close(socket, true);
    let told = bench.events(ms(1));
    told.iter().filter_map(failed).map(|it| it.0).collect()
}

/// The next connection, once it is made.
fn accept(bench: &mut Bench) -> SimSocket {
    assert_eq!(bench.events(SOON + ms(1)), []);
    bench.peer.accept(&bench.listener).unwrap().0
}

#[test]
fn one_that_is_lost_each_time_is_made_again_as_often_as_it_may_and_then_fails() {
    let retry = Retry {
        attempts_max: 3,
        ..Retry::default()
    };
    let (mut bench, upstream, mut socket) = standing(retry, 1);
    ask(&mut bench, upstream, 7);
    for _ in 0..3 {
        assert_eq!(read(&mut bench, &socket), b"7\n");
        assert_eq!(reset(&mut bench, socket), []);
        socket = accept(&mut bench);
    }
    assert_eq!(read(&mut bench, &socket), b"7\n");
    assert_eq!(reset(&mut bench, socket), [7]);
}

#[test]
fn what_the_budget_does_not_pay_for_fails_with_its_connection() {
    let retry = Retry {
        percent: 0,
        per_second: 0,
        burst_max: 2,
        ..Retry::default()
    };
    let (mut bench, upstream, socket) = standing(retry, 4);
    (1..=4).for_each(|tag| ask(&mut bench, upstream, tag));
    assert_eq!(read(&mut bench, &socket), b"1\n2\n3\n4\n");
    assert_eq!(reset(&mut bench, socket), [3, 4]);
    let socket = accept(&mut bench);
    assert_eq!(read(&mut bench, &socket), b"1\n2\n");
    assert_eq!(reset(&mut bench, socket), [1, 2], "nothing is saved up");
    let stats = bench.engine.core.upstream_stats(upstream).unwrap();
    assert_eq!((stats.retries, stats.retries_refused), (2, 4));
}

#[test]
fn one_that_is_made_again_goes_before_those_that_were_made_later() {
    let (mut bench, upstream, socket) = standing(Retry::default(), 2);
    (1..=4).for_each(|tag| ask(&mut bench, upstream, tag));
    assert_eq!(read(&mut bench, &socket), b"1\n2\n");
    assert_eq!(reset(&mut bench, socket), []);
    let socket = accept(&mut bench);
    assert_eq!(read(&mut bench, &socket), b"1\n2\n");
    bench.peer.write(&socket, b"one\ntwo\n").unwrap();
    assert_eq!(bench.events(ms(1)).len(), 2);
    assert_eq!(read(&mut bench, &socket), b"3\n4\n");
}
