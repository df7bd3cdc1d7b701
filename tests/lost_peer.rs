//! A peer that ends at every byte: what it said before is told first, then the end once, with the right `sent`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::*;
use taut::{Class, Deadline, Framing, Phase, Sent, Source};

const REQUEST: &[u8] = b"get a\n";
/// Two replies of a pipeline, 8 and 5 bytes.
const REPLIES: &[u8] = b"value a\nlast\n";

#[test]
fn a_reply_cut_at_every_byte_ends_its_request_once() {
    for end in End::BOTH {
        for cut in 0..=REPLIES.len() {
            let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
            let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
            let first = ledger.request(&mut client, upstream, REQUEST, far());
            let second = ledger.request(&mut client, upstream, REQUEST, far());
            client.flush();
            let mut stream = streams.remove(0);
            read_exactly(&mut stream, 2 * REQUEST.len());
            stream.write_all(&REPLIES[..cut]).unwrap();
            let kept = end.of(stream);

            let first = ledger.until(&mut client, first);
            let second = ledger.until(&mut client, second);
            ledger.until_all(&mut client);
            drop(kept);
            let what = format!("{end:?} after {cut}");
            match cut {
                8.. => assert_eq!(first.reply(), b"value a", "{what}"),
                0 => assert_lost(first, end, 0, Sent::Maybe, &what),
                _ => assert_lost(first, end, cut, Sent::Yes, &what),
            }
            match cut {
                13 => assert_eq!(second.reply(), b"last", "{what}"),
                9..=12 => assert_lost(second, end, cut - 8, Sent::Yes, &what),
                // A reply that was cut is the first one's; of the second nothing is known.
                1..=7 => assert_lost(second, end, cut, Sent::Maybe, &what),
                _ => assert_lost(second, end, 0, Sent::Maybe, &what),
            }
        }
    }
}

#[track_caller]
fn assert_lost(ended: Ended, end: End, partial: usize, sent: Sent, what: &str) {
    let error = ended.error();
    assert_eq!((error.phase, error.sent), (Phase::Read, sent), "{what}");
    match (end, partial) {
        (End::Fin, 0) => {
            assert_eq!(
                (error.class, error.source),
                (Class::Transient, Source::Eof),
                "{what}"
            );
        }
        (End::Fin, _) => {
            let received = partial as u64;
            assert_eq!(
                (error.class, error.source),
                (Class::Protocol, Source::Truncated { received }),
                "{what}"
            );
        }
        (End::Rst, _) => {
            assert_eq!(
                (error.class, error.errno()),
                (Class::Transient, Some(libc::ECONNRESET)),
                "{what}"
            );
        }
    }
}

#[test]
fn a_raw_stream_cut_at_every_byte_tells_its_whole_frames_and_then_the_end() {
    let frames: [&[u8]; 3] = [b"", b"\xff\0\n", b"frame of fifteen"];
    let mut stream_bytes = Vec::new();
    let mut boundaries = vec![0];
    for frame in frames {
        stream_bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        stream_bytes.extend_from_slice(frame);
        boundaries.push(stream_bytes.len());
    }
    for end in End::BOTH {
        for cut in 0..=stream_bytes.len() {
            let (mut client, peer) = (client(), Peer::new());
            let (connection, mut stream) = connected(&mut client, &peer, Framing::len32());
            stream.write_all(&stream_bytes[..cut]).unwrap();
            let kept = end.of(stream);
            let told = until_closed(&mut client, connection);
            assert_silent(&mut client);
            drop(kept);

            let whole = boundaries.iter().filter(|&&b| b <= cut).count() - 1;
            assert_eq!(told.frames, frames[..whole], "{end:?} after {cut}");
            let received = (cut - boundaries[whole]) as u64;
            let error = told.error.unwrap();
            assert_eq!(error.sent, Sent::No);
            match end {
                End::Fin if received == 0 => {
                    assert_eq!((error.phase, error.source), (Phase::Idle, Source::Eof))
                }
                End::Fin => assert_eq!(error.source, Source::Truncated { received }),
                End::Rst => assert_eq!(error.errno(), Some(libc::ECONNRESET)),
            }
        }
    }
}

/// The request is far larger than what the kernel takes at once, so it is cut wherever the peer stops to read.
#[test]
fn a_request_cut_on_its_way_is_maybe_sent_and_the_one_behind_it_is_not() {
    for end in End::BOTH {
        for cut in [0, 1, 2, 3, 5, 8, 13, 4_096, 65_537, 200_000] {
            let (mut client, peer, mut ledger) = (
                client_with(|it| {
                    it.limits.send_queue_bytes_max = 16 << 20;
                    it.retry = taut::Retry::off();
                }),
                Peer::narrow(),
                Ledger::default(),
            );
            let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
            let large = ledger.request(&mut client, upstream, &[b'x'; 15 << 20], far());
            let behind = ledger.request(&mut client, upstream, REQUEST, far());
            client.flush();
            let mut stream = streams.remove(0);
            read_while_turning(&mut client, &mut stream, cut);
            let kept = end.of(stream);

            let what = format!("{end:?} after {cut}");
            let large = ledger.until(&mut client, large).error();
            assert_eq!(
                (large.class, large.phase, large.sent),
                (Class::Transient, Phase::Write, Sent::Maybe),
                "{what}"
            );
            let behind = ledger.until(&mut client, behind).error();
            assert_eq!(
                (behind.class, behind.phase, behind.sent),
                (Class::Transient, Phase::Write, Sent::No),
                "{what}"
            );
            match end {
                End::Fin => assert_eq!(
                    (large.source, behind.source),
                    (Source::Eof, Source::Eof),
                    "{what}"
                ),
                End::Rst => {
                    for error in [large, behind] {
                        assert!(
                            matches!(error.errno(), Some(libc::ECONNRESET | libc::EPIPE)),
                            "{what}: {error}"
                        );
                    }
                }
            }
            ledger.until_all(&mut client);
            drop(kept);
        }
    }
}

/// Small requests leave whole: the peer reads some bytes of one and then ends.
#[test]
fn a_small_request_read_in_part_by_its_peer_is_maybe_sent() {
    for end in End::BOTH {
        for cut in 0..=REQUEST.len() {
            let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
            let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
            let request = ledger.request(&mut client, upstream, REQUEST, far());
            client.flush();
            let mut stream = streams.remove(0);
            read_exactly(&mut stream, cut);
            let kept = end.of(stream);
            let error = ledger.until(&mut client, request).error();
            assert_eq!(
                (error.class, error.phase, error.sent),
                (Class::Transient, Phase::Read, Sent::Maybe),
                "{end:?} after {cut}"
            );
            ledger.until_all(&mut client);
            drop(kept);
        }
    }
}

#[test]
fn all_connections_lost_at_once_end_all_their_requests_once() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, streams) = standing(&mut client, &peer, |it| it.connections(8).depth(16));
    // More than fit: some wait. When the waiting are served by new connections, those are refused.
    for n in 0..8 * 16 + 40 {
        let deadline = Deadline::after(ms(400 + n));
        ledger.request(&mut client, upstream, REQUEST, deadline);
    }
    client.turn(Some(Duration::ZERO)).unwrap();
    drop(peer);
    for (n, stream) in streams.into_iter().enumerate() {
        drop(End::BOTH[n % 2].of(stream));
    }
    ledger.until_all(&mut client);
    assert_eq!((ledger.replies(), ledger.failures()), (0, 8 * 16 + 40));
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
}

fn read_while_turning(client: &mut taut::Client, stream: &mut std::net::TcpStream, bytes: usize) {
    use std::io::Read;
    let mut buffer = vec![0; bytes];
    let mut count = 0;
    stream.set_read_timeout(Some(ms(1))).unwrap();
    eventually("the bytes of the request", || {
        client.turn(Some(Duration::ZERO)).unwrap();
        match stream.read(&mut buffer[count..]) {
            Ok(n) => count += n,
            Err(error) => assert!(matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            )),
        }
        count == bytes
    });
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}
