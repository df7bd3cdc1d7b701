//! Every descriptor comes back. Alone in its process: it counts those of the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use support::*;
use taut::{Client, Deadline, Event, Framing, Upstream};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// One of everything that ends a connection.
fn churn(client: &mut Client, peer: &Peer, refusing: &str) {
    let raw = |client: &mut Client| connected(client, peer, Framing::line());
    // Refused; ended by the peer in both ways; closed; aborted; given up while connecting.
    let connection = client.connect(refusing, Framing::line()).unwrap();
    until_closed(client, connection);
    for end in End::BOTH {
        let (connection, mut stream) = raw(client);
        stream.write_all(b"bye\n").unwrap();
        let kept = end.of(stream);
        until_closed(client, connection);
        drop(kept);
    }
    let (connection, stream) = raw(client);
    client.close(connection).unwrap();
    drop(stream);
    until_closed(client, connection);
    let (connection, _stream) = raw(client);
    client.abort(connection).unwrap();
    until_closed(client, connection);
    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    client.close(connection).unwrap();
    until_closed(client, connection);
    drop(peer.accept());
    let (connection, mut stream) = connected(client, peer, Framing::len32());
    stream.write_all(&[0xff; 8]).unwrap();
    until_closed(client, connection);
}

#[test]
fn whatever_ends_a_connection_its_descriptor_comes_back() {
    let peer = Peer::new();
    let refusing = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let before_all = descriptors();
    {
        let mut client = client();
        churn(&mut client, &peer, &refusing);
        let before = descriptors();
        for _ in 0..100 {
            churn(&mut client, &peer, &refusing);
        }
        client.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!((descriptors(), client.connections()), (before, 0));

        // Requests that time out end their connections; the next ones make others.
        let upstream = client.add(Upstream::new(peer.target())).unwrap();
        for _ in 0..10 {
            client
                .request(upstream, b"x\n", Deadline::after(ms(60)))
                .unwrap();
            client_until(&mut client, |_, event| {
                matches!(event, Event::Failed { .. }).then_some(())
            });
            // The pause before another attempt may have outlasted the request.
            while peer.has_waiting() {}
        }
        client.turn(Some(Duration::ZERO)).unwrap();
        assert!(descriptors() <= before + 1);
    }
    assert_eq!(descriptors(), before_all);

    for _ in 0..50 {
        let mut client = client();
        client
            .add(Upstream::new(peer.target()).connections(4))
            .unwrap();
        client.connect("localhost:1", Framing::line()).unwrap();
        client.turn(Some(ms(1))).unwrap();
        drop(client);
        (0..4).for_each(|_| drop(peer.accept()));
    }
    // A lookup that is under way may hold a descriptor, and its thread the poller's waker, a moment longer.
    eventually("all descriptors", || descriptors() == before_all);
}
