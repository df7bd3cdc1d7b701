//! Clients over TLS, made alike: NODELAY, one request at a time on each connection, and a bound on each answer's time.

mod taut_client;
mod tokio_client;

use std::time::{Duration, Instant};

use taut::{Peek, TlsVersion};

use crate::machine::pin;
use crate::options::Alone;
use crate::peer::Peer;

pub(crate) use taut_client::{Taut, TautHandshakes};
pub(crate) use tokio_client::{Tokio, TokioCodec, TokioHandshakes};

/// How long an answer, or a connection's whole life, may take; never reached.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Handshakes under way at a time; a client keeps eight tickets of a server.
const AT_A_TIME: u64 = 8;

pub(crate) trait Exchange {
    /// Makes so many requests, and returns when all are answered; how long each took, in microseconds.
    fn run(&mut self, requests: u64, took: &mut Vec<f64>);
}

pub(crate) trait Handshakes {
    /// Makes so many connections, and returns when each has ended in peace on both sides.
    fn run(&mut self, connections: u64);
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64 / 1e3
}

/// One client, alone.
pub(crate) fn alone(alone: &Alone) {
    pin(0);
    let peer = Peer::new(&alone.connect, &alone.authority);
    let started = Instant::now();
    if let Some(resumes) = alone.handshakes {
        let version = TlsVersion::Tls13;
        let mut subject: Box<dyn Handshakes> = match alone.client.as_str() {
            "taut" => Box::new(TautHandshakes::new(&peer, version, resumes)),
            "tokio" => Box::new(TokioHandshakes::new(&peer, version, resumes)),
            other => panic!("no such client: {other}"),
        };
        subject.run(alone.requests);
    } else {
        let (connections, bytes) = (alone.connections, alone.bytes);
        let mut subject: Box<dyn Exchange> = match alone.client.as_str() {
            "taut" => Box::new(Taut::new(&peer, connections, bytes, Peek::Always)),
            "taut-never" => Box::new(Taut::new(&peer, connections, bytes, Peek::Never)),
            "tokio" => Box::new(Tokio::new(&peer, connections, bytes)),
            "codec" => Box::new(TokioCodec::new(&peer, connections, bytes)),
            other => panic!("no such client: {other}"),
        };
        subject.run(alone.requests, &mut Vec::new());
    }
    println!("{} in {:?}", alone.requests, started.elapsed());
}
