//! A client dropped with work of every kind in flight: its sockets close at once, and nothing of it stays.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::*;
use taut::{Client, Config, Framing, Resolve, ResolveError, Upstream};

struct Hanging {
    asked: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
}

impl Resolve for Hanging {
    fn resolve(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        self.asked.lock().unwrap().send(()).unwrap();
        // Until the test drops its end.
        self.release.lock().unwrap().recv().unwrap_err();
        Err(ResolveError::NotFound)
    }
}

#[test]
fn a_dropped_client_closes_everything_at_once_and_leaves_no_thread() {
    let ((ask, asked), (hold, release)) = (channel(), channel());
    let resolver = Arc::new(Hanging {
        asked: Mutex::new(ask),
        release: Mutex::new(release),
    });
    let mut config = Config::default();
    config.limits.send_queue_bytes_max = 16 << 20;
    let mut client = Client::with_resolver(config, resolver.clone()).unwrap();
    let (peer, narrow) = (Peer::new(), Peer::narrow());

    // A lookup that hangs, requests sent, waiting and answered but not pulled, a queue half written, a close half done.
    client.connect("hangs.for.ever:1", Framing::line()).unwrap();
    client.add(Upstream::new("hangs.too:1")).unwrap();
    asked.recv_timeout(PATIENCE).unwrap();
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.connections(2).depth(2));
    for _ in 0..10 {
        client.request(upstream, b"ping\n", far()).unwrap();
    }
    let (full, full_stream) = connected(&mut client, &narrow, Framing::line());
    client.send(full, &[b'x'; 15 << 20]).unwrap();
    let (closing, closing_stream) = connected(&mut client, &peer, Framing::line());
    client.close(closing).unwrap();
    client.turn(Some(Duration::ZERO)).unwrap();
    streams[0].write_all(b"pong\n").unwrap();
    let answered = client
        .connections_of(upstream)
        .map(|it| client.tcp_info(it).unwrap().bytes_received);
    assert_eq!(answered.count(), 2);
    client.turn(Some(ms(20))).unwrap();
    client.connect(&peer.target(), Framing::line()).unwrap();

    drop(client);
    streams.extend([full_stream, closing_stream]);
    for mut stream in streams {
        read_to_the_end(&mut stream);
    }
    drop(hold);
    eventually("the end of the lookup's threads", || {
        Arc::strong_count(&resolver) == 1
    });
}

#[test]
fn a_client_dropped_before_its_first_turn_asks_nothing_of_anybody() {
    let (mut client, peer) = (client(), Peer::new());
    let upstream = client
        .add(Upstream::new(peer.target()).connections(3))
        .unwrap();
    client.request(upstream, b"never\n", far()).unwrap();
    let connection = client.connect(&peer.target(), Framing::line()).unwrap();
    client.send(connection, b"never\n").unwrap();
    drop(client);
    for _ in 0..4 {
        assert_eq!(read_to_the_end(&mut peer.accept()), b"");
    }
}

#[test]
fn a_program_that_panics_between_turns_drops_its_client_as_well() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    let panicked = std::thread::spawn(move || {
        client.send(connection, b"never\n").unwrap();
        panic!("a fault of the program");
    });
    assert!(panicked.join().is_err());
    assert_eq!(read_to_the_end(&mut stream), b"");
}
