//! The proxy's loop: accepts, keeps pairs of sockets, and steps each of their pipes in every turn.
//!
//! With a handful of connections every one is looked at in every turn, so no readiness need be remembered. When a
//! turn has moved something the next one does not wait.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};

use super::pipe::{Pipe, Step};
use super::{Counts, Faults, Shared};
use crate::support::End;

const BELL: Token = Token(0);
const LISTENER: Token = Token(1);
const STREAMS: Token = Token(2);

/// A client's connection, and the one that stands for it at the server.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    to_server: Pipe,
    to_client: Pipe,
    /// Both were shut; what still comes is dropped until both have ended.
    is_cut: bool,
}

pub(super) struct Relay {
    poll: Poll,
    /// A byte for each change that was asked for.
    rings: UnixStream,
    server: SocketAddr,
    /// Keeps the port while nobody listens.
    placeholder: Socket,
    listener: Option<TcpListener>,
    pairs: Vec<Pair>,
    counts: Counts,
}

impl Relay {
    pub(super) fn new(rings: std::os::unix::net::UnixStream, server: SocketAddr) -> Relay {
        let poll = Poll::new().unwrap();
        rings.set_nonblocking(true).unwrap();
        let mut rings = UnixStream::from_std(rings);
        let readable = Interest::READABLE;
        poll.registry()
            .register(&mut rings, BELL, readable)
            .unwrap();
        let placeholder = bound_to(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut relay = Relay {
            poll,
            rings,
            server,
            placeholder,
            listener: None,
            pairs: Vec::new(),
            counts: Counts::default(),
        };
        relay.listen(true);
        relay
    }

    pub(super) fn address(&self) -> SocketAddr {
        let address = self.placeholder.local_addr().unwrap();
        address.as_socket().unwrap()
    }

    pub(super) fn run(&mut self, shared: &Shared) {
        let mut events = Events::with_capacity(64);
        let mut wait = None;
        loop {
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.unwrap(),
            }
            while matches!(self.rings.read(&mut [0; 64]), Ok(1..)) {}
            let mut desk = shared.lock();
            let (faults, cut, asked) = (desk.faults, desk.cut.take(), desk.asked);
            if desk.stop {
                return;
            }
            drop(desk);

            self.listen(!faults.down);
            self.accept(shared);
            if let Some(end) = cut {
                self.pairs.retain_mut(|pair| pair.cut(end));
            }
            wait = self.step_all(&faults);

            let mut desk = shared.lock();
            self.counts.open = self.pairs.len() as u64;
            desk.counts = self.counts;
            desk.done = asked;
            shared.done.notify_all();
        }
    }

    /// Steps every pipe once; how long the next turn may wait.
    fn step_all(&mut self, faults: &Faults) -> Option<Duration> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut moved = false;
        let counts = &mut self.counts;
        self.pairs.retain_mut(|pair| {
            let (stays, steps) = pair.step(now, faults, counts);
            for step in steps {
                moved |= step.moved;
                next = next.into_iter().chain(step.again_at).min();
            }
            stays
        });
        match moved {
            true => Some(Duration::ZERO),
            false => next.map(|at| at.saturating_duration_since(Instant::now())),
        }
    }

    fn listen(&mut self, wanted: bool) {
        if !wanted {
            self.listener = None;
        } else if self.listener.is_none() {
            let socket = bound_to(self.address());
            socket.listen(128).unwrap();
            let mut listener = TcpListener::from_std(socket.into());
            let registry = self.poll.registry();
            registry
                .register(&mut listener, LISTENER, Interest::READABLE)
                .unwrap();
            self.listener = Some(listener);
        }
    }

    fn accept(&mut self, shared: &Shared) {
        while let Some(listener) = &self.listener {
            let mut client = match listener.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the proxy cannot accept: {error}"),
            };
            let mut server = TcpStream::connect(self.server).unwrap();
            for stream in [&mut client, &mut server] {
                stream.set_nodelay(true).unwrap();
                let both = Interest::READABLE | Interest::WRITABLE;
                let registry = self.poll.registry();
                registry.register(stream, STREAMS, both).unwrap();
            }
            self.counts.accepted += 1;
            let mut to_server = Pipe::default();
            to_server.tape = shared.new_tape();
            self.pairs.push(Pair {
                client,
                server,
                to_server,
                to_client: Pipe::default(),
                is_cut: false,
            });
        }
    }
}

/// A socket at this address, that shares it with one that does not listen.
fn bound_to(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

impl Pair {
    /// Steps both ways; whether it goes on.
    fn step(&mut self, now: Instant, faults: &Faults, counts: &mut Counts) -> (bool, [Step; 2]) {
        let before = self.progress();
        let was_broken = self.is_broken();
        let steps = [
            self.to_server
                .step(now, &faults.to_server, &mut self.client, &mut self.server),
            self.to_client
                .step(now, &faults.to_client, &mut self.server, &mut self.client),
        ];
        let after = self.progress();
        counts.from_client += after[0] - before[0];
        counts.to_server += after[1] - before[1];
        counts.from_server += after[2] - before[2];
        counts.to_client += after[3] - before[3];

        counts.given_up += u64::from(self.is_broken() && !was_broken);
        if self.is_cut {
            let both_ended = self.to_server.has_ended() && self.to_client.has_ended();
            return (!both_ended, steps);
        }
        let broken = (self.to_server.is_broken && self.to_client.is_empty())
            || (self.to_client.is_broken && self.to_server.is_empty());
        let cut = steps.iter().find_map(|step| step.cut);
        let stays = match cut.or(broken.then_some(End::Rst)) {
            Some(end) => self.cut(end),
            None => !(self.to_server.is_over && self.to_client.is_over),
        };
        (stays, steps)
    }

    /// Ends both ways; whether there is still something to wait for.
    fn cut(&mut self, end: End) -> bool {
        match end {
            End::Fin => {
                for (pipe, sink) in [
                    (&mut self.to_server, &self.server),
                    (&mut self.to_client, &self.client),
                ] {
                    let _ = sink.shutdown(Shutdown::Write);
                    pipe.discard();
                }
                self.is_cut = true;
            }
            End::Rst => {
                for stream in [&self.client, &self.server] {
                    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                }
            }
        }
        end == End::Fin
    }

    fn is_broken(&self) -> bool {
        self.to_server.is_broken || self.to_client.is_broken
    }

    fn progress(&self) -> [u64; 4] {
        let (up, down) = (&self.to_server, &self.to_client);
        [up.came, up.passed, down.came, down.passed]
    }
}
