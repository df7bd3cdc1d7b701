//! taut's raw connections: the program sends messages and counts frames. No request is known to the library, so none has
//! a deadline, a name or an outcome: what a managed upstream costs is what it takes more.

use std::collections::BTreeMap;

use taut::{Client, Config, ConnectionId, Event, Framing};

use super::Load;
use crate::{MESSAGE_BYTES, message};

pub(crate) struct TautRaw {
    client: Client,
    /// Messages that wait for their answers on each.
    under_way: BTreeMap<ConnectionId, usize>,
    pipeline: usize,
}

impl TautRaw {
    pub(crate) fn new(
        address: &str,
        connections: usize,
        pipeline: usize,
        config: Config,
    ) -> TautRaw {
        let mut client = Client::new(config).unwrap();
        for _ in 0..connections {
            client.connect(address, Framing::len32()).unwrap();
        }
        let mut under_way = BTreeMap::new();
        while under_way.len() < connections {
            client.turn(None).unwrap();
            while let Some(event) = client.next_event() {
                let Event::Connected { connection, .. } = event else {
                    panic!("{event:?}")
                };
                under_way.insert(connection, 0);
            }
        }
        TautRaw {
            client,
            under_way,
            pipeline,
        }
    }
}

impl Load for TautRaw {
    fn run(&mut self, requests: u64) {
        let message = message();
        let (mut asked, mut answered) = (0, 0);
        while answered < requests {
            for (connection, under_way) in &mut self.under_way {
                while asked < requests && *under_way < self.pipeline {
                    self.client.send(*connection, &message).unwrap();
                    *under_way += 1;
                    asked += 1;
                }
            }
            self.client.turn(None).unwrap();
            while let Some(event) = self.client.next_event() {
                let Event::Frame { connection, frame } = event else {
                    panic!("{event:?}")
                };
                assert_eq!(self.client.bytes(&frame).len(), MESSAGE_BYTES - 4);
                if let Some(under_way) = self.under_way.get_mut(&connection) {
                    *under_way -= 1;
                }
                answered += 1;
            }
        }
    }
}
