//! What another thread asks for ends the loop's sleep, whatever the loop did with its sockets meanwhile.
//!
//! mio's `Waker` does not promise that on its poll(2) backend: each source that is registered, re-armed or
//! deregistered there acknowledges the wakes of others (docs/sockets.md). So what does that is done here between a wake
//! and the sleep: in one thread where that can be, else as often as it takes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::*;
use taut::server::{Server, ServerConfig};
use taut::{
    Client, Config, ConnectionId, Deadline, Event, Framing, Handle, Outcome, Source, Upstream,
    UpstreamId,
};

/// More than the kernel takes for a peer that does not read.
const BEYOND_BUFFERS_BYTES: usize = 16 << 20;

/// Turns until it was heard, and sleeps for as long as the loop likes: a wake that is lost is not made up for.
#[track_caller]
fn until_heard(client: &mut Client, what: &str, mut heard: impl FnMut(&mut Client) -> bool) {
    let began = Instant::now();
    while !heard(client) {
        client.turn(Some(PATIENCE)).unwrap();
        assert!(began.elapsed() < PATIENCE, "slept through {what}");
    }
}

/// Pulls all events; whether one of them was a connection that stands.
fn pull(client: &mut Client) -> bool {
    let events = std::iter::from_fn(|| client.next_event());
    events
        .filter(|event| matches!(event, Event::Connected { .. }))
        .count()
        > 0
}

/// An upstream that is not connected to before it has to be.
fn upstream(client: &mut Client) -> UpstreamId {
    let unused = Upstream::new("127.0.0.1:9").connections(0..=1);
    client.add(unused).unwrap()
}

/// A request that ends as soon as the loop has taken it, and by that alone: its deadline has passed.
struct Asked {
    outcomes: Receiver<Outcome>,
    reply_to: Sender<Outcome>,
}

impl Asked {
    fn new() -> Asked {
        let (reply_to, outcomes) = channel();
        Asked { outcomes, reply_to }
    }

    fn ask(reply_to: &Sender<Outcome>, handle: &Handle, upstream: UpstreamId) {
        let passed = Deadline::At(Instant::now());
        handle
            .request_to(upstream, &b"x\n"[..], passed, 0, reply_to)
            .unwrap();
    }

    fn is_heard(&self) -> bool {
        let outcome = self.outcomes.try_recv().ok();
        outcome.is_some_and(|it| it.result.unwrap_err().source == Source::Deadline)
    }
}

/// What a loop does with a connection before it sleeps; nothing of it is answered by the kernel at once.
#[derive(Clone, Copy, Debug)]
enum Before {
    Aborts,
    FillsTheLine,
}

impl Before {
    const ALL: [Before; 2] = [Before::FillsTheLine, Before::Aborts];

    /// Queues it, or does it; all events have been pulled after that.
    fn begins(self, client: &mut Client, connection: ConnectionId) {
        match self {
            Before::Aborts => client.abort(connection).unwrap(),
            Before::FillsTheLine => client
                .send(connection, &vec![b'x'; BEYOND_BUFFERS_BYTES])
                .unwrap(),
        }
        pull(client);
    }
}

fn roomy() -> Config {
    let mut config = Config::default();
    config.limits.send_queue_bytes_max = 2 * BEYOND_BUFFERS_BYTES;
    config.timeouts.write_stall = 6 * PATIENCE;
    config.socket.user_timeout = None;
    config
}

#[test]
fn a_request_from_another_thread_is_taken_whatever_the_loop_does_before_it_sleeps() {
    for before in Before::ALL {
        let mut client = Client::new(roomy()).unwrap();
        let (peer, upstream, asked) = (Peer::narrow(), upstream(&mut client), Asked::new());
        let (connection, _stream) = connected(&mut client, &peer, Framing::line());
        client.turn(Some(Duration::ZERO)).unwrap();
        Asked::ask(&asked.reply_to, &client.handle(), upstream);
        before.begins(&mut client, connection);
        until_heard(&mut client, &format!("a request, {before:?}"), |client| {
            pull(client);
            asked.is_heard()
        });
    }
}

#[test]
fn an_answer_of_the_resolver_is_heard_whatever_the_loop_does_before_it_sleeps() {
    for before in Before::ALL {
        let (resolver, asked, answer) = scripted();
        let mut config = roomy();
        config.lookups.threads_max = 1;
        config.timeouts.resolve = 6 * PATIENCE;
        let mut client = Client::with_resolver(config, resolver).unwrap();
        let (peer, named) = (Peer::narrow(), Peer::new());
        let (connection, _stream) = connected(&mut client, &peer, Framing::line());
        client.turn(Some(Duration::ZERO)).unwrap();
        for host in ["a.name:1", "b.name:1"] {
            client.connect(host, Framing::line()).unwrap();
        }
        answer.send(Ok(vec![named.addr()])).unwrap();
        // The one thread there is asks for the second name when it has rung for the first.
        for host in ["a.name", "b.name"] {
            assert_eq!(asked.recv_timeout(PATIENCE).unwrap().0, host);
        }
        before.begins(&mut client, connection);
        until_heard(&mut client, &format!("an answer, {before:?}"), pull);
    }
}

#[test]
fn a_server_is_stopped_whatever_its_loop_does_before_it_sleeps() {
    let config = ServerConfig {
        write_stall_timeout: 6 * PATIENCE,
        ..ServerConfig::default()
    };
    // The answer to one of these lines is the first for which there is no room.
    for lines in 1.. {
        let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config.clone()).unwrap();
        let mut stream = connect_without_reading(server.local_addr());
        if !(0..lines).all(|_| is_answered(&mut server, &mut stream)) {
            return assert!(lines > 1);
        }
        // The last answer is queued, and is written in the next turn before that sleeps.
        let began = Instant::now();
        server.stopper().stop();
        server.turn(Some(PATIENCE)).unwrap();
        assert!(
            began.elapsed() < PATIENCE,
            "slept through its stop behind {lines} lines"
        );
    }
}

fn connect_without_reading(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(&address.into()).unwrap();
    patient(socket.into())
}

/// Has a server answer one more line; false when it sleeps instead, since answers are left in its queue.
fn is_answered(server: &mut Server, stream: &mut TcpStream) -> bool {
    let mut line = vec![b'x'; 60_000];
    line.push(b'\n');
    stream.write_all(&line).unwrap();
    let (before, mut slept) = (server.stats().lines, 0);
    // More than once, for a busy machine may have slept in its stead.
    while slept < 3 {
        let began = Instant::now();
        server.turn(Some(ms(20))).unwrap();
        if server.stats().lines > before {
            return true;
        }
        slept = match began.elapsed() >= ms(20) {
            true => slept + 1,
            false => 0,
        };
    }
    false
}

/// Rounds in which a thread wakes a loop that ends a connection at about the same time.
fn race(what: &str, rounds: usize, end: impl Fn(&mut Client, ConnectionId, TcpStream)) {
    let mut client = client();
    let (peer, upstream, asked) = (Peer::new(), upstream(&mut client), Asked::new());
    let (go, rounds_begun) = channel::<u32>();
    std::thread::scope(|scope| {
        let (handle, reply_to) = (client.handle(), asked.reply_to.clone());
        scope.spawn(move || {
            for spins in rounds_begun {
                (0..spins).for_each(|_| std::hint::spin_loop());
                Asked::ask(&reply_to, &handle, upstream);
            }
        });
        for round in 0..rounds {
            let (connection, stream) = connected(&mut client, &peer, Framing::line());
            client.turn(Some(Duration::ZERO)).unwrap();
            // From at once to a good while after the end, unevenly.
            go.send((round as u32).wrapping_mul(2_654_435_761) >> 19)
                .unwrap();
            end(&mut client, connection, stream);
            until_heard(&mut client, &format!("{what}, round {round}"), |client| {
                pull(client);
                asked.is_heard()
            });
            client.turn(Some(Duration::ZERO)).unwrap();
            pull(&mut client);
        }
        drop(go);
    });
}

#[test]
fn a_request_is_taken_whenever_it_comes_while_the_loop_ends_a_connection() {
    race(
        "a request beside an abort",
        2_000,
        |client, connection, _stream| {
            client.abort(connection).unwrap();
        },
    );
}

#[test]
fn a_request_is_taken_whenever_it_comes_while_a_peer_ends_a_connection() {
    race("a request beside a reset", 2_000, |_, _, stream| {
        reset(stream)
    });
}
