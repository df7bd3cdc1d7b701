//! tokio-rustls on one thread, a task a connection: an answer is read into a buffer of its length, or cut by tokio-util's
//! length-delimited codec; a timeout around each. And connections that are closed when they stand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use taut::TlsVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{AT_A_TIME, Exchange, Handshakes, TIMEOUT, micros};
use crate::message;
use crate::peer::Peer;

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().build().unwrap()
}

async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::from(address.ip());
    let connector = TlsConnector::from(config);
    connector.connect(name, stream).await.unwrap()
}

/// So many connections that stand.
fn standing(runtime: &Runtime, peer: &Peer, connections: usize) -> Vec<TlsStream<TcpStream>> {
    let config = peer.rustls(TlsVersion::Tls13, false);
    runtime.block_on(async {
        let mut standing = Vec::new();
        for _ in 0..connections {
            let address = peer.address.parse().unwrap();
            standing.push(connect(address, config.clone()).await);
        }
        standing
    })
}

/// Has a task make each connection's share of the requests.
fn share<C, F>(
    runtime: &Runtime,
    connections: &mut Vec<C>,
    requests: u64,
    took: &mut Vec<f64>,
    ask: impl Fn(C, u64) -> F,
) where
    C: Send + 'static,
    F: Future<Output = (C, Vec<f64>)> + Send + 'static,
{
    let count = connections.len() as u64;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..)
            .zip(connections.drain(..))
            .map(|(index, connection)| {
                let share = requests / count + u64::from(index < requests % count);
                tokio::spawn(ask(connection, share))
            })
            .collect();
        for task in tasks {
            let (connection, mut its) = task.await.unwrap();
            connections.push(connection);
            took.append(&mut its);
        }
    });
}

pub(crate) struct Tokio {
    runtime: Runtime,
    connections: Vec<(TlsStream<TcpStream>, Vec<u8>)>,
    message: Bytes,
}

impl Tokio {
    pub(crate) fn new(peer: &Peer, connections: usize, bytes: usize) -> Tokio {
        let runtime = runtime();
        let standing = standing(&runtime, peer, connections).into_iter();
        Tokio {
            connections: standing.map(|stream| (stream, vec![0; bytes])).collect(),
            runtime,
            message: message(bytes).into(),
        }
    }

    /// The cipher of one of its connections, as rustls has it.
    pub(crate) fn cipher(&self) -> Option<String> {
        let (stream, _) = self.connections.first()?;
        let suite = stream.get_ref().1.negotiated_cipher_suite()?;
        Some(format!("{:?}", suite.suite()))
    }
}

impl Exchange for Tokio {
    fn run(&mut self, requests: u64, took: &mut Vec<f64>) {
        let message = &self.message;
        share(
            &self.runtime,
            &mut self.connections,
            requests,
            took,
            |(mut stream, mut buffer), requests| {
                let message = message.clone();
                async move {
                    let mut took = Vec::with_capacity(requests as usize);
                    for _ in 0..requests {
                        let started = Instant::now();
                        stream.write_all(&message).await.unwrap();
                        stream.flush().await.unwrap();
                        let reply = timeout(TIMEOUT, stream.read_exact(&mut buffer)).await;
                        reply.unwrap().unwrap();
                        assert_eq!(buffer[..4], message[..4]);
                        took.push(micros(started));
                    }
                    ((stream, buffer), took)
                }
            },
        );
    }
}

pub(crate) struct TokioCodec {
    runtime: Runtime,
    connections: Vec<Framed<TlsStream<TcpStream>, LengthDelimitedCodec>>,
    body: Bytes,
}

impl TokioCodec {
    pub(crate) fn new(peer: &Peer, connections: usize, bytes: usize) -> TokioCodec {
        let runtime = runtime();
        let standing = standing(&runtime, peer, connections).into_iter();
        let framed = |stream| Framed::new(stream, LengthDelimitedCodec::new());
        TokioCodec {
            connections: standing.map(framed).collect(),
            runtime,
            body: message(bytes).split_off(4).into(),
        }
    }
}

impl Exchange for TokioCodec {
    fn run(&mut self, requests: u64, took: &mut Vec<f64>) {
        let body = &self.body;
        share(
            &self.runtime,
            &mut self.connections,
            requests,
            took,
            |mut framed, requests| {
                let body = body.clone();
                async move {
                    let mut took = Vec::with_capacity(requests as usize);
                    for _ in 0..requests {
                        let started = Instant::now();
                        framed.send(body.clone()).await.unwrap();
                        let reply = timeout(TIMEOUT, framed.next()).await;
                        let reply = reply.unwrap().unwrap().unwrap();
                        assert_eq!(reply.len(), body.len());
                        took.push(micros(started));
                    }
                    (framed, took)
                }
            },
        );
    }
}

pub(crate) struct TokioHandshakes {
    runtime: Runtime,
    address: SocketAddr,
    config: Arc<ClientConfig>,
    resumes: bool,
}

impl TokioHandshakes {
    pub(crate) fn new(peer: &Peer, version: TlsVersion, resumes: bool) -> TokioHandshakes {
        let mut made = TokioHandshakes {
            runtime: runtime(),
            address: peer.address.parse().unwrap(),
            config: peer.rustls(version, resumes),
            resumes: false,
        };
        // From now on there is something to resume from.
        made.run(AT_A_TIME);
        made.resumes = resumes;
        made
    }
}

impl Handshakes for TokioHandshakes {
    fn run(&mut self, connections: u64) {
        let (address, config, resumes) = (self.address, &self.config, self.resumes);
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..AT_A_TIME)
                .map(|index| {
                    let share = connections / AT_A_TIME;
                    let share = share + u64::from(index < connections % AT_A_TIME);
                    let config = config.clone();
                    tokio::spawn(async move {
                        for _ in 0..share {
                            let life = live(address, config.clone(), resumes);
                            timeout(TIMEOUT, life).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

/// One connection, from its beginning to its end on both sides.
async fn live(address: SocketAddr, config: Arc<ClientConfig>, resumes: bool) {
    let mut stream = connect(address, config).await;
    if resumes {
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Resumed));
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0);
}
