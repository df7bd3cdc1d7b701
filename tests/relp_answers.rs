//! What a RELP server's answers meet: they are acknowledged at once, also where nothing is written behind them.
//!
//! The server is played by hand; the lines are few, and each waits for the answer to the one before.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;
#[allow(dead_code, unsafe_code, reason = "the system calls of other tests")]
#[path = "kernel_facts/sys.rs"]
mod sys;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use support::*;
use taut::ship::{Ack, ShipConfig, ShipEvent, Shipper, Wire};

const TICK: Duration = Duration::from_millis(1);

const ANSWERS: u64 = 40;

/// Turns until something is there.
fn turning<T>(shipper: &mut Shipper, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        shipper.turn(Some(TICK)).unwrap();
        found = look();
        found.is_some()
    });
    found.unwrap()
}

/// Turns until the peer has read what ends so.
fn until_read(shipper: &mut Shipper, peer: &mut TcpStream, end: &[u8]) {
    let mut bytes = Vec::new();
    turning(shipper, "a frame of the shipper", || {
        let mut part = [0; 512];
        if let Ok(n) = peer.read(&mut part) {
            bytes.extend_from_slice(&part[..n]);
        }
        bytes.ends_with(end).then_some(())
    });
}

/// librelp's server has Nagle's algorithm: it holds the next answer back until the one before is acknowledged, which our
/// kernel would put off for 40 ms. The last lines of a burst were told as delivered so much later.
#[test]
fn an_answer_is_acknowledged_when_it_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut shipper = Shipper::new(ShipConfig {
        ack: Ack::Relp,
        wire: Wire::Relp,
        ..ShipConfig::to(listener.local_addr().unwrap().to_string())
    })
    .unwrap();
    let (mut peer, _) = turning(&mut shipper, "the shipper", || listener.accept().ok());
    peer.set_nonblocking(true).unwrap();
    until_read(&mut shipper, &mut peer, b"commands=syslog\n");
    peer.write_all(b"1 rsp 22 200 OK\ncommands=syslog\n")
        .unwrap();
    let mut at_once = 0;
    for line in 1..=ANSWERS {
        shipper.offer(b"a line").unwrap();
        until_read(&mut shipper, &mut peer, b" a line\n");
        let answer = format!("{} rsp 6 200 OK\n", line + 1);
        peer.write_all(answer.as_bytes()).unwrap();
        eventually("the answer told", || {
            shipper.turn(Some(TICK)).unwrap();
            let told = std::iter::from_fn(|| shipper.next_event());
            told.into_iter()
                .any(|it| it == ShipEvent::Delivered { upto: line })
        });
        at_once += u64::from(sys::outq(&peer) == 0);
    }
    // All of them, but where the machine was busy with something else just then. Without it: a few of the first, for a
    // new connection acknowledges sooner.
    assert!(at_once > ANSWERS / 2, "{at_once} of {ANSWERS}");
}
