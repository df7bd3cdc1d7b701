//! Wherever a connection is cut, and however it ends: descriptors, slots, timers and bytes are back where they were, in
//! a client that goes on. Alone in its process, and one test: it counts the descriptors of the whole process.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and a counting allocator"
)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use counting::{Counting, live};
use support::*;
use taut::{Client, Event, Framing, Timeouts, Upstream, UpstreamId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUEST: &[u8] = b"get a\n";
const REPLIES: &[u8] = b"value a\nlast\n";

/// What a client may hold more after a round than before it: how many events come at once is chance.
const MORE_BYTES_MAX: isize = 4 << 10;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// One client, and two services of one peer: one with patience, one without.
struct Scene {
    client: Client,
    peer: Peer,
    narrow: Peer,
    patient: UpstreamId,
    hasty: UpstreamId,
}

impl Scene {
    fn new() -> Scene {
        let mut client = client_with(|it| {
            it.reconnect.first_pause_max = ms(1);
            it.reconnect.pause_max = ms(1);
            it.limits.send_queue_bytes_max = 16 << 20;
            it.timeouts.write_stall = ms(20);
        });
        let (peer, narrow) = (Peer::new(), Peer::narrow());
        let mut add = |shape: fn(Upstream) -> Upstream| {
            let (upstream, streams) = standing(&mut client, &peer, shape);
            drop(streams);
            turn_until(&mut client, "its end", |client| client.connections() == 0);
            upstream
        };
        let patient = add(|it| it.depth(2));
        let hasty = add(|it| {
            it.depth(2).timeouts(Timeouts {
                first_byte: ms(20),
                read_stall: ms(20),
                ..Timeouts::default()
            })
        });
        Scene {
            client,
            peer,
            narrow,
            patient,
            hasty,
        }
    }

    /// Two requests on a connection of their own, to which this happens. Both end, once.
    fn asked(&mut self, of: UpstreamId, happens: impl FnOnce(TcpStream) -> Option<TcpStream>) {
        let mut ledger = Ledger::default();
        for _ in 0..2 {
            ledger.request(&mut self.client, of, REQUEST, far());
        }
        turn_until(&mut self.client, "a connection", |client| {
            client.upstream_stats(of).unwrap().open == 1
        });
        self.client.flush();
        let kept = happens(self.peer.accept());
        ledger.until_all(&mut self.client);
        drop(kept);
        self.stands_empty();
    }

    /// A raw connection to which this happens; it is told to have closed.
    fn raw(
        &mut self,
        to_narrow: bool,
        happens: impl FnOnce(&mut Client, taut::ConnectionId, TcpStream) -> Option<TcpStream>,
    ) {
        let peer = if to_narrow { &self.narrow } else { &self.peer };
        let (connection, stream) = connected(&mut self.client, peer, Framing::line());
        let kept = happens(&mut self.client, connection, stream);
        until_closed(&mut self.client, connection);
        drop(kept);
        self.stands_empty();
    }

    fn stands_empty(&mut self) {
        turn_until(&mut self.client, "no connection", |client| {
            client.connections() == 0
        });
    }

    fn cuts(&mut self) {
        for end in End::BOTH {
            for cut in 0..=REPLIES.len() {
                self.asked(self.patient, |mut stream| {
                    read_exactly(&mut stream, 2 * REQUEST.len());
                    stream.write_all(&REPLIES[..cut]).unwrap();
                    end.of(stream)
                });
            }
            for cut in 0..2 * REQUEST.len() {
                self.asked(self.patient, |mut stream| {
                    read_exactly(&mut stream, cut);
                    end.of(stream)
                });
            }
            self.raw(true, |client, connection, stream| {
                client.send(connection, &[b'x'; 8 << 20]).unwrap();
                client.flush();
                end.of(stream)
            });
            self.raw(false, |client, connection, stream| {
                client.close(connection).unwrap();
                client.flush();
                end.of(stream)
            });
        }
    }

    fn silences(&mut self) {
        self.asked(self.hasty, Some);
        self.asked(self.hasty, |mut stream| {
            stream.write_all(b"half a rep").unwrap();
            Some(stream)
        });
        self.raw(true, |client, connection, stream| {
            client.send(connection, &[b'x'; 8 << 20]).unwrap();
            Some(stream)
        });
    }

    fn wrongs(&mut self) {
        self.asked(self.patient, |mut stream| {
            stream.write_all(b"one\ntwo\nnobody asked\n").unwrap();
            Some(stream)
        });
        self.raw(false, |client, connection, stream| {
            client.abort(connection).unwrap();
            Some(stream)
        });
        for _ in 0..3 {
            let connection = self
                .client
                .connect(&self.peer.target(), Framing::line())
                .unwrap();
            self.client.abort(connection).unwrap();
            client_until(&mut self.client, |_, event| {
                matches!(event, Event::Closed { .. }).then_some(())
            });
        }
        while self.peer.has_waiting() {}
        self.stands_empty();
    }

    fn round(&mut self) {
        self.cuts();
        self.silences();
        self.wrongs();
    }
}

#[test]
fn wherever_a_connection_is_cut_and_however_it_ends_all_is_given_back() {
    let before_all = descriptors();
    let mut scene = Scene::new();
    let before = descriptors();
    for round in 0..3 {
        let ((), more) = live(|| {
            scene.round();
            // The wheel takes back what was cleared when its time comes.
            turn_until(&mut scene.client, "no timer", |client| {
                client.next_timeout().is_none()
            });
        });
        println!("round {round}: {more} bytes more");
        assert_eq!(descriptors(), before, "round {round}");
        // Lists and storage keep their room for the next.
        assert!(round == 0 || more < MORE_BYTES_MAX, "{more} bytes more");
    }
    for upstream in [scene.patient, scene.hasty] {
        let stats = scene.client.upstream_stats(upstream).unwrap();
        assert_eq!((stats.in_flight, stats.waiting, stats.open), (0, 0, 0));
    }
    scene.client.turn(Some(Duration::ZERO)).unwrap();
    drop(scene);
    assert_eq!(descriptors(), before_all);
}
