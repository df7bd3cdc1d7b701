//! In the steady state a request allocates nothing. Alone in its process: the allocator is the whole binary's.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and a counting allocator"
)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use counting::{Counting, counted};
use support::*;
use taut::{
    Client, Deadline, Event, Expect, Framing, Heartbeat, RequestOptions, Upstream, UpstreamId,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Makes so many requests, so many of them under way at a time, and checks each reply.
fn requests(
    client: &mut Client,
    upstream: UpstreamId,
    payload: &[u8],
    total: usize,
    at_a_time: usize,
) {
    let (mut asked, mut answered) = (0, 0);
    while answered < total {
        while asked < total && asked - answered < at_a_time {
            // Of the idempotent ones the bytes are kept until they end.
            let options = RequestOptions::new().deadline(Deadline::after(PATIENCE));
            let options = match asked % 3 {
                0 => options.idempotent(),
                _ => options,
            };
            client.request_with(upstream, payload, options).unwrap();
            asked += 1;
        }
        client.turn(Some(PATIENCE)).unwrap();
        while let Some(event) = client.next_event() {
            match event {
                Event::Reply { frame, .. } => {
                    assert!(client.bytes(&frame) == &payload[..payload.len() - 1])
                }
                other => panic!("{other:?}"),
            }
            answered += 1;
        }
    }
}

#[test]
fn requests_allocate_nothing_once_the_loop_is_warm() {
    let (_, allocations, bytes) = counted(|| std::hint::black_box(vec![0_u8; 1000]));
    assert_eq!((allocations, bytes), (1, 1000), "the counter counts");

    let mut payload = vec![b'x'; 700];
    payload.push(b'\n');
    // Connections, requests at a time on each, requests at a time in all: some of them wait.
    for (connections, depth, at_a_time) in [(1, 1, 1), (4, 1, 4), (4, 16, 64), (4, 16, 200)] {
        let peer = Peer::new();
        let mut client = client();
        let shape = Upstream::new(peer.target()).framing(Framing::line());
        let upstream = client
            .add(shape.connections(connections).depth(depth))
            .unwrap();
        let servers: Vec<_> = (0..connections)
            .map(|_| client_turn_until_accepted(&mut client, &peer))
            .map(|stream| std::thread::spawn(move || echo(stream)))
            .collect();
        requests(&mut client, upstream, &payload, 5_000, at_a_time);
        // What is warm depends on how the bytes were cut on their way; under load that may take
        // one try more.
        let mut last = 0;
        let quiet = (0..3).any(|_| {
            last = counted(|| requests(&mut client, upstream, &payload, 1_000, at_a_time)).1;
            last == 0
        });
        assert!(
            quiet,
            "{last} allocations in 1,000 requests, {connections} connections, depth {depth}"
        );
        drop(client);
        servers.into_iter().for_each(|it| it.join().unwrap());
    }
}

/// What is asked of silent peers, and what they answer, costs no more than a request.
#[test]
fn heartbeats_allocate_nothing_once_the_loop_is_warm() {
    let (mut client, peer) = (client(), Peer::new());
    let heartbeat = Heartbeat {
        after: std::time::Duration::from_micros(200),
        ..Heartbeat::new(b"beat\n", Expect::exactly(b"beat"))
    };
    let shape = Upstream::new(peer.target()).heartbeat(heartbeat);
    let upstream = client.add(shape.connections(4..=4)).unwrap();
    let servers: Vec<_> = (0..4)
        .map(|_| client_turn_until_accepted(&mut client, &peer))
        .map(|stream| std::thread::spawn(move || echo(stream)))
        .collect();
    let beat = |client: &mut Client, count: u64| {
        let beats = |client: &Client| client.upstream_stats(upstream).unwrap().heartbeats;
        let until = beats(client) + count;
        while beats(client) < until {
            client.turn(Some(PATIENCE)).unwrap();
            assert_eq!(client.next_event(), None);
        }
    };
    beat(&mut client, 1_000);
    let mut last = 0;
    let quiet = (0..3).any(|_| {
        last = counted(|| beat(&mut client, 1_000)).1;
        last == 0
    });
    assert!(quiet, "{last} allocations in 1,000 heartbeats");
    drop(client);
    servers.into_iter().for_each(|it| it.join().unwrap());
}

fn client_turn_until_accepted(client: &mut Client, peer: &Peer) -> std::net::TcpStream {
    client.turn(Some(ms(1))).unwrap();
    peer.accept()
}
