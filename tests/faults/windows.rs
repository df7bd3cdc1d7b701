//! Peers that do not read: the window shuts, everything stays bounded, and when it opens again nothing is lost
//! (fault list 5, 6).

use std::io::Read;
use std::net::TcpStream;

use taut::{Class, Client, Config, ConnectionId, Event, Framing, Limit, Phase, Sent, Source};

use crate::common::*;
use crate::support::namespaces::Link;
use crate::support::*;

/// A client that queues at most so much, and a raw connection of it whose peer accepts and does not read.
fn to_a_peer_that_does_not_read(
    link: &Link,
    change: impl FnOnce(&mut Config),
) -> (Client, ConnectionId, TcpStream) {
    // Left to itself the kernel widens its buffers to many MiB, which only costs time here.
    link.near.sysctl("net.ipv4.tcp_wmem", "4096 65536 262144");
    link.far.sysctl("net.ipv4.tcp_rmem", "4096 65536 262144");
    let mut client = client_with(|it| {
        it.limits.send_queue_bytes_max = QUEUE_BYTES_MAX;
        change(it);
    });
    let peer = link.far.within(|| Peer::at(server()));
    let (connection, stream) = connected(&mut client, &peer, Framing::line());
    (client, connection, stream)
}

const QUEUE_BYTES_MAX: usize = 256 << 10;

/// The nth piece of a stream in which every place differs from its neighbours.
fn piece(number: u32) -> Vec<u8> {
    (0..1024)
        .flat_map(|n| (number * 1024 + n).to_be_bytes())
        .collect()
}

/// Sends pieces until the queue is full and nothing moves any more: the peer's window is shut. How many were taken.
fn send_until_shut(client: &mut Client, connection: ConnectionId, mut number: u32) -> u32 {
    let (mut still, mut written) = (0, 0);
    while still < 10 {
        match client.send(connection, &piece(number)) {
            Ok(()) => number += 1,
            Err(error) => {
                let limit = Limit::SendQueueBytes;
                assert_eq!(error.source, Source::Full { limit });
                assert_eq!(error.class, Class::Resource);
            }
        }
        if client.queued(connection).unwrap() > QUEUE_BYTES_MAX - 4096 {
            turn(client, ms(5));
            let before = std::mem::replace(&mut written, client.transferred(connection).unwrap().0);
            still = if written == before { still + 1 } else { 0 };
        }
        assert!(client.queued(connection).unwrap() <= QUEUE_BYTES_MAX);
        // Room is told when there is some; here each send tries by itself.
        while let Some(event) = client.next_event() {
            assert_eq!(event, Event::Writable { connection });
        }
    }
    number
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_peer_that_never_reads_fills_the_bound_and_meets_the_write_stall() {
    let link = Link::new("never-reads");
    let _inside = link.near.enter();
    let (mut client, connection, stream) =
        to_a_peer_that_does_not_read(&link, |it| it.timeouts.write_stall = ms(1_200));
    let taken = send_until_shut(&mut client, connection, 0);
    let queued = client.queued(connection).unwrap();
    let calm = Calm::begins();
    let told = until_closed(&mut client, connection);
    calm.ends(1);
    println!(
        "{taken} pieces of 4 KiB taken, {queued} bytes queued, {} handed over",
        told.written
    );
    assert_eq!(told.written + queued as u64, u64::from(taken) * 4096);
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.sent, error.source),
        (
            Class::Transient,
            Phase::Write,
            Sent::Maybe,
            Source::Timeout(ms(1_200))
        )
    );
    assert_silent(&mut client);
    assert_nothing_is_left(client, &link.near);
    drop(stream);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_window_that_opens_again_and_again_loses_and_doubles_nothing() {
    let link = Link::new("reopens");
    let _inside = link.near.enter();
    let (mut client, connection, stream) = to_a_peer_that_does_not_read(&link, |_| {});
    stream.set_read_timeout(Some(ms(1))).unwrap();
    let (mut sent, mut got) = (0, Vec::new());
    for round in 0..4 {
        sent = send_until_shut(&mut client, connection, sent);
        let queued = client.queued(connection).unwrap();
        println!(
            "round {round}: shut with {sent} pieces of 4 KiB taken, {queued} bytes of them queued"
        );
        assert!(queued > QUEUE_BYTES_MAX / 2);
        // The window opens: what was queued leaves, and room is told once.
        let mut room = 0;
        eventually("all that was sent", || {
            read_what_is_there(&stream, &mut got);
            turn(&mut client, ms(1));
            while let Some(event) = client.next_event() {
                assert_eq!(event, Event::Writable { connection });
                room += 1;
            }
            got.len() == sent as usize * 4096
        });
        assert_eq!((room, client.queued(connection)), (1, Some(0)));
    }
    assert!(
        (0..sent).flat_map(piece).eq(got),
        "lost, doubled or out of order"
    );
    client.close(connection).unwrap();
    drop(stream);
    assert_eq!(until_closed(&mut client, connection).error, None);
    assert_nothing_is_left(client, &link.near);
}

fn read_what_is_there(mut stream: &TcpStream, into: &mut Vec<u8>) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        into.extend_from_slice(&buffer[..n]);
    }
}
