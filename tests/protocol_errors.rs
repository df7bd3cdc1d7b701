//! A peer that breaks the framing ends its own connection, by name, and nobody else's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::{Class, Error, Framing, Phase, Sent, Source};

/// What becomes of a request that is answered with these bytes, the connection staying open.
fn answered_with(framing: Framing, answer: &[u8]) -> Ended {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.framing(framing));
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    client.flush();
    read_exactly(&mut streams[0], 5);
    streams[0].write_all(answer).unwrap();
    let ended = ledger.until(&mut client, request);
    ledger.until_all(&mut client);
    if let Ended::Failed(_) = ended {
        assert_eq!(
            read_to_the_end(&mut streams[0]),
            b"",
            "the connection was not ended"
        );
    }
    ended
}

#[track_caller]
fn assert_broken(error: Error) {
    assert_eq!(
        (error.class, error.phase, error.sent),
        (Class::Protocol, Phase::Read, Sent::Yes),
        "{error}"
    );
}

#[test]
fn a_claimed_length_over_the_limit_fails_before_a_byte_of_the_frame_came() {
    for claimed in [(1 << 20) + 1, 1 << 31, u32::MAX] {
        let error = answered_with(Framing::len32(), &claimed.to_be_bytes()).error();
        assert_broken(error);
        assert_eq!(
            error.source,
            Source::Oversize {
                limit: 1 << 20,
                claimed: u64::from(claimed)
            }
        );
    }
}

#[test]
fn a_frame_of_exactly_the_limit_is_whole_and_one_byte_more_is_oversize() {
    let framing = || Framing::line().frame_bytes_max(1000);
    let mut line = vec![b'x'; 1000];
    line.push(b'\n');
    assert_eq!(answered_with(framing(), &line).reply(), &line[..1000]);
    line.insert(0, b'x');
    let error = answered_with(framing(), &line).error();
    assert_broken(error);
    assert_eq!(
        error.source,
        Source::Oversize {
            limit: 1000,
            claimed: 1001
        }
    );
}

#[test]
fn a_line_that_never_ends_is_oversize_while_it_is_still_coming() {
    let error = answered_with(Framing::line().frame_bytes_max(4096), &[b'x'; 5000]).error();
    assert_broken(error);
    assert!(matches!(error.source, Source::Oversize { limit: 4096, .. }));
}

#[test]
fn bytes_that_are_not_of_resp_are_malformed() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"$-7\r\n",
        b"*2\r\n:1\r\n:x\r\n",
        b"$3\r\nabcd\r\n",
        b"+a\nb\r\n",
    ] {
        let error = answered_with(Framing::resp(), answer).error();
        assert_broken(error);
        assert!(matches!(error.source, Source::Malformed(_)), "{error}");
    }
}

#[test]
fn a_reply_of_resp_is_one_frame_whatever_it_holds() {
    let reply = b"*3\r\n$3\r\na\r\n\r\n*1\r\n:42\r\n$-1\r\n";
    assert_eq!(answered_with(Framing::resp(), reply).reply(), reply);
}

#[test]
fn the_frames_before_a_broken_one_are_told() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::resp());
    stream
        .write_all(b"+one\r\n:2\r\n?what\r\n+never\r\n")
        .unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!(told.frames, [&b"+one\r\n"[..], b":2\r\n"]);
    let error = told.error.unwrap();
    assert_eq!((error.class, error.phase), (Class::Protocol, Phase::Read));
    assert!(matches!(error.source, Source::Malformed(_)));
    assert_silent(&mut client);
    drop(stream);
}

#[test]
fn the_pipeline_behind_a_broken_reply_is_maybe_sent_and_other_connections_go_on() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| {
        it.connections(2).depth(4).framing(Framing::resp())
    });
    let requests: Vec<_> = (0..8)
        .map(|_| ledger.request(&mut client, upstream, b"x\n", far()))
        .collect();
    client.turn(Some(Duration::ZERO)).unwrap();
    for stream in &mut streams {
        read_exactly(stream, 8);
    }
    streams[0].write_all(b"+ok\r\n!broken\r\n").unwrap();
    streams[1].write_all(&b"+ok\r\n".repeat(4)).unwrap();
    ledger.until_all(&mut client);
    assert_eq!((ledger.replies(), ledger.failures()), (5, 3));
    let sent: Vec<_> = requests
        .iter()
        .filter_map(|request| match ledger.ended(*request) {
            Some(Ended::Failed(error)) => Some(error.sent),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [Sent::Yes, Sent::Maybe, Sent::Maybe]);
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.open, stats.losses), (1, 1));
}

#[test]
fn a_fin_within_a_reply_is_truncated() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.framing(Framing::resp()));
    let request = ledger.request(&mut client, upstream, b"x\n", far());
    client.flush();
    let mut stream = streams.remove(0);
    read_exactly(&mut stream, 2);
    stream.write_all(b"$10\r\nhalf").unwrap();
    drop(stream);
    let error = ledger.until(&mut client, request).error();
    assert_broken(error);
    assert_eq!(error.source, Source::Truncated { received: 9 });
    ledger.until_all(&mut client);
}

#[test]
fn an_unsolicited_reply_is_named_as_such() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(3));
    let requests: Vec<_> = (0..2)
        .map(|_| ledger.request(&mut client, upstream, b"x\n", far()))
        .collect();
    client.flush();
    read_exactly(&mut streams[0], 4);
    streams[0].write_all(b"1\n2\n3\n").unwrap();
    for request in requests {
        ledger.until(&mut client, request).reply();
    }
    ledger.until_all(&mut client);
    let stats = client.upstream_stats(upstream).unwrap();
    let error = stats.last_error.unwrap();
    assert_eq!(
        (error.class, error.source, stats.open),
        (Class::Protocol, Source::Unsolicited, 0)
    );
}
