//! A hundred thousand deadlines in one tick, taken back or met, and storms of what is given up before it began.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use support::*;
use taut::{Deadline, Event, Framing, Phase, Sent, Source};

const MANY: usize = 100_000;
const NOW: Option<Duration> = Some(Duration::ZERO);

/// Long enough to make all requests before it, on however busy a machine.
const AHEAD: Duration = Duration::from_secs(3);

/// A set of tags, each of which may come once.
struct Tags {
    ended: Vec<bool>,
    count: usize,
}

impl Tags {
    fn new() -> Tags {
        Tags {
            ended: vec![false; MANY],
            count: 0,
        }
    }

    fn tick_off(&mut self, tag: u64) {
        let ended = std::mem::replace(&mut self.ended[tag as usize], true);
        assert!(!ended, "{tag} ended twice");
        self.count += 1;
    }
}

#[test]
fn a_hundred_thousand_deadlines_in_one_tick_end_each_request_once_behind_what_others_have_to_say() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, streams) = standing(&mut client, &peer, |it| it.connections(10).depth(MANY));
    let (other, mut other_stream) = connected(&mut client, &peer, Framing::line());
    let at = Instant::now() + AHEAD;
    for tag in 0..MANY as u64 {
        client
            .request_tagged(upstream, b"x\n", Deadline::at(at), tag)
            .unwrap();
    }
    client.flush();
    while Instant::now() + ms(20) < at {
        client.turn(Some(ms(10))).unwrap();
        assert_eq!(client.next_event(), None, "early");
    }
    stall_until(at + ms(1));
    other_stream.write_all(b"me too\n").unwrap();
    until_in_kernel(&client, other, 7);

    client.turn(NOW).unwrap();
    let first = client.next_event();
    assert!(
        matches!(first, Some(Event::Frame { connection, .. }) if connection == other),
        "what has come is told before anything is late: {first:?}"
    );
    let mut ended = Tags::new();
    while let Some(event) = client.next_event() {
        let Event::Failed { tag, error, .. } = event else {
            panic!("{event:?}");
        };
        assert_eq!(
            (error.source, error.phase, error.sent),
            (Source::Deadline, Phase::Read, Sent::Maybe)
        );
        ended.tick_off(tag);
    }
    assert_eq!(ended.count, MANY, "all in the one turn that was due");
    assert_silent(&mut client);

    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.in_flight, stats.waiting, stats.open), (0, 0, 0));
    assert_eq!(client.connections(), 1, "the other's");
    assert!(
        client.next_timeout() > Some(Duration::from_secs(1)),
        "a timer is left"
    );
    for mut stream in streams {
        assert_eq!(read_to_the_end(&mut stream).len(), 2 * MANY / 10);
    }
}

/// Every second one is taken back, out of the midst of a queue; its neighbours leave whole, in order, and are answered.
#[test]
fn half_of_a_hundred_thousand_requests_taken_back_in_one_tick_leave_the_others_whole() {
    const FIRST: usize = 15 << 20;
    let mut client = client_with(|it| it.limits.send_queue_bytes_max = 32 << 20);
    let peer = Peer::narrow();
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(MANY + 1));
    let connection = only_connection(&client, upstream);
    // More than the kernels take, so that all behind it waits.
    let mut first = vec![b'.'; FIRST];
    first[FIRST - 1] = b'\n';
    let first = client.request(upstream, &first, far()).unwrap();
    client.flush();
    let at = Instant::now() + AHEAD;
    let late = |tag: u64| tag % 2 == 1;
    let line = |tag: u64| format!("{tag:07}\n");
    for tag in 0..MANY as u64 {
        let deadline = if late(tag) { Deadline::at(at) } else { far() };
        client
            .request_tagged(upstream, line(tag).as_bytes(), deadline, tag)
            .unwrap();
    }
    while Instant::now() < at {
        client.turn(Some(ms(10))).unwrap();
    }
    let mut ended = Tags::new();
    while ended.count < MANY / 2 {
        while let Some(event) = client.next_event() {
            let Event::Failed { tag, error, .. } = event else {
                panic!("{event:?}");
            };
            assert!(late(tag), "{tag} was not due");
            assert_eq!(
                (error.source, error.phase, error.sent),
                (Source::Deadline, Phase::Write, Sent::No)
            );
            ended.tick_off(tag);
        }
        client.turn(Some(ms(10))).unwrap();
    }
    let written = client.transferred(connection).unwrap().0 as usize;
    assert!(written < FIRST, "the queue did not wait");
    assert_eq!(
        client.queued(connection),
        Some(FIRST - written + MANY / 2 * 8)
    );

    let mut stream = streams.remove(0);
    let server = std::thread::spawn(move || {
        read_exactly(&mut stream, FIRST);
        let rest = read_exactly(&mut stream, MANY / 2 * 8);
        stream.write_all(b"first\n").unwrap();
        stream.write_all(&rest).unwrap();
        rest
    });
    client_until(&mut client, |client, event| match event {
        Event::Reply { request, .. } if request == first => None,
        Event::Reply { tag, frame, .. } => {
            assert_eq!(client.bytes(&frame), &line(tag).as_bytes()[..7]);
            ended.tick_off(tag);
            (ended.count == MANY).then_some(())
        }
        other => panic!("{other:?}"),
    });
    let kept: String = (0..MANY as u64)
        .filter(|tag| !late(*tag))
        .map(line)
        .collect();
    assert!(server.join().unwrap() == kept.as_bytes());
    assert_silent(&mut client);
}

#[test]
fn a_storm_of_connections_given_up_as_they_are_made_leaves_nothing_behind() {
    const EACH: usize = 500;
    let (mut client, peer) = (client(), Peer::new());
    for round in 0..10 {
        let connections: Vec<_> = (0..EACH)
            .map(|_| client.connect(&peer.target(), Framing::line()).unwrap())
            .collect();
        if round % 2 == 1 {
            // Some stand already, some do not.
            client.turn(NOW).unwrap();
        }
        for connection in &connections {
            client.abort(*connection).unwrap();
        }
        let mut closed = Vec::new();
        while closed.len() < EACH {
            client.turn(NOW).unwrap();
            while let Some(event) = client.next_event() {
                match event {
                    Event::Connected { .. } => {}
                    Event::Closed { connection, .. } => closed.push(connection),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(closed, connections, "each once");
        assert_silent(&mut client);
        assert_eq!((client.connections(), client.next_timeout()), (0, None));
        while peer.has_waiting() {}
    }
}
