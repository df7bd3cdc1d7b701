//! A client's engine against a peer that is driven call by call, in both worlds.
//!
//! Nothing happens by itself: between two steps all that was sent has arrived. In the simulation that
//! takes a moment of its clock; on loopback it is looked for in what the kernel knows of both ends.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::AN_HOUR;
use super::log::Log;
use super::stage::Stage;
use crate::config::Config;
use crate::engine::Engine;
use crate::event::{ConnectionId, Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::socket_options::SocketOptions;
use crate::time::Time;
use crate::upstream::Upstream;

/// How long loopback may take to deliver.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// Turns in a row that tell nothing, after which a client is quiet.
const QUIET_TURNS: u32 = 3;
/// More than a script sends without being held back.
const HELD_BACK_BYTES: u64 = 10_000;
const TURNS_MAX: u32 = 10_000;

/// The peer's end of a connection.
struct End<S> {
    socket: Option<S>,
    /// The client's address.
    of: SocketAddr,
    written: u64,
    read: u64,
    is_shut: bool,
    /// How it was closed: what had been received by then, and whether a RST went out.
    closed_at: Option<(u64, bool)>,
}

/// A client, and a peer in the hand.
pub(super) struct Hand<S: Stage> {
    pub(super) stage: S,
    pub(super) client: Engine<S::Base>,
    pub(super) log: Log,
    /// The client's raw connections, in order.
    pub(super) connections: Vec<ConnectionId>,
    pub(super) upstream: Option<UpstreamId>,
    pub(super) requests: u64,
    /// The addresses of those that stood when the client aborted them.
    aborted: Vec<SocketAddr>,
    peer: S::Base,
    listener: Option<<S::Base as Kernel>::Listener>,
    pub(super) at: SocketAddr,
    ends: Vec<End<<S::Base as Kernel>::Socket>>,
    /// What the peer's calls came back with.
    pub(super) told: Vec<String>,
}

impl<S: Stage> Hand<S> {
    pub(super) fn new(mut stage: S, config: Config) -> Hand<S> {
        let client = Engine::new(stage.kernel(), config);
        let mut peer = stage.kernel();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = peer.listen(any, 0).unwrap();
        let at = peer.listener_addr(&listener).unwrap();
        Hand {
            stage,
            client,
            log: Log::default(),
            connections: Vec::new(),
            upstream: None,
            requests: 0,
            aborted: Vec::new(),
            peer,
            listener: Some(listener),
            at,
            ends: Vec::new(),
            told: Vec::new(),
        }
    }

    // What the client does.

    pub(super) fn connect(&mut self, framing: &Framing) {
        self.connect_to(&self.at.to_string(), framing);
    }

    pub(super) fn connect_to(&mut self, target: &str, framing: &Framing) {
        let connection = self.client.core.connect(target, framing);
        let connection = connection.unwrap();
        self.log.begin(connection);
        self.connections.push(connection);
    }

    pub(super) fn send(&mut self, number: usize, bytes: &[u8]) {
        let outcome = self.client.core.send(self.connections[number], bytes);
        self.log.say_of(number, format!("sends: {outcome:?}"));
    }

    /// As much as the kernels and the queue take; how much that is.
    pub(super) fn send_until_full(&mut self, number: usize) -> usize {
        let mut sent = 0;
        while self
            .client
            .core
            .send(self.connections[number], &[b'x'; 10_000])
            .is_ok()
        {
            sent += 10_000;
            self.client.turn(Some(Duration::ZERO)).unwrap();
            // A window that is shut keeps back what was written.
            self.stage.settle();
        }
        sent
    }

    pub(super) fn close(&mut self, number: usize) {
        let outcome = self.client.core.close(self.connections[number]);
        self.log.say_of(number, format!("closes: {outcome:?}"));
    }

    pub(super) fn abort(&mut self, number: usize) {
        let before = self.client.standing();
        let outcome = self.client.core.abort(self.connections[number]);
        let after: Vec<_> = self.client.standing().iter().map(|it| it.local).collect();
        let gone = before.iter().filter(|it| !after.contains(&it.local));
        self.aborted.extend(gone.filter_map(|it| it.local));
        self.log.say_of(number, format!("aborts: {outcome:?}"));
    }

    pub(super) fn notify_writable(&mut self, number: usize) {
        let outcome = self.client.core.notify_writable(self.connections[number]);
        self.log
            .say_of(number, format!("asks for room: {outcome:?}"));
    }

    pub(super) fn add(&mut self, upstream: Upstream) {
        self.upstream = Some(self.client.core.add(upstream).unwrap());
    }

    /// Makes a request of the upstream, if there is one.
    pub(super) fn request(&mut self) {
        self.request_within(AN_HOUR);
    }

    pub(super) fn request_within(&mut self, time: Duration) {
        let Some(upstream) = self.upstream else {
            return;
        };
        let line = format!("request {}\n", self.requests);
        let deadline = |now: Time, _: &_, _: &_| now.after(time);
        let core = &mut self.client.core;
        let made = core.request(upstream, line.as_bytes(), self.requests, deadline);
        made.unwrap();
        self.requests += 1;
    }

    /// Queued bytes leave, and nothing is read.
    pub(super) fn flush(&mut self) {
        self.client.core.flush();
        self.settle();
    }

    /// Turns until nothing happens any more.
    pub(super) fn turn(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS_MAX {
            self.settle();
            self.client.turn(Some(Duration::ZERO)).unwrap();
            let told = self.pull();
            self.client.check();
            let is_idle = self.client.core.next_timeout() != Some(Duration::ZERO);
            quiet = if is_idle && told == 0 { quiet + 1 } else { 0 };
            if quiet == QUIET_TURNS {
                return self.settle();
            }
        }
        panic!("the client is never quiet:\n{:#?}", self.log);
    }

    /// Turns, and time passes, until something holds.
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if holds(self) {
                return;
            }
            let [outcome] = self.stage.turn([&mut self.client]);
            outcome.unwrap();
            self.pull();
            self.client.check();
        }
        panic!("it never came to that: {what}\n{:#?}", self.log);
    }

    /// One turn alone: a connection that is lost is not made again yet.
    pub(super) fn first_turn(&mut self) {
        self.settle();
        self.client.turn(Some(Duration::ZERO)).unwrap();
        self.pull();
        self.client.check();
        self.settle();
    }

    fn pull(&mut self) -> usize {
        let events: Vec<Event> = std::iter::from_fn(|| self.client.next_event()).collect();
        for event in &events {
            self.log.note(&self.client, event);
        }
        events.len()
    }

    // What the peer does.

    pub(super) fn ends(&self) -> usize {
        self.ends.len()
    }

    fn say(&mut self, what: impl std::fmt::Debug) {
        self.told.push(format!("{what:?}"));
    }

    pub(super) fn accept(&mut self) {
        let listener = self.listener.as_ref().unwrap();
        match self.peer.accept(listener) {
            Ok((mut socket, of)) => {
                let token = self.ends.len() as u64 + 1;
                let options = SocketOptions::default();
                let registered = self.peer.register(&mut socket, &options, token);
                registered.map_err(|refused| refused.error).unwrap();
                let (written, read, is_shut, closed_at) = (0, 0, false, None);
                self.ends.push(End {
                    socket: Some(socket),
                    of,
                    written,
                    read,
                    is_shut,
                    closed_at,
                });
                self.say("accepts");
            }
            Err(error) => self.say(("accepts", name_of(&error))),
        }
    }

    pub(super) fn peer_writes(&mut self, number: usize, bytes: &[u8]) {
        let end = &mut self.ends[number];
        let Some(socket) = &end.socket else { return };
        let outcome = self.peer.write(socket, bytes);
        end.written += *outcome.as_ref().unwrap_or(&0) as u64;
        self.say((number, "writes", outcome.map_err(|e| name_of(&e))));
        self.settle();
    }

    pub(super) fn peer_reads(&mut self, number: usize, bytes: usize) {
        let end = &mut self.ends[number];
        let Some(socket) = &end.socket else { return };
        let mut into = vec![0; bytes];
        let outcome = self.peer.read(socket, &mut into);
        end.read += *outcome.as_ref().unwrap_or(&0) as u64;
        let outcome = outcome.map(|n| into[..n].escape_ascii().to_string());
        self.say((number, "reads", outcome.map_err(|e| name_of(&e))));
        self.settle();
    }

    /// Turns while the peer reads so much, in whatever parts.
    pub(super) fn until_read(&mut self, number: usize, bytes: usize, read: &mut usize) {
        for _ in 0..TURNS_MAX {
            *read += self.peer_reads_all(number);
            if *read >= bytes {
                return;
            }
            self.turn();
        }
        panic!("{read} of {bytes} bytes come");
    }

    /// All that there is by now; how much that is. It is not told, for it comes in parts.
    pub(super) fn peer_reads_all(&mut self, number: usize) -> usize {
        let end = &mut self.ends[number];
        let mut into = vec![0; 1 << 16];
        let mut all = 0;
        while let Some(Ok(n @ 1..)) = end.socket.as_ref().map(|it| self.peer.read(it, &mut into)) {
            all += n;
            self.stage.settle();
        }
        end.read += all as u64;
        all
    }

    pub(super) fn peer_shuts(&mut self, number: usize) {
        let end = &mut self.ends[number];
        let Some(socket) = &end.socket else { return };
        let outcome = self.peer.shutdown(socket);
        end.is_shut |= outcome.is_ok();
        self.say((number, "shuts", outcome.map_err(|e| name_of(&e))));
        self.settle();
    }

    pub(super) fn peer_closes(&mut self, number: usize, reset: bool) {
        let end = &mut self.ends[number];
        let Some(socket) = end.socket.take() else {
            return;
        };
        let fin = u64::from(self.peer.peer_has_shut(&socket));
        let received = self.peer.info(&socket).unwrap().bytes_received;
        let received = received.saturating_sub(fin);
        end.closed_at = Some((received, reset || received > end.read));
        self.peer.close(socket, reset);
        self.say((number, "closes", reset));
        self.settle();
    }

    pub(super) fn stop_listening(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.peer.close_listener(listener);
            self.settle();
        }
    }

    // What the kernels do.

    /// What was sent has arrived.
    pub(super) fn settle(&mut self) {
        let until = Instant::now() + ARRIVES_WITHIN;
        loop {
            self.stage.settle();
            let Some(missing) = (0..self.ends.len()).find_map(|number| self.missing(number)) else {
                return;
            };
            assert!(Instant::now() < until, "{missing}:\n{:#?}", self.told);
            std::thread::yield_now();
        }
    }

    /// What is known to be on its way between an end and the client.
    fn missing(&mut self, number: usize) -> Option<String> {
        let end = &self.ends[number];
        let mut standing = self.client.standing().into_iter();
        let client = standing.find(|it| it.local == Some(end.of));
        let is_missing = match (client, &end.socket) {
            (Some(client), Some(socket)) => {
                let is_reset = client.is_reset || self.peer.peer_addr(socket).is_err();
                let at_client = client.received >= end.written + u64::from(end.is_shut);
                let received = self.peer.info(socket).unwrap().bytes_received;
                // More than that is on its way only when the peer's window is shut.
                let is_held_back = received + HELD_BACK_BYTES < client.written;
                let at_peer = received >= client.written || is_held_back;
                let fin = !client.has_shut || self.peer.peer_has_shut(socket);
                !(is_reset || at_client && at_peer && fin)
            }
            (Some(client), None) => {
                let (received, resets) = end.closed_at.unwrap();
                let resets = resets || client.written > received;
                !(client.is_reset || client.peer_has_shut && !resets)
            }
            (None, Some(socket)) => {
                let is_reset = self.peer.peer_addr(socket).is_err();
                !(is_reset || self.peer.peer_has_shut(socket) && !self.aborted.contains(&end.of))
            }
            (None, None) => false,
        };
        is_missing.then(|| format!("nothing arrives at end {number}"))
    }
}

fn name_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "would block".to_owned(),
        _ => format!("{:?}", error.raw_os_error()),
    }
}
