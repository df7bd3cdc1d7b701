//! taut: an upstream of so many connections with a deadline a request; and raw connections that are closed when they
//! stand.

use std::time::{Duration, Instant};

use taut::{
    Client, Config, Deadline, Event, Framing, Peek, Timeouts, TlsConfig, TlsVersion, Upstream,
    UpstreamId,
};

use super::{AT_A_TIME, Exchange, Handshakes, TIMEOUT};
use crate::message;
use crate::peer::Peer;

const HOUR: Duration = Duration::from_secs(3600);

/// The defaults, but connections stand while others are measured.
fn config(peek: Peek) -> Config {
    Config {
        peek,
        timeouts: Timeouts {
            idle: HOUR,
            ..Timeouts::default()
        },
        ..Config::default()
    }
}

pub(crate) struct Taut {
    client: Client,
    upstream: UpstreamId,
    connections: u64,
    message: Vec<u8>,
}

impl Taut {
    pub(crate) fn new(peer: &Peer, connections: usize, bytes: usize, peek: Peek) -> Taut {
        let mut client = Client::new(config(peek)).unwrap();
        let shape = Upstream::new(&peer.address)
            .framing(Framing::len32())
            .tls(peer.taut(TlsVersion::Tls13, false));
        let upstream = client.add(shape.connections(connections)).unwrap();
        while client.upstream_stats(upstream).unwrap().open < connections {
            client.turn(None).unwrap();
        }
        Taut {
            client,
            upstream,
            connections: connections as u64,
            message: message(bytes),
        }
    }

    /// The cipher of one of its connections.
    pub(crate) fn cipher(&self) -> Option<&'static str> {
        let one = self.client.connections_of(self.upstream).next()?;
        self.client.tls_info(one)?.cipher
    }
}

impl Exchange for Taut {
    fn run(&mut self, requests: u64, took: &mut Vec<f64>) {
        let began = Instant::now();
        let (mut asked, mut answered) = (0, 0);
        while answered < requests {
            while asked < requests && asked - answered < self.connections {
                let (deadline, at) = (Deadline::after(TIMEOUT), began.elapsed().as_nanos());
                self.client
                    .request_tagged(self.upstream, &self.message, deadline, at as u64)
                    .unwrap();
                asked += 1;
            }
            self.client.turn(None).unwrap();
            while let Some(event) = self.client.next_event() {
                let Event::Reply { tag, frame, .. } = event else {
                    panic!("{event:?}")
                };
                assert_eq!(self.client.bytes(&frame).len(), self.message.len() - 4);
                took.push((began.elapsed().as_nanos() as u64 - tag) as f64 / 1e3);
                answered += 1;
            }
        }
    }
}

pub(crate) struct TautHandshakes {
    client: Client,
    address: String,
    tls: TlsConfig,
    resumes: bool,
}

impl TautHandshakes {
    pub(crate) fn new(peer: &Peer, version: TlsVersion, resumes: bool) -> TautHandshakes {
        let mut made = TautHandshakes {
            client: Client::new(config(Peek::Always)).unwrap(),
            address: peer.address.clone(),
            tls: peer.taut(version, resumes),
            resumes: false,
        };
        // From now on there is something to resume from.
        made.run(AT_A_TIME);
        made.resumes = resumes;
        made
    }
}

impl Handshakes for TautHandshakes {
    fn run(&mut self, connections: u64) {
        let client = &mut self.client;
        let (mut begun, mut ended) = (0, 0);
        while ended < connections {
            while begun < connections && begun - ended < AT_A_TIME {
                let framing = Framing::len32();
                client
                    .connect_tls(&self.address, framing, &self.tls)
                    .unwrap();
                begun += 1;
            }
            client.turn(None).unwrap();
            while let Some(event) = client.next_event() {
                match event {
                    Event::Connected { connection, .. } => {
                        let info = client.tls_info(connection).unwrap();
                        assert!(info.is_verified);
                        if self.resumes {
                            assert!(info.is_resumed);
                        }
                        client.close(connection).unwrap();
                    }
                    Event::Closed { error: None, .. } => ended += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
