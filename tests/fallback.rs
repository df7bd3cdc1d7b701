//! A fallback over real sockets: a server dies, another one answers, and when the first is back it does again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;

use support::*;
use taut::{
    Breaker, Client, Event, Framing, Outcome, RequestId, RequestOptions, Sent, Source, Upstream,
    UpstreamId, UpstreamStats,
};

const REQUEST: &[u8] = b"get a\n";

/// Short pauses, so that connecting is tried often and the breaker opens soon.
fn quick() -> Client {
    client_with(|config| {
        config.reconnect.first_pause_max = ms(5);
        config.reconnect.pause_max = ms(5);
        config.breaker = Breaker {
            first_pause_max: ms(50),
            pause_max: ms(50),
            ..Breaker::default()
        };
    })
}

fn stats(client: &Client, upstream: UpstreamId) -> UpstreamStats {
    client.upstream_stats(upstream).unwrap()
}

/// A line, if one has come.
fn asked(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut line = [0; REQUEST.len()];
    match stream.read(&mut line) {
        Ok(n) => n == line.len(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

/// Makes a request and answers it at whichever end it comes out, which writes its own name.
fn answered(client: &mut Client, upstream: UpstreamId, ends: &mut [&mut TcpStream]) -> Vec<u8> {
    let request = client.request(upstream, REQUEST, far()).unwrap();
    let mut answer = None;
    eventually("a reply", || {
        turn(client, ms(1));
        for (name, end) in ends.iter_mut().enumerate() {
            if asked(end) {
                writeln!(end, "{name}").unwrap();
            }
        }
        match client.next_event() {
            Some(Event::Reply {
                request: it, frame, ..
            }) if it == request => answer = Some(client.bytes(&frame).to_vec()),
            None => {}
            other => panic!("{other:?}"),
        }
        answer.is_some()
    });
    answer.unwrap()
}

#[test]
fn a_server_that_dies_is_stood_in_for_and_serves_again_when_it_is_back() {
    let (mut client, peer, other) = (quick(), Peer::new(), Peer::new());
    let (fallback, mut ends) = standing(&mut client, &other, |it| it.depth(8));
    let mut end = ends.remove(0);
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.fallback(fallback));
    let mut stream = streams.remove(0);
    for _ in 0..3 {
        let ends = &mut [&mut stream, &mut end];
        assert_eq!(answered(&mut client, upstream, ends), b"0");
    }
    assert_eq!(stats(&client, upstream).handed_over, 0);

    let address = peer.addr();
    drop((peer, stream));
    for _ in 0..100 {
        assert_eq!(answered(&mut client, upstream, &mut [&mut end]), b"0");
    }
    assert_eq!(stats(&client, upstream).handed_over, 100);
    assert!(stats(&client, upstream).connect_failures >= 5);

    // A connection is made again though the fallback serves all that come.
    let peer = Peer::at(address);
    eventually("a connection", || {
        assert_eq!(answered(&mut client, upstream, &mut [&mut end]), b"0");
        stats(&client, upstream).open == 1
    });
    let mut stream = peer.accept();
    let before = stats(&client, upstream).handed_over;
    let mut by_itself = 0;
    while by_itself < 10 {
        let ends = &mut [&mut end, &mut stream];
        by_itself += usize::from(answered(&mut client, upstream, ends) == b"1");
    }
    let handed_over = stats(&client, upstream).handed_over - before;
    assert!(handed_over < 10, "{handed_over} after it was back");
    assert_silent(&mut client);
}

/// Its server is not there.
fn away(client: &mut Client, fallback: UpstreamId) -> UpstreamId {
    let target = Peer::new().target();
    client
        .add(Upstream::new(target).fallback(fallback))
        .unwrap()
}

#[test]
fn a_request_of_another_thread_is_handed_over_too() {
    let (mut client, other) = (quick(), Peer::new());
    let (fallback, mut ends) = standing(&mut client, &other, |it| it);
    let upstream = away(&mut client, fallback);
    let (outcomes, ended) = channel();
    let handle = client.handle();
    handle
        .request_to(upstream, REQUEST, far(), 7, &outcomes)
        .unwrap();
    turn_until(&mut client, "a request", |_| asked(&mut ends[0]));
    ends[0].write_all(b"value\n").unwrap();
    turn_until(&mut client, "its end", |client| {
        stats(client, fallback).in_flight == 0
    });
    let result = Ok(b"value".to_vec());
    assert_eq!(
        ended.try_iter().collect::<Vec<_>>(),
        [Outcome { tag: 7, result }]
    );
}

#[test]
fn a_request_that_waits_at_the_fallback_can_be_taken_back() {
    let (mut client, other) = (quick(), Peer::new());
    let (fallback, mut ends) = standing(&mut client, &other, |it| it);
    let upstream = away(&mut client, fallback);
    let first = client.request(fallback, REQUEST, far()).unwrap();
    let second = client.request(upstream, REQUEST, far()).unwrap();
    turn_until(&mut client, "its way", |client| {
        stats(client, fallback).waiting == 1
    });
    assert!(client.cancel(second));
    ends[0].write_all(b"value\n").unwrap();
    let mut told: Vec<(RequestId, Option<(Source, Sent)>)> = Vec::new();
    client_until(&mut client, |_, event| {
        told.push(match event {
            Event::Reply { request, .. } => (request, None),
            Event::Failed { request, error, .. } => (request, Some((error.source, error.sent))),
            other => panic!("{other:?}"),
        });
        (told.len() == 2).then_some(())
    });
    assert_eq!(
        told,
        [(second, Some((Source::Cancelled, Sent::No))), (first, None)]
    );
    assert_silent(&mut client);
    assert!(asked(&mut ends[0]) && !asked(&mut ends[0]));
}

#[test]
fn a_tag_that_is_an_id_in_use_at_the_fallback_stays_the_fault_of_the_first() {
    let (mut client, other) = (quick(), Peer::new());
    let framing = Framing::line().reply_id(|line| Some(u64::from(*line.first()?)));
    let (fallback, _ends) = standing(&mut client, &other, |it| {
        it.framing(framing).depth(4).matched_by_id()
    });
    let upstream = away(&mut client, fallback);
    let options = RequestOptions::new().deadline(far()).tag(9);
    client.request_with(fallback, REQUEST, options).unwrap();
    let request = client.request_with(upstream, REQUEST, options).unwrap();
    let error = client_until(&mut client, |_, event| match event {
        Event::Failed {
            request: it, error, ..
        } if it == request => Some(error),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        (error.errno(), error.sent),
        (Some(libc::ECONNREFUSED), Sent::No)
    );
}

#[test]
fn a_fallback_that_was_not_added_before_is_refused_by_name() {
    let (mut client, mut another) = (client(), client());
    let upstream = || Upstream::new("127.0.0.1:1");
    client.add(upstream()).unwrap();
    let later = client.add(upstream()).unwrap();
    another.add(upstream()).unwrap();
    let error = another.add(upstream().fallback(later)).unwrap_err();
    assert!(error.to_string().contains("fallback"), "{error}");
    assert!(matches!(error.source, Source::Invalid(_)));
}
