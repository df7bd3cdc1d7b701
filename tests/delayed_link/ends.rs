//! The peer's end on its way: what can be known of it before it arrives, after, and in which order.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use taut::{Class, Client, ConnectionId, Framing, Peek, Phase, Sent, Source, Upstream, UpstreamId};

use crate::delayed_link::Direction::{Back, Out};
use crate::delayed_link::Link;
use crate::support::*;

/// A client at the near end of a link, and its peer at the far one; the thread is at the near end.
/// What a request meets on its first connection is told: none is made again.
pub(crate) fn scene(work: impl FnOnce(&Link, Client, Peer)) {
    let link = Link::new(ms(5));
    let peer = link.far(|| Peer::at((Link::FAR, 0)));
    link.near(|| work(&link, client_without_retries(), peer));
}

pub(crate) fn standing_upstream(
    client: &mut Client,
    peer: &Peer,
    depth: usize,
) -> (UpstreamId, TcpStream) {
    let (upstream, mut streams) = standing(client, peer, |it: Upstream| it.depth(depth));
    (upstream, streams.remove(0))
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_fin_in_flight_is_not_seen_and_what_is_written_then_is_maybe_sent_and_told_once() {
    for whole_close in [false, true] {
        scene(|link, mut client, peer| {
            let mut ledger = Ledger::default();
            let (upstream, stream) = standing_upstream(&mut client, &peer, 2);
            link.hold(Back, |packet| packet.fin);
            let mut half = None;
            match whole_close {
                true => drop(stream),
                false => {
                    stream.shutdown(Shutdown::Write).unwrap();
                    half = Some(stream);
                }
            }
            link.until_entered(Back, "the FIN on its way", |it| it.fin == 1);

            let requests = [0, 1].map(|_| ledger.request(&mut client, upstream, b"ping\n", far()));
            client.flush();
            link.until_left(Out, "the requests at the peer", |it| it.payload_bytes == 10);
            if whole_close {
                // The peer's kernel has answered that nobody is there any more; that is behind the FIN.
                link.until_entered(Back, "the reset", |it| it.rst >= 1);
            }
            assert_silent(&mut client);
            assert_eq!(ledger.open(), 2);

            link.release(Back);
            for request in requests {
                let error = ledger.until(&mut client, request).error();
                assert_eq!(
                    (error.class, error.phase, error.sent),
                    (Class::Transient, Phase::Read, Sent::Maybe),
                    "{error}"
                );
            }
            ledger.until_all(&mut client);
            if let Some(mut stream) = half {
                assert_eq!(read_to_the_end(&mut stream), b"ping\nping\n");
            }
        });
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_fin_that_has_arrived_is_seen_before_the_next_send() {
    scene(|link, mut client, peer| {
        let mut ledger = Ledger::default();
        let (upstream, stream) = standing_upstream(&mut client, &peer, 1);
        drop(stream);
        link.until_left(Back, "the FIN", |it| it.fin == 1);
        let request = ledger.request(&mut client, upstream, b"ping\n", far());
        let error = ledger.until(&mut client, request).error();
        assert_eq!(
            (error.class, error.phase, error.sent, error.source),
            (Class::Transient, Phase::Write, Sent::No, Source::Eof)
        );
        ledger.until_all(&mut client);
        link.until_left(Out, "our own FIN", |it| it.fin == 1);
        assert_eq!(link.counts(Out).entered.payload_bytes, 0);
    });
}

/// The FIN, and the reset that our bytes have brought upon us: one by one, or both before the client looks.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_reset_behind_a_fin_changes_nothing_of_what_is_told() {
    for at_once in [false, true] {
        scene(|link, mut client, peer| {
            let connection = written_into_a_fin(link, &mut client, &peer);
            if at_once {
                link.release(Back);
                link.until_left(Back, "the reset", |it| it.rst == 1);
            } else {
                link.release_one(Back);
                link.until_left(Back, "the FIN", |it| it.fin == 1);
            }
            let told = until_closed(&mut client, connection);
            let error = told.error.unwrap();
            assert_eq!(
                (error.sent, error.source, told.written),
                (Sent::Maybe, Source::Eof, 5)
            );
            assert_eq!(told.frames, [b"bye"]);
            link.release(Back);
            assert_silent(&mut client);
        });
    }
}

/// Who does not look before it writes hears it from the write, and which of the two came first.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_write_after_a_fin_and_a_reset_says_broken_pipe_and_after_a_reset_alone_says_reset() {
    for fin_first in [true, false] {
        scene(|link, _, peer| {
            let mut client = client_with(|it| it.peek = Peek::Never);
            let connection = match fin_first {
                true => written_into_a_fin(link, &mut client, &peer),
                false => {
                    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
                    client.send(connection, b"ping\n").unwrap();
                    client.flush();
                    link.until_left(Out, "our bytes", |it| it.payload_bytes == 5);
                    stream.write_all(b"bye\n").unwrap();
                    link.until_left(Back, "its last words", |it| it.payload_bytes == 4);
                    reset(stream);
                    connection
                }
            };
            link.release(Back);
            link.until_left(Back, "the reset", |it| it.rst == 1);
            client.send(connection, b"more\n").unwrap();
            client.flush();
            let told = until_closed(&mut client, connection);
            let error = told.error.unwrap();
            let errno = if fin_first {
                libc::EPIPE
            } else {
                libc::ECONNRESET
            };
            assert_eq!(
                (error.phase, error.sent, error.errno(), told.written),
                (Phase::Write, Sent::Maybe, Some(errno), 5)
            );
            assert_eq!(told.frames, [b"bye"], "its words come first");
            assert_silent(&mut client);
        });
    }
}

/// A raw connection that has written, behind the peer's last words, while the peer's FIN was on its way. FIN and reset are kept on the wire.
fn written_into_a_fin(link: &Link, client: &mut Client, peer: &Peer) -> ConnectionId {
    let (connection, mut stream) = connected(client, peer, Framing::line());
    link.hold(Back, |packet| packet.fin || packet.rst);
    stream.write_all(b"bye\n").unwrap();
    link.until_left(Back, "its last words", |it| it.payload_bytes == 4);
    drop(stream);
    link.until_entered(Back, "the FIN on its way", |it| it.fin == 1);
    client.send(connection, b"ping\n").unwrap();
    client.flush();
    link.until_entered(Back, "the reset on its way", |it| it.rst == 1);
    connection
}

/// A peer that closes with bytes unread resets, and sends no FIN; what it said before is told first.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_words_of_a_peer_that_closes_with_bytes_unread_are_told_before_its_reset() {
    for at_once in [false, true] {
        scene(|link, mut client, peer| {
            let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
            client.send(connection, b"unread\n").unwrap();
            client.flush();
            link.until_left(Out, "our bytes", |it| it.payload_bytes == 7);
            link.hold(Back, |packet| packet.rst || packet.payload > 0);
            stream.write_all(b"bye\nnow\n").unwrap();
            drop(stream);
            link.until_entered(Back, "the reset on its way", |it| it.rst == 1);
            assert_eq!(link.counts(Back).entered.fin, 0);
            let mut frames = Vec::new();
            if at_once {
                link.release(Back);
                link.until_left(Back, "the reset", |it| it.rst == 1);
            } else {
                link.release_one(Back);
                frames.extend([0, 1].map(|_| next_frame(&mut client, connection)));
                link.release(Back);
            }
            let told = until_closed(&mut client, connection);
            frames.extend(told.frames);
            assert_eq!(frames, [&b"bye"[..], b"now"]);
            let error = told.error.unwrap();
            assert_eq!(
                (error.sent, error.errno()),
                (Sent::Maybe, Some(libc::ECONNRESET))
            );
            assert_silent(&mut client);
        });
    }
}

/// The reset overtakes a request on its way: its bytes meet nobody.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_request_that_crosses_a_reset_is_maybe_sent_and_one_after_it_is_not() {
    scene(|link, mut client, peer| {
        let mut ledger = Ledger::default();
        let (upstream, stream) = standing_upstream(&mut client, &peer, 2);
        link.hold(Out, |packet| packet.payload > 0);
        let crossing = ledger.request(&mut client, upstream, b"crossing\n", far());
        client.flush();
        link.until_entered(Out, "the request on its way", |it| it.payload_bytes == 9);
        reset(stream);
        link.until_left(Back, "the reset", |it| it.rst == 1);
        let after = ledger.request(&mut client, upstream, b"after\n", far());
        for (request, phase, sent) in [
            (crossing, Phase::Read, Sent::Maybe),
            (after, Phase::Write, Sent::No),
        ] {
            let error = ledger.until(&mut client, request).error();
            assert_eq!((error.phase, error.sent), (phase, sent), "{error}");
            assert_eq!(error.errno(), Some(libc::ECONNRESET));
        }
        link.release(Out);
        ledger.until_all(&mut client);
        assert_eq!(link.counts(Out).entered.payload_bytes, 9);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_abort_with_data_in_flight_reaches_the_peer_as_a_reset_behind_it() {
    scene(|link, mut client, peer| {
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        link.hold(Out, |packet| packet.payload > 0);
        client.send(connection, b"in flight\n").unwrap();
        client.turn(Some(Duration::ZERO)).unwrap();
        client.send(connection, b"never leaves\n").unwrap();
        client.abort(connection).unwrap();
        let told = until_closed(&mut client, connection);
        let error = told.error.unwrap();
        assert_eq!(
            (error.class, error.sent, error.source, told.written),
            (Class::Local, Sent::Maybe, Source::Closed, 10)
        );
        link.until_entered(Out, "our reset", |it| it.rst == 1);
        link.release(Out);
        link.until_left(Out, "our reset there", |it| it.rst == 1);
        assert_eq!(read_to_the_end(&mut stream), b"in flight\n");
        assert_eq!(link.counts(Out).entered.fin, 0);
        assert_silent(&mut client);
    });
}
