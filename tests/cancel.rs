//! A request that the program takes back: it ends once and says what was sent of it, and its neighbours are not harmed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;

use support::*;
use taut::{Class, Client, Error, Event, Framing, Phase, RequestId, RequestOptions, Sent, Source};

/// Takes it back, and finds that its event follows at once.
#[track_caller]
fn cancel(client: &mut Client, ledger: &mut Ledger, request: RequestId) -> Error {
    assert!(client.cancel(request));
    assert!(!client.cancel(request), "it has ended");
    let error = ledger.until(client, request).error();
    assert_eq!(
        (error.class, error.source),
        (Class::Local, Source::Cancelled),
        "{error}"
    );
    error
}

#[test]
fn one_that_waits_leaves_at_once_and_those_around_it_keep_their_turn() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let requests = [b"1\n", b"2\n", b"3\n", b"4\n"]
        .map(|line| ledger.request(&mut client, upstream, line, far()));
    let error = cancel(&mut client, &mut ledger, requests[2]);
    assert_eq!((error.phase, error.sent), (Phase::Connect, Sent::No));
    for (n, line) in [(0, b"1\n"), (1, b"2\n"), (3, b"4\n")] {
        client.flush();
        assert_eq!(read_exactly(&mut streams[0], 2), line);
        streams[0].write_all(line).unwrap();
        let reply = ledger.until(&mut client, requests[n]).reply();
        assert_eq!(reply, line[..1]);
        assert!(!client.cancel(requests[n]), "its reply was told");
    }
    ledger.until_all(&mut client);
}

#[test]
fn one_that_is_queued_leaves_no_byte_and_its_connection_goes_on() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(3));
    let requests =
        [b"1\n", b"2\n", b"3\n"].map(|line| ledger.request(&mut client, upstream, line, far()));
    let error = cancel(&mut client, &mut ledger, requests[1]);
    assert_eq!((error.phase, error.sent), (Phase::Write, Sent::No));
    client.flush();
    assert_eq!(read_exactly(&mut streams[0], 4), b"1\n3\n");
    streams[0].write_all(b"one\nthree\n").unwrap();
    assert_eq!(ledger.until(&mut client, requests[0]).reply(), b"one");
    assert_eq!(ledger.until(&mut client, requests[2]).reply(), b"three");
    assert_eq!(client.upstream_stats(upstream).unwrap().open, 1);
    ledger.until_all(&mut client);
}

#[test]
fn the_late_reply_of_one_that_was_sent_is_not_taken_for_its_neighbours() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(3));
    let requests =
        [b"1\n", b"2\n", b"3\n"].map(|line| ledger.request(&mut client, upstream, line, far()));
    client.flush();
    assert_eq!(read_exactly(&mut streams[0], 6), b"1\n2\n3\n");
    let error = cancel(&mut client, &mut ledger, requests[1]);
    assert_eq!((error.phase, error.sent), (Phase::Read, Sent::Maybe));
    streams[0].write_all(b"one\ntwo\nthree\n").unwrap();
    assert_eq!(ledger.until(&mut client, requests[0]).reply(), b"one");
    assert_eq!(ledger.until(&mut client, requests[2]).reply(), b"three");
    ledger.until_all(&mut client);
}

#[test]
fn one_that_was_alone_on_its_connection_ends_it_and_the_next_is_served_on_another() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(3));
    let request = ledger.request(&mut client, upstream, b"1\n", far());
    client.flush();
    read_exactly(&mut streams[0], 2);
    let error = cancel(&mut client, &mut ledger, request);
    assert_eq!(error.sent, Sent::Maybe);
    assert_eq!(ended_by(&mut streams[0]), End::Rst);
    let request = ledger.request(&mut client, upstream, b"2\n", far());
    let server = std::thread::spawn(move || {
        let mut stream = peer.accept();
        assert_eq!(read_exactly(&mut stream, 2), b"2\n");
        stream.write_all(b"two\n").unwrap();
        stream
    });
    assert_eq!(ledger.until(&mut client, request).reply(), b"two");
    ledger.until_all(&mut client);
    server.join().unwrap();
}

/// Fault 34: its connection stands by the time it is taken back, and the turn that served it has not told.
#[test]
fn one_whose_connection_arrives_in_the_same_turn_is_taken_back_with_what_was_sent_of_it() {
    let (mut client, peer, mut ledger) = (client(), Peer::new(), Ledger::default());
    let upstream = client.add(taut::Upstream::new(peer.target())).unwrap();
    let request = ledger.request(&mut client, upstream, b"1\n", far());
    turn_until(&mut client, "it is in flight", |client| {
        client.upstream_stats(upstream).unwrap().in_flight == 1
    });
    let error = cancel(&mut client, &mut ledger, request);
    assert_eq!(error.sent, Sent::Maybe);
    let mut stream = peer.accept();
    assert_eq!(read_to_the_end(&mut stream), b"1\n");
    ledger.until_all(&mut client);
}

#[test]
fn where_replies_are_matched_by_id_the_connection_of_one_that_was_sent_stays_in_use() {
    let framing = Framing::len32().reply_id(|payload| payload.first().map(|&id| u64::from(id)));
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| {
        it.framing(framing).depth(3).matched_by_id()
    });
    let ask = |client: &mut Client, tag: u64| {
        let options = RequestOptions::new().deadline(far()).tag(tag);
        client.request_with(upstream, b"..", options).unwrap()
    };
    let first = ask(&mut client, 1);
    client.flush();
    assert!(client.cancel(first));
    let Some(Event::Failed { tag: 1, error, .. }) = client.next_event() else {
        panic!("it was taken back");
    };
    assert_eq!((error.source, error.sent), (Source::Cancelled, Sent::Maybe));
    let again = RequestOptions::new().tag(1);
    let in_use = client.request_with(upstream, b"..", again).unwrap_err();
    assert_eq!(in_use.source, Source::IdInUse { id: 1 });
    ask(&mut client, 2);
    client.flush();
    assert_eq!(read_exactly(&mut streams[0], 4), b"....");
    streams[0]
        .write_all(b"\0\0\0\x01\x01\0\0\0\x01\x02")
        .unwrap();
    client_until(&mut client, |_, event| match event {
        Event::Reply { tag: 2, .. } => Some(()),
        other => panic!("{other:?}"),
    });
    assert_silent(&mut client);
    assert_eq!(client.upstream_stats(upstream).unwrap().open, 1);
    ask(&mut client, 1);
}
