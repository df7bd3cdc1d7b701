//! The client inside tokio: `AsyncFd` on its descriptor, `next_timeout` as tokio's sleep, and turns that do not wait.
//!
//! epoll tells tokio of the poller's descriptor by edges: were one taken for granted before the client has drained its
//! poll, or a sleep longer than the client says, the test would stand still. Not on mio's poll(2) backend, which has no
//! descriptor.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and tokio asks for a promise that the descriptor stays open"
)]

mod support;

use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use support::*;
use taut::{Client, Deadline, Error, Event, Sent, Source, Upstream, UpstreamId};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The poller's descriptor, borrowed from the client that lives beside it.
struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// A client and what tokio knows of it.
struct Embedded {
    // Before the client: it is deregistered before its descriptor is closed.
    poller: AsyncFd<Borrowed>,
    client: Client,
}

impl Embedded {
    fn new(client: Client) -> Embedded {
        let borrowed = Borrowed(client.as_raw_fd());
        // SAFETY: the client keeps its descriptor open, and the same, until it is dropped, which is after the poller.
        let poller = unsafe { AsyncFd::register_with_interest(borrowed, Interest::READABLE) };
        Embedded {
            poller: poller.unwrap(),
            client,
        }
    }

    /// Sleeps as the client says, then turns it without waiting. Whether there was something to wake for.
    async fn turn(&mut self) -> bool {
        let timeout = self.client.next_timeout().unwrap_or(PATIENCE).min(PATIENCE);
        let woken = match tokio::time::timeout(timeout, self.poller.readable()).await {
            // Forgotten before the turn: what comes while it runs is a new edge.
            Ok(ready) => {
                ready.unwrap().clear_ready();
                true
            }
            Err(_) => timeout < PATIENCE,
        };
        self.client.turn(Some(Duration::ZERO)).unwrap();
        woken
    }

    /// The next event; the loop must not sleep through it.
    async fn event(&mut self) -> Event {
        let given_up = Instant::now() + PATIENCE;
        loop {
            if let Some(event) = self.client.next_event() {
                return event;
            }
            assert!(self.turn().await, "slept through: nothing to wake for");
            assert!(Instant::now() < given_up, "the event never came");
        }
    }
}

/// Runs on one thread, as a program without worker threads does.
fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(work);
}

async fn echoes(depth: usize) {
    let peer = Peer::new();
    let mut client = client();
    let shape = Upstream::new(format!("localhost:{}", peer.addr().port())).depth(depth);
    let upstream = client.add(shape).unwrap();
    let server = std::thread::spawn(move || echo(peer.accept()));
    let mut embedded = Embedded::new(client);
    let (mut asked, mut answered, total) = (0, 0, 1_000);
    while answered < total {
        while asked < total && asked - answered < 2 * depth {
            let line = format!("{asked}\n");
            embedded
                .client
                .request(upstream, line.as_bytes(), far())
                .unwrap();
            asked += 1;
        }
        let Event::Reply { frame, .. } = embedded.event().await else {
            panic!("a request failed")
        };
        let expected = answered.to_string();
        assert_eq!(embedded.client.bytes(&frame), expected.as_bytes());
        answered += 1;
    }
    drop(embedded);
    server.join().unwrap();
}

#[test]
fn a_client_in_tokio_never_stalls() {
    block_on(async {
        for depth in [1, 4, 32] {
            echoes(depth).await;
        }
    });
}

#[test]
fn two_clients_share_a_tokio_thread() {
    block_on(async {
        futures_util::future::join(echoes(1), echoes(16)).await;
    });
}

#[test]
fn a_client_in_tokio_is_woken_by_its_deadlines() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it.depth(64));
    block_on(async {
        let mut embedded = Embedded::new(client);
        for n in 1..=20 {
            let deadline = Deadline::after(Duration::from_micros(700 * n));
            embedded.client.request(upstream, b"x\n", deadline).unwrap();
        }
        for _ in 0..20 {
            let event = embedded.event().await;
            let Event::Failed { error, .. } = event else {
                panic!("{event:?}")
            };
            assert_eq!(error.source, Source::Deadline);
        }
    });
}

#[test]
fn a_client_in_tokio_is_woken_by_requests_of_other_threads() {
    let (mut client, peer) = (client(), Peer::new());
    let upstream = client
        .add(Upstream::new(peer.target()).depth(8))
        .expect("an address");
    let server = std::thread::spawn(move || echo(peer.accept()));
    let handle = client.handle();
    let mut ended = None;
    block_on(async {
        let mut embedded = Embedded::new(client);
        // One after the other: each finds the loop asleep, or about to be.
        let asking = std::thread::spawn(move || {
            for n in 0..200 {
                let line = format!("{n}");
                let reply = handle.call(upstream, format!("{line}\n"), far()).unwrap();
                assert_eq!(reply, line.as_bytes());
            }
            handle.request(upstream, &b"the last\n"[..], far(), 7)
        });
        let event = embedded.event().await;
        let Event::Reply { tag: 7, frame, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!(embedded.client.bytes(&frame), b"the last");
        ended = Some(asking.join());
    });
    let submitted: Result<(), Error> = ended.unwrap().unwrap();
    assert_eq!(submitted, Ok(()));
    server.join().unwrap();
}

#[test]
fn a_client_in_tokio_is_told_of_a_lost_connection() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, streams): (UpstreamId, _) = standing(&mut client, &peer, |it| it);
    block_on(async {
        let mut embedded = Embedded::new(client);
        embedded.client.request(upstream, b"x\n", far()).unwrap();
        assert!(embedded.turn().await, "a request is to be sent");
        let closing = std::thread::spawn(move || drop(streams));
        let event = embedded.event().await;
        let Event::Failed { error, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!(error.sent, Sent::Maybe);
        closing.join().unwrap();
    });
}
