//! Framings beyond the plain ones, over loopback against plain std servers: pushes between replies, replies matched by
//! the id they carry, frames over the limit that are skipped.
#![allow(clippy::unwrap_used, reason = "tests")]

mod by_id;
mod pushes;
mod skips;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use taut::{Class, Client, Config, Deadline, Event, Framing, Sent, Source, Upstream, UpstreamId};

/// No wait of a passing test takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of one connection.
fn serve(speak: impl FnOnce(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        speak(stream);
    });
    (address, thread)
}

fn read_exactly(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    stream.read_exact(&mut buffer).unwrap();
    buffer
}

fn client() -> Client {
    Client::new(Config::default()).unwrap()
}

fn far() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// The next event, and a copy of the bytes it brought.
#[track_caller]
fn next(client: &mut Client) -> (Event, Vec<u8>) {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = client.next_event() {
            let bytes = match &event {
                Event::Frame { frame, .. }
                | Event::Push { frame, .. }
                | Event::Reply { frame, .. } => client.bytes(frame).to_vec(),
                _ => Vec::new(),
            };
            return (event, bytes);
        }
        assert!(Instant::now() < patience, "no event came");
        client.turn(Some(Duration::from_millis(100))).unwrap();
    }
}

/// An upstream of one connection, which stands: what is asked now leaves now.
fn standing(client: &mut Client, upstream: Upstream) -> UpstreamId {
    let upstream = client.add(upstream).unwrap();
    let patience = Instant::now() + PATIENCE;
    while client.connections_of(upstream).next().is_none() {
        assert!(Instant::now() < patience, "no connection");
        client.turn(Some(Duration::from_millis(5))).unwrap();
    }
    upstream
}
