//! taut: an upstream of so many connections, a deadline a request, and a new request for each reply.

use taut::{Client, Config, Deadline, Event, Framing, Upstream, UpstreamId};

use super::{Load, TIMEOUT};
use crate::{MESSAGE_BYTES, message};

pub(crate) struct Taut {
    client: Client,
    upstream: UpstreamId,
    at_a_time: u64,
}

impl Taut {
    pub(crate) fn new(address: &str, connections: usize, pipeline: usize, config: Config) -> Taut {
        let mut client = Client::new(config).unwrap();
        let upstream = client
            .add(
                Upstream::new(address)
                    .framing(Framing::len32())
                    .connections(connections)
                    .depth(pipeline),
            )
            .unwrap();
        while client.upstream_stats(upstream).unwrap().open < connections {
            client.turn(None).unwrap();
        }
        Taut {
            client,
            upstream,
            at_a_time: (connections * pipeline) as u64,
        }
    }
}

impl Load for Taut {
    fn run(&mut self, requests: u64) {
        let message = message();
        let (mut asked, mut answered) = (0, 0);
        while answered < requests {
            while asked < requests && asked - answered < self.at_a_time {
                self.client
                    .request(self.upstream, &message, Deadline::after(TIMEOUT))
                    .unwrap();
                asked += 1;
            }
            self.client.turn(None).unwrap();
            while let Some(event) = self.client.next_event() {
                let Event::Reply { frame, .. } = event else {
                    panic!("{event:?}")
                };
                assert_eq!(self.client.bytes(&frame).len(), MESSAGE_BYTES - 4);
                answered += 1;
            }
        }
    }
}
