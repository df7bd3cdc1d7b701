//! tokio on one thread: a task a connection, tokio-util's length-delimited codec, and a timeout around each reply.
//!
//! A pipeline's requests are fed, flushed in one write, and then its replies awaited: one `flush` a reply would cost
//! tokio a system call a request.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{Load, TIMEOUT, runtime};
use crate::MESSAGE_BYTES;

static BODY: [u8; MESSAGE_BYTES - 4] = [b'x'; MESSAGE_BYTES - 4];

type Connection = Framed<TcpStream, LengthDelimitedCodec>;

pub(crate) struct Tokio {
    runtime: Runtime,
    connections: Vec<Connection>,
    pipeline: u64,
}

impl Tokio {
    pub(crate) fn new(address: &str, connections: usize, pipeline: usize) -> Tokio {
        let runtime = runtime();
        let connections = runtime.block_on(async {
            let mut standing = Vec::new();
            for _ in 0..connections {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                standing.push(Framed::new(stream, LengthDelimitedCodec::new()));
            }
            standing
        });
        Tokio {
            runtime,
            connections,
            pipeline: pipeline as u64,
        }
    }
}

impl Load for Tokio {
    fn run(&mut self, requests: u64) {
        let count = self.connections.len() as u64;
        let connections = std::mem::take(&mut self.connections);
        self.connections = self.runtime.block_on(async {
            let tasks: Vec<_> = (0..)
                .zip(connections)
                .map(|(index, connection)| {
                    let share = requests / count + u64::from(index < requests % count);
                    tokio::spawn(ask(connection, share, self.pipeline))
                })
                .collect();
            let mut back = Vec::new();
            for task in tasks {
                back.push(task.await.unwrap());
            }
            back
        });
    }
}

async fn ask(mut connection: Connection, requests: u64, pipeline: u64) -> Connection {
    let mut answered = 0;
    while answered < requests {
        let batch = pipeline.min(requests - answered);
        for _ in 0..batch {
            connection.feed(Bytes::from_static(&BODY)).await.unwrap();
        }
        SinkExt::<Bytes>::flush(&mut connection).await.unwrap();
        for _ in 0..batch {
            let reply = tokio::time::timeout(TIMEOUT, connection.next()).await;
            let reply = reply.unwrap().unwrap().unwrap();
            assert_eq!(reply.len(), BODY.len());
        }
        answered += batch;
    }
    connection
}
