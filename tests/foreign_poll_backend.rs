//! The client inside a loop of the program's own on mio's poll(2) backend, which has no descriptor to wait for: the
//! outer loop turns it again and again, and `next_timeout` still says when that may wait.
#![cfg(mio_unsupported_force_poll_poll)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::os::fd::AsRawFd;
use std::time::Duration;

use support::*;
use taut::{Deadline, Event, Peek, Source};

#[test]
fn there_is_no_descriptor() {
    assert_eq!(client().as_raw_fd(), -1);
}

#[test]
fn a_loop_that_turns_again_and_again_is_served() {
    // Each look at the line would have its socket told of again.
    let (mut client, peer) = (client_with(|it| it.peek = Peek::Never), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(32));
    let server = std::thread::spawn(move || echo(streams.remove(0)));
    let (mut asked, mut answered) = (0, 0);
    eventually("1,000 replies", || {
        while asked < 1_000 && asked - answered < 32 {
            let line = format!("{asked}\n");
            client.request(upstream, line.as_bytes(), far()).unwrap();
            asked += 1;
        }
        client.turn(Some(Duration::ZERO)).unwrap();
        while let Some(event) = client.next_event() {
            let Event::Reply { frame, .. } = event else {
                panic!("{event:?}")
            };
            assert_eq!(client.bytes(&frame), answered.to_string().as_bytes());
            answered += 1;
        }
        answered == 1_000
    });
    drop(client);
    server.join().unwrap();
}

#[test]
fn it_is_told_how_long_it_may_do_something_else() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it);
    let deadline = Deadline::after(ms(50));
    client.request(upstream, b"x\n", deadline).unwrap();
    assert_eq!(client.next_timeout(), Some(Duration::ZERO), "it is queued");
    client.turn(Some(Duration::ZERO)).unwrap();
    assert!(client.next_timeout().is_some_and(|it| it <= ms(51)));
    client_until(&mut client, |_, event| match event {
        Event::Failed { error, .. } if error.source == Source::Deadline => Some(()),
        other => panic!("{other:?}"),
    });
}
