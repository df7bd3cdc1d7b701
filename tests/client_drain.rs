//! The end of a client over real sockets (fault 37): what is under way is finished, nothing new is begun, what is left
//! at the deadline is reset, and after `Drained` the client can be dropped without losing anything.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::sync::mpsc::channel;
use std::time::Instant;

use support::*;
use taut::{Class, Client, Config, Deadline, Event, Framing, RequestId, Sent, Source, Upstream};

/// All that is told until the end, which is told last.
#[track_caller]
fn until_drained(client: &mut Client) -> (Vec<Event>, usize) {
    let mut told = Vec::new();
    let forced = client_until(client, |_, event| match event {
        Event::Drained { forced } => Some(forced),
        Event::Draining { left } => {
            assert!(left > 0, "then it has ended");
            None
        }
        event => {
            told.push(event);
            None
        }
    });
    assert_silent(client);
    assert_eq!(client.connections(), 0);
    (told, forced)
}

fn failure(told: &[Event], wanted: RequestId) -> (Source, Sent) {
    let of = |event: &Event| match event {
        Event::Failed { request, error, .. } if *request == wanted => {
            Some((error.source, error.sent))
        }
        _ => None,
    };
    let all: Vec<_> = told.iter().filter_map(of).collect();
    assert_eq!(all.len(), 1, "{wanted} ends once: {told:?}");
    all[0]
}

#[test]
fn a_busy_client_gets_its_replies_and_then_ends_each_connection_with_a_fin() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.connections(2));
    let (raw, mut stream) = connected(&mut client, &peer, Framing::line());
    let request = client.request(upstream, b"ping\n", far()).unwrap();
    client.send(raw, b"last words\n").unwrap();
    client.drain(Deadline::Standard);
    for error in [
        client.request(upstream, b"ping\n", far()).unwrap_err(),
        client.connect(&peer.target(), Framing::line()).unwrap_err(),
        client.add(Upstream::new(peer.target())).unwrap_err(),
        client.call(upstream, b"ping\n", far()).unwrap_err(),
    ] {
        let is = (error.source, error.class, error.sent);
        assert_eq!(is, (Source::ShuttingDown, Class::Local, Sent::No));
    }
    turn(&mut client, ms(10));
    // The raw one and the idle one end now, the busy one when it has its reply, which comes in two parts.
    assert_eq!(read_to_the_end(&mut stream), b"last words\n");
    let of_busy = client.connections_of(upstream).next().unwrap();
    let busy = client.tcp_info(of_busy).unwrap();
    assert_eq!(busy.bytes_received, 0);
    let port = |stream: &std::net::TcpStream| stream.peer_addr().unwrap().port();
    let is_busy = |stream: &std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let found = stream.peek(&mut [0; 8]);
        stream.set_nonblocking(false).unwrap();
        found.is_ok_and(|bytes| bytes > 0)
    };
    streams.sort_by_key(|stream| (is_busy(stream), port(stream)));
    let [idle, busy] = &mut streams[..] else {
        panic!("two connections")
    };
    assert_eq!(ended_by(idle), End::Fin);
    assert_eq!(read_exactly(busy, 5), b"ping\n");
    busy.write_all(b"po").unwrap();
    turn(&mut client, ms(10));
    busy.write_all(b"ng\n").unwrap();
    client_until(&mut client, |client, event| match event {
        Event::Reply {
            request: it, frame, ..
        } => {
            assert_eq!((it, client.bytes(&frame)), (request, &b"pong"[..]));
            Some(())
        }
        Event::Draining { .. } => None,
        event => panic!("{event:?}"),
    });
    turn(&mut client, ms(10));
    assert_eq!(ended_by(busy), End::Fin);
    drop(streams);
    drop(stream);
    let (told, forced) = until_drained(&mut client);
    assert!(
        matches!(
            told[..],
            [Event::Closed {
                error: None,
                written: 11,
                ..
            }]
        ),
        "{told:?}"
    );
    assert_eq!(forced, 0);
}

#[test]
fn what_is_left_at_the_deadline_is_reset_and_fails_by_name() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.connections(1).depth(2));
    let (raw, mut stream) = connected(&mut client, &peer, Framing::line());
    let asked = [(); 3].map(|()| client.request(upstream, b"ping\n", far()).unwrap());
    turn(&mut client, ms(10));
    assert_eq!(read_exactly(&mut streams[0], 10), b"ping\nping\n");
    streams[0].write_all(b"po").unwrap();
    turn(&mut client, ms(100));
    let ends = both_ends(&stream);
    let (began, after) = (Instant::now(), ms(300));
    client.drain(Deadline::after(after));
    // It may only be brought forward.
    client.drain(far());
    let (told, forced) = until_drained(&mut client);
    assert!(began.elapsed() >= after);
    let expected = [Sent::Yes, Sent::Maybe, Sent::No];
    for (request, sent) in asked.into_iter().zip(expected) {
        assert_eq!(failure(&told, request), (Source::ShuttingDown, sent));
    }
    let closed = told.iter().find_map(|event| match event {
        Event::Closed {
            connection, error, ..
        } if *connection == raw => Some(*error),
        _ => None,
    });
    let error = closed.unwrap().unwrap();
    assert_eq!(
        (error.source, error.class),
        (Source::ShuttingDown, Class::Local)
    );
    assert_eq!(forced, 2);
    assert_eq!(ended_by(&mut streams[0]), End::Rst);
    // Its FIN came first, and nobody answered it.
    assert_eq!(ended_by(&mut stream), End::Fin);
    until_reset_arrived(ends);
}

#[test]
fn in_a_pause_and_with_a_name_that_is_not_found_out_it_ends_at_once() {
    let (resolver, asked, _answer) = scripted();
    let mut client = Client::with_resolver(Config::default(), resolver).unwrap();
    let refusing = Peer::new().target();
    let paused = client.add(Upstream::new(refusing)).unwrap();
    turn_until(&mut client, "the first attempt's failure", |client| {
        client.upstream_stats(paused).unwrap().connect_failures > 0
    });
    let silent = client.add(Upstream::new("nowhere.test:1")).unwrap();
    let raw = client.connect("nowhere.test:1", Framing::line()).unwrap();
    turn(&mut client, ms(1));
    assert_eq!(asked.recv_timeout(PATIENCE).unwrap().0, "nowhere.test");
    // A connection that is being made may still serve who waits: this one's deadline ends it.
    let waits = client.request(silent, b"ping\n", Deadline::after(ms(50)));
    client.drain(Deadline::Standard);
    let (told, forced) = until_drained(&mut client);
    assert_eq!(forced, 0);
    assert_eq!(failure(&told, waits.unwrap()), (Source::Deadline, Sent::No));
    let closed =
        |event: &Event| matches!(event, Event::Closed { connection, .. } if *connection == raw);
    assert!(told.iter().any(closed), "{told:?}");
}

#[test]
fn requests_of_other_threads_end_and_later_ones_are_refused() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let handle = client.handle();
    let (reply_to, outcomes) = channel();
    handle
        .request_to(upstream, "ping\n", far(), 7, &reply_to)
        .unwrap();
    client.drain(Deadline::Standard);
    let refused = std::thread::spawn(move || handle.call(upstream, "ping\n", far()));
    let error = refused.join().unwrap().unwrap_err();
    assert_eq!((error.source, error.sent), (Source::ShuttingDown, Sent::No));
    turn(&mut client, ms(10));
    assert_eq!(read_exactly(&mut streams[0], 5), b"ping\n");
    streams[0].write_all(b"pong\n").unwrap();
    drop(streams);
    let (told, forced) = until_drained(&mut client);
    assert_eq!((told, forced), (vec![], 0));
    let outcome = outcomes.try_recv().unwrap();
    assert_eq!((outcome.tag, outcome.result), (7, Ok(b"pong".to_vec())));
}

#[test]
fn after_the_end_nothing_is_lost_when_the_client_is_dropped() {
    let peer = Peer::new();
    let mut client = client();
    let raw = client.connect(&peer.target(), Framing::raw()).unwrap();
    let mut stream = {
        until_connected(&mut client, raw);
        peer.accept()
    };
    let bytes = vec![b'.'; 1 << 20];
    client.send(raw, &bytes).unwrap();
    client.drain(Deadline::Standard);
    let reader = std::thread::spawn(move || read_to_the_end(&mut stream).len());
    let (told, forced) = until_drained(&mut client);
    assert!(
        matches!(told[..], [Event::Closed { error: None, .. }]),
        "{told:?}"
    );
    assert_eq!(forced, 0);
    drop(client);
    assert_eq!(reader.join().unwrap(), bytes.len());
}
