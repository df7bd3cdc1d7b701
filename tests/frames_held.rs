//! How long received bytes stay: pinned until pulled, valid until the next turn after that, gone then.
//!
//! Also when the connection has closed meanwhile, and never again once its slot serves another connection.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::{Deadline, Event, Frame, Framing, Source};

const NOW: Option<Duration> = Some(Duration::ZERO);

#[test]
fn the_last_frames_of_a_closed_connection_are_valid_until_the_next_turn() {
    for end in End::BOTH {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        stream.write_all(b"last\nwords\n").unwrap();
        let kept = end.of(stream);
        let mut frames: Vec<Frame> = Vec::new();
        client_until(&mut client, |_, event| match event {
            Event::Frame { frame, .. } => {
                frames.push(frame);
                None
            }
            Event::Closed { .. } => Some(()),
            other => panic!("{other:?}"),
        });
        assert_eq!(client.bytes(&frames[0]), b"last", "{end:?}");
        assert_eq!(client.bytes(&frames[1]), b"words", "{end:?}");
        assert_eq!(frames[1].connection(), connection);
        client.turn(NOW).unwrap();
        assert_eq!(client.try_bytes(&frames[0]), None);
        assert_eq!(client.try_bytes(&frames[1]), None);
        assert_eq!(client.connections(), 0);
        drop(kept);
    }
}

#[test]
fn the_last_replies_of_a_lost_upstream_connection_are_valid_until_the_next_turn() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(4));
    for _ in 0..4 {
        client.request(upstream, b"x\n", far()).unwrap();
    }
    client.flush();
    let mut stream = streams.remove(0);
    read_exactly(&mut stream, 8);
    stream.write_all(b"1\n22\n333\n").unwrap();
    drop(stream);
    let (mut replies, mut failed) = (Vec::new(), 0);
    while failed == 0 {
        // Nothing is pulled while the connection ends, is closed and more turns pass.
        client_until(&mut client, |client, event| {
            for _ in 0..3 {
                client.turn(NOW).unwrap();
            }
            match event {
                Event::Reply { frame, .. } => replies.push(frame.len()),
                Event::Failed { .. } => failed += 1,
                other => panic!("{other:?}"),
            }
            Some(())
        });
    }
    assert_eq!((replies, failed), (vec![1, 2, 3], 1));
}

#[test]
fn a_frame_that_was_not_pulled_is_pinned_over_any_number_of_turns() {
    let (mut client, peer) = (client_with(|it| it.limits.read_bytes = 64), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let lines: Vec<String> = (0..200)
        .map(|n| format!("line {n} {}", "x".repeat(n % 50)))
        .collect();
    // One frame is pulled a turn, while more keep coming: the buffer is released, moved and grown around the others.
    let (mut written, mut pulled) = (0, 0);
    while pulled < lines.len() {
        for line in lines.iter().skip(written).take(3) {
            stream.write_all(line.as_bytes()).unwrap();
            stream.write_all(b"\n").unwrap();
            written += 1;
        }
        client.turn(NOW).unwrap();
        client.turn(NOW).unwrap();
        if let Some(event) = client.next_event() {
            let Event::Frame {
                frame,
                connection: it,
            } = event
            else {
                panic!("{event:?}")
            };
            assert_eq!(it, connection);
            assert_eq!(client.bytes(&frame), lines[pulled].as_bytes());
            pulled += 1;
        }
    }
}

/// The late reply of a request that timed out is swallowed in the midst of replies that the program has not pulled.
#[test]
fn a_swallowed_reply_does_not_give_up_its_neighbours_before_they_are_pulled() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(4));
    let first = client.request(upstream, b"x\n", far()).unwrap();
    let late = client
        .request(upstream, b"x\n", Deadline::after(ms(150)))
        .unwrap();
    let last = client.request(upstream, b"x\n", far()).unwrap();
    client.flush();
    read_exactly(&mut streams[0], 6);
    let failed = client_until(&mut client, |_, event| match event {
        Event::Failed { request, error, .. } => Some((request, error.source)),
        other => panic!("{other:?}"),
    });
    assert_eq!(failed, (late, Source::Deadline));

    streams[0]
        .write_all(b"first reply\nlate reply\nlast reply\n")
        .unwrap();
    until_in_kernel(&client, only_connection(&client, upstream), 34);
    for _ in 0..3 {
        client.turn(NOW).unwrap();
    }
    for (expected, bytes) in [(first, &b"first reply"[..]), (last, b"last reply")] {
        let event = client.next_event().unwrap();
        let Event::Reply { request, frame, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!(request, expected);
        assert_eq!(client.try_bytes(&frame), Some(bytes));
    }
    assert_silent(&mut client);
}

/// The same where the unwanted frame answers nothing at all and ends the connection.
#[test]
fn an_unsolicited_frame_does_not_give_up_the_replies_before_it() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let request = client.request(upstream, b"x\n", far()).unwrap();
    client.flush();
    read_exactly(&mut streams[0], 2);
    streams[0].write_all(b"the reply\nand more\n").unwrap();
    until_in_kernel(&client, only_connection(&client, upstream), 19);
    for _ in 0..3 {
        client.turn(NOW).unwrap();
    }
    let event = client.next_event().unwrap();
    let Event::Reply {
        request: it, frame, ..
    } = event
    else {
        panic!("{event:?}")
    };
    assert_eq!(
        (it, client.try_bytes(&frame)),
        (request, Some(&b"the reply"[..]))
    );
    assert_silent(&mut client);
}

#[test]
fn a_pulled_frame_is_given_up_with_the_turn_and_bytes_panics() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"once\n").unwrap();
    let frame = client_until(&mut client, |_, event| match event {
        Event::Frame { frame, .. } => Some(frame),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        (frame.connection(), frame.len(), frame.is_empty()),
        (connection, 4, false)
    );
    client.turn(NOW).unwrap();
    assert_eq!(client.try_bytes(&frame), None);
    let bytes = std::panic::AssertUnwindSafe(|| client.bytes(&frame).len());
    assert!(std::panic::catch_unwind(bytes).is_err());
}

#[test]
fn a_slot_that_serves_again_knows_the_names_of_before_no_more() {
    let (mut client, peer) = (client(), Peer::new());
    let (old, mut stream) = connected(&mut client, &peer, Framing::line());
    stream.write_all(b"from the old\n").unwrap();
    let mut old_frame = None;
    drop(stream);
    client_until(&mut client, |_, event| match event {
        Event::Frame { frame, .. } => {
            old_frame = Some(frame);
            None
        }
        Event::Closed { .. } => Some(()),
        other => panic!("{other:?}"),
    });
    client.turn(NOW).unwrap();

    let (new, mut stream) = connected(&mut client, &peer, Framing::line());
    // The Display form shows the index: without its reuse this test would prove nothing.
    let index = |it: taut::ConnectionId| it.to_string().split('.').next().unwrap().to_owned();
    assert_eq!(index(old), index(new));
    assert_ne!(old, new);
    stream.write_all(b"from the new one\n").unwrap();
    assert_eq!(next_frame(&mut client, new), b"from the new one");
    assert_eq!(client.try_bytes(&old_frame.unwrap()), None);
    for refused in [
        client.send(old, b"x"),
        client.close(old),
        client.abort(old),
        client.notify_writable(old),
    ] {
        assert_eq!(refused.unwrap_err().source, Source::NotOpen);
    }
    assert_eq!(
        (
            client.queued(old),
            client.transferred(old),
            client.peer_addr(old)
        ),
        (None, None, None)
    );
    assert!(client.tcp_info(old).is_err());
    client.send(new, b"still open\n").unwrap();
    client.flush();
    assert_eq!(read_exactly(&mut stream, 11), b"still open\n");
}
