//! The bytes of an upstream are those of all its connections, also of those that have ended.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use taut::{Client, Config, Deadline, Event, Upstream};

#[test]
fn bytes_of_a_connection_that_ended_still_count() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = [0; 5];
            stream.read_exact(&mut line).unwrap();
            stream.write_all(b"pong!\n").unwrap();
        }
    });
    let mut client = Client::new(Config::default()).unwrap();
    let upstream = client.add(Upstream::new(address)).unwrap();
    for n in 1..=2 {
        let within = Deadline::after(Duration::from_secs(5));
        client.request(upstream, b"ping\n", within).unwrap();
        let reply = loop {
            client.turn(None).unwrap();
            if let Some(event) = client.next_event() {
                break event;
            }
        };
        assert!(matches!(reply, Event::Reply { .. }), "{reply:?}");
        // The server closes after each reply: the next request waits for a new connection.
        while client.upstream_stats(upstream).unwrap().losses < n {
            client.turn(None).unwrap();
        }
        assert_eq!(client.transferred_of(upstream), Some((5 * n, 6 * n)));
    }
    server.join().unwrap();
}
